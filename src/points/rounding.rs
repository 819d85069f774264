//! Rounding of earned points to whole points.

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive as _};

use crate::primitives::{Points, coded};

coded! {
    /// How the product of yuan and ratio becomes whole points. Table and API carry the name, so it
    /// never changes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Rounding: Serde {
        /// 2.985 is 2.
        #[default]
        Down => "down",
        /// 2.5 is 3, 2.49 is 2.
        HalfUp => "half_up",
        /// 2.01 is 3.
        Up => "up",
    }
}

impl Rounding {
    /// Returns the whole points of an amount that is not negative. An amount that is too large
    /// becomes the largest number of points.
    pub fn round(self, exact: Decimal) -> Points {
        let strategy = match self {
            Self::Down => RoundingStrategy::ToZero,
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::Up => RoundingStrategy::AwayFromZero,
        };
        let whole = exact.round_dp_with_strategy(0, strategy).to_i64();
        Points::parse(whole.unwrap_or(i64::MAX)).unwrap_or(Points::ZERO)
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow fails the test, as it should"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_of_a_point_goes_where_the_rounding_says() {
        let rounded =
            |text: &str| Rounding::ALL.map(|rounding| rounding.round(text.parse().unwrap()).get());
        assert_eq!(rounded("2.985"), [2, 3, 3]);
        assert_eq!(rounded("2.5"), [2, 3, 3]);
        assert_eq!(rounded("3.5"), [3, 4, 4]); // not to even
        assert_eq!(rounded("2.499999"), [2, 2, 3]);
        assert_eq!(rounded("0.000001"), [0, 0, 1]);
        assert_eq!(rounded("7"), [7, 7, 7]);
        assert_eq!(rounded("0"), [0, 0, 0]);
        assert_eq!(rounded("9300000000000000000"), [i64::MAX; 3]);
    }

    #[test]
    fn a_word_is_read_as_it_is_written() {
        for rounding in Rounding::ALL {
            assert_eq!(Rounding::from_name(rounding.name()), Some(rounding));
            let json = serde_json::to_value(rounding).unwrap();
            assert_eq!(json, rounding.name());
        }
        assert_eq!(Rounding::from_name("Up"), None);
    }

    proptest! {
        /// In integers alone: `exact` in millionths, as fen times a ratio of four decimals is.
        #[test]
        fn rounding_is_what_integer_arithmetic_says(millionths in 0_i64..i64::MAX / 2) {
            let exact = Decimal::new(millionths, 6);
            let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
            let expected = [whole, whole + i64::from(rest >= 500_000), whole + i64::from(rest > 0)];
            let rounded = Rounding::ALL.map(|rounding| rounding.round(exact).get());
            prop_assert_eq!(rounded, expected);
        }
    }
}
