//! Text that people type, checked once at the border.

use std::fmt;

use crate::primitives::{InvalidText, Length, Text, is_safe_in_bill};

/// A field that is not what it should be. Both texts are the program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}")]
pub struct InvalidField {
    /// The name in the request.
    pub field: &'static str,
    pub expected: &'static str,
}

/// Trimmed [`Text`] of 1 to `max` characters that comes back from a bill as it is.
pub(super) fn text(
    field: &'static str,
    value: &str,
    max: usize,
    expected: &'static str,
) -> Result<String, InvalidField> {
    let invalid = |expected| InvalidField { field, expected };
    let parsed = Text::parse(value, Length::Characters(1, max)).map_err(|error| match error {
        InvalidText::Length => invalid(expected),
        InvalidText::Hidden(_) => invalid(Text::EXPECTED),
    })?;
    if is_safe_in_bill(parsed.as_str()) {
        Ok(parsed.into_string())
    } else {
        Err(invalid("text without backticks"))
    }
}

/// 7 to 20 digits; spaces, `-` and a leading `+` are dropped.
pub(super) fn phone(field: &'static str, value: &str) -> Result<String, InvalidField> {
    const EXPECTED: &str = "a phone number of 7 to 20 digits";
    let invalid = InvalidField {
        field,
        expected: EXPECTED,
    };
    let value = value.trim();
    let value = value.strip_prefix('+').unwrap_or(value);
    let digits: String = value.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let sound = (7..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if sound { Ok(digits) } else { Err(invalid) }
}

/// WeChat's number of a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubMchid(String);

impl SubMchid {
    pub fn parse(value: &str) -> Result<Self, InvalidField> {
        let sound = (1..=32).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
        if sound {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidField {
                field: "sub_mchid",
                expected: "1 to 32 digits",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubMchid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_and_shows_as_what_it_is() {
        let name = |value| text("name", value, 5, "a name");
        assert_eq!(name("  老王面馆 ").unwrap(), "老王面馆");
        for bad in [
            "",
            "  ",
            "六个字的店名",
            "a\nb",
            "a\u{202e}b",
            "a\0",
            "a,`b",
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_phone_number_is_kept_as_digits() {
        assert_eq!(phone("p", "138-0000 1234").unwrap(), "13800001234");
        assert_eq!(phone("p", "+86 13800001234").unwrap(), "8613800001234");
        for bad in [
            "",
            "123",
            "1380000123x",
            "++8613800001234",
            "１３８００００１２３４",
        ] {
            assert!(phone("p", bad).is_err(), "{bad}");
        }
    }
}
