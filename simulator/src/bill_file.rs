//! How a bill is written: a byte order mark, lines that end in CR LF, a backtick before every
//! value.
//!
//! Headers have no backtick. Values are not quoted: a comma inside one is only told from a
//! separator by the backtick that follows the separator.

use time::format_description::BorrowedFormatItem;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime};

const BOM: &str = "\u{feff}";
const SECOND: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// A bill in the making.
#[derive(Debug)]
pub(super) struct BillFile(String);

impl BillFile {
    pub(super) fn new() -> Self {
        Self(BOM.to_owned())
    }

    pub(super) fn header<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<_> = names.into_iter().collect();
        self.0.push_str(&names.join(","));
        self.0.push_str("\r\n");
    }

    pub(super) fn line(&mut self, values: impl IntoIterator<Item = String>) {
        for (n, value) in values.into_iter().enumerate() {
            self.0.push_str(if n == 0 { "`" } else { ",`" });
            for letter in value.chars() {
                match letter {
                    '\u{1}' => self.0.push(' '),
                    '\r' => self.0.push_str("\\r"),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
        }
        self.0.push_str("\r\n");
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// `2026-11-21 20:00:05`, in Beijing.
pub(super) fn bill_time(at: OffsetDateTime) -> String {
    at.to_offset(offset!(+8))
        .format(&SECOND)
        .expect("year to second are present in every date and time")
}

/// The day in Beijing, which is the day of the bill.
pub(super) fn bill_day(at: OffsetDateTime) -> Date {
    at.to_offset(offset!(+8)).date()
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn values_have_backticks_and_no_line_breaks_and_headers_have_neither() {
        let mut file = BillFile::new();
        file.header(["甲", "乙"]);
        file.line(["a,b\"{`".to_owned(), "1\r\n2\u{1}3".to_owned()]);
        let text = String::from_utf8(file.into_bytes()).unwrap();
        assert_eq!(text, "\u{feff}甲,乙\r\n`a,b\"{`,`1\\r\\n2 3\r\n");
    }

    #[test]
    fn the_day_begins_in_beijing() {
        let evening = datetime!(2026-11-21 16:00:00 UTC);
        assert_eq!(bill_day(evening), date!(2026 - 11 - 22));
        assert_eq!(bill_time(evening), "2026-11-22 00:00:00");
    }
}
