//! Whether this process's clock agrees with the database's.
//!
//! What is decided carries the time of the process that decides: ids and so the order in which
//! scans come to things, days of caps and points, leases, when somebody looks again. A clock that
//! is a month ahead freezes what it touches for a month; one that is behind hides what it makes. No
//! process sees that of itself, but all of them share one database, whose clock is therefore the
//! one that counts.
//!
//! It is read when the database is opened and every [`READ_EVERY`] after that. Between two readings
//! the monotonic clock goes on for it, so a clock that steps is seen at the next thing that it is
//! asked for, without another question.
//!
//! | offset | what happens |
//! |---|---|
//! | up to [`WARN_SECONDS`] | nothing |
//! | more | a warning, once; `clock_offset_seconds` says how much |
//! | more than [`REFUSE_SECONDS`] | an error, once; not ready; nothing is committed ([`DbError::ClockOff`]) until the clocks agree again |
//!
//! A minute is far more than NTP leaves and less than anything here depends on: scans look again
//! after ten minutes, leases are half a minute and more, a call to WeChat is given a minute. An
//! operation that waited in the queue while the clock stepped is decided by the new time; the next
//! one is refused.
//!
//! A clock that is no machine's ([`Clock::is_real_time`]) is compared with nothing: tests turn
//! theirs as they like.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::MySqlPool;

use super::DbError;
use crate::primitives::{Clock, Timestamp, coded};

/// How often the database's clock is read.
const READ_EVERY: Duration = Duration::from_secs(5);
/// An answer that took longer says too little.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const WARN_SECONDS: u64 = 2;
const REFUSE_SECONDS: u64 = 60;

coded! {
    /// How far the two clocks differ.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Level {
        Agree = 0,
        Differ = 1,
        Refuse = 2,
    }
}

impl Level {
    const fn of(offset: Duration) -> Self {
        if offset.as_secs() >= REFUSE_SECONDS {
            Self::Refuse
        } else if offset.as_secs() >= WARN_SECONDS {
            Self::Differ
        } else {
            Self::Agree
        }
    }
}

/// The database's time at an instant of ours.
#[derive(Debug, Clone, Copy)]
struct ClockReading {
    database: Timestamp,
    at: Instant,
}

/// Compares this process's clock with the database's.
#[derive(Debug)]
pub(super) struct ClockWatch {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<ClockReading>>,
    /// What was said last.
    reported: AtomicU8,
}

impl ClockWatch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Mutex::new(None),
            reported: AtomicU8::new(Level::Agree.code()),
        }
    }

    /// Reads the database's clock.
    pub(super) async fn read(&self, pool: &MySqlPool) -> Result<(), DbError> {
        if !self.clock.is_real_time() {
            return Ok(());
        }
        let asked = Instant::now();
        let database: Timestamp = sqlx::query_scalar("/* db.clock */ SELECT UTC_TIMESTAMP(6)")
            .fetch_one(pool)
            .await?;
        let took = asked.elapsed();
        if took > READ_TIMEOUT {
            return Ok(());
        }
        // It was read somewhere between question and answer.
        let reading = ClockReading {
            database,
            at: asked + took / 2,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        let offset = self.offset();
        metrics::gauge!("clock_offset_seconds").set(offset.as_secs_f64());
        self.report(offset);
        Ok(())
    }

    /// Reads it again and again, until the task is aborted. While the database is away, the last
    /// reading goes on.
    pub(super) async fn keep_reading(self: Arc<Self>, pool: MySqlPool) {
        loop {
            tokio::time::sleep(READ_EVERY).await;
            let _ = tokio::time::timeout(READ_TIMEOUT, self.read(&pool)).await;
        }
    }

    /// Whether anything may be committed by this clock now.
    pub(super) fn check(&self) -> Result<(), DbError> {
        let offset = self.offset();
        if Level::of(offset) == Level::Refuse {
            self.report(offset);
            return Err(DbError::ClockOff);
        }
        Ok(())
    }

    /// How far the clock is from the database's, whichever way. Nothing before the first reading.
    fn offset(&self) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = last else {
            return Duration::ZERO;
        };
        let passed = i64::try_from(last.at.elapsed().as_micros()).unwrap_or(i64::MAX);
        let database = last.database.micros().saturating_add(passed);
        Duration::from_micros(self.clock.now().micros().abs_diff(database))
    }

    /// Says it when it has become another.
    fn report(&self, offset: Duration) {
        let level = Level::of(offset);
        if self.reported.swap(level.code(), Ordering::Relaxed) == level.code() {
            return;
        }
        let seconds = offset.as_secs();
        match level {
            Level::Agree => tracing::info!("this machine's clock and the database's agree again"),
            Level::Differ => {
                tracing::warn!(
                    seconds,
                    "this machine's clock is {seconds} s away from the database's"
                );
            }
            Level::Refuse => {
                tracing::error!(
                    seconds,
                    "this machine's clock is {seconds} s away from the database's: nothing is committed until one of them is set right"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_are_a_warning_and_a_minute_is_too_much() {
        let level = |millis| Level::of(Duration::from_millis(millis));
        assert_eq!(level(0), Level::Agree);
        assert_eq!(level(1_999), Level::Agree);
        assert_eq!(level(2_000), Level::Differ);
        assert_eq!(level(59_999), Level::Differ);
        assert_eq!(level(60_000), Level::Refuse);
        assert_eq!(level(2_592_000_000), Level::Refuse);
    }
}
