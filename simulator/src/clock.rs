//! The one place where the simulator meets the clock and chance.
//!
//! The simulator plays the outside world, so it does not take its time from the service: WeChat has
//! a clock of its own. Tests that turn the service's clock hand the same clock to the simulator, or
//! every signature would be out of its five minutes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::{format_description, offset};

/// WeChat's clock: the system's, or one that a test holds.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl WallClock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(system_now))
    }

    /// A clock that somebody else turns.
    pub fn from_fn(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present instant, to the second, as WeChat writes its times.
    pub fn now(&self) -> OffsetDateTime {
        let now = (self.0)();
        now.replace_nanosecond(0).unwrap_or(now)
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "WeChat's own clock, not the service's"
)]
pub(super) fn system_now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

const RFC3339: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+08:00");
const COMPACT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day][hour][minute][second]");

/// A time in WeChat's spelling: RFC 3339 at `+08:00`, without fractions.
pub(super) fn beijing(at: OffsetDateTime) -> String {
    in_beijing(at, RFC3339)
}

/// `20261121130205`, as it stands inside prepay ids and transaction numbers.
pub(super) fn compact(at: OffsetDateTime) -> String {
    in_beijing(at, COMPACT)
}

fn in_beijing(at: OffsetDateTime, format: &[BorrowedFormatItem<'_>]) -> String {
    at.to_offset(offset!(+8))
        .format(&format)
        .expect("year to second are present in every date and time")
}

/// Numbers that never repeat, neither in this process nor after a restart.
///
/// They must not: the service keeps what the simulator said before, under unique keys. So they
/// count up from the microsecond of the start and are *not* drawn from the seed; only faults are.
#[derive(Debug)]
pub(super) struct Ids {
    next: AtomicU64,
    salt: u64,
}

impl Ids {
    pub(super) fn new() -> Self {
        let micros = system_now().unix_timestamp_nanos().unsigned_abs() / 1_000;
        let start = u64::try_from(micros).unwrap_or_default();
        Self {
            next: AtomicU64::new(start),
            salt: u64::from_be_bytes(random_bytes()),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// 32 upper-case hex digits that look random, as nonces and request ids do.
    pub(super) fn token(&self) -> String {
        let n = self.count();
        format!(
            "{:016X}{:016X}",
            mix(n ^ self.salt),
            mix(n.rotate_left(32) ^ self.salt)
        )
    }

    /// A token in the shape of a UUID: the 36 characters of a notification id.
    pub(super) fn notification_id(&self) -> String {
        let t = self.token().to_ascii_lowercase();
        format!(
            "{}-{}-{}-{}-{}",
            &t[..8],
            &t[8..12],
            &t[12..16],
            &t[16..20],
            &t[20..]
        )
    }

    /// What the mini-program's API calls a `rid`: three groups of eight digits.
    pub(super) fn rid(&self) -> String {
        let t = self.token().to_ascii_lowercase();
        format!("{}-{}-{}", &t[..8], &t[8..16], &t[16..24])
    }

    /// 12 ASCII characters for AES-GCM, where repeating would be a fault of its own: the bare
    /// counter.
    pub(super) fn gcm_nonce(&self) -> String {
        format!("{:012x}", self.count() & 0xffff_ffff_ffff)
    }

    /// 29 digits: `503000`, the day, and a count.
    pub(super) fn refund_id(&self, at: OffsetDateTime) -> String {
        format!(
            "503000{}{:015}",
            &compact(at)[..8],
            self.count() % 1_000_000_000_000_000
        )
    }

    /// 28 digits: ten, the day, and ten more. The count is in both tens, so that it never repeats.
    pub(super) fn transaction_id(&self, at: OffsetDateTime) -> String {
        const TEN_DIGITS: u64 = 10_000_000_000;
        let count = self.count();
        format!(
            "4200{:06}{}{:010}",
            count / TEN_DIGITS % 1_000_000,
            &compact(at)[..8],
            count % TEN_DIGITS
        )
    }
}

/// The finaliser of splitmix64: a bijection, so different counts give different words.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

pub(super) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator answers");
    bytes
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_written_in_beijing() {
        assert_eq!(
            beijing(datetime!(2026-11-21 20:00:05 UTC)),
            "2026-11-22T04:00:05+08:00"
        );
    }

    #[test]
    fn transaction_ids_are_28_digits_and_differ() {
        let ids = Ids::new();
        let at = datetime!(2026-11-21 12:00:00 UTC);
        let (a, b) = (ids.transaction_id(at), ids.transaction_id(at));
        assert_ne!(a, b);
        assert_eq!(a.len(), 28);
        assert!(a.starts_with("4200") && a.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(&a[10..18], "20261121");
        assert_eq!(ids.notification_id().len(), 36);
        assert_eq!(ids.gcm_nonce().len(), 12);
    }
}
