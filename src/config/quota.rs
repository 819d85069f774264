//! How many in how long.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// So many requests in so long, written `5/60s`: that many at once, and afterwards one more for
/// every `period / count` that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    count: NonZeroU32,
    period_seconds: u32,
}

/// The text is not a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a quota such as 5/60s")]
pub struct InvalidQuota;

impl Quota {
    /// The most requests of one quota.
    pub const COUNT_MAX: u32 = 1_000_000;
    /// The longest period, in seconds: a day.
    pub const PERIOD_SECONDS_MAX: u32 = 86_400;

    /// `None` unless `count` is 1 to [`Quota::COUNT_MAX`] and the period 1 to
    /// [`Quota::PERIOD_SECONDS_MAX`] seconds.
    pub const fn new(count: u32, period_seconds: u32) -> Option<Self> {
        let sound = count <= Self::COUNT_MAX
            && 1 <= period_seconds
            && period_seconds <= Self::PERIOD_SECONDS_MAX;
        match NonZeroU32::new(count) {
            Some(count) if sound => Some(Self {
                count,
                period_seconds,
            }),
            Some(_) | None => None,
        }
    }

    /// How many at once.
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// In how many seconds all of it comes back.
    pub const fn period_seconds(self) -> u32 {
        self.period_seconds
    }

    /// Microseconds in which one request comes back. Rounded up, so that rounding never lets more
    /// through.
    pub fn interval_us(self) -> u64 {
        (u64::from(self.period_seconds) * 1_000_000).div_ceil(u64::from(self.count.get()))
    }

    /// The interval as a duration.
    pub fn interval(self) -> Duration {
        Duration::from_micros(self.interval_us())
    }

    /// Microseconds in which all of it comes back.
    pub fn capacity_us(self) -> u64 {
        self.interval_us() * u64::from(self.count.get())
    }
}

/// `5/60s`; `m` and `h` are read as well.
impl FromStr for Quota {
    type Err = InvalidQuota;

    fn from_str(text: &str) -> Result<Self, InvalidQuota> {
        let (count, period) = text.trim().split_once('/').ok_or(InvalidQuota)?;
        let unit = period.trim().chars().last().ok_or(InvalidQuota)?;
        let seconds = match unit {
            's' => 1_u32,
            'm' => 60,
            'h' => 3_600,
            _ => return Err(InvalidQuota),
        };
        let units = period.trim().strip_suffix(unit).ok_or(InvalidQuota)?;
        let units: u32 = units.parse().map_err(|_| InvalidQuota)?;
        let count = count.trim().parse().map_err(|_| InvalidQuota)?;
        let period = units.checked_mul(seconds).ok_or(InvalidQuota)?;
        Self::new(count, period).ok_or(InvalidQuota)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.count, self.period_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_as_it_is_written() {
        for (text, count, seconds) in [
            ("5/60s", 5, 60),
            (" 100 / 1m ", 100, 60),
            ("1/24h", 1, 86_400),
        ] {
            assert_eq!(text.parse(), Ok(Quota::new(count, seconds).unwrap()));
        }
        assert_eq!(Quota::new(5, 60).unwrap().to_string(), "5/60s");
        for bad in [
            "",
            "5",
            "5/",
            "5/60",
            "5/60d",
            "0/60s",
            "5/0s",
            "-5/60s",
            "5/25h",
            "5/60ss",
            "1000001/60s",
            "5/1193047h",
            "五/60s",
            "5/60秒",
        ] {
            assert_eq!(bad.parse::<Quota>(), Err(InvalidQuota), "{bad}");
        }
    }

    #[test]
    fn rounding_never_lets_more_through() {
        for (count, seconds) in [(7, 60), (3, 1), (1_000_000, 1), (999_999, 86_400)] {
            let quota = Quota::new(count, seconds).unwrap();
            assert!(quota.capacity_us() >= u64::from(seconds) * 1_000_000);
            assert!(quota.interval_us() > 0);
        }
        assert_eq!(Quota::new(5, 60).unwrap().interval_us(), 12_000_000);
    }
}
