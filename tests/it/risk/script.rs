//! The script against a model that remembers everything.

use std::collections::HashMap;

use rand::RngExt as _;
use zhangfang::risk::{COUNT, DISTINCT_MAX};

use crate::harness::redis_url;

/// The script under a clock that the test sets.
struct Counting {
    redis: redis::aio::MultiplexedConnection,
    script: redis::Script,
    key: String,
}

impl Counting {
    async fn new() -> Self {
        let client = redis::Client::open(redis_url()).unwrap();
        // With everything that is counted, so that one test's leftovers are not another's.
        let key = format!("zf:risk:test:{:016x}", rand::random::<u64>());
        Self {
            redis: client.get_multiplexed_async_connection().await.unwrap(),
            script: redis::Script::new(&format!(
                "local now = tonumber(table.remove(ARGV))\n{COUNT}"
            )),
            key,
        }
    }

    async fn usage(&mut self, now_us: u64, what: &str, window: u64, name: &str, add: u64) -> i64 {
        let mut call = self.script.key(format!("{}:{what}", self.key));
        match what {
            "sum" => call.arg("sums").arg(1).arg(name).arg(window).arg(add),
            "set" => call.arg("set").arg(window).arg(name).arg(add),
            _ => call.arg("seen").arg(window).arg(name),
        };
        let answer: Vec<u8> = call
            .arg(now_us)
            .invoke_async(&mut self.redis)
            .await
            .unwrap();
        i64::from_be_bytes(answer.try_into().unwrap())
    }

    /// Milliseconds that the key is kept; negative when there is none.
    async fn rest(&mut self, what: &str) -> i64 {
        redis::cmd("PTTL")
            .arg(format!("{}:{what}", self.key))
            .query_async(&mut self.redis)
            .await
            .unwrap()
    }

    /// Bytes of the sums.
    async fn size(&mut self) -> u64 {
        redis::cmd("STRLEN")
            .arg(format!("{}:sum", self.key))
            .query_async(&mut self.redis)
            .await
            .unwrap()
    }

    async fn end(mut self) {
        for what in ["sum", "set", "seen"] {
            redis::cmd("DEL")
                .arg(format!("{}:{what}", self.key))
                .query_async::<()>(&mut self.redis)
                .await
                .unwrap();
        }
    }
}

const BEGIN_US: u64 = 1_800_000_000_000_000;

#[tokio::test]
async fn a_sum_is_never_too_small_and_too_large_by_a_twelfth_of_the_window_at_most() {
    let seed: u64 = rand::random();
    let mut random: rand::rngs::SmallRng = rand::SeedableRng::seed_from_u64(seed);
    for round in 0..25 {
        let window = random.random_range(1_000..100_000_u64);
        let window_us = window * 1_000_000;
        let mut counting = Counting::new().await;
        let mut happened: Vec<(u64, u64)> = Vec::new();
        let mut now = BEGIN_US;
        for _ in 0..80 {
            now += if random.random_ratio(1, 15) {
                random.random_range(0..window_us * 3)
            } else {
                random.random_range(0..window_us / 6)
            };
            // One in four only looks.
            let add = if random.random_ratio(1, 4) {
                0
            } else {
                random.random_range(1..5_000_000_000)
            };
            if add > 0 {
                happened.push((now, add));
            }
            let answer = counting.usage(now, "sum", window, "f2", add).await;
            let answer = u64::try_from(answer).unwrap();
            let since = |length: u64| -> u64 {
                let after = |(at, _): &&(u64, u64)| now - *at < length;
                happened.iter().filter(after).map(|(_, add)| add).sum()
            };
            let (least, most) = (since(window_us), since(window_us + window_us / 12 + 1));
            assert!(
                (least..=most).contains(&answer),
                "seed {seed}, round {round}: {answer}, not {least} to {most}"
            );
            let rest = counting.rest("sum").await;
            let longest = i64::try_from(window * 1_000 + window * 1_000 / 12 + 1).unwrap();
            assert!(rest <= longest, "seed {seed}: kept for {rest}");
        }
        counting.end().await;
    }
}

#[tokio::test]
async fn sums_of_all_windows_share_a_key_and_nothing_else() {
    let mut counting = Counting::new().await;
    for number in 1..=20 {
        for (window, name, add) in [
            (3_600, "3600:c2", 1),
            (3_600, "3600:f2", 100),
            (60, "60:c2", 1),
        ] {
            let answer = counting.usage(BEGIN_US, "sum", window, name, add).await;
            assert_eq!(answer, number * i64::try_from(add).unwrap(), "{name}");
        }
    }
    let other = counting.usage(BEGIN_US, "sum", 3_600, "3600:c5", 0).await;
    assert_eq!(other, 0);
    // The key stays for the longest of its windows, whichever was asked last; what is over by then
    // goes.
    let rest = counting.rest("sum").await;
    assert!((3_600_000..=3_900_000).contains(&rest), "{rest}");
    let whole = counting.size().await;
    let later = BEGIN_US + 70_000_000;
    let answer = counting.usage(later, "sum", 3_600, "3600:c2", 1).await;
    assert_eq!(answer, 21);
    assert!(
        counting.size().await < whole,
        "nobody asks for the minute any more"
    );
    assert_eq!(
        counting.usage(later, "sum", 3_600, "3600:f2", 0).await,
        2_000
    );
    counting.end().await;
}

#[tokio::test]
async fn all_that_one_activity_asks_is_answered_in_one_call() {
    let mut counting = Counting::new().await;
    let mut call = counting.script.prepare_invoke();
    for what in ["sum", "set", "seen", "sum"] {
        call.key(format!("{}:{what}", counting.key));
    }
    call.arg("sums").arg(2);
    call.arg("60:c2").arg(60).arg(1);
    call.arg("60:f2").arg(60).arg(500);
    call.arg("set").arg(60).arg("member").arg(1);
    call.arg("seen").arg(60).arg("member");
    call.arg("sums").arg(1).arg("60:f2").arg(60).arg(0);
    let answer: Vec<u8> = call
        .arg(BEGIN_US)
        .invoke_async(&mut counting.redis)
        .await
        .unwrap();
    let (answer, rest) = answer.as_chunks();
    let answer: Vec<i64> = answer
        .iter()
        .map(|answer| i64::from_be_bytes(*answer))
        .collect();
    assert_eq!(
        (answer.as_slice(), rest),
        (&[1, 500, 1, 0, 500][..], &[][..])
    );
    counting.end().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_hides_nothing_and_one_set_back_far_does_not_count_for_ever() {
    let window = 86_400_u64;
    let hour_us = 3_600_000_000_u64;
    let mut counting = Counting::new().await;
    for number in 1..=5 {
        assert_eq!(
            counting.usage(BEGIN_US, "sum", window, "c2", 1).await,
            number
        );
    }
    // A failover to a server that is three hours behind.
    let behind = BEGIN_US - 3 * hour_us;
    assert_eq!(counting.usage(behind, "sum", window, "c2", 0).await, 5);
    assert_eq!(counting.usage(behind, "sum", window, "c2", 1).await, 6);
    assert_eq!(counting.usage(BEGIN_US, "sum", window, "c2", 1).await, 7);
    // And to one that is a week behind: what is in the future then cannot have happened.
    let far_behind = BEGIN_US - 7 * 24 * hour_us;
    assert_eq!(counting.usage(far_behind, "sum", window, "c2", 1).await, 1);
    assert_eq!(counting.usage(far_behind, "sum", window, "c2", 1).await, 2);
    counting.end().await;
}

#[tokio::test]
async fn different_ones_are_counted_exactly_and_up_to_a_bound() {
    let seed: u64 = rand::random();
    let mut random: rand::rngs::SmallRng = rand::SeedableRng::seed_from_u64(seed);
    for round in 0..15 {
        let window = random.random_range(1_000..100_000_u64);
        let window_us = window * 1_000_000;
        let mut counting = Counting::new().await;
        let mut met: HashMap<String, u64> = HashMap::new();
        let mut now = BEGIN_US;
        for _ in 0..60 {
            now += random.random_range(0..window_us / 4);
            let member = format!("{:016x}", random.random_range(0..12_u64));
            let add = u64::from(random.random_ratio(3, 4));
            if add > 0 {
                met.insert(member.clone(), now);
            }
            let answer = counting.usage(now, "set", window, &member, add).await;
            let known = met.values().filter(|at| now - **at < window_us).count();
            assert_eq!(
                answer,
                i64::try_from(known).unwrap(),
                "seed {seed}, round {round}"
            );
        }
        counting.end().await;
    }
    let mut counting = Counting::new().await;
    let mut last = 0;
    for number in 0..=u64::from(DISTINCT_MAX) {
        let member = number.to_string();
        last = counting
            .usage(BEGIN_US + number, "set", 3_600, &member, 1)
            .await;
    }
    assert_eq!(last, i64::from(DISTINCT_MAX), "the oldest has made room");
    counting.end().await;
}

#[tokio::test]
async fn what_was_seen_is_known_for_the_window_and_wants_to_be_noted_again_in_time() {
    let mut counting = Counting::new().await;
    let (window, twelfth_us) = (86_400_u64, 7_200_000_000_u64);
    // As the service does: into the set that is asked.
    let key = counting.key.clone();
    let note = async |counting: &mut Counting, at: u64| {
        redis::cmd("ZADD")
            .arg(format!("{key}:seen"))
            .arg(at)
            .arg("a")
            .query_async::<()>(&mut counting.redis)
            .await
            .unwrap();
    };
    assert_eq!(counting.usage(BEGIN_US, "seen", window, "a", 0).await, 0);
    note(&mut counting, BEGIN_US).await;
    for (later_us, expected) in [
        (0, 1),
        (twelfth_us, 1),
        (twelfth_us + 1, 2),
        (12 * twelfth_us - 1, 2),
        (12 * twelfth_us, 0),
    ] {
        let answer = counting
            .usage(BEGIN_US + later_us, "seen", window, "a", 0)
            .await;
        assert_eq!(answer, expected, "after {later_us}");
    }
    assert_eq!(counting.usage(BEGIN_US, "seen", window, "b", 0).await, 0);
    counting.end().await;
}
