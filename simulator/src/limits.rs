//! How often each call may come: WeChat's own limits, per second, in effect while
//! [`Faults::rate_limits`](super::Faults::rate_limits) is on.
//!
//! Counted by whole seconds of the machine's clock: a test's clock that stands still would let
//! nobody pass ever again. Numbers: a prepay page says 500, the refund page 150 and, for refunds
//! that fail, 6; sharing 300, returns 100, its queries 500; 1800 for queries and 300 for those of
//! refunds are from the cross-border pages. Where no page says anything it is the nearest one's.

use std::collections::HashMap;
use std::time::Duration;

use super::endpoint::Endpoint;

/// Refunds that fail, per second.
const FAILED_REFUNDS_MAX: u32 = 6;

/// One second's counts.
#[derive(Debug, Default)]
pub(super) struct Limits {
    second: u64,
    counts: HashMap<Endpoint, u32>,
    failed_refunds: u32,
}

impl Limits {
    /// Counts a call; `false` if it is one too many. `elapsed`: since the start.
    pub(super) fn admit(&mut self, endpoint: Endpoint, elapsed: Duration) -> bool {
        self.turn(elapsed);
        if endpoint == Endpoint::Refund && self.failed_refunds >= FAILED_REFUNDS_MAX {
            return false;
        }
        let count = self.counts.entry(endpoint).or_default();
        *count = count.saturating_add(1);
        *count <= per_second(endpoint)
    }

    /// A refund was refused.
    pub(super) fn refund_failed(&mut self, elapsed: Duration) {
        self.turn(elapsed);
        self.failed_refunds = self.failed_refunds.saturating_add(1);
    }

    fn turn(&mut self, elapsed: Duration) {
        if elapsed.as_secs() != self.second {
            *self = Self {
                second: elapsed.as_secs(),
                ..Self::default()
            };
        }
    }
}

fn per_second(endpoint: Endpoint) -> u32 {
    match endpoint {
        Endpoint::Prepay | Endpoint::Native | Endpoint::Close | Endpoint::SharingQuery => 500,
        Endpoint::Query => 1_800,
        Endpoint::Refund | Endpoint::AbnormalRefund => 150,
        Endpoint::RefundQuery | Endpoint::Sharing => 300,
        Endpoint::SharingReturn
        | Endpoint::SharingReceiver
        | Endpoint::Bill
        | Endpoint::Certificates => 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_own_limit_and_a_new_second_begins_anew() {
        let mut limits = Limits::default();
        let at = Duration::from_millis(1_200);
        for _ in 0..150 {
            assert!(limits.admit(Endpoint::Refund, at));
        }
        assert!(!limits.admit(Endpoint::Refund, Duration::from_millis(1_999)));
        assert!(limits.admit(Endpoint::Query, at));
        assert!(limits.admit(Endpoint::Refund, Duration::from_secs(2)));
    }

    #[test]
    fn six_failed_refunds_a_second_are_enough() {
        let mut limits = Limits::default();
        for _ in 0..6 {
            assert!(limits.admit(Endpoint::Refund, Duration::ZERO));
            limits.refund_failed(Duration::ZERO);
        }
        assert!(!limits.admit(Endpoint::Refund, Duration::ZERO));
        assert!(limits.admit(Endpoint::RefundQuery, Duration::ZERO));
        assert!(limits.admit(Endpoint::Refund, Duration::from_secs(1)));
    }
}
