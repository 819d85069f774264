//! How long to wait before WeChat is asked again.

use crate::primitives::Timestamp;

/// After so long WeChat takes a call no more, whatever held it up on its way: it takes no request
/// that was signed more than five minutes ago by its clock, which may be five minutes behind ours.
pub(crate) const ARRIVAL_WINDOW_SECONDS: i64 = 600;

/// WeChat wants the first query within a minute of the order.
pub(super) const FIRST_QUERY_SECONDS: i64 = 20;

/// Divides every wait of the jobs. 1 is right for WeChat; beside a simulator whose time runs
/// faster, more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeScale(u32);

impl Default for TimeScale {
    fn default() -> Self {
        Self(1)
    }
}

impl TimeScale {
    /// None for zero.
    pub const fn new(times: u32) -> Option<Self> {
        if times == 0 { None } else { Some(Self(times)) }
    }

    /// `seconds` after `now`, as this time scale counts them; before it when they are negative.
    pub fn after(self, now: Timestamp, seconds: i64) -> Timestamp {
        let micros = seconds.saturating_mul(1_000_000) / i64::from(self.0.max(1));
        Timestamp::from_micros(now.micros().saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_at_the_configured_scale() {
        let now = Timestamp::from_micros(10_000_000);
        assert_eq!(TimeScale::default().after(now, 5).micros(), 15_000_000);
        assert_eq!(
            TimeScale::new(100).unwrap().after(now, 5).micros(),
            10_050_000
        );
        assert_eq!(
            TimeScale::new(10).unwrap().after(now, -20).micros(),
            8_000_000
        );
        assert_eq!(TimeScale::new(0), None);
    }
}
