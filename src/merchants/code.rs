//! A collection code.

use std::{fmt, str::FromStr};

use crate::primitives::{MerchantId, Money, ParseIdError, TenantId, Timestamp, coded};

/// Twelve characters of Crockford's base 32: 60 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionCode([u8; 12]);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl CollectionCode {
    pub fn mint(random: u64) -> Self {
        let digit = |place: usize| {
            let five_bits = usize::try_from(random >> (place * 5) & 31).unwrap_or(0);
            ALPHABET[five_bits]
        };
        Self(std::array::from_fn(digit))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // always ASCII
    }
}

impl fmt::Display for CollectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CollectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CollectionCode {
    type Err = ParseIdError;

    /// Exactly as printed: a code is scanned, not typed.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digits: [u8; 12] = text.as_bytes().try_into().map_err(|_| ParseIdError)?;
        if digits.iter().all(|digit| ALPHABET.contains(digit)) {
            Ok(Self(digits))
        } else {
            Err(ParseIdError)
        }
    }
}

/// A code with what the merchant knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionCodeRow {
    pub code: CollectionCode,
    pub tenant: TenantId,
    pub merchant: MerchantId,
    /// The counter or store that it stands on.
    pub label: String,
    /// `None`: the customer types the amount.
    pub amount: Option<Money>,
    pub state: CodeState,
    pub created_at: Timestamp,
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CodeState as CodeStateKind {
        Active => "active",
        Disabled { disabled_at: Timestamp } => "disabled",
    }
}

/// Where a page of codes ends: codes are random, so their time of creation orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeCursor {
    pub created_at: Timestamp,
    pub code: CollectionCode,
}

impl From<&CollectionCodeRow> for CodeCursor {
    fn from(row: &CollectionCodeRow) -> Self {
        Self {
            created_at: row.created_at,
            code: row.code,
        }
    }
}

impl fmt::Display for CodeCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created_at.micros(), self.code)
    }
}

impl FromStr for CodeCursor {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (micros, code) = text.split_once('-').ok_or(ParseIdError)?;
        let micros: i64 = micros.parse().map_err(|_| ParseIdError)?;
        // Anything beyond would be no DATETIME: the year 2286.
        if !(0..10_000_000_000_000_000).contains(&micros) {
            return Err(ParseIdError);
        }
        Ok(Self {
            created_at: Timestamp::from_micros(micros),
            code: code.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_twelve_characters_and_read_back() {
        let code = CollectionCode::mint(0x0fed_cba9_8765_4321);
        assert_eq!(code.as_str().len(), 12);
        assert_eq!(code.as_str().parse(), Ok(code));
        assert_eq!(CollectionCode::mint(0).as_str(), "000000000000");
        assert_ne!(CollectionCode::mint(1 << 59), CollectionCode::mint(0));
        for bad in [
            "",
            "00000000000",
            "00000000000I",
            "00000000000a",
            "0000000000账",
        ] {
            assert!(bad.parse::<CollectionCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_read_back() {
        let cursor = CodeCursor {
            created_at: Timestamp::from_micros(1_795_000_000_000_123),
            code: CollectionCode::mint(77),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!("x-000000000000".parse::<CodeCursor>().is_err());
        assert!(
            "99999999999999999-000000000000"
                .parse::<CodeCursor>()
                .is_err()
        );
    }
}
