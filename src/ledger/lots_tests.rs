//! Lots: the order in which points leave, and that holds can always be posted.

use std::collections::BTreeMap;

use proptest::prelude::*;
use time::macros::date;

use super::lots::{Leaving, covered, live_of, over, take};
use crate::primitives::BusinessDay;

fn day(number: u32) -> BusinessDay {
    BusinessDay(date!(2026 - 11 - 01)).plus_days(number)
}

fn lots(of: &[(u32, i64)]) -> BTreeMap<BusinessDay, i64> {
    of.iter().map(|(on, left)| (day(*on), *left)).collect()
}

fn at_once(amount: i64, named: Option<u32>, today: u32) -> Leaving {
    Leaving {
        amount,
        named: named.map(day),
        since: day(today),
        today: day(today),
        expires: false,
    }
}

fn taken(mut of: BTreeMap<BusinessDay, i64>, leaving: Leaving) -> Option<Vec<(BusinessDay, i64)>> {
    take(&mut of, leaving).ok()
}

#[test]
fn what_expires_first_is_spent_first_and_what_is_over_not_at_all() {
    let of = || lots(&[(3, 5), (4, 5), (9, 5)]);
    assert_eq!(
        taken(of(), at_once(7, None, 2)),
        Some(vec![(day(3), 5), (day(4), 2)])
    );
    // On the day on which a lot is over, none of it is left to spend.
    assert_eq!(
        taken(of(), at_once(7, None, 3)),
        Some(vec![(day(4), 5), (day(9), 2)])
    );
    assert_eq!(taken(of(), at_once(11, None, 3)), None);
    // The named lot first, if it is not over.
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
fn what_was_set_aside_uses_first_what_is_over_for_everybody_else() {
    let held = |amount, named| Leaving {
        since: day(2),
        ..at_once(amount, named, 5)
    };
    let of = || lots(&[(2, 5), (3, 5), (4, 5), (9, 5)]);
    assert_eq!(
        taken(of(), held(12, Some(9))),
        Some(vec![(day(3), 5), (day(4), 5), (day(9), 2)])
    );
    // What was over already when it was set aside is over for it too.
    assert_eq!(taken(of(), held(16, None)), None);
}

/// A hold that took the named lot first would take what was lent for a younger one, and leave points that only itself could have used.
#[test]
fn an_old_hold_leaves_to_a_younger_one_what_was_lent_for_it() {
    let never = BusinessDay::NEVER;
    let mut of = BTreeMap::from([(day(5), 10), (never, 10)]);
    // 15 points are held on day 1. On day 6 a refund of 10 finds no room, and is lent 10.
    assert_eq!(covered(5, 10), Ok(10));
    plus(&mut of, never, 10);
    let old = Leaving {
        since: day(1),
        named: Some(never),
        ..at_once(15, None, 6)
    };
    assert_eq!(take(&mut of, old), Ok(vec![(day(5), 10), (never, 5)]));
    let young = at_once(10, None, 6);
    assert_eq!(take(&mut of, young), Ok(vec![(never, 10)]));
}

#[test]
fn points_expire_out_of_the_lot_that_is_named_and_no_other() {
    let expiry = |amount, named| Leaving {
        expires: true,
        ..at_once(amount, Some(named), 5)
    };
    let of = || lots(&[(3, 5), (4, 5), (9, 5)]);
    assert_eq!(taken(of(), expiry(5, 4)), Some(vec![(day(4), 5)]));
    assert_eq!(taken(of(), expiry(6, 4)), None);
    assert_eq!(taken(of(), expiry(1, 9)), None, "it is not over");
}

#[test]
fn as_many_points_stay_in_lots_that_are_over_as_are_held() {
    let of = lots(&[(3, 5), (4, 5), (9, 5)]);
    let over = |held| over(&of, held, day(4)).unwrap();
    assert_eq!(over(0), [(day(3), 5), (day(4), 5)]);
    assert_eq!(over(3), [(day(3), 5), (day(4), 2)]);
    assert_eq!(over(7), [(day(3), 3)]);
    assert_eq!(over(12), []);
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
    /// Of which what is missing may be lent.
    SetAside {
        points: i64,
        lends: bool,
    },
    End {
        which: usize,
        posts: bool,
        /// Points that are not spent but let go, as long as one is left.
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
        (1_i64..20, any::<bool>()).prop_map(|(points, lends)| Step::SetAside { points, lends }),
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
}

proptest! {
    /// Whatever happens in whichever order: a hold or a part of it can be posted when its time comes, nothing leaves a lot that is over by its day, nothing that is not
    /// held stays in a lot after the sweep, and lots hold what was granted less what left.
    #[test]
    fn a_hold_can_always_be_posted_and_nothing_is_spent_from_a_lot_that_is_over(steps in steps()) {
        let mut of: BTreeMap<BusinessDay, i64> = BTreeMap::new();
            // The day, the points, and how many of them were lent.
            let mut holds: Vec<(BusinessDay, i64, i64)> = Vec::new();
        let (mut today, mut balance) = (0_u32, 0_i64);
        for step in steps {
            let now = day(today);
            let held: i64 = holds.iter().map(|(_, points, _)| points).sum();
            let room = live_of(&of, now).unwrap().checked_sub(held).unwrap();
            match step {
                Step::Grant { lasts, points } => {
                    let on = if lasts == 0 { BusinessDay::NEVER } else { now.plus_days(lasts) };
                        plus(&mut of, on, points);
                    balance = balance.checked_add(points).unwrap();
                }
                Step::Spend { points } if points <= covered(room, 0).unwrap() => {
                    let parts = take(&mut of, at_once(points, None, today)).unwrap();
                    prop_assert!(parts.iter().all(|(on, _)| *on > now));
                    balance = balance.checked_sub(points).unwrap();
                }
                Step::SetAside { points, lends } => {
                    let missing = points.checked_sub(room.max(0)).unwrap().max(0);
                    if missing == 0 || lends {
                        plus(&mut of, BusinessDay::NEVER, missing);
                        balance = balance.checked_add(missing).unwrap();
                        let room = room.checked_add(missing).unwrap();
                        prop_assert!(points <= covered(room, missing).unwrap());
                        holds.push((now, points, missing));
                    }
                }
                Step::End { which, posts, less, named } if which < holds.len() => {
                    let (since, points, lent) = holds.remove(which);
                    if posts {
                        let named = named.and_then(|place| of.keys().nth(place).copied());
                        let part = points.saturating_sub(less).max(1);
                        let leaving = Leaving { named, since, ..at_once(part, None, today) };
                        let parts = take(&mut of, leaving);
                        prop_assert!(parts.is_ok(), "{of:?} {holds:?} {leaving:?}");
                        prop_assert!(parts.unwrap().iter().all(|(on, _)| *on > since));
                        balance = balance.checked_sub(part).unwrap();
                    } else {
                        let repaid = lent.min(live_of(&of, now).unwrap());
                        let leaving = at_once(repaid, None, today);
                        take(&mut of, Leaving { named: Some(BusinessDay::NEVER), ..leaving }).unwrap();
                        balance = balance.checked_sub(repaid).unwrap();
                    }
                }
                Step::Expire => {
                    for (on, points) in over(&of, held, now).unwrap() {
                        let leaving = Leaving { expires: true, named: Some(on), ..at_once(points, None, today) };
                        prop_assert_eq!(take(&mut of, leaving).unwrap(), [(on, points)]);
                        balance = balance.checked_sub(points).unwrap();
                    }
                    let left: i64 = of.range(..=now).map(|(_, left)| left).sum();
                    prop_assert!(left <= held);
                }
                Step::Tomorrow => today = today.saturating_add(1),
                Step::Spend { .. } | Step::End { .. } => {}
            }
            prop_assert_eq!(of.values().sum::<i64>(), balance);
            prop_assert!(of.values().all(|left| *left >= 0));
        }
    }
}
