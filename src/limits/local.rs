//! One limit, as this process counts it.

use governor::{
    RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

use super::{LimitDecision, Subject};
use crate::config::Quota;

/// Counts what passed through this process.
pub(super) struct LocalLimiter<C: Clock = DefaultClock> {
    quota: Quota,
    limiter: RateLimiter<Subject, DashMapStateStore<Subject>, C, StateInformationMiddleware>,
}

impl LocalLimiter {
    pub(super) fn new(quota: Quota) -> Self {
        Self::with_clock(quota, DefaultClock::default())
    }
}

impl<C: Clock> LocalLimiter<C> {
    fn with_clock(quota: Quota, clock: C) -> Self {
        let rate = governor::Quota::with_period(quota.interval())
            .expect("an interval is a microsecond at least")
            .allow_burst(quota.count());
        let limiter = RateLimiter::new(rate, DashMapStateStore::default(), clock);
        Self { quota, limiter }
    }

    /// Decides, and counts the request if it is allowed.
    pub(super) fn check(&self, subject: &Subject) -> LimitDecision {
        match self.limiter.check_key(subject) {
            Ok(state) => {
                LimitDecision::with_remaining(self.quota, state.remaining_burst_capacity())
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
                LimitDecision::refused_for(self.quota, wait_us)
            }
        }
    }

    /// Drops subjects whose quota is full again.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    fn somebody(last: u8) -> Subject {
        Subject::address([203, 0, 113, last].into())
    }

    /// The leaky bucket as one would explain it: it leaks one drop for each interval, and a request
    /// is a drop that must fit in.
    struct Bucket {
        quota: Quota,
        level_us: u64,
    }

    impl Bucket {
        fn wait(&mut self, us: u64) {
            self.level_us = self.level_us.saturating_sub(us);
        }

        fn ask(&mut self) -> bool {
            let level = self.level_us + self.quota.interval_us();
            let fits = level <= self.quota.capacity_us();
            if fits {
                self.level_us = level;
            }
            fits
        }
    }

    #[test]
    fn five_at_once_and_then_one_every_twelve_seconds() {
        let clock = FakeRelativeClock::default();
        let local = LocalLimiter::with_clock(Quota::new(5, 60).unwrap(), clock.clone());
        let left: Vec<_> = (0..5)
            .map(|_| local.check(&somebody(1)).remaining())
            .collect();
        assert_eq!(left, [4, 3, 2, 1, 0]);
        let sixth = local.check(&somebody(1));
        assert!(!sixth.allowed());
        assert_eq!(sixth.retry_after_seconds(), Some(12));
        assert!(local.check(&somebody(2)).allowed(), "somebody else");
        clock.advance(Duration::from_secs(12));
        assert!(local.check(&somebody(1)).allowed());
        assert!(!local.check(&somebody(1)).allowed());
    }

    #[test]
    fn those_who_stay_away_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let local = LocalLimiter::with_clock(Quota::new(5, 60).unwrap(), clock.clone());
        for last in 0..100 {
            local.check(&somebody(last));
        }
        local.sweep();
        assert_eq!(local.limiter.len(), 100);
        clock.advance(Duration::from_mins(2));
        local.check(&somebody(200));
        local.sweep();
        assert_eq!(local.limiter.len(), 1);
    }

    proptest! {
        #[test]
        fn it_decides_as_a_leaky_bucket_does(
            count in 1_u32..20,
            seconds in 1_u32..120,
            steps in prop::collection::vec((0_u64..30_000_000, 1_usize..4), 1..60),
        ) {
            let quota = Quota::new(count, seconds).unwrap();
            let clock = FakeRelativeClock::default();
            let local = LocalLimiter::with_clock(quota, clock.clone());
            let mut bucket = Bucket { quota, level_us: 0 };
            for (wait_us, asked) in steps {
                clock.advance(Duration::from_micros(wait_us));
                bucket.wait(wait_us);
                for _ in 0..asked {
                    let decision = local.check(&somebody(1));
                    prop_assert_eq!(decision.allowed(), bucket.ask());
                    let model = LimitDecision::new(quota, decision.allowed(), bucket.level_us);
                    prop_assert_eq!(decision.remaining(), model.remaining());
                    prop_assert_eq!(decision.retry_after_seconds(), model.retry_after_seconds());
                }
            }
        }
    }
}
