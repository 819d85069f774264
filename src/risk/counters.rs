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
//! # What is not done is not counted
//!
//! A deed is counted as it is asked about, for what it would be if it were done: that is the number
//! that a rule wants to know, and counting later would let eleven deeds at once each be the first.
//! When it turns out not to be done (a rule stops it, or the books refuse it) what it added is taken
//! back ([`Counters::take_back`]) before whoever asked is answered. So a deed that is done, nearly all
//! of them, costs one round trip, and one that is not costs two. Counters of attempts keep what they
//! counted.
//!
//! A deed has a name, its [`Event`]: the key under which it may be repeated. Two requests with one
//! key at once, or one payment told to two processes, are one event: it adds once, whoever comes
//! later sees the number that has it in it, and it is taken away when none of them did it. That
//! bridges the seconds between asking and knowing; who repeats a deed that is done is recognised by
//! the database before anybody asks.
//!
//! | what happens | what is counted |
//! |---|---|
//! | killed between asking and the commit, or between a refusal and taking back | too much, by this one, until the window has passed |
//! | the outcome is not known (the database went away) | it stays; the repeat is the same event |
//! | taken back while the counters are away, or the answer to counting was lost | too much, as above |
//! | two ask with one member of a set at once, and neither does it | it may stay met |
//! | more than 64 others of the same subject, or ten minutes, come between | it cannot be taken back any more; a repeat adds again |
//!
//! So every error is to the stern side, and ends with the window. And while a deed is on its way,
//! those that are asked about beside it are judged with it, though it may be refused in the end.
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
//! What was *seen* is noted by a second command, which nobody waits for, once the deed is done, and only if it is new (or was last noted more than a twelfth of the window ago, so
//! that what is met every day is never forgotten). What is lost there is met for the first time once more.
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

use aws_lc_rs::digest::{SHA256, digest};
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

/// What a deed is recognised by while it is not known whether it is done: told twice, it counts
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event([u8; 8]);

impl Event {
    /// What happens under this key, or to this one thing, however often it is asked for.
    pub fn of(key: &[u8]) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(&digest(&SHA256, key).as_ref()[..8]);
        Self(short)
    }

    /// What nobody repeats.
    pub fn once() -> Self {
        Self(rand::random())
    }
}

/// What was counted of a deed, so that it can be taken back.
#[derive(Debug)]
pub(super) struct Counted {
    event: Event,
    answers: Vec<Option<Vec<u8>>>,
    /// What is to be noted if it is done.
    pub(super) met: Vec<Met>,
}

/// Something that a deed has met, to be noted as seen once the deed is done.
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

    /// Counts the deed and says what the stage's rules ask, in their order; and what was counted.
    pub(super) async fn measure(
        &self,
        facts: &Facts,
        asks: &[Ask<'_>],
        event: Event,
    ) -> (Measured, Counted) {
        let names = Names::of(facts);
        let (calls, places) = Calls::plan(&names, asks, self.cache.is_cluster(), &event);
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
        let counted = Counted {
            event,
            answers,
            met: new,
        };
        (Measured(measured), counted)
    }

    /// Takes back what was counted of a deed that is not done. Waits for it, so that whoever is told
    /// that nothing was done finds that nothing was counted; for as long as a decision waits, at most.
    pub(super) async fn take_back(&self, facts: &Facts, asks: &[Ask<'_>], counted: &Counted) {
        let names = Names::of(facts);
        let calls = Calls::back(&names, asks, self.cache.is_cluster(), counted);
        self.run(&calls).await;
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
            calls.add(one.per, Kind::Set, || one.key.clone(), None, &words);
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
        if !counter_key::fits(counter, names.facts) {
            return None;
        }
        Some(Self {
            per: counter.per,
            key: counter_key::set_key(names.subject(counter.per)?, ask.name),
            window_seconds: counter.within_seconds,
            member: names.member(thing)?.to_owned(),
        })
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
    /// Of what is counted or taken back.
    event: Option<&'a Event>,
    words: Vec<Word<'a>>,
}

/// What a key holds, and what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// To be read.
    Sums(Stage),
    /// To be added to and read.
    Deed(Stage),
    /// To be taken back from.
    Back(Stage),
    /// To be read, or added to for good.
    Set,
    /// To be added to and read.
    Met,
    /// To be taken back from.
    Unmet,
    Seen,
}

/// A word for the script.
#[derive(Debug, Clone, Copy)]
enum Word<'a> {
    Text(&'a str),
    Event(&'a Event),
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
        event: &'a Event,
    ) -> (Self, Vec<Option<Place>>) {
        let mut calls = Self::new(is_cluster);
        let places = asks.iter().map(|ask| calls.ask(names, *ask, event));
        let places = places.collect();
        (calls, places)
    }

    /// None when the deed has nothing of the kind.
    fn ask(&mut self, names: &'a Names<'_>, ask: Ask<'a>, event: &'a Event) -> Option<Place> {
        let counter = ask.counter;
        let per = counter.per;
        let subject = names.subject(per)?;
        let window = Word::Number(counter.within_seconds.into());
        let counts = ask.feed && counter_key::fits(counter, names.facts);
        let set = || counter_key::set_key(subject, ask.name);
        let sum = |calls: &mut Self, much: i64| {
            let much = Word::Number(if counts { much } else { 0 });
            let words = [Word::Text(ask.name), window, much];
            let key = || counter_key::sums_key(subject, counter.of.stage);
            if ask.feed {
                let kind = Kind::Deed(counter.of.stage);
                return calls.add(per, kind, key, Some(event), &words);
            }
            calls.add(per, Kind::Sums(counter.of.stage), key, None, &words)
        };
        Some(match counter.measure {
            Measure::Count | Measure::SumFen | Measure::SumPoints => {
                sum(self, much_of(counter.measure, names.facts))
            }
            Measure::Distinct(thing) => match names.member(thing) {
                Some(member) if counts && !counter.attempts => {
                    let words = [window, Word::Text(member)];
                    self.add(per, Kind::Met, set, None, &words)
                }
                Some(member) => {
                    let words = [window, Word::Text(member), Word::Number(counts.into())];
                    self.add(per, Kind::Set, set, None, &words)
                }
                // There is nothing to add, and still something to know: how many were met before.
                None => {
                    let words = [window, Word::Text(""), Word::Number(0)];
                    self.add(per, Kind::Set, set, None, &words)
                }
            },
            Measure::Seen(thing) => {
                let words = [window, Word::Text(names.member(thing)?)];
                self.add(per, Kind::Seen, set, None, &words)
            }
        })
    }

    /// What takes back what [`Self::plan`] counted, which was answered so. Attempts stay.
    fn back(names: &'a Names<'_>, asks: &[Ask<'a>], is_cluster: bool, told: &'a Counted) -> Self {
        let (asked, places) = Self::plan(names, asks, is_cluster, &told.event);
        let mut back = Self::new(is_cluster);
        for (ask, place) in asks.iter().zip(places) {
            let counter = ask.counter;
            let counts = ask.feed && counter_key::fits(counter, names.facts);
            let subject = names.subject(counter.per).filter(|_| counts);
            let (Some(subject), Some(place)) = (subject, place) else {
                continue;
            };
            let window = Word::Number(counter.within_seconds.into());
            match counter.measure {
                Measure::Count | Measure::SumFen | Measure::SumPoints => {
                    // The event is let go all the same: the next try is another attempt.
                    let much = if counter.attempts {
                        0
                    } else {
                        much_of(counter.measure, names.facts)
                    };
                    let words = [Word::Text(ask.name), window, Word::Number(much)];
                    let key = || counter_key::sums_key(subject, counter.of.stage);
                    let kind = Kind::Back(counter.of.stage);
                    back.add(counter.per, kind, key, Some(&told.event), &words);
                }
                Measure::Distinct(thing) if !counter.attempts => {
                    let said = |number| {
                        let place = Place { number, ..place };
                        asked.number_at(place, &told.answers).map(Word::Number)
                    };
                    // Without an answer nobody knows whether it was met before, and it stays.
                    let (Some(member), Some(before), Some(at)) =
                        (names.member(thing), said(1), said(2))
                    else {
                        continue;
                    };
                    let words = [window, Word::Text(member), at, before];
                    let key = || counter_key::set_key(subject, ask.name);
                    back.add(counter.per, Kind::Unmet, key, None, &words);
                }
                Measure::Distinct(_) | Measure::Seen(_) => {}
            }
        }
        back
    }

    /// Adds what is wanted to the key that holds it, and the key to the call that it belongs to.
    fn add(
        &mut self,
        per: Per,
        kind: Kind,
        name: impl FnOnce() -> String,
        event: Option<&'a Event>,
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
        let is_sums = matches!(kind, Kind::Sums(_) | Kind::Deed(_) | Kind::Back(_));
        let holds = |key: &Key<'_>| is_sums && key.kind == kind && key.per == per;
        let new = || Key {
            name: name(),
            per,
            kind,
            event,
            words: Vec::new(),
        };
        let (key, Key { words: asked, .. }) = find_or_push(keys, holds, new);
        let number = asked.len() / SUM_WORDS; // none of a set's, whose key is new
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
    const fn sums(&self) -> usize {
        self.words.len() / SUM_WORDS
    }

    /// How many numbers are answered for it.
    const fn numbers(&self) -> usize {
        match self.kind {
            Kind::Sums(_) | Kind::Deed(_) => self.sums(),
            Kind::Set | Kind::Seen => 1,
            Kind::Met => 3,
            Kind::Back(_) | Kind::Unmet => 0,
        }
    }
}

impl<'a> Call<'a> {
    /// The keys and the words of the script.
    fn spell(&self) -> (Vec<&str>, Vec<Word<'a>>) {
        let mut spelt = Vec::new();
        for key in &self.keys {
            let (what, is_sums) = match key.kind {
                Kind::Sums(_) => ("sums", true),
                Kind::Deed(_) => ("deed", true),
                Kind::Back(_) => ("back", true),
                Kind::Set => ("set", false),
                Kind::Met => ("met", false),
                Kind::Unmet => ("unmet", false),
                Kind::Seen => ("seen", false),
            };
            spelt.push(Word::Text(what));
            spelt.extend(key.event.map(Word::Event));
            if is_sums {
                spelt.push(Word::Number(i64::try_from(key.sums()).unwrap_or(0)));
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
            Self::Event(Event(name)) => name.as_slice().write_redis_args(out),
            Self::Number(number) => number.write_redis_args(out),
        }
    }
}

/// How much a deed adds to a sum.
fn much_of(measure: Measure, facts: &Facts) -> i64 {
    match measure {
        Measure::Count => 1,
        Measure::SumFen => facts.amount.map_or(0, Money::get),
        Measure::SumPoints => facts.points.map_or(0, Points::get),
        Measure::Distinct(_) | Measure::Seen(_) => 0,
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
