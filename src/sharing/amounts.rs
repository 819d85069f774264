//! Amounts of parts and of returns. Pure.

use crate::primitives::Money;

pub(super) const MILLION: u32 = 1_000_000;

/// Returns what each of `ratios_ppm` (millionths) gets of `net`, in fen, rounded down, in their
/// order; in total at most `left`.
pub(super) fn allot(net: Money, left: Money, ratios_ppm: &[u32]) -> Vec<Money> {
    let mut left = left.min(net);
    ratios_ppm
        .iter()
        .map(|ratio| {
            let part = proportion(net, i64::from(*ratio), i64::from(MILLION)).min(left);
            left = left.saturating_sub(part);
            part
        })
        .collect()
}

/// Returns how much of a part must still be asked back when refunds reach `covered` of `base` and
/// `returned` was asked back before. Zero if more was asked back.
pub(super) fn to_return(part: Money, base: Money, covered: Money, returned: Money) -> Money {
    let due = if covered >= base {
        part
    } else {
        proportion(part, covered.get(), base.get())
    };
    due.saturating_sub(returned)
}

/// Returns `amount * count / of`, rounded down.
fn proportion(amount: Money, count: i64, of: i64) -> Money {
    let share = i128::from(amount.get()) * i128::from(count) / i128::from(of.max(1));
    i64::try_from(share)
        .ok()
        .and_then(|fen| Money::parse(fen).ok())
        .unwrap_or(Money::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fen(units: i64) -> Money {
        Money::parse(units).unwrap()
    }

    fn total(parts: &[Money]) -> i64 {
        parts.iter().map(|part| part.get()).sum()
    }

    #[test]
    fn parts_are_rounded_down_and_stop_at_what_is_left() {
        assert_eq!(
            allot(fen(999), fen(999), &[100_000, 5_000]),
            [fen(99), fen(4)]
        );
        assert_eq!(
            allot(fen(1000), fen(120), &[100_000, 100_000]),
            [fen(100), fen(20)]
        );
        assert_eq!(allot(fen(9), fen(9), &[100_000]), [Money::ZERO]);
        assert_eq!(allot(Money::ZERO, Money::ZERO, &[100_000]), [Money::ZERO]);
    }

    #[test]
    fn a_part_comes_back_in_proportion_and_the_last_refund_takes_the_rest() {
        assert_eq!(
            to_return(fen(100), fen(999), fen(333), Money::ZERO),
            fen(33)
        );
        assert_eq!(to_return(fen(100), fen(999), fen(666), fen(33)), fen(33));
        assert_eq!(to_return(fen(100), fen(999), fen(999), fen(66)), fen(34));
        assert_eq!(
            to_return(fen(100), fen(999), fen(333), fen(66)),
            Money::ZERO
        );
    }

    proptest! {
        /// Whatever the ratios, no more is shared than there is, and each part is off its exact
        /// share by less than a fen unless too little is left.
        #[test]
        fn no_more_is_shared_than_there_is(net in 0_i64..10_000_000, left in 0_i64..10_000_000, ratios in prop::collection::vec(1_u32..300_000, 0..50)) {
            let parts = allot(fen(net), fen(left), &ratios);
            prop_assert_eq!(parts.len(), ratios.len());
            prop_assert!(total(&parts) <= net.min(left));
            if left >= net && ratios.iter().sum::<u32>() <= MILLION {
                for (part, ratio) in parts.iter().zip(&ratios) {
                    let exact = i128::from(net) * i128::from(*ratio);
                    let got = i128::from(part.get()) * 1_000_000;
                    prop_assert!(got <= exact && exact - got < 1_000_000);
                }
            }
        }

        /// However a payment is refunded in pieces, and whichever of them are dropped again after
        /// their shares came back, never more comes back than was shared, and all of it when
        /// everything is refunded.
        #[test]
        fn pieces_bring_back_what_the_whole_does(part in 1_i64..1_000_000, pieces in prop::collection::vec((1_i64..10_000, any::<bool>()), 1..20)) {
            let base: i64 = pieces.iter().map(|(piece, _)| piece).sum();
            let (mut covered, mut back, mut dropped) = (0, 0, Vec::new());
            for (piece, drops) in pieces {
                let due = to_return(fen(part), fen(base), fen(covered + piece), fen(back)).get();
                back += due;
                prop_assert!(back <= part);
                if drops {
                    dropped.push(piece);
                } else {
                    covered += piece;
                }
            }
            for piece in dropped {
                covered += piece;
                back += to_return(fen(part), fen(base), fen(covered), fen(back)).get();
            }
            prop_assert_eq!((covered, back), (base, part));
        }
    }
}
