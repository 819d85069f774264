//! Lots: the order in which points leave, what is free, and that holds can always be posted.

use std::collections::BTreeMap;

use proptest::prelude::*;
use time::macros::date;

use super::{
    PointHoldings,
    lots::{LotRestriction, LotWithdrawal, take},
};
use crate::primitives::BusinessDay;

fn day(number: u32) -> BusinessDay {
    BusinessDay(date!(2026 - 11 - 01)).plus_days(number)
}

fn lots(of: &[(u32, i64)]) -> BTreeMap<BusinessDay, i64> {
    of.iter().map(|(on, left)| (day(*on), *left)).collect()
}

fn at_once(amount: i64, named: Option<u32>, today: u32) -> LotWithdrawal {
    LotWithdrawal {
        amount,
        named: named.map(day),
        since: day(today),
        today: day(today),
        only: None,
    }
}

fn stock(lots_: &[(u32, i64)], holds: &[(u32, i64)]) -> PointHoldings {
    PointHoldings {
        lots: lots(lots_),
        holds: lots(holds),
    }
}

fn taken(
    mut of: BTreeMap<BusinessDay, i64>,
    leaving: LotWithdrawal,
) -> Option<Vec<(BusinessDay, i64)>> {
    take(&mut of, leaving).ok()
}

#[test]
fn what_expires_first_is_spent_first_and_what_is_over_not_at_all() {
    let of = || lots(&[(3, 5), (4, 5), (9, 5)]);
    assert_eq!(
        taken(of(), at_once(7, None, 2)),
        Some(vec![(day(3), 5), (day(4), 2)])
    );
    // On the day on which a lot is expired, none of it is left to spend.
    assert_eq!(
        taken(of(), at_once(7, None, 3)),
        Some(vec![(day(4), 5), (day(9), 2)])
    );
    assert_eq!(taken(of(), at_once(11, None, 3)), None);
    // The named lot first, if it has not expired.
    assert_eq!(
        taken(of(), at_once(7, Some(9), 3)),
        Some(vec![(day(9), 5), (day(4), 2)])
    );
    assert_eq!(
        taken(of(), at_once(7, Some(3), 3)),
        Some(vec![(day(4), 5), (day(9), 2)])
    );
    assert_eq!(taken(of(), at_once(1, Some(8), 3)), Some(vec![(day(4), 1)]));
}

#[test]
fn a_hold_uses_first_what_has_expired_for_everybody_else() {
    let held = |amount, named| LotWithdrawal {
        since: day(2),
        ..at_once(amount, named, 5)
    };
    let of = || lots(&[(2, 5), (3, 5), (4, 5), (9, 5)]);
    assert_eq!(
        taken(of(), held(12, Some(9))),
        Some(vec![(day(3), 5), (day(4), 5), (day(9), 2)])
    );
    // What had expired already when it was held has expired for it too.
    assert_eq!(taken(of(), held(16, None)), None);
}

/// A hold that took the named lot first would take a younger one's shortfall, and leave points that
/// only itself could have used.
#[test]
fn an_old_hold_leaves_to_a_younger_one_the_shortfall_credited_for_it() {
    let never = BusinessDay::NEVER;
    // 15 points are held on day 1, and 10 of them have expired on day 6.
    let mut of = PointHoldings {
        lots: BTreeMap::from([(day(5), 10), (never, 10)]),
        holds: lots(&[(1, 15)]),
    };
    assert_eq!(of.free(day(6)), Ok(5));
    // A refund of 10 falls short by 5.
    plus(&mut of.lots, never, 5);
    plus(&mut of.holds, day(6), 10);
    assert_eq!(of.free(day(6)), Ok(0));
    let old = LotWithdrawal {
        since: day(1),
        named: Some(never),
        ..at_once(15, None, 6)
    };
    assert_eq!(take(&mut of.lots, old), Ok(vec![(day(5), 10), (never, 5)]));
    let young = at_once(10, None, 6);
    assert_eq!(take(&mut of.lots, young), Ok(vec![(never, 10)]));
}

#[test]
fn a_hold_that_is_covered_by_what_is_over_does_not_lock_what_is_not() {
    let of = stock(&[(2, 10), (99, 10)], &[(1, 10)]);
    // Today either covers it; tomorrow the first still does, and only for it.
    assert_eq!(of.free(day(1)), Ok(10));
    assert_eq!(of.free(day(2)), Ok(10));
    // What it does not cover is locked, and a younger hold cannot use it at all.
    let of = stock(&[(2, 4), (99, 10)], &[(1, 10), (2, 3)]);
    assert_eq!(of.free(day(1)), Ok(1));
    assert_eq!(of.free(day(2)), Ok(1));
    let of = stock(&[(2, 10), (99, 10)], &[(1, 4), (2, 7)]);
    assert_eq!(of.free(day(2)), Ok(3));
    // One that the clock of another process has held tomorrow counts, whatever day it is here.
    let of = stock(&[(3, 10)], &[(2, 10)]);
    assert_eq!(of.free(day(1)), Ok(0));
}

#[test]
fn points_expire_out_of_the_lot_that_is_named_and_no_other() {
    let expiry = |amount, named| LotWithdrawal {
        only: Some(LotRestriction::Expiring),
        ..at_once(amount, Some(named), 5)
    };
    let of = || lots(&[(3, 5), (4, 5), (9, 5)]);
    assert_eq!(taken(of(), expiry(5, 4)), Some(vec![(day(4), 5)]));
    assert_eq!(taken(of(), expiry(6, 4)), None);
    assert_eq!(taken(of(), expiry(1, 9)), None, "it has not expired");
}

#[test]
fn what_was_granted_just_now_is_taken_from_its_lot_and_no_other() {
    let granted = |amount, named| LotWithdrawal {
        only: Some(LotRestriction::Granted),
        ..at_once(amount, Some(named), 5)
    };
    let of = || lots(&[(3, 5), (8, 5), (9, 5)]);
    assert_eq!(taken(of(), granted(5, 9)), Some(vec![(day(9), 5)]));
    assert_eq!(taken(of(), granted(6, 9)), None);
    assert_eq!(taken(of(), granted(1, 3)), None, "it has expired");
}

#[test]
fn as_many_points_stay_in_lots_that_are_over_as_holds_can_use() {
    let over = |holds: &[(u32, i64)]| {
        stock(&[(3, 5), (4, 5), (9, 5)], holds)
            .expirable(day(4))
            .unwrap()
    };
    assert_eq!(over(&[]), [(day(3), 5), (day(4), 5)]);
    assert_eq!(over(&[(1, 3)]), [(day(3), 5), (day(4), 2)]);
    assert_eq!(over(&[(1, 4), (2, 3)]), [(day(3), 3)]);
    assert_eq!(over(&[(1, 12)]), []);
    // Held when the first had expired already, or both had.
    assert_eq!(over(&[(3, 12)]), [(day(3), 5)]);
    assert_eq!(over(&[(2, 1), (3, 3)]), [(day(3), 5), (day(4), 1)]);
    assert_eq!(over(&[(2, 1), (3, 9)]), [(day(3), 4)]);
    assert_eq!(over(&[(4, 12)]), [(day(3), 5), (day(4), 5)]);
}

/// What happens to an account; small numbers, so that much of it meets.
#[derive(Debug, Clone)]
enum Step {
    Grant {
        /// Days; 0: for ever.
        lasts: u32,
        points: i64,
    },
    Spend {
        points: i64,
    },
    /// Which may fall short.
    Hold {
        points: i64,
        may_fall_short: bool,
    },
    End {
        which: usize,
        posts: bool,
        /// Points that are not spent but released, as long as one is left.
        less: i64,
        named: Option<usize>,
    },
    Expire,
    Tomorrow,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u32..4, 1_i64..10).prop_map(|(lasts, points)| Step::Grant { lasts, points }),
        (1_i64..10).prop_map(|points| Step::Spend { points }),
        (1_i64..20, any::<bool>()).prop_map(|(points, may_fall_short)| Step::Hold {
            points,
            may_fall_short
        }),
        (
            0_usize..4,
            any::<bool>(),
            0_i64..6,
            prop::option::of(0_usize..9)
        )
            .prop_map(|(which, posts, less, named)| Step::End {
                which,
                posts,
                less: less.saturating_sub(2).max(0),
                named
            }),
        Just(Step::Expire),
        Just(Step::Tomorrow),
    ];
    prop::collection::vec(step, 0..120)
}

fn plus(to: &mut BTreeMap<BusinessDay, i64>, on: BusinessDay, points: i64) {
    let left = to.entry(on).or_default();
    *left = left.checked_add(points).unwrap();
    to.retain(|_, left| *left != 0);
}

/// Whether every hold can be posted today, in this order, after so many points were spent.
fn all_can_be_posted(of: &PointHoldings, spent: i64, today: u32, youngest_first: bool) -> bool {
    let mut lots = of.lots.clone();
    if spent > 0 && take(&mut lots, at_once(spent, None, today)).is_err() {
        return false;
    }
    let mut holds: Vec<_> = of.holds.iter().collect();
    if youngest_first {
        holds.reverse();
    }
    holds.into_iter().all(|(since, points)| {
        let leaving = LotWithdrawal {
            since: *since,
            ..at_once(*points, None, today)
        };
        take(&mut lots, leaving).is_ok()
    })
}

proptest! {
    /// Whatever happens in whichever order: a hold or a part of it can be posted when its time
    /// comes, nothing leaves a lot that has expired by its day, nothing that no hold can use stays
    /// in a lot after the sweep, lots hold what was granted less what left, what is free is exactly
    /// what holds do not need, and who owes has nothing free.
    #[test]
    fn a_hold_can_always_be_posted_and_nothing_is_spent_from_an_expired_lot(steps in steps()) {
        let mut of = PointHoldings::default();
        // The day and the points.
        let mut holds: Vec<(BusinessDay, i64)> = Vec::new();
        let (mut today, mut balance, mut debt) = (0_u32, 0_i64, 0_i64);
        for step in steps {
            let now = day(today);
            let free = of.free(now).unwrap();
            match step {
                Step::Grant { lasts, points } => {
                    let on = if lasts == 0 { BusinessDay::NEVER } else { now.plus_days(lasts) };
                    let repaid = debt.min(points);
                    plus(&mut of.lots, on, points);
                    plus(&mut of.lots, on, repaid.checked_neg().unwrap());
                    balance = balance.checked_add(points).unwrap().checked_sub(repaid).unwrap();
                    debt = debt.checked_sub(repaid).unwrap();
                }
                Step::Spend { points } if points <= free => {
                    let parts = take(&mut of.lots, at_once(points, None, today)).unwrap();
                    prop_assert!(parts.iter().all(|(on, _)| *on > now));
                    balance = balance.checked_sub(points).unwrap();
                }
                Step::Hold { points, may_fall_short } => {
                    let missing = points.checked_sub(free).unwrap().max(0);
                    if missing == 0 || may_fall_short {
                        plus(&mut of.lots, BusinessDay::NEVER, missing);
                        balance = balance.checked_add(missing).unwrap();
                        debt = debt.checked_add(missing).unwrap();
                        prop_assert!(points <= of.free(now).unwrap());
                        plus(&mut of.holds, now, points);
                        holds.push((now, points));
                    }
                }
                Step::End { which, posts, less, named } if which < holds.len() => {
                    let (since, points) = holds.remove(which);
                    plus(&mut of.holds, since, points.checked_neg().unwrap());
                    if posts {
                        let named = named.and_then(|index| of.lots.keys().nth(index).copied());
                        let part = points.saturating_sub(less).max(1);
                        let leaving = LotWithdrawal { named, since, ..at_once(part, None, today) };
                        let parts = take(&mut of.lots, leaving);
                        prop_assert!(parts.is_ok(), "{of:?} {leaving:?}");
                        prop_assert!(parts.unwrap().iter().all(|(on, _)| *on > since));
                        balance = balance.checked_sub(part).unwrap();
                        if part == points {
                            prop_assert!(of.free(now).unwrap() <= free, "posting makes nothing free");
                        }
                    }
                    let repaid = debt.min(of.free(now).unwrap());
                    let leaving = at_once(repaid, None, today);
                    take(&mut of.lots, LotWithdrawal { named: Some(BusinessDay::NEVER), ..leaving }).unwrap();
                    balance = balance.checked_sub(repaid).unwrap();
                    debt = debt.checked_sub(repaid).unwrap();
                }
                Step::Expire => {
                    for (on, points) in of.expirable(now).unwrap() {
                        let leaving = LotWithdrawal { only: Some(LotRestriction::Expiring), named: Some(on), ..at_once(points, None, today) };
                        prop_assert_eq!(take(&mut of.lots, leaving).unwrap(), [(on, points)]);
                        balance = balance.checked_sub(points).unwrap();
                    }
                    prop_assert_eq!(of.free(now).unwrap(), free);
                    prop_assert!(of.expirable(now).unwrap().is_empty());
                    let left: i64 = of.lots.range(..=now).map(|(_, left)| left).sum();
                    prop_assert!(left <= of.held().unwrap());
                }
                Step::Tomorrow => {
                    today = today.saturating_add(1);
                    prop_assert!(of.free(day(today)).unwrap() <= free);
                }
                Step::Spend { .. } | Step::End { .. } => {}
            }
            of.lots.retain(|_, left| *left != 0);
            prop_assert_eq!(of.posted().unwrap(), balance);
            prop_assert!(of.lots.values().all(|left| *left >= 0));
            let free = of.free(day(today)).unwrap();
            prop_assert!(free == 0 || debt == 0, "{debt} owed and {free} free: {of:?}");
            for youngest_first in [false, true] {
                prop_assert!(all_can_be_posted(&of, free, today, youngest_first), "{of:?}");
            }
            let more = free.checked_add(1).unwrap();
            prop_assert!(!all_can_be_posted(&of, more, today, true), "more is free: {of:?}");
        }
    }
}
