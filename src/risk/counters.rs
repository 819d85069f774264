//! What happened lately, counted in Redis by all processes together.
//!
//! # One step, one round trip
//!
//! Whatever a decision counts and reads is one call of one script (`counters.lua`), so that of eleven deeds at once each sees another number, from one to eleven. On a single server and
//! behind sentinels all keys of a decision go into one call. In a cluster the keys of different subjects live on different servers: there it is one call for each
//! subject, all in flight at once. Time is Redis's own.
//!
//! All that a subject adds up at a stage is one string in Redis, read once and written once for a deed, however many rules ask; each set is a key of its own. The
//! answer is one string, too. `./dev bench --only risk_ask` tells what a decision costs here and there.
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
use redis::{RedisWrite, ToRedisArgs};

use super::{
    Ask, Measure, Measured, Per,
    counter_key::{self, Names},
};
use crate::{
    cache::{Cache, CacheScript},
    facts::{Facts, Stage},
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
    per: Per,
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
        let names = Names::of(facts);
        let (calls, places) = Calls::plan(&names, asks, self.cache.is_cluster());
        let answers = self.run(&calls).await;
        let mut measured = Vec::with_capacity(asks.len());
        let mut new = Vec::new();
        for (ask, place) in asks.iter().zip(places) {
            let value = match place {
                Some(place) => calls.number_at(place, &answers),
                None => Some(0),
            };
            let value = match ask.counter.measure {
                Measure::Seen(_) => {
                    if ask.feed && matches!(value, Some(0 | 2)) {
                        new.extend(Met::of(&names, *ask));
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
            let words = [
                Word::Number(one.window_seconds.into()),
                Word::Text(&one.member),
                Word::Number(1),
            ];
            calls.add(one.per, Kind::Set, || one.key.clone(), &words);
        }
        self.run(&calls).await;
    }

    /// The numbers of each call, if that server answered.
    async fn run(&self, calls: &Calls<'_>) -> Vec<Option<Vec<u8>>> {
        let (script, patience) = (&self.script, self.patience);
        let running = calls.calls.iter().map(|call| {
            let (keys, words) = call.spell();
            async move { self.cache.run_on(script, &keys, &words, patience).await }
        });
        join_all(running).await
    }
}

impl Met {
    /// None when the deed has no such thing, or is not one of those that the counter counts.
    fn of(names: &Names<'_>, ask: Ask<'_>) -> Option<Self> {
        let counter = ask.counter;
        let Measure::Seen(thing) = counter.measure else {
            return None;
        };
        if !counter_key::fits(counter, names.facts.amount) {
            return None;
        }
        Some(Self {
            per: counter.per,
            key: counter_key::set_key(names.subject(counter.per)?, ask.name),
            window_seconds: counter.within_seconds,
            member: names.member(thing)?.to_owned(),
        })
    }

    /// All that a deed may have met: for one that was stopped at first and then let through.
    pub(super) fn all(facts: &Facts, asks: &[Ask<'_>]) -> Vec<Self> {
        let names = Names::of(facts);
        asks.iter()
            .filter(|ask| ask.feed)
            .filter_map(|ask| Self::of(&names, *ask))
            .collect()
    }
}

/// What one deed asks: of one server in one call, of a cluster in one for each subject.
struct Calls<'a> {
    calls: Vec<Call<'a>>,
    is_cluster: bool,
}

/// What can be asked of one server at once.
struct Call<'a> {
    /// Of the first that was asked; of all of them in a cluster.
    per: Per,
    keys: Vec<Key<'a>>,
}

struct Key<'a> {
    name: String,
    per: Per,
    kind: Kind,
    words: Vec<Word<'a>>,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sums(Stage),
    Set,
    Seen,
}

/// A word for the script.
#[derive(Debug, Clone, Copy)]
enum Word<'a> {
    Text(&'a str),
    Number(i64),
}

/// Where an answer is to be found.
#[derive(Clone, Copy)]
struct Place {
    call: usize,
    key: usize,
    number: usize,
}

/// How many words a sum takes.
const SUM_WORDS: usize = 3;

impl<'a> Calls<'a> {
    const fn new(is_cluster: bool) -> Self {
        Self {
            calls: Vec::new(),
            is_cluster,
        }
    }

    /// The calls, and for each ask its place in them.
    fn plan(
        names: &'a Names<'_>,
        asks: &[Ask<'a>],
        is_cluster: bool,
    ) -> (Self, Vec<Option<Place>>) {
        let mut calls = Self::new(is_cluster);
        let places = asks.iter().map(|ask| calls.ask(names, *ask)).collect();
        (calls, places)
    }

    /// None when the deed has nothing of the kind.
    fn ask(&mut self, names: &'a Names<'_>, ask: Ask<'a>) -> Option<Place> {
        let (facts, counter) = (names.facts, ask.counter);
        let per = counter.per;
        let subject = names.subject(per)?;
        let window = Word::Number(counter.within_seconds.into());
        let counts = ask.feed && counter_key::fits(counter, facts.amount);
        let add = |much: i64| Word::Number(if counts { much } else { 0 });
        let set = || counter_key::set_key(subject, ask.name);
        let sum = |calls: &mut Self, much: i64| {
            let words = [Word::Text(ask.name), window, add(much)];
            let key = || counter_key::sums_key(subject, counter.of);
            calls.add(per, Kind::Sums(counter.of), key, &words)
        };
        Some(match counter.measure {
            Measure::Count => sum(self, 1),
            Measure::SumFen => sum(self, facts.amount.map_or(0, Money::get)),
            Measure::SumPoints => sum(self, facts.points.map_or(0, Points::get)),
            Measure::Distinct(thing) => {
                let words = match names.member(thing) {
                    Some(member) => [window, Word::Text(member), add(1)],
                    // There is nothing to add, and still something to know: how many were met before.
                    None => [window, Word::Text(""), Word::Number(0)],
                };
                self.add(per, Kind::Set, set, &words)
            }
            Measure::Seen(thing) => {
                let words = [window, Word::Text(names.member(thing)?)];
                self.add(per, Kind::Seen, set, &words)
            }
        })
    }

    /// Adds what is wanted to the key that holds it, and the key to the call that it belongs to.
    fn add(
        &mut self,
        per: Per,
        kind: Kind,
        name: impl FnOnce() -> String,
        words: &[Word<'a>],
    ) -> Place {
        let is_cluster = self.is_cluster;
        let reaches = |call: &Call<'_>| !is_cluster || call.per == per;
        let new = || Call {
            per,
            keys: Vec::new(),
        };
        let (call, Call { keys, .. }) = find_or_push(&mut self.calls, reaches, new);
        // Each set is a key of its own.
        let is_sums = matches!(kind, Kind::Sums(_));
        let holds = |key: &Key<'_>| is_sums && key.kind == kind && key.per == per;
        let new = || Key {
            name: name(),
            per,
            kind,
            words: Vec::new(),
        };
        let (key, Key { words: asked, .. }) = find_or_push(keys, holds, new);
        let number = asked.len() / SUM_WORDS;
        asked.extend(words);
        Place { call, key, number }
    }

    /// None if that server did not answer.
    fn number_at(&self, place: Place, answers: &[Option<Vec<u8>>]) -> Option<i64> {
        let before = self.calls.get(place.call)?.keys.get(..place.key)?;
        let before: usize = before.iter().map(Key::numbers).sum();
        let (numbers, _) = answers.get(place.call)?.as_ref()?.as_chunks();
        let number = numbers.get(before + place.number)?;
        Some(i64::from_be_bytes(*number))
    }
}

impl Key<'_> {
    /// How many numbers are answered for it.
    const fn numbers(&self) -> usize {
        match self.kind {
            Kind::Sums(_) => self.words.len() / SUM_WORDS,
            Kind::Set | Kind::Seen => 1,
        }
    }
}

impl<'a> Call<'a> {
    /// The keys and the words of the script.
    fn spell(&self) -> (Vec<&str>, Vec<Word<'a>>) {
        let mut spelt = Vec::new();
        for key in &self.keys {
            match key.kind {
                Kind::Sums(_) => {
                    let sums = i64::try_from(key.numbers()).unwrap_or(0);
                    spelt.extend([Word::Text("sums"), Word::Number(sums)]);
                }
                Kind::Set => spelt.push(Word::Text("set")),
                Kind::Seen => spelt.push(Word::Text("seen")),
            }
            spelt.extend(&key.words);
        }
        let keys = self.keys.iter().map(|key| key.name.as_str()).collect();
        (keys, spelt)
    }
}

impl ToRedisArgs for Word<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Text(text) => text.write_redis_args(out),
            Self::Number(number) => number.write_redis_args(out),
        }
    }
}

/// The first that is wanted, made if there is none, and its place.
fn find_or_push<T>(
    all: &mut Vec<T>,
    wanted: impl FnMut(&T) -> bool,
    make: impl FnOnce() -> T,
) -> (usize, &mut T) {
    let place = all.iter().position(wanted).unwrap_or(all.len());
    if place == all.len() {
        all.push(make());
    }
    (place, &mut all[place])
}
