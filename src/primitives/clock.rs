//! Time: a clock that callers are given, so that tests can give another.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicI64, Ordering},
};

use serde::{Deserialize, Serialize};
use time::{
    Date, Duration, OffsetDateTime, UtcOffset,
    format_description::well_known::Rfc3339,
    macros::{datetime, offset},
};

/// An instant, UTC, in whole microseconds: what a `DATETIME(6)` holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
const FIRST: Timestamp = Timestamp(-62_135_596_800_000_000);
const LAST: Timestamp = Timestamp(253_402_300_799_999_999);

impl Timestamp {
    /// What a text has to be to be one, as callers are told.
    pub const EXPECTED: &str = "a time such as 2026-11-21T08:00:00+08:00";

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Milliseconds since 1970; an instant before that counts as the beginning.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    pub fn from_datetime(at: OffsetDateTime) -> Self {
        Self(i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
    }

    /// Of an instant before the year 1 or after the year 9999, which neither a `DATETIME` nor RFC
    /// 3339 can say, the nearest that they can.
    pub fn datetime(self) -> OffsetDateTime {
        let micros = self.0.clamp(FIRST.0, LAST.0);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros).saturating_mul(1_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// As clocks in Beijing show it; in the last hours of the year 9999 the last instant that there
    /// is.
    pub fn beijing(self) -> OffsetDateTime {
        self.datetime()
            .checked_to_offset(BEIJING)
            .unwrap_or(datetime!(9999-12-31 23:59:59.999_999 +8))
    }

    /// RFC 3339, as WeChat writes it too (with or without a fraction).
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(Self::from_datetime)
    }

    /// The day on which the books of China count this instant.
    pub fn business_day(self) -> BusinessDay {
        BusinessDay(self.beijing().date())
    }
}

/// RFC 3339 in one form: UTC, always six digits of the second. So texts sort as the instants do.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.datetime();
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, micros) = at.to_hms_micro();
        write!(
            f,
            "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z",
            u8::from(month)
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 3339 text for people, microseconds for machines.
impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
            Self::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom(Self::EXPECTED))
        } else {
            i64::deserialize(from).map(Self)
        }
    }
}

impl sqlx::Type<sqlx::MySql> for Timestamp {
    fn type_info() -> sqlx::mysql::MySqlTypeInfo {
        <time::PrimitiveDateTime as sqlx::Type<sqlx::MySql>>::type_info()
    }

    fn compatible(ty: &sqlx::mysql::MySqlTypeInfo) -> bool {
        <time::PrimitiveDateTime as sqlx::Type<sqlx::MySql>>::compatible(ty)
    }
}

impl sqlx::Encode<'_, sqlx::MySql> for Timestamp {
    fn encode_by_ref(
        &self,
        buf: &mut Vec<u8>,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        let at = self.datetime();
        let at = time::PrimitiveDateTime::new(at.date(), at.time());
        <time::PrimitiveDateTime as sqlx::Encode<sqlx::MySql>>::encode_by_ref(&at, buf)
    }

    fn size_hint(&self) -> usize {
        12
    }
}

impl<'r> sqlx::Decode<'r, sqlx::MySql> for Timestamp {
    fn decode(value: sqlx::mysql::MySqlValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        let at = <time::PrimitiveDateTime as sqlx::Decode<sqlx::MySql>>::decode(value)?;
        Ok(Self::from_datetime(at.assume_utc()))
    }
}

const BEIJING: UtcOffset = offset!(+8);

/// A calendar day at UTC+8, whatever the zone of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BusinessDay(pub Date);

impl BusinessDay {
    /// The last day of what lasts for ever.
    pub const NEVER: Self = Self(time::macros::date!(9999 - 12 - 31));

    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        Self(self.0.saturating_add(Duration::days(i64::from(days))))
    }

    /// The instant at which the day begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_datetime(self.0.midnight().assume_offset(BEIJING))
    }

    /// From `2026-11-21`.
    pub fn parse(text: &str) -> Option<Self> {
        let format = time::macros::format_description!("[year]-[month]-[day]");
        Date::parse(text, format).ok().map(Self)
    }
}

impl FromStr for BusinessDay {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        Self::parse(text).ok_or(NotADay)
    }
}

/// Text that is not a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a day is written 2026-11-21")]
pub struct NotADay;

impl fmt::Display for BusinessDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}-{:02}-{day:02}", u8::from(month))
    }
}

/// Where the time comes from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// Whether it is meant to show the time of the world, so that it can be held against another
    /// machine's.
    fn is_real_time(&self) -> bool {
        true
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the time is read"
        )]
        Timestamp::from_datetime(OffsetDateTime::now_utc())
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct MockClock(AtomicI64);

impl MockClock {
    pub const fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    pub fn set(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::SeqCst);
    }

    pub fn advance_seconds(&self, seconds: i64) {
        self.0
            .fetch_add(seconds.saturating_mul(1_000_000), Ordering::SeqCst);
    }
}

impl Clock for MockClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn is_real_time(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_business_day_is_the_day_in_beijing() {
        let late = Timestamp::parse_rfc3339("2026-11-21T16:30:00Z").unwrap();
        assert_eq!(late.business_day().to_string(), "2026-11-22");
        assert_eq!(
            late.business_day().start().to_string(),
            "2026-11-21T16:00:00.000000Z"
        );
    }

    #[test]
    fn no_instant_is_too_strange_for_a_day_or_for_words() {
        for (text, day) in [
            ("9999-12-31T15:59:59Z", "9999-12-31"),
            ("9999-12-31T23:59:59Z", "9999-12-31"),
            ("9999-12-31T23:59:59-08:00", "9999-12-31"),
            ("0000-01-01T00:00:00+08:00", "0001-01-01"),
            ("0001-01-01T00:00:00Z", "0001-01-01"),
        ] {
            let at = Timestamp::parse_rfc3339(text).unwrap();
            assert_eq!(at.business_day().to_string(), day, "{text}");
            let _ = (at.business_day().start().to_string(), at.to_string());
            let _ = at.business_day().plus_days(u32::MAX).start().business_day();
        }
        for micros in [i64::MIN, -1, 0, i64::MAX] {
            let at = Timestamp::from_micros(micros);
            let _ = (at.to_string(), at.business_day(), at.plus_seconds(i64::MAX));
        }
        assert_eq!(FIRST.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(LAST.to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn instants_sort_as_their_texts_do() {
        let texts: Vec<_> = [0, 1, 120_000, 999_999, 1_000_000, 1_000_001, 60_000_000]
            .map(|micros| Timestamp::from_micros(1_795_000_000_000_000 + micros).to_string())
            .to_vec();
        assert!(texts.is_sorted(), "{texts:?}");
        assert!(texts.iter().all(|text| text.len() == 27), "{texts:?}");
        for text in texts {
            let again = Timestamp::parse_rfc3339(&text).unwrap();
            assert_eq!(again.to_string(), text);
        }
    }

    #[test]
    fn wechats_fractional_seconds_are_read() {
        let at = Timestamp::parse_rfc3339("2026-11-21T10:34:56.120+08:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-21T02:34:56.120000Z");
    }
}
