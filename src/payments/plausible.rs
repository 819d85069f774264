//! Times that the channel states, before anything is booked under them.
//!
//! A time decides on which day something counts, which rule credits points and when they expire.
//! WeChat has no reason to date a payment before its order or in the future; a text that does is a
//! mistake of somebody, signed or not, and what it would do cannot be taken back. The money is real
//! all the same. So the nearest time that can be is taken for it, an exception says what was
//! stated, and what depends on the time (the points of a payment) waits for a person.

use crate::primitives::Timestamp;

/// How far WeChat's clock and ours may be apart: what its signatures are allowed too
/// (`docs/wechat-pay.md` §2.1).
const SKEW_SECONDS: i64 = 300;

/// A time that can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plausible {
    pub(super) at: Timestamp,
    /// What was stated instead.
    pub(super) odd: Option<Timestamp>,
}

/// The time that was stated of something that follows `after` and has happened by `now`, or the
/// nearest that can be.
pub(super) fn plausible(stated: Timestamp, after: Timestamp, now: Timestamp) -> Plausible {
    let first = after.plus_seconds(-SKEW_SECONDS);
    let last = now.plus_seconds(SKEW_SECONDS);
    if (first..=last).contains(&stated) {
        return Plausible {
            at: stated,
            odd: None,
        };
    }
    let at = if stated > last { now } else { after.min(now) };
    Plausible {
        at,
        odd: Some(stated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_is_the_nearest_that_can() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let judged = |stated| plausible(at(stated), at(10_000), at(20_000));
        for fine in [9_700, 10_000, 15_000, 20_000, 20_300] {
            assert_eq!(
                judged(fine),
                Plausible {
                    at: at(fine),
                    odd: None
                }
            );
        }
        let odd = |stated, nearest| Plausible {
            at: at(nearest),
            odd: Some(at(stated)),
        };
        assert_eq!(judged(9_699), odd(9_699, 10_000));
        assert_eq!(judged(-5), odd(-5, 10_000));
        assert_eq!(judged(20_301), odd(20_301, 20_000));
        let last = Timestamp::parse_rfc3339("9999-12-31T23:59:59Z").unwrap();
        assert_eq!(
            plausible(last, at(0), at(9)),
            Plausible {
                at: at(9),
                odd: Some(last)
            }
        );
        // Two clocks of ours may differ as well.
        assert_eq!(plausible(at(-9_999), at(30), at(9)).at, at(9));
    }
}
