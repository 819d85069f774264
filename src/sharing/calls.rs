//! Calls that change something at the channel, and when a refusal proves that nothing was done.
//! Pure.
//!
//! A refusal, or a query that finds nothing, describes one moment. Another call with the same
//! number may be under way: of a process that is slow, was suspended, or died after it had sent. So
//! a call is recorded before it is made ([`Calls::begin`]), and counts as under way until its
//! outcome is known or until WeChat can no longer take it ([`ARRIVAL_WINDOW_SECONDS`]). A refusal
//! is final only if no earlier call is under way.

use crate::{
    payments::{ARRIVAL_WINDOW_SECONDS, TimeScale},
    primitives::Timestamp,
};

/// Seconds that a call takes at most, whatever the time scale: twice its deadline, for the query
/// that follows.
const CALL_SECONDS: i64 = 24;

/// The calls of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// The number of calls that were begun.
    pub begun: u32,
    /// Until when a call of unknown outcome may still be taken.
    pub may_arrive_until: Option<Timestamp>,
}

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The number of calls that were begun, this one included.
    pub(super) count: u32,
    /// Until when an earlier call of unknown outcome may still be taken.
    earlier: Option<Timestamp>,
}

impl Calls {
    /// Records that a call is made at `now`.
    pub(super) fn begin(&mut self, now: Timestamp, time_scale: TimeScale) -> Attempt {
        let earlier = self.may_arrive_until;
        self.begun = self.begun.saturating_add(1);
        let lands = time_scale.after(now, ARRIVAL_WINDOW_SECONDS);
        self.may_arrive_until = Some(lands.max(now.plus_seconds(CALL_SECONDS)));
        Attempt {
            count: self.begun,
            earlier,
        }
    }

    /// Records that the call certainly did nothing. The earlier calls stay as they are, unless the
    /// channel has answered meanwhile: then none of them may be taken any more.
    pub(super) fn end(&mut self, attempt: Attempt) {
        if self.begun == attempt.count && self.may_arrive_until.is_some() {
            self.may_arrive_until = attempt.earlier;
        }
    }

    /// Returns whether this was the last call begun.
    pub(super) const fn is_last(&self, attempt: Attempt) -> bool {
        self.begun == attempt.count
    }

    /// Returns whether a refusal of this call, after which the channel does not know the number,
    /// proves that it never will.
    pub(super) fn proves(&self, attempt: Attempt, now: Timestamp) -> bool {
        self.is_last(attempt) && attempt.earlier.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

    #[test]
    fn a_refusal_proves_nothing_while_another_call_may_land() {
        let time_scale = TimeScale::default();
        let mut calls = Calls::default();
        let first = calls.begin(NOW, time_scale);
        assert!(calls.proves(first, NOW));
        let second = calls.begin(NOW.plus_seconds(60), time_scale);
        // Somebody else has begun: the first call's answer is not final.
        assert!(!calls.proves(first, NOW.plus_seconds(60)));
        assert!(!calls.proves(second, NOW.plus_seconds(599)));
        assert!(calls.proves(second, NOW.plus_seconds(600)));
    }

    #[test]
    fn a_call_that_did_nothing_leaves_what_was_before_it() {
        let time_scale = TimeScale::default();
        let mut calls = Calls::default();
        let unknown = calls.begin(NOW, time_scale);
        let refused = calls.begin(NOW.plus_seconds(60), time_scale);
        calls.end(refused);
        assert_eq!(calls.may_arrive_until, Some(NOW.plus_seconds(600)));
        let third = calls.begin(NOW.plus_seconds(90), time_scale);
        assert!(!calls.proves(third, NOW.plus_seconds(91)));
        // The one before is known to have done nothing, but is not the last any more.
        calls.end(unknown);
        assert_eq!(calls.may_arrive_until, Some(NOW.plus_seconds(690)));
        let mut calls = Calls::default();
        let alone = calls.begin(NOW, time_scale);
        calls.end(alone);
        assert_eq!(calls.may_arrive_until, None);
        // The channel answered while the last one was under way.
        calls.begin(NOW, time_scale);
        let last = calls.begin(NOW.plus_seconds(60), time_scale);
        calls.may_arrive_until = None;
        calls.end(last);
        assert_eq!(calls.may_arrive_until, None);
    }

    #[test]
    fn however_fast_time_runs_a_call_takes_its_time() {
        let mut calls = Calls::default();
        calls.begin(NOW, TimeScale::new(100).unwrap());
        assert_eq!(calls.may_arrive_until, Some(NOW.plus_seconds(24)));
    }
}
