//! Counters in memory, for backtests: compute the value that a counter would have had from stored
//! activities.
//!
//! Windows have the buckets that they have in Redis, so that both give equal values; the clock is
//! that of the activities.

use std::collections::{HashMap, VecDeque};

use super::{
    Counter, Measure,
    counter_key::{KeyNames, is_counted_by},
};
use crate::primitives::{Money, Points, Timestamp};

/// Into how many parts a window is cut.
const BUCKETS: i64 = 12;
/// How many different things are remembered of one subject.
const MEMBERS_MAX: usize = 1_000;

/// One counter with its values of all subjects.
#[derive(Debug)]
pub(super) struct ReplayCounter {
    counter: Counter,
    sums: HashMap<String, VecDeque<(i64, i64)>>,
    sets: HashMap<String, HashMap<String, Timestamp>>,
}

impl ReplayCounter {
    pub(super) fn new(counter: Counter) -> Self {
        Self {
            counter,
            sums: HashMap::new(),
            sets: HashMap::new(),
        }
    }

    pub(super) const fn counter(&self) -> &Counter {
        &self.counter
    }

    fn window_micros(&self) -> i64 {
        i64::from(self.counter.within_seconds).saturating_mul(1_000_000)
    }

    /// What it says of this activity, which it counts too if `feed` says so; not for good if it was
    /// stopped. What the activity does not have is counted as none.
    pub(super) fn take(&mut self, names: &KeyNames<'_>, counts: bool, stopped: bool) -> i64 {
        let facts = names.facts;
        let Some(subject) = names.subject(self.counter.per) else {
            return 0;
        };
        let subject = subject.to_owned();
        let counts = counts && is_counted_by(&self.counter, facts);
        let stays = !stopped || self.counter.attempts;
        let much = match self.counter.measure {
            Measure::Count => 1,
            Measure::SumFen => facts.amount.map_or(0, Money::get),
            Measure::SumPoints => facts.points.map_or(0, Points::get),
            Measure::Distinct(attribute) => {
                let attribute = names.member(attribute).filter(|_| counts);
                return self.add_member(subject, facts.at, attribute.map(str::to_owned), stays);
            }
            Measure::Seen(attribute) => {
                let Some(attribute) = names.member(attribute) else {
                    return 0;
                };
                let since = facts.at.micros().saturating_sub(self.window_micros());
                let met = self.sets.get(&subject).and_then(|set| set.get(attribute));
                let seen = met.is_some_and(|at| at.micros() > since);
                if counts && !stopped {
                    self.add_member(subject, facts.at, Some(attribute.to_owned()), true);
                }
                return i64::from(seen);
            }
        };
        let much = if counts { much } else { 0 };
        let before = self.sum(subject, facts.at, if stays { much } else { 0 });
        before.saturating_add(if stays { 0 } else { much })
    }

    fn sum(&mut self, subject: String, at: Timestamp, add: i64) -> i64 {
        let width = (self.window_micros() / BUCKETS).max(1);
        let bucket = at.micros().div_euclid(width);
        let buckets = self.sums.entry(subject).or_default();
        while buckets
            .front()
            .is_some_and(|(old, _)| *old < bucket.saturating_sub(BUCKETS))
        {
            buckets.pop_front();
        }
        if add != 0 {
            match buckets.back_mut() {
                Some((last, sum)) if *last == bucket => *sum = sum.saturating_add(add),
                Some(_) | None => buckets.push_back((bucket, add)),
            }
        }
        buckets
            .iter()
            .fold(0, |sum, (_, part)| sum.saturating_add(*part))
    }

    /// How many different ones were met, with this one, which stays or does not.
    fn add_member(
        &mut self,
        subject: String,
        at: Timestamp,
        attribute: Option<String>,
        stays: bool,
    ) -> i64 {
        let since = at.micros().saturating_sub(self.window_micros());
        let set = self.sets.entry(subject).or_default();
        set.retain(|_, met| met.micros() > since);
        if let Some(attribute) = attribute {
            if !stays {
                let new = usize::from(!set.contains_key(&attribute));
                let count = set.len().saturating_add(new).min(MEMBERS_MAX);
                return i64::try_from(count).unwrap_or(i64::MAX);
            }
            set.insert(attribute, at);
            if set.len() > MEMBERS_MAX {
                let oldest = set.iter().min_by_key(|(_, met)| **met);
                if let Some(oldest) = oldest.map(|(attribute, _)| attribute.clone()) {
                    set.remove(&oldest);
                }
            }
        }
        i64::try_from(set.len()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Device, Facts, Stage},
        primitives::{CustomerId, Id, TenantId},
        risk::{ActivityFilter, Attribute, Per},
    };

    fn facts(second: i64) -> Facts {
        let at = Timestamp::from_micros(1_800_000_000_000_000).plus_seconds(second);
        let mut facts = Facts::new(Stage::PaymentCreate, TenantId(1), at);
        facts.customer = Some(CustomerId::new(Id::from_bytes([1; 16])));
        facts.amount = Some(Money::parse(500).unwrap());
        facts
    }

    fn replay(measure: Measure) -> ReplayCounter {
        ReplayCounter::new(Counter {
            measure,
            of: ActivityFilter::all(Stage::PaymentCreate),
            attempts: false,
            per: Per::Customer,
            within_seconds: 60,
            between: None,
        })
    }

    #[test]
    fn a_window_slides_by_its_twelfth() {
        let mut count = replay(Measure::Count);
        let mut sum = replay(Measure::SumFen);
        for second in 0..10 {
            assert_eq!(
                count.take(&KeyNames::of(&facts(second)), true, false),
                second + 1
            );
        }
        assert_eq!(sum.take(&KeyNames::of(&facts(0)), true, false), 500);
        assert_eq!(count.take(&KeyNames::of(&facts(59)), false, false), 10);
        // The oldest part has slid out, and no more than it.
        assert_eq!(count.take(&KeyNames::of(&facts(66)), false, false), 5);
        assert_eq!(count.take(&KeyNames::of(&facts(75)), false, false), 0);
        let mut nobody = facts(75);
        nobody.customer = None;
        assert_eq!(count.take(&KeyNames::of(&nobody), true, false), 0);
    }

    #[test]
    fn what_was_stopped_is_not_remembered_as_met() {
        let with = |device: &str, second| {
            let mut facts = facts(second);
            facts.origin.device = Some(Device::parse(device).unwrap());
            facts
        };
        let mut seen = replay(Measure::Seen(Attribute::Device));
        assert_eq!(seen.take(&KeyNames::of(&with("a", 0)), true, true), 0);
        assert_eq!(seen.take(&KeyNames::of(&with("a", 1)), true, false), 0);
        assert_eq!(seen.take(&KeyNames::of(&with("a", 2)), true, false), 1);
        assert_eq!(seen.take(&KeyNames::of(&with("b", 3)), true, false), 0);
        assert_eq!(seen.take(&KeyNames::of(&with("a", 100)), false, false), 0);
        let mut different = replay(Measure::Distinct(Attribute::Device));
        assert_eq!(different.take(&KeyNames::of(&with("a", 0)), true, false), 1);
        assert_eq!(different.take(&KeyNames::of(&with("b", 1)), true, true), 2);
        assert_eq!(
            different.take(&KeyNames::of(&with("b", 62)), false, false),
            0
        );
    }

    #[test]
    fn a_stopped_activity_counts_for_itself_and_not_afterwards_unless_attempts_are_counted() {
        for (attempts, expected) in [(false, [1, 2, 2, 2]), (true, [1, 2, 3, 4])] {
            let mut count = replay(Measure::Count);
            count.counter.attempts = attempts;
            let said = [false, true, true, false].map(|stopped| {
                let facts = facts(0);
                count.take(&KeyNames::of(&facts), true, stopped)
            });
            assert_eq!(said, expected);
        }
        // What was met before stays met, though it is met again in vain.
        let mut different = replay(Measure::Distinct(Attribute::Customer));
        different.counter.per = Per::Merchant;
        let mut facts = facts(0);
        facts.merchant = Some(crate::primitives::MerchantId::new(Id::from_bytes([2; 16])));
        for stopped in [true, false, true, true] {
            assert_eq!(different.take(&KeyNames::of(&facts), true, stopped), 1);
        }
        facts.customer = None;
        assert_eq!(different.take(&KeyNames::of(&facts), true, false), 1);
    }
}
