//! Amounts. Whole numbers of the smallest unit, never negative, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("an amount is never negative")]
    Negative,
    #[error("the amount does not fit")]
    Overflow,
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            pub const ZERO: Self = Self(0);

            /// From a whole number of units; a negative one is refused.
            pub const fn parse(units: i64) -> Result<Self, AmountError> {
                if units < 0 { Err(AmountError::Negative) } else { Ok(Self(units)) }
            }

            /// For constants of the program: a negative one does not compile.
            pub const fn constant(units: i64) -> Self {
                assert!(units >= 0, "an amount is never negative");
                Self(units)
            }

            /// The whole number of units.
            pub const fn get(self) -> i64 {
                self.0
            }

            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
                self.0.checked_add(other.0).map(Self).ok_or(AmountError::Overflow)
            }

            /// Fails with [`AmountError::Negative`] when `other` is the larger.
            pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
                match self.0.checked_sub(other.0) {
                    Some(left) if left >= 0 => Ok(Self(left)),
                    Some(_) | None => Err(AmountError::Negative),
                }
            }

            /// What is left of `self` after `other`, at least nothing.
            #[must_use]
            pub fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0).max(0))
            }

            pub fn try_sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, AmountError> {
                amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = AmountError;

            fn try_from(units: i64) -> Result<Self, AmountError> {
                Self::parse(units)
            }
        }

        impl From<$name> for i64 {
            fn from(amount: $name) -> i64 {
                amount.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{} ", $unit), self.0)
            }
        }
    };
}

amount!(
    /// An amount of money in fen (1/100 yuan), never negative; direction belongs to a posting, not
    /// to a sign.
    Money,
    "fen"
);
amount!(
    /// A whole number of points, never negative.
    Points,
    "points"
);

impl fmt::Display for Money {
    /// Yuan with two decimals, for people: `¥12.30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "¥{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_amount_is_an_error_and_not_a_value() {
        assert_eq!(Money::parse(-1), Err(AmountError::Negative));
        assert_eq!(
            Money::ZERO.checked_sub(Money::parse(1).unwrap()),
            Err(AmountError::Negative)
        );
        assert!(serde_json::from_str::<Points>("-3").is_err());
    }

    #[test]
    fn sums_that_do_not_fit_are_refused() {
        let most = Money::parse(i64::MAX).unwrap();
        assert_eq!(
            Money::try_sum([most, Money::parse(1).unwrap()]),
            Err(AmountError::Overflow)
        );
    }

    #[test]
    fn money_is_shown_in_yuan() {
        assert_eq!(Money::parse(1205).unwrap().to_string(), "¥12.05");
    }
}
