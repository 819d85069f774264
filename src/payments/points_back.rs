//! Points that go back with a refund. Pure.

use crate::primitives::{Money, Points};

/// The points of one refund. `due` is the part of the points earned that the money is; it is made
/// up of what expired, what is withheld, and what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointsBack {
    pub due: Points,
    /// Of those taken: missing, because the customer had spent them. They are owed.
    pub shortfall: Points,
    /// Expired unspent in the payment's lot, before the refund was initiated: they count as given
    /// back.
    pub expired: Points,
    /// Under review when the refund was initiated: never credited, and not for the review to credit
    /// unless the refund fails.
    pub withheld: Points,
}

impl PointsBack {
    pub const NONE: Self = Self {
        due: Points::ZERO,
        shortfall: Points::ZERO,
        expired: Points::ZERO,
        withheld: Points::ZERO,
    };

    /// What is held, and taken from the customer when the money arrives.
    #[must_use]
    pub fn taken(&self) -> Points {
        let elsewhere = self.due.saturating_sub(self.expired);
        elsewhere.saturating_sub(self.withheld)
    }
}

/// Of the points that a payment earned: what goes back when refunds reach `asked` of `amount`, of
/// which `back` was asked back before. Rounded down over the sum, so that many small refunds take
/// no more than one large one, and the last takes the rest.
pub(super) fn points_to_give_back(
    earned: Points,
    amount: Money,
    asked: Money,
    back: Points,
) -> Points {
    let share =
        i128::from(earned.get()) * i128::from(asked.get()) / i128::from(amount.get().max(1));
    i64::try_from(share)
        .ok()
        .and_then(|share| Points::parse(share).ok())
        .unwrap_or(earned)
        .saturating_sub(back)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(units: i64) -> Points {
        Points::parse(units).unwrap()
    }

    fn fen(units: i64) -> Money {
        Money::parse(units).unwrap()
    }

    #[test]
    fn points_go_back_in_proportion_and_the_last_refund_takes_the_rest() {
        let back =
            |asked, before| points_to_give_back(points(10), fen(999), fen(asked), points(before));
        assert_eq!(back(333, 0), points(3));
        assert_eq!(back(666, 3), points(3));
        assert_eq!(back(999, 6), points(4));
        assert_eq!(
            points_to_give_back(points(7), fen(1), fen(1), points(0)),
            points(7)
        );
    }

    proptest! {
        /// However a payment is refunded in pieces, and whichever pieces are dropped again, never
        /// more goes back than was earned, and all of it in the end.
        #[test]
        fn pieces_give_back_what_the_whole_does(earned in 0_i64..1_000_000, pieces in prop::collection::vec((1_i64..10_000, any::<bool>()), 1..20)) {
            let amount: i64 = pieces.iter().map(|(piece, _)| piece).sum();
            let (mut asked, mut back, mut left) = (0, 0, Vec::new());
            for (piece, dropped) in pieces {
                let due = points_to_give_back(points(earned), fen(amount), fen(asked + piece), points(back)).get();
                if dropped {
                    left.push(piece);
                } else {
                    asked += piece;
                    back += due;
                }
                prop_assert!(back <= earned);
            }
            for piece in left {
                asked += piece;
                back += points_to_give_back(points(earned), fen(amount), fen(asked), points(back)).get();
            }
            prop_assert_eq!(asked, amount);
            prop_assert_eq!(back, earned);
        }
    }
}
