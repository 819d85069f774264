//! Text that comes back in the channel's bills.

/// Whether a text comes back from a bill as it went in.
///
/// Values stand there unquoted, each after a backtick: a backtick of one's own, after a comma, is a
/// column that is not there. Line ends and other control characters are written as something else,
/// or break the line.
pub fn is_safe_in_bill(text: &str) -> bool {
    !text.chars().any(|letter| {
        letter == '`' || letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
    })
}

#[cfg(test)]
mod tests {
    use super::is_safe_in_bill;

    #[test]
    fn what_would_be_a_column_or_a_line_does_not_survive() {
        for good in ["", "茶里巷", "A, B \"大\"", "{\"a\":1}", "½ + 'b'"] {
            assert!(is_safe_in_bill(good), "{good}");
        }
        for bad in ["a`", ",`0.00", "a\r\nb", "a\u{1}b", "a\u{2028}b", "\t"] {
            assert!(!is_safe_in_bill(bad), "{bad:?}");
        }
    }
}
