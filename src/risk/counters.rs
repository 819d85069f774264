//! What happened lately, counted in Redis by all processes together.
//!
//! # One step, one round trip
//!
//! Whatever a decision counts and reads is one call of one script (`counters.lua`), so that of eleven activities at once each sees another number, from one to eleven. On a single server and
//! behind sentinels all keys of a decision go into one call. In a cluster the keys of different subjects live on different servers: there it is one call for each
//! subject, all in flight at once. Time is Redis's own.
//!
//! All that a subject adds up at a stage is one string in Redis, read once and written once for an activity, however many rules ask; each set is a key of its own. The
//! answer is one string, too. `./dev bench --only risk_ask` tells what a decision costs here and there.
//!
//! # What is not done is not counted
//!
//! An activity is counted as it is asked about, for what it would be if it were done: that is the number
//! that a rule wants to know, and counting later would let eleven activities at once each be the first.
//! When it turns out not to be done (a rule stops it, or the books refuse it) what it added is taken
//! back ([`Counters::revert`]) before whoever asked is answered. So an activity that is done, nearly all
//! of them, costs one round trip, and one that is not costs two. Counters of attempts keep what they
//! counted.
//!
//! An activity has a name, its [`ActivityKey`]: the key under which it may be repeated. Two requests with one
//! key at once, or one payment told to two processes, are one event: it adds once, whoever comes
//! later sees the number that has it in it, and it is taken away when none of them did it. That
//! bridges the seconds between asking and knowing; who repeats an activity that is done is recognised by
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
//! So every error is to the stern side, and ends with the window. And while an activity is on its way,
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
//! What was *seen* is noted by a second command, which nobody waits for, once the activity is done, and only if it is new (or was last noted more than a twelfth of the window ago, so
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
//! An activity that has no such thing (no device, no customer yet) is not measured: 0, and not missing. A call whose answer is lost may have counted.
//! Nothing here is needed to make a decision again: what was measured is stored with it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::join_all;
use redis::{RedisWrite, ToRedisArgs};

use super::{
    CounterUsage, CounterValues, Measure, Per,
    counter_key::{self, KeyNames},
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
    timeout: Duration,
}

/// What an activity is recognised by while it is not known whether it is done: told twice, it counts
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityKey([u8; 8]);

impl ActivityKey {
    /// What happens under this key, or to this one thing, however often it is asked for.
    pub fn of(key: &[u8]) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(&digest(&SHA256, key).as_ref()[..8]);
        Self(short)
    }

    /// What nobody repeats.
    pub fn unique() -> Self {
        Self(rand::random())
    }
}

/// What was counted of an activity, so that it can be taken back.
#[derive(Debug)]
pub(super) struct CountReceipt {
    activity: ActivityKey,
    answers: Vec<Option<Vec<u8>>>,
    /// What is to be noted if it is done.
    pub(super) newly_seen: Vec<SeenMember>,
}

/// Something that an activity has met, to be noted as seen once the activity is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenMember {
    per: Per,
    key: String,
    window_seconds: u32,
    member: String,
}

impl Counters {
    pub(super) fn new(cache: Cache, timeout: Duration) -> Self {
        Self {
            cache,
            script: CacheScript::new(format!("{CLOCK}{COUNT}")),
            timeout,
        }
    }

    /// Counts the activity and says what the stage's rules ask, in their order; and what was counted.
    pub(super) async fn measure(
        &self,
        facts: &Facts,
        usages: &[CounterUsage<'_>],
        activity: ActivityKey,
    ) -> (CounterValues, CountReceipt) {
        let names = KeyNames::of(facts);
        let (calls, positions) =
            ScriptCalls::plan(&names, usages, self.cache.is_cluster(), &activity);
        let answers = self.run(&calls).await;
        let mut measured = Vec::with_capacity(usages.len());
        let mut new = Vec::new();
        for (usage, position) in usages.iter().zip(positions) {
            let value = match position {
                Some(position) => calls.number_at(position, &answers),
                None => Some(0),
            };
            let value = match usage.counter.measure {
                Measure::Seen(_) => {
                    if usage.counts && matches!(value, Some(0 | 2)) {
                        new.extend(SeenMember::of(&names, *usage));
                    }
                    value.map(|seen| seen.min(1))
                }
                Measure::Count | Measure::SumFen | Measure::SumPoints | Measure::Distinct(_) => {
                    value
                }
            };
            if usage.read {
                measured.push(value);
            }
        }
        let counted = CountReceipt {
            activity,
            answers,
            newly_seen: new,
        };
        (CounterValues(measured), counted)
    }

    /// Takes back what was counted of an activity that is not done. Waits for it, so that whoever is told
    /// that nothing was done finds that nothing was counted; for as long as a decision waits, at most.
    pub(super) async fn revert(
        &self,
        facts: &Facts,
        usages: &[CounterUsage<'_>],
        counted: &CountReceipt,
    ) {
        let names = KeyNames::of(facts);
        let calls = ScriptCalls::revert(&names, usages, self.cache.is_cluster(), counted);
        self.run(&calls).await;
    }

    /// Notes what was met, for the decisions to come.
    pub(super) async fn record_seen(&self, newly_seen: &[SeenMember]) {
        let mut calls = ScriptCalls::new(self.cache.is_cluster());
        for one in newly_seen {
            let arguments = [
                ScriptArgument::Number(one.window_seconds.into()),
                ScriptArgument::Text(&one.member),
                ScriptArgument::Number(1),
            ];
            calls.add(
                one.per,
                KeyOperation::Set,
                || one.key.clone(),
                None,
                &arguments,
            );
        }
        self.run(&calls).await;
    }

    /// The numbers of each call, if that server answered.
    async fn run(&self, calls: &ScriptCalls<'_>) -> Vec<Option<Vec<u8>>> {
        let (script, timeout) = (&self.script, self.timeout);
        let running = calls.calls.iter().map(|call| {
            let (keys, arguments) = call.encode();
            async move { self.cache.run_on(script, &keys, &arguments, timeout).await }
        });
        join_all(running).await
    }
}

impl SeenMember {
    /// None when the activity has no such thing, or is not one of those that the counter counts.
    fn of(names: &KeyNames<'_>, usage: CounterUsage<'_>) -> Option<Self> {
        let counter = usage.counter;
        let Measure::Seen(attribute) = counter.measure else {
            return None;
        };
        if !counter_key::is_counted_by(counter, names.facts) {
            return None;
        }
        Some(Self {
            per: counter.per,
            key: counter_key::set_key(names.subject(counter.per)?, usage.name),
            window_seconds: counter.within_seconds,
            member: names.member(attribute)?.to_owned(),
        })
    }
}

/// What one activity asks: of one server in one call, of a cluster in one for each subject.
struct ScriptCalls<'a> {
    calls: Vec<ScriptCall<'a>>,
    is_cluster: bool,
}

/// What can be asked of one server at once.
struct ScriptCall<'a> {
    /// Of the first that was asked; of all of them in a cluster.
    per: Per,
    keys: Vec<ScriptKey<'a>>,
}

struct ScriptKey<'a> {
    name: String,
    per: Per,
    operation: KeyOperation,
    /// Of what is counted or taken back.
    activity: Option<&'a ActivityKey>,
    arguments: Vec<ScriptArgument<'a>>,
}

/// What a key holds, and what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyOperation {
    /// To be read.
    ReadSums(Stage),
    /// To be added to and read.
    AddToSums(Stage),
    /// To be taken back from.
    RevertSums(Stage),
    /// To be read, or added to for good.
    Set,
    /// To be added to and read.
    AddMember,
    /// To be taken back from.
    RevertMember,
    Seen,
}

/// A word for the script.
#[derive(Debug, Clone, Copy)]
enum ScriptArgument<'a> {
    Text(&'a str),
    ActivityKey(&'a ActivityKey),
    Number(i64),
}

/// Where an answer is to be found.
#[derive(Clone, Copy)]
struct ReplyPosition {
    call: usize,
    key: usize,
    number: usize,
}

/// How many words a sum takes.
const SUM_WORDS: usize = 3;

impl<'a> ScriptCalls<'a> {
    const fn new(is_cluster: bool) -> Self {
        Self {
            calls: Vec::new(),
            is_cluster,
        }
    }

    /// The calls, and for each ask its place in them.
    fn plan(
        names: &'a KeyNames<'_>,
        usages: &[CounterUsage<'a>],
        is_cluster: bool,
        activity: &'a ActivityKey,
    ) -> (Self, Vec<Option<ReplyPosition>>) {
        let mut calls = Self::new(is_cluster);
        let positions = usages
            .iter()
            .map(|usage| calls.add_usage(names, *usage, activity));
        let positions = positions.collect();
        (calls, positions)
    }

    /// None when the activity has nothing of the kind.
    fn add_usage(
        &mut self,
        names: &'a KeyNames<'_>,
        usage: CounterUsage<'a>,
        activity: &'a ActivityKey,
    ) -> Option<ReplyPosition> {
        let counter = usage.counter;
        let per = counter.per;
        let subject = names.subject(per)?;
        let window = ScriptArgument::Number(counter.within_seconds.into());
        let counts = usage.counts && counter_key::is_counted_by(counter, names.facts);
        let set = || counter_key::set_key(subject, usage.name);
        let sum = |calls: &mut Self, increment: i64| {
            let increment = ScriptArgument::Number(if counts { increment } else { 0 });
            let arguments = [ScriptArgument::Text(usage.name), window, increment];
            let key = || counter_key::sums_key(subject, counter.of.stage);
            if usage.counts {
                let operation = KeyOperation::AddToSums(counter.of.stage);
                return calls.add(per, operation, key, Some(activity), &arguments);
            }
            calls.add(
                per,
                KeyOperation::ReadSums(counter.of.stage),
                key,
                None,
                &arguments,
            )
        };
        Some(match counter.measure {
            Measure::Count | Measure::SumFen | Measure::SumPoints => {
                sum(self, increment_of(counter.measure, names.facts))
            }
            Measure::Distinct(attribute) => match names.member(attribute) {
                Some(member) if counts && !counter.attempts => {
                    let arguments = [window, ScriptArgument::Text(member)];
                    self.add(per, KeyOperation::AddMember, set, None, &arguments)
                }
                Some(member) => {
                    let arguments = [
                        window,
                        ScriptArgument::Text(member),
                        ScriptArgument::Number(counts.into()),
                    ];
                    self.add(per, KeyOperation::Set, set, None, &arguments)
                }
                // There is nothing to add, and still something to know: how many were met before.
                None => {
                    let arguments = [window, ScriptArgument::Text(""), ScriptArgument::Number(0)];
                    self.add(per, KeyOperation::Set, set, None, &arguments)
                }
            },
            Measure::Seen(attribute) => {
                let arguments = [window, ScriptArgument::Text(names.member(attribute)?)];
                self.add(per, KeyOperation::Seen, set, None, &arguments)
            }
        })
    }

    /// What takes back what [`Self::plan`] counted, which was answered so. Attempts stay.
    fn revert(
        names: &'a KeyNames<'_>,
        usages: &[CounterUsage<'a>],
        is_cluster: bool,
        receipt: &'a CountReceipt,
    ) -> Self {
        let (asked, positions) = Self::plan(names, usages, is_cluster, &receipt.activity);
        let mut reverted = Self::new(is_cluster);
        for (usage, position) in usages.iter().zip(positions) {
            let counter = usage.counter;
            let counts = usage.counts && counter_key::is_counted_by(counter, names.facts);
            let subject = names.subject(counter.per).filter(|_| counts);
            let (Some(subject), Some(position)) = (subject, position) else {
                continue;
            };
            let window = ScriptArgument::Number(counter.within_seconds.into());
            match counter.measure {
                Measure::Count | Measure::SumFen | Measure::SumPoints => {
                    // The event is let go all the same: the next try is another attempt.
                    let increment = if counter.attempts {
                        0
                    } else {
                        increment_of(counter.measure, names.facts)
                    };
                    let arguments = [
                        ScriptArgument::Text(usage.name),
                        window,
                        ScriptArgument::Number(increment),
                    ];
                    let key = || counter_key::sums_key(subject, counter.of.stage);
                    let operation = KeyOperation::RevertSums(counter.of.stage);
                    reverted.add(
                        counter.per,
                        operation,
                        key,
                        Some(&receipt.activity),
                        &arguments,
                    );
                }
                Measure::Distinct(attribute) if !counter.attempts => {
                    let said = |number| {
                        let position = ReplyPosition { number, ..position };
                        asked
                            .number_at(position, &receipt.answers)
                            .map(ScriptArgument::Number)
                    };
                    // Without an answer nobody knows whether it was met before, and it stays.
                    let (Some(member), Some(before), Some(at)) =
                        (names.member(attribute), said(1), said(2))
                    else {
                        continue;
                    };
                    let arguments = [window, ScriptArgument::Text(member), at, before];
                    let key = || counter_key::set_key(subject, usage.name);
                    reverted.add(
                        counter.per,
                        KeyOperation::RevertMember,
                        key,
                        None,
                        &arguments,
                    );
                }
                Measure::Distinct(_) | Measure::Seen(_) => {}
            }
        }
        reverted
    }

    /// Adds what is wanted to the key that holds it, and the key to the call that it belongs to.
    fn add(
        &mut self,
        per: Per,
        operation: KeyOperation,
        name: impl FnOnce() -> String,
        activity: Option<&'a ActivityKey>,
        arguments: &[ScriptArgument<'a>],
    ) -> ReplyPosition {
        let is_cluster = self.is_cluster;
        let reaches = |call: &ScriptCall<'_>| !is_cluster || call.per == per;
        let new = || ScriptCall {
            per,
            keys: Vec::new(),
        };
        let (call, ScriptCall { keys, .. }) = find_or_push(&mut self.calls, reaches, new);
        // Each set is a key of its own.
        let is_sums = matches!(
            operation,
            KeyOperation::ReadSums(_) | KeyOperation::AddToSums(_) | KeyOperation::RevertSums(_)
        );
        let holds = |key: &ScriptKey<'_>| is_sums && key.operation == operation && key.per == per;
        let new = || ScriptKey {
            name: name(),
            per,
            operation,
            activity,
            arguments: Vec::new(),
        };
        let (
            key,
            ScriptKey {
                arguments: asked, ..
            },
        ) = find_or_push(keys, holds, new);
        let number = asked.len() / SUM_WORDS; // none of a set's, whose key is new
        asked.extend(arguments);
        ReplyPosition { call, key, number }
    }

    /// None if that server did not answer.
    fn number_at(&self, position: ReplyPosition, answers: &[Option<Vec<u8>>]) -> Option<i64> {
        let before = self.calls.get(position.call)?.keys.get(..position.key)?;
        let before: usize = before.iter().map(ScriptKey::numbers).sum();
        let (numbers, _) = answers.get(position.call)?.as_ref()?.as_chunks();
        let number = numbers.get(before + position.number)?;
        Some(i64::from_be_bytes(*number))
    }
}

impl ScriptKey<'_> {
    const fn sums(&self) -> usize {
        self.arguments.len() / SUM_WORDS
    }

    /// How many numbers are answered for it.
    const fn numbers(&self) -> usize {
        match self.operation {
            KeyOperation::ReadSums(_) | KeyOperation::AddToSums(_) => self.sums(),
            KeyOperation::Set | KeyOperation::Seen => 1,
            KeyOperation::AddMember => 3,
            KeyOperation::RevertSums(_) | KeyOperation::RevertMember => 0,
        }
    }
}

impl<'a> ScriptCall<'a> {
    /// The keys and the words of the script.
    fn encode(&self) -> (Vec<&str>, Vec<ScriptArgument<'a>>) {
        let mut encoded = Vec::new();
        for key in &self.keys {
            let (what, is_sums) = match key.operation {
                KeyOperation::ReadSums(_) => ("sums", true),
                KeyOperation::AddToSums(_) => ("add", true),
                KeyOperation::RevertSums(_) => ("revert", true),
                KeyOperation::Set => ("set", false),
                KeyOperation::AddMember => ("add_member", false),
                KeyOperation::RevertMember => ("revert_member", false),
                KeyOperation::Seen => ("seen", false),
            };
            encoded.push(ScriptArgument::Text(what));
            encoded.extend(key.activity.map(ScriptArgument::ActivityKey));
            if is_sums {
                encoded.push(ScriptArgument::Number(
                    i64::try_from(key.sums()).unwrap_or(0),
                ));
            }
            encoded.extend(&key.arguments);
        }
        let keys = self.keys.iter().map(|key| key.name.as_str()).collect();
        (keys, encoded)
    }
}

impl ToRedisArgs for ScriptArgument<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Text(text) => text.write_redis_args(out),
            Self::ActivityKey(ActivityKey(name)) => name.as_slice().write_redis_args(out),
            Self::Number(number) => number.write_redis_args(out),
        }
    }
}

/// How much an activity adds to a sum.
fn increment_of(measure: Measure, facts: &Facts) -> i64 {
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
    let position = all.iter().position(wanted).unwrap_or(all.len());
    if position == all.len() {
        all.push(make());
    }
    (position, &mut all[position])
}
