//! The answer to one request.

use crate::config::Quota;

const SECOND_US: u64 = 1_000_000;

/// Whether a request is allowed, and what the subject has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitDecision {
    quota: Quota,
    allowed: bool,
    /// Microseconds in which all that was used comes back; never more than the quota's capacity.
    backlog_us: u64,
}

impl LimitDecision {
    /// After a decision that left this backlog, in microseconds.
    pub(super) fn new(quota: Quota, allowed: bool, backlog_us: u64) -> Self {
        let backlog_us = backlog_us.min(quota.capacity_us());
        Self {
            quota,
            allowed,
            backlog_us,
        }
    }

    /// Allowed, with so many left.
    pub(super) fn with_remaining(quota: Quota, remaining: u32) -> Self {
        let used = quota.count().get().saturating_sub(remaining);
        Self::new(quota, true, quota.interval_us() * u64::from(used))
    }

    /// Refused, and for so long, in microseconds.
    pub(super) fn refused_for(quota: Quota, wait_us: u64) -> Self {
        let full = quota.capacity_us() - quota.interval_us();
        Self::new(quota, false, full.saturating_add(wait_us))
    }

    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Whether the request may go on.
    pub const fn allowed(&self) -> bool {
        self.allowed
    }

    /// How many more would be allowed at this moment.
    pub fn remaining(&self) -> u32 {
        let left = (self.quota.capacity_us() - self.backlog_us) / self.quota.interval_us();
        u32::try_from(left).unwrap_or(self.quota.count().get()) // never more than that
    }

    /// Whole seconds after which the quota is there in full, rounded up.
    pub const fn reset_seconds(&self) -> u64 {
        self.backlog_us.div_ceil(SECOND_US)
    }

    /// Whole seconds after which the next request is allowed, rounded up: 1 at least. `None` when
    /// this one was.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        if self.allowed {
            return None;
        }
        let full = self.quota.capacity_us() - self.quota.interval_us();
        let seconds = self.backlog_us.saturating_sub(full).div_ceil(SECOND_US);
        Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn five_a_minute() -> Quota {
        Quota::new(5, 60).unwrap()
    }

    #[test]
    fn headers_of_five_a_minute() {
        let first = LimitDecision::with_remaining(five_a_minute(), 4);
        assert_eq!((first.remaining(), first.reset_seconds()), (4, 12));
        assert_eq!(first.retry_after_seconds(), None);
        let last = LimitDecision::new(five_a_minute(), true, 60_000_000);
        assert_eq!((last.remaining(), last.reset_seconds()), (0, 60));
        let sixth = LimitDecision::new(five_a_minute(), false, 59_000_001);
        assert_eq!((sixth.remaining(), sixth.reset_seconds()), (0, 60));
        assert_eq!(sixth.retry_after_seconds(), Some(12));
        let nearly = LimitDecision::refused_for(five_a_minute(), 1);
        assert_eq!(nearly.retry_after_seconds(), Some(1));
        assert_eq!(nearly.remaining(), 0);
    }

    #[test]
    fn a_backlog_from_elsewhere_is_never_more_than_the_whole() {
        let strange = LimitDecision::new(five_a_minute(), false, u64::MAX);
        assert_eq!((strange.remaining(), strange.reset_seconds()), (0, 60));
        assert_eq!(strange.retry_after_seconds(), Some(12));
    }

    proptest! {
        #[test]
        fn what_is_left_and_what_was_used_are_the_whole(
            count in 1_u32..=Quota::COUNT_MAX,
            seconds in 1_u32..=Quota::PERIOD_SECONDS_MAX,
            backlog in any::<u64>(),
        ) {
            let quota = Quota::new(count, seconds).unwrap();
            let decision = LimitDecision::new(quota, true, backlog);
            let left = u64::from(decision.remaining()) * quota.interval_us();
            let used = backlog.min(quota.capacity_us());
            prop_assert!(left + used <= quota.capacity_us());
            prop_assert!(left + used + quota.interval_us() > quota.capacity_us());
            prop_assert!(decision.remaining() <= count);
        }

        #[test]
        fn whoever_waits_for_the_stated_time_is_allowed(
            count in 1_u32..1_000,
            seconds in 1_u32..10_000,
            wait in 1_u64..100_000_000,
        ) {
            let quota = Quota::new(count, seconds).unwrap();
            let wait = wait.min(quota.interval_us());
            let refused = LimitDecision::refused_for(quota, wait);
            let told = u64::from(refused.retry_after_seconds().unwrap()) * SECOND_US;
            prop_assert!(told >= wait);
            prop_assert!(told < wait + SECOND_US);
            prop_assert_eq!(refused.remaining(), 0);
        }
    }
}
