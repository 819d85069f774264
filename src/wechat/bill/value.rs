//! Values: times in Beijing, yuan with decimals.

use rust_decimal::Decimal;
use time::{
    Duration, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description, macros::offset,
};

use super::BillError;
use crate::primitives::{BusinessDay, Timestamp};

const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// A value that is not what its column calls for.
pub(super) fn wrong(line: usize, column: &'static str, expected: &'static str) -> BillError {
    BillError::Value {
        line,
        column,
        expected,
    }
}

/// A time such as `2026-11-20 10:11:12`, in Beijing, on `day` or next to it.
///
/// Next to it, because nothing says that both ends of a day are cut the same way everywhere; a file
/// of another day altogether is refused.
pub(super) fn time(text: &str, day: BusinessDay) -> Option<Timestamp> {
    let at = PrimitiveDateTime::parse(text.trim(), SECONDS).ok()?;
    let away = at.date() - day.0;
    (away.abs() <= Duration::days(1))
        .then(|| Timestamp::from_datetime(at.assume_offset(offset!(+8))))
}

/// Fen from yuan such as `12.80` or `-0.05`. More decimals than two are taken if they are zeros.
pub(super) fn fen(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (yuan, rest) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(yuan) || !all_digits(rest) {
        return None;
    }
    let mut decimals = rest
        .bytes()
        .map(|digit| i64::from(digit.wrapping_sub(b'0')));
    let (tens, ones) = (decimals.next()?, decimals.next().unwrap_or(0));
    if decimals.any(|digit| digit != 0) {
        return None;
    }
    let cents = tens.checked_mul(10)?.checked_add(ones)?;
    let yuan: i64 = yuan.parse().ok()?;
    let fen = yuan.checked_mul(100)?.checked_add(cents)?;
    if negative {
        fen.checked_neg()
    } else {
        Some(fen)
    }
}

/// As [`fen`], where nothing negative can be.
pub(super) fn fen_not_negative(text: &str) -> Option<i64> {
    fen(text).filter(|fen| *fen >= 0)
}

/// Yuan with up to five decimals, either sign.
pub(super) fn fee(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let fee = Decimal::from_str_exact(text).ok()?;
    (plain && fee.scale() <= 5).then_some(fee)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn yuan_become_fen_by_their_digits() {
        for (text, is) in [
            ("0.00", Some(0)),
            ("12.80", Some(1280)),
            ("12.8", Some(1280)),
            ("12", Some(1200)),
            ("20.0", Some(2000)),
            ("0.07000", Some(7)),
            ("-0.05", Some(-5)),
            ("0.29", Some(29)),
            ("92233720368547758.07", Some(i64::MAX)),
            ("92233720368547758.08", None),
            ("0.001", None),
            ("", None),
            ("-", None),
            ("--1", None),
            (".5", None),
            ("5.", None),
            ("+1", None),
            ("1_0", None),
            ("1e2", None),
            ("1,000.00", None),
            ("１.00", None),
        ] {
            assert_eq!(fen(text), is, "{text}");
        }
        assert_eq!(fen_not_negative("-0.01"), None);
    }

    #[test]
    fn fees_keep_their_decimals() {
        assert_eq!(fee("-0.07680").unwrap().to_string(), "-0.07680");
        for text in ["", "-", ".", "1.234567", "1_0", "1e2", "NaN", "1.2.3"] {
            assert_eq!(fee(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_beijings_and_of_the_day() {
        let day = BusinessDay::parse("2026-11-20").unwrap();
        let at = time("2026-11-20 00:00:00", day).unwrap();
        assert_eq!(at, day.start());
        assert!(time("2026-11-21 00:00:00", day).is_some());
        for text in [
            "2026-11-18 23:59:59",
            "2026-11-22 00:00:00",
            "2026-11-20",
            "2026-13-20 00:00:00",
            "",
        ] {
            assert_eq!(time(text, day), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_comes_back(whole in -1_000_000_000_000_i64..1_000_000_000_000) {
            let sign = if whole < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", (whole / 100).abs(), (whole % 100).abs());
            prop_assert_eq!(fen(&text), Some(whole));
        }
    }
}
