//! SQL text for statements of many rows.
//!
//! A statement of a thousand rows has thousands of values; literal text is as fast as bound
//! parameters there and keeps the server free of prepared statements that are used once. Safety is
//! in one place: every value goes through a method of [`Sql`] that writes its type's literal, most of
//! them through [`SqlValue`].

use std::fmt::Write as _;

use super::SqlValue;
use crate::primitives::{BusinessDay, Timestamp};

/// A statement under construction.
#[derive(Debug, Default, Clone)]
pub struct Sql(String);

impl Sql {
    pub fn new(head: &'static str) -> Self {
        Self(head.to_owned())
    }

    /// Text of the program, never of a caller.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    pub fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        let _ = write!(self.0, "{}", value.into()); // writing to a String cannot fail
        self
    }

    /// `x'0a0b'`: ids and hashes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.push_str("x'");
        self.hex(bytes);
        self.0.push('\'');
        self
    }

    /// Bare hex digits, for JSON.
    pub fn hex(&mut self, bytes: &[u8]) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0.reserve(bytes.len() * 2);
        for byte in bytes {
            self.0.push(char::from(DIGITS[usize::from(byte >> 4)]));
            self.0.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        self
    }

    /// Bytes that are mostly text, at their own length: hex would double them.
    pub fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.0.push_str("_binary'");
                self.escaped(text);
                self.0.push('\'');
                self
            }
            Err(_) => self.bytes(bytes),
        }
    }

    /// Letters, digits, `_` and `-` inside something quoted; anything else is left out.
    pub fn plain(&mut self, text: &str) -> &mut Self {
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        self.0.extend(text.chars().filter(plain));
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.push('\'');
        self.escaped(text);
        self.0.push('\'');
        self
    }

    /// The session's `sql_mode` is ours and has no `NO_BACKSLASH_ESCAPES`.
    fn escaped(&mut self, text: &str) {
        self.0.reserve(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['\'', '\\', '\0']) {
            self.0.push_str(&rest[..at]);
            self.0.push_str(match rest.as_bytes()[at] {
                b'\'' => "''",
                b'\\' => "\\\\",
                _ => "\\0",
            });
            rest = &rest[at + 1..];
        }
        self.0.push_str(rest);
    }

    pub fn time(&mut self, at: Timestamp) -> &mut Self {
        self.0.push('\'');
        self.bare_time(at);
        self.0.push('\'');
        self
    }

    /// Without quotes, for JSON.
    pub fn bare_time(&mut self, at: Timestamp) -> &mut Self {
        let at = at.datetime();
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, micro) = at.to_hms_micro();
        let _ = write!(
            self.0,
            "{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micro:06}",
            u8::from(month),
        );
        self
    }

    pub fn day(&mut self, day: BusinessDay) -> &mut Self {
        let _ = write!(self.0, "'{day}'");
        self
    }

    /// Without quotes, for JSON.
    pub fn bare_day(&mut self, day: BusinessDay) -> &mut Self {
        let _ = write!(self.0, "{day}");
        self
    }

    pub fn value(&mut self, value: impl SqlValue) -> &mut Self {
        value.write(self);
        self
    }

    /// `a,b`: the values with commas between.
    pub fn values(&mut self, values: impl IntoIterator<Item: SqlValue>) -> &mut Self {
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            value.write(self);
        }
        self
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn append(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// For sqlx. Nothing in it came from outside but through the methods above.
    pub fn into_statement(self) -> sqlx::AssertSqlSafe<String> {
        sqlx::AssertSqlSafe(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let mut sql = Sql::default();
        sql.text("a'; DROP TABLE x; -- \\")
            .blob(b"{\"k\":\"\\u4e00\"}")
            .blob(&[0xff, 0]);
        let text = sql.into_statement().0;
        assert_eq!(
            text,
            r#"'a''; DROP TABLE x; -- \\'_binary'{"k":"\\u4e00"}'x'ff00'"#
        );
    }

    #[test]
    fn times_are_written_to_the_microsecond() {
        let mut sql = Sql::default();
        sql.time(Timestamp::from_micros(1_795_228_496_000_007));
        assert_eq!(sql.into_statement().0, "'2026-11-21 02:34:56.000007'");
    }
}
