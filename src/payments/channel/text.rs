//! Texts that the channel gives us: whether they are what they should be, and what is kept of
//! reasons.

use crate::primitives::Text;

/// WeChat's numbers are short and plain; anything else is not one.
pub(crate) fn is_plain(text: &str, length_max: usize) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
    (1..=length_max).contains(&text.len()) && text.bytes().all(plain)
}

/// What WeChat takes for `out_refund_no` (`docs/wechat-pay.md` §5).
pub(crate) fn is_out_refund_no(text: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"_-|*@".contains(&letter);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// `weixin://wxpay/bizpayurl?pr=..`
pub(in crate::payments) fn is_code_url(text: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"_-:/?=.&%".contains(&letter);
    text.starts_with("weixin://") && text.len() <= 128 && text.bytes().all(plain)
}

/// How many characters of a reason are kept: as wide as the columns.
const REASON_CHARS_MAX: usize = 200;

/// As much of a reason as is kept: it may quote a code, and who wrote that is not always proven.
pub(in crate::payments) fn short_reason(reason: &str) -> String {
    let shown = reason.chars().take(REASON_CHARS_MAX).collect::<String>();
    match Text::hidden(&shown) {
        None => shown,
        Some(_) => shown.escape_default().take(REASON_CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_wechat_takes() {
        for number in ["R1", "a-b_c|d*e@f", &"9".repeat(64)] {
            assert!(is_out_refund_no(number), "{number}");
        }
        for number in ["", "退1", "a b", "a/b", "a?b", &"9".repeat(65)] {
            assert!(!is_out_refund_no(number), "{number}");
        }
    }
}
