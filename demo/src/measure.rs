//! How long things took, in whole microseconds.

use std::{fmt, time::Duration};

use serde::Serialize;

/// Samples of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies(Vec<u64>);

/// What is shown of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    pub(super) samples: usize,
    pub(super) p50_us: Micros,
    pub(super) p95_us: Micros,
    pub(super) p99_us: Micros,
    pub(super) max_us: Micros,
}

/// Shown as milliseconds: `12.3`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Micros(pub(super) u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.saturating_add(50) / 100;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

impl Latencies {
    pub(super) fn add(&mut self, took: Duration) {
        self.0
            .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: the smallest sample that so many per cent do not exceed.
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            Micros(sorted.get(rank).copied().unwrap_or(0))
        };
        Percentiles {
            samples: sorted.len(),
            p50_us: rank(50),
            p95_us: rank(95),
            p99_us: rank(99),
            max_us: rank(100),
        }
    }
}

/// So many in that time: `123.4` a second.
pub(super) fn per_second(count: usize, time: Duration) -> String {
    let count = u128::try_from(count).unwrap_or(0);
    let tenths = (count * 10_000).checked_div(time.as_millis()).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        for ms in (1..=200).rev() {
            latencies.add(Duration::from_millis(ms));
        }
        let percentiles = latencies.percentiles();
        assert_eq!(percentiles.samples, 200);
        assert_eq!(percentiles.p50_us, Micros(100_000));
        assert_eq!(percentiles.p95_us, Micros(190_000));
        assert_eq!(percentiles.p99_us, Micros(198_000));
        assert_eq!(percentiles.max_us, Micros(200_000));
    }

    #[test]
    fn microseconds_are_shown_as_milliseconds() {
        assert_eq!(Micros(12_345).to_string(), "12.3");
        assert_eq!(Micros(950).to_string(), "1.0");
        assert_eq!(per_second(1_234, Duration::from_secs(10)), "123.4");
        assert_eq!(per_second(1, Duration::ZERO), "0.0");
    }
}
