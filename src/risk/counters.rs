//! The counters of all processes, in Redis.
//!
//! # One step, one round trip
//!
//! A decision counts and reads in one call of one script (`counters.lua`), so that of eleven
//! concurrent activities each sees another number, from one to eleven. On a single server and
//! behind sentinels all keys of a decision go into one call. In a cluster the keys of different
//! subjects live on different servers: there it is one call for each subject, all in flight at
//! once. Time is Redis's own.
//!
//! All sums of a subject at a stage are one string in Redis, read once and written once for an
//! activity, however many rules use them; each set is a key of its own. The reply is one string,
//! too. `./dev bench --only risk_ask` measures the cost of a decision.
//!
//! # Activities that are not done are not counted
//!
//! An activity is counted when it is evaluated, as if it were done: a rule needs that number, and
//! counting later would let eleven concurrent activities each be the first. When it turns out not
//! to be done (a rule stops it, or the operation is refused), its counts are reverted
//! ([`Counters::revert`]) before the caller is answered. So an activity that is done, as nearly all
//! are, costs one round trip, and one that is not costs two. Counters with `attempts` are not
//! reverted.
//!
//! An activity has an [`ActivityKey`], derived from the key under which it may be repeated. Two
//! concurrent requests with one key, or one payment reported to two processes, are one activity: it
//! adds once, later evaluations see the number that includes it, and it is reverted when none of
//! them did it. That covers the seconds until the outcome is known; a repeat of an activity that is
//! done is found in the database before risk is asked.
//!
//! | what happens | what is counted |
//! |---|---|
//! | a process dies between evaluation and commit, or between refusal and revert | one too many, until the window has passed |
//! | the outcome is not known (the database went away) | it stays; the repeat has the same key |
//! | reverted while Redis is unreachable, or the reply to counting was lost | one too many, as above |
//! | two concurrent evaluations with one member of a set, and neither activity is done | the member may stay |
//! | more than 64 others of the same subject, or ten minutes, come between | it cannot be reverted any more; a repeat adds again |
//!
//! So every error counts too much, never too little, and ends with the window. While the outcome of
//! an activity is open, concurrent evaluations include it, though it may be refused in the end.
//!
//! # What is exact
//!
//! | measure | kept as | error |
//! |---|---|---|
//! | count, sums | the window in twelve buckets, each a twelfth of it | never less than what happened within the window; at most what happened within the twelfth before it comes on top |
//! | distinct | a sorted set by time | none, up to [`DISTINCT_MAX`]: of more, the latest are known |
//! | seen | a sorted set by time | keeps the latest [`DISTINCT_MAX`] |
//!
//! A sum is exact if the subject has done nothing in that twelfth: the first eleven in a minute are
//! eleven. A subject that stays at the edge of a limit may reach it up to five seconds early (of a
//! minute), never late.
//!
//! A *seen* member is recorded by a second command, which is not waited for, once the activity is
//! done, and only if it is new or was last recorded more than a twelfth of the window ago. A member
//! that is lost counts as new once more.
//!
//! # Without Redis
//!
//! | Redis is | what happens |
//! |---|---|
//! | slow | one decision waits `ZHANGFANG_RISK__REDIS_TIMEOUT_MS` (20) at most, then its counters are missing, and those of all others until a ping is answered |
//! | unreachable | every counter is missing at once; rules take their `on_missing` action |
//! | back and empty | counting begins anew; every member counts as new once more |
//! | behind after a failover | what was not replicated is forgotten |
//! | of another clock after it | set back by less than a window: nothing is missed, and windows are longer until then. By more: that counter begins anew |
//! | a cluster with a server missing | the counters of all are missing, as soon as the ping has seen it; the others' in the moment before are there |
//!
//! An activity without the counter's subject or member (no device, no customer yet) has the value
//! 0, which is not missing. A call whose reply is lost may have counted. The values are stored with
//! the decision, so that it can be evaluated again without Redis.

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

/// How many different members a set keeps; a rule that needs more different ones never fires.
pub const DISTINCT_MAX: u32 = 1_000;

/// The counters of all processes.
#[derive(Debug)]
pub(super) struct Counters {
    cache: Cache,
    script: CacheScript,
    timeout: Duration,
}

/// Identifies an activity until its outcome is known: evaluated twice, it is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityKey([u8; 8]);

impl ActivityKey {
    /// The key of everything that is requested under these bytes.
    pub fn of(key: &[u8]) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(&digest(&SHA256, key).as_ref()[..8]);
        Self(short)
    }

    /// The key of an activity that is never repeated.
    pub fn unique() -> Self {
        Self(rand::random())
    }
}

/// What was counted of an activity, so that it can be reverted.
#[derive(Debug)]
pub(super) struct CountReceipt {
    activity: ActivityKey,
    answers: Vec<Option<Vec<u8>>>,
    /// What to record as seen if it is done.
    pub(super) newly_seen: Vec<SeenMember>,
}

/// A member that an activity has seen, to be recorded once the activity is done.
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

    /// Counts the activity. Returns the values of the stage's counters in their order, and what was
    /// counted.
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

    /// Reverts the counts of an activity that is not done. Waits for Redis, so that a caller who is
    /// told that nothing was done finds that nothing was counted; as long as a decision waits, at
    /// most.
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

    /// Records what was seen, for later decisions.
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

    /// Returns the reply to each call, if that server answered.
    async fn run(&self, calls: &ScriptCalls<'_>) -> Vec<Option<Vec<u8>>> {
        let (script, timeout) = (&self.script, self.timeout);
        let running = calls.calls.iter().map(|call| {
            let (keys, arguments) = call.encode();
            async move { self.cache.run(script, &keys, &arguments, timeout).await }
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

/// The calls for one activity: one call for a single server, in a cluster one for each subject.
struct ScriptCalls<'a> {
    calls: Vec<ScriptCall<'a>>,
    is_cluster: bool,
}

/// One call to one server.
struct ScriptCall<'a> {
    /// The subject of the first key; in a cluster of all keys.
    per: Per,
    keys: Vec<ScriptKey<'a>>,
}

struct ScriptKey<'a> {
    name: String,
    per: Per,
    operation: KeyOperation,
    /// Of the activity that is counted or reverted.
    activity: Option<&'a ActivityKey>,
    arguments: Vec<ScriptArgument<'a>>,
}

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyOperation {
    /// Reads sums.
    ReadSums(Stage),
    /// Adds to sums and reads them.
    AddToSums(Stage),
    /// Reverts what was added to sums.
    RevertSums(Stage),
    /// Reads the size of a set, and adds a member that is never reverted.
    Set,
    /// Adds a member to a set and reads its size.
    AddMember,
    /// Reverts the adding of a member.
    RevertMember,
    Seen,
}

/// An argument of the script.
#[derive(Debug, Clone, Copy)]
enum ScriptArgument<'a> {
    Text(&'a str),
    ActivityKey(&'a ActivityKey),
    Number(i64),
}

/// Where a number is in the replies.
#[derive(Clone, Copy)]
struct ReplyPosition {
    call: usize,
    key: usize,
    number: usize,
}

/// How many arguments a sum takes.
const SUM_WORDS: usize = 3;

impl<'a> ScriptCalls<'a> {
    const fn new(is_cluster: bool) -> Self {
        Self {
            calls: Vec::new(),
            is_cluster,
        }
    }

    /// Returns the calls, and for each counter the position of its number in the replies.
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

    /// Returns none when the activity has no such subject or member.
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
                // There is no member to add; the size of the set is read.
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

    /// Returns the calls that revert what [`Self::plan`] counted, given its replies. Attempts stay.
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
                    // The activity's key is released all the same: the next try is another attempt.
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
                    // Without a reply it is unknown whether the member was there before, and it
                    // stays.
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

    /// Adds arguments to their key, and the key to the call that it belongs to.
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

    /// Returns none if that server did not answer.
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

    /// How many numbers the reply has for it.
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
    /// Returns the keys and arguments of the script.
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

/// Returns how much an activity adds to a sum.
fn increment_of(measure: Measure, facts: &Facts) -> i64 {
    match measure {
        Measure::Count => 1,
        Measure::SumFen => facts.amount.map_or(0, Money::get),
        Measure::SumPoints => facts.points.map_or(0, Points::get),
        Measure::Distinct(_) | Measure::Seen(_) => 0,
    }
}

/// Returns the first that is wanted, made if there is none, and its position.
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
