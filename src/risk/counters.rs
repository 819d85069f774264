//! What happened lately, counted in Redis by all processes together.
//!
//! # One step, one round trip
//!
//! Whatever a decision counts and reads is one call of one script (`counters.lua`), so that of eleven deeds at once each sees another number, from one to eleven. On a single server and
//! behind sentinels all keys of a decision go into one call. In a cluster the keys of different subjects live on different servers: there it is one call for each
//! subject, all in flight at once. Time is Redis's own.
//!
//! # What is exact
//!
//! | measure | kept as | error |
//! |---|---|---|
//! | count, sums | the window in twelve buckets, each a twelfth of it | never less than what happened within the window; at most what happened within the twelfth before it comes on top |
//! | distinct | a sorted set by time | none, up to [`DISTINCT_MAX`]: of more, the latest are known |
//! | seen | a sorted set by time | forgets all but the latest [`DISTINCT_MAX`] |
//!
//! A sum is exact as long as the subject has done nothing in that twelfth; so the first eleven in a minute are eleven, and somebody who
//! goes on at the very edge of a limit may meet it up to five seconds early, never late.
//!
//! Every attempt is counted, also one that is then stopped. What was *seen* is different: it is noted by a second command, which nobody waits for, once the deed is known not to be stopped,
//! and only if it is new (or was last noted more than a twelfth of the window ago, so that what is met every day is never forgotten).
//!
//! # Without Redis
//!
//! | Redis is | what happens |
//! |---|---|
//! | slow | one decision waits `ZHANGFANG_RISK__REDIS_TIMEOUT_MS` (20) at most, then its counters are missing, and those of all others until a ping is answered |
//! | away | every counter is missing at once; rules do what their `on_missing` says |
//! | back and empty | counting begins anew; what was seen is forgotten, and met for the first time once more |
//! | behind after a failover | what was not replicated is forgotten |
//! | of another clock after it | set back by less than a window: nothing is missed, and windows are longer until then. By more: that counter begins anew |
//! | a cluster with a server missing | the counters of all are missing, as soon as the ping has seen it; the others' in the moment before are there |
//!
//! A deed that has no such thing (no device, no customer yet) is not measured: 0, and not missing. A call whose answer is lost may have counted.
//! Nothing here is needed to make a decision again: what was measured is stored with it.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    Ask, Counter, Measure, Measured,
    counter_key::{self, Names},
};
use crate::{
    cache::{Cache, CacheScript},
    facts::Facts,
    primitives::{Money, Points},
};

/// Redis's clock, in microseconds; doubles hold it exactly until the year 2255.
const CLOCK: &str = "
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
";

/// The script, once `now` is known. Without its clock, so that a test can give it any.
pub const COUNT: &str = include_str!("counters.lua");

/// How many different things are told apart; a rule that asks for more different ones than this never fires.
pub const DISTINCT_MAX: u32 = 1_000;

/// The counters of all processes.
#[derive(Debug)]
pub(super) struct Counters {
    cache: Cache,
    script: CacheScript,
    patience: Duration,
}

/// Something that a deed has met, to be noted as seen once the deed is not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Met {
    subject: String,
    key: String,
    window_seconds: u32,
    member: String,
}

impl Counters {
    pub(super) fn new(cache: Cache, patience: Duration) -> Self {
        Self {
            cache,
            script: CacheScript::new(format!("{CLOCK}{COUNT}")),
            patience,
        }
    }

    /// Counts the deed and says what the stage's rules ask, in their order; and what is new about it.
    pub(super) async fn measure(&self, facts: &Facts, asks: &[Ask<'_>]) -> (Measured, Vec<Met>) {
        let (calls, places) = Calls::plan(facts, asks, self.cache.is_cluster());
        let told = join_all(calls.0.iter().map(|call| self.run(call))).await;
        let mut measured = Vec::with_capacity(asks.len());
        let mut new = Vec::new();
        for (ask, place) in asks.iter().zip(places) {
            let value = match place {
                Some((call, number)) => told.get(call).and_then(|numbers| {
                    let numbers = numbers.as_ref()?;
                    numbers.get(number).copied()
                }),
                None => Some(0),
            };
            let value = match ask.counter.measure {
                Measure::Seen(_) => {
                    if ask.feed && matches!(value, Some(0 | 2)) {
                        new.extend(Met::of(&Names::of(facts), ask.counter));
                    }
                    value.map(|seen| seen.min(1))
                }
                Measure::Count | Measure::SumFen | Measure::SumPoints | Measure::Distinct(_) => {
                    value
                }
            };
            if ask.read {
                measured.push(value);
            }
        }
        (Measured(measured), new)
    }

    /// Notes what was met, for the decisions to come.
    pub(super) async fn remember(&self, met: &[Met]) {
        let mut calls = Calls::new(self.cache.is_cluster());
        for one in met {
            let add = "1".to_owned();
            let (window, member) = (one.window_seconds, one.member.clone());
            calls.add(&one.subject, &one.key, "set", window, member, add);
        }
        join_all(calls.0.iter().map(|call| self.run(call))).await;
    }

    async fn run(&self, call: &Call) -> Option<Vec<i64>> {
        let (keys, arguments) = (&call.keys, &call.arguments);
        let answer = self
            .cache
            .run_on::<Vec<i64>>(&self.script, keys, arguments, self.patience);
        answer.await
    }
}

impl Met {
    /// None when the deed has no such thing, or is not one of those that the counter counts.
    fn of(names: &Names<'_>, counter: &Counter) -> Option<Self> {
        let Measure::Seen(thing) = counter.measure else {
            return None;
        };
        if !counter_key::fits(counter, names.facts.amount) {
            return None;
        }
        let subject = names.subject(counter.per)?;
        Some(Self {
            key: counter_key::set_key(subject, counter),
            subject: subject.to_owned(),
            window_seconds: counter.within_seconds,
            member: names.member(thing)?.to_owned(),
        })
    }

    /// All that a deed may have met: for one that was stopped at first and then let through.
    pub(super) fn all(facts: &Facts, asks: &[Ask<'_>]) -> Vec<Self> {
        let names = Names::of(facts);
        asks.iter()
            .filter(|ask| ask.feed)
            .filter_map(|ask| Self::of(&names, ask.counter))
            .collect()
    }
}

/// The calls of one decision: one, or in a cluster one for each subject.
struct Calls(Vec<Call>, bool);

#[derive(Default)]
struct Call {
    subject: String,
    keys: Vec<String>,
    /// Five words for each number that is answered.
    arguments: Vec<String>,
}

/// Which call answers, and as which of its numbers.
type Place = (usize, usize);

const WORDS: usize = 5;

impl Calls {
    const fn new(is_cluster: bool) -> Self {
        Self(Vec::new(), is_cluster)
    }

    /// The calls, and for each ask its place in them.
    fn plan(facts: &Facts, asks: &[Ask<'_>], is_cluster: bool) -> (Self, Vec<Option<Place>>) {
        let mut calls = Self::new(is_cluster);
        let names = Names::of(facts);
        let places = asks.iter().map(|ask| calls.ask(&names, *ask)).collect();
        (calls, places)
    }

    /// None when the deed has nothing of the kind.
    fn ask(&mut self, names: &Names<'_>, ask: Ask<'_>) -> Option<Place> {
        let (facts, counter) = (names.facts, ask.counter);
        let window = counter.within_seconds;
        let counts = ask.feed && counter_key::fits(counter, facts.amount);
        let subject = names.subject(counter.per)?;
        let (what, key, name, add) = match counter.measure {
            Measure::Count | Measure::SumFen | Measure::SumPoints => {
                let add = match counter.measure {
                    Measure::SumFen => facts.amount.map_or(0, Money::get),
                    Measure::SumPoints => facts.points.map_or(0, Points::get),
                    Measure::Count | Measure::Distinct(_) | Measure::Seen(_) => 1,
                };
                let key = counter_key::sums_key(subject, window);
                ("sum", key, counter_key::name(counter), add)
            }
            Measure::Distinct(thing) => {
                let key = counter_key::set_key(subject, counter);
                match names.member(thing) {
                    Some(member) => ("set", key, member.to_owned(), 1),
                    // There is nothing to add, and still something to know: how many were met before.
                    None => ("set", key, String::new(), 0),
                }
            }
            Measure::Seen(thing) => {
                let key = counter_key::set_key(subject, counter);
                ("seen", key, names.member(thing)?.to_owned(), 0)
            }
        };
        let add = if counts { add } else { 0 };
        Some(self.add(subject, &key, what, window, name, add.to_string()))
    }

    fn add(
        &mut self,
        subject: &str,
        key: &str,
        what: &str,
        window_seconds: u32,
        name: String,
        add: String,
    ) -> Place {
        let together = |call: &Call| !self.1 || call.subject == subject;
        let number = self.0.iter().position(together).unwrap_or_else(|| {
            self.0.push(Call {
                subject: subject.to_owned(),
                ..Call::default()
            });
            self.0.len().saturating_sub(1)
        });
        let Some(call) = self.0.get_mut(number) else {
            return (number, 0);
        };
        let known = call.keys.iter().position(|known| known == key);
        let place = known.unwrap_or_else(|| {
            call.keys.push(key.to_owned());
            call.keys.len().saturating_sub(1)
        });
        let answer = call.arguments.len() / WORDS;
        call.arguments.extend([
            what.to_owned(),
            place.saturating_add(1).to_string(),
            window_seconds.to_string(),
            name,
            add,
        ]);
        (number, answer)
    }
}
