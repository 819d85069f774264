//! How long points last. Days are those of the books (UTC+8), whatever the zone of the machine.
//!
//! | | points of 2026-11-21 can be used until the end of | and have expired from |
//! |---|---|---|
//! | `days` 365 | 2027-11-21 | 2027-11-22 |
//! | `end_of_month` 0 | 2026-11-30 | 2026-12-01 |
//! | `end_of_month` 3 | 2027-02-28 | 2027-03-01 |
//! | `end_of_year` 1 | 2027-12-31 | 2028-01-01 |
//! | `never` | | never |
//!
//! Points whose last day lies beyond the calendar never expire.

use serde::{Deserialize, Serialize};
use time::{Date, Month};

use super::NEVER;
use crate::primitives::{BusinessDay, coded};

coded! {
    /// How long points last. The names in table and API never change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
    #[serde(tag = "kind", rename_all = "snake_case", try_from = "Said")]
    pub enum Validity as ValidityKind {
        /// Whole days, the day of the credit not counted: 1 to 36500.
        Days { count: u32 } => "days",
        /// Until the end of the month that many months after the one of the credit: 0 to 1200,
        /// where 0 is the month of the credit itself.
        EndOfMonth { count: u32 } => "end_of_month",
        /// Until the end of the year that many years after the one of the credit: 0 to 100, where 0
        /// is the year of the credit itself.
        EndOfYear { count: u32 } => "end_of_year",
        Never => "never",
    }
}

/// The JSON form. A derived reader of a tagged enum would ignore unknown fields beside a variant
/// without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    kind: String,
    #[serde(default)]
    count: Option<u32>,
}

impl TryFrom<Said> for Validity {
    type Error = &'static str;

    fn try_from(said: Said) -> Result<Self, Self::Error> {
        Self::from_name(&said.kind, said.count)
            .ok_or("days, end_of_month or end_of_year with a count, or never without")
    }
}

impl Validity {
    /// Returns the validity from its columns.
    pub(super) fn from_name(name: &str, count: Option<u32>) -> Option<Self> {
        match (ValidityKind::from_name(name)?, count) {
            (ValidityKind::Days, Some(count)) => Some(Self::Days { count }),
            (ValidityKind::EndOfMonth, Some(count)) => Some(Self::EndOfMonth { count }),
            (ValidityKind::EndOfYear, Some(count)) => Some(Self::EndOfYear { count }),
            (ValidityKind::Never, None) => Some(Self::Never),
            (ValidityKind::Days | ValidityKind::EndOfMonth | ValidityKind::EndOfYear, None)
            | (ValidityKind::Never, Some(_)) => None,
        }
    }

    /// Returns the number of days, months or years.
    pub const fn count(self) -> Option<u32> {
        match self {
            Self::Days { count } | Self::EndOfMonth { count } | Self::EndOfYear { count } => {
                Some(count)
            }
            Self::Never => None,
        }
    }

    /// Returns the number of days of [`Self::Days`].
    pub const fn days(self) -> Option<u32> {
        match self {
            Self::Days { count } => Some(count),
            Self::EndOfMonth { .. } | Self::EndOfYear { .. } | Self::Never => None,
        }
    }

    /// Returns whether the count is within its bounds.
    pub(super) fn is_sane(self) -> bool {
        match self {
            Self::Days { count } => (1..=36_500).contains(&count),
            Self::EndOfMonth { count } => count <= 1_200,
            Self::EndOfYear { count } => count <= 100,
            Self::Never => true,
        }
    }

    /// Returns the first day on which points credited on `day` can no longer be used.
    pub fn expired_from(self, day: BusinessDay) -> BusinessDay {
        match self {
            Self::Days { count } => day.plus_days(count.saturating_add(1)),
            Self::EndOfMonth { count } => {
                let month = i64::from(u8::from(day.0.month())).saturating_sub(1);
                let months = i64::from(day.0.year())
                    .saturating_mul(12)
                    .saturating_add(month);
                first_of_month(months.saturating_add(i64::from(count)).saturating_add(1))
            }
            Self::EndOfYear { count } => {
                let year = i64::from(day.0.year()).saturating_add(i64::from(count));
                first_of_month(year.saturating_add(1).saturating_mul(12))
            }
            Self::Never => NEVER,
        }
    }
}

/// Returns the first day of a month, counted from January of the year 0.
fn first_of_month(months: i64) -> BusinessDay {
    let year = i32::try_from(months.div_euclid(12)).ok();
    let month = u8::try_from(months.rem_euclid(12)).ok();
    let month = month.and_then(|month| Month::try_from(month.saturating_add(1)).ok());
    let date = year.zip(month);
    let date = date.and_then(|(year, month)| Date::from_calendar_date(year, month, 1).ok());
    date.map_or(NEVER, BusinessDay)
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow fails the test, as it should"
)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    fn expired(validity: Validity, day: Date) -> String {
        validity.expired_from(BusinessDay(day)).to_string()
    }

    #[test]
    fn points_last_until_the_end_of_a_day_a_month_or_a_year() {
        let days = |count| Validity::Days { count };
        let month = |count| Validity::EndOfMonth { count };
        let year = |count| Validity::EndOfYear { count };
        for (validity, day, expected) in [
            (days(1), date!(2026 - 11 - 21), "2026-11-23"),
            (days(365), date!(2026 - 11 - 21), "2027-11-22"),
            (days(365), date!(2027 - 11 - 21), "2028-11-21"), // over a 29 February
            (days(1), date!(2028 - 02 - 28), "2028-03-01"),
            (month(0), date!(2026 - 11 - 21), "2026-12-01"),
            (month(0), date!(2026 - 11 - 30), "2026-12-01"),
            (month(0), date!(2026 - 12 - 01), "2027-01-01"),
            (month(0), date!(2028 - 02 - 29), "2028-03-01"),
            (month(1), date!(2026 - 01 - 31), "2026-03-01"), // no 31 February to stumble over
            (month(3), date!(2026 - 11 - 21), "2027-03-01"),
            (month(12), date!(2027 - 02 - 28), "2028-03-01"), // the last usable day is the 29th
            (month(24), date!(2026 - 12 - 31), "2029-01-01"),
            (year(0), date!(2026 - 01 - 01), "2027-01-01"),
            (year(0), date!(2026 - 12 - 31), "2027-01-01"),
            (year(1), date!(2028 - 02 - 29), "2030-01-01"),
            (year(100), date!(2026 - 11 - 21), "2127-01-01"),
            (Validity::Never, date!(2026 - 11 - 21), "9999-12-31"),
            (year(0), date!(9999 - 06 - 01), "9999-12-31"),
            (month(0), date!(9999 - 12 - 01), "9999-12-31"),
        ] {
            assert_eq!(expired(validity, day), expected, "{validity:?} of {day}");
        }
    }

    #[test]
    fn a_validity_is_written_and_read_as_json_and_as_columns() {
        let read = |json: &str| serde_json::from_str::<Validity>(json);
        for (validity, json) in [
            (
                Validity::Days { count: 365 },
                r#"{"kind":"days","count":365}"#,
            ),
            (
                Validity::EndOfMonth { count: 0 },
                r#"{"kind":"end_of_month","count":0}"#,
            ),
            (
                Validity::EndOfYear { count: 1 },
                r#"{"kind":"end_of_year","count":1}"#,
            ),
            (Validity::Never, r#"{"kind":"never"}"#),
        ] {
            assert_eq!(serde_json::to_string(&validity).unwrap(), json);
            assert_eq!(read(json).unwrap(), validity);
            let columns = Validity::from_name(validity.kind().name(), validity.count());
            assert_eq!(columns, Some(validity));
        }
        for hostile in [
            r#"{"kind":"days"}"#,
            r#"{"kind":"days","count":-1}"#,
            r#"{"kind":"days","count":1.5}"#,
            r#"{"kind":"days","count":99999999999}"#,
            r#"{"kind":"days","count":1,"unit":"h"}"#,
            r#"{"kind":"never","count":1}"#,
            r#"{"kind":"sometimes"}"#,
            r#"{"count":1}"#,
            "365",
            "null",
        ] {
            assert!(read(hostile).is_err(), "{hostile}");
        }
        assert_eq!(Validity::from_name("days", None), None);
        assert_eq!(Validity::from_name("never", Some(1)), None);
    }

    fn any_validity() -> impl Strategy<Value = Validity> {
        prop_oneof![
            (1_u32..=36_500).prop_map(|count| Validity::Days { count }),
            (0_u32..=1_200).prop_map(|count| Validity::EndOfMonth { count }),
            (0_u32..=100).prop_map(|count| Validity::EndOfYear { count }),
            Just(Validity::Never),
        ]
    }

    proptest! {
        /// Whatever the day: expired later than it, on a first of the month or year where that is
        /// promised, and never earlier for a later credit.
        #[test]
        fn the_last_day_is_where_it_belongs(validity in any_validity(), julian in 2_451_545_i32..2_600_000) {
            let date = Date::from_julian_day(julian).unwrap();
            let next = date.next_day().unwrap();
            let expired = validity.expired_from(BusinessDay(date));
            prop_assert!(expired.0 > date);
            prop_assert!(validity.expired_from(BusinessDay(next)) >= expired);
            match validity {
                Validity::Days { count } => {
                    prop_assert_eq!((expired.0 - date).whole_days(), i64::from(count) + 1);
                }
                Validity::EndOfMonth { count } => {
                    prop_assert_eq!(expired.0.day(), 1);
                    let last = expired.0.previous_day().unwrap();
                    let months = |date: Date| date.year() * 12 + i32::from(u8::from(date.month()));
                    prop_assert_eq!(months(last) - months(date), i32::try_from(count).unwrap());
                }
                Validity::EndOfYear { count } => {
                    let last = expired.0.previous_day().unwrap();
                    prop_assert_eq!((expired.0.ordinal(), last.year()), (1, date.year() + i32::try_from(count).unwrap()));
                }
                Validity::Never => prop_assert_eq!(expired, NEVER),
            }
        }
    }
}
