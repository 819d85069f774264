//! The last day on which points can be used, as the API says it.
//!
//! Tables and the domain know the first day on which points can no longer be used
//! (`expired_from`), so that a comparison is half-open. People ask until when they can use them, so
//! requests and answers say the day before (`last_usable_on`). `9999-12-31` is "for ever" in both.

use super::problem::Problem;
use crate::primitives::BusinessDay;

/// Returns the last day on which points can be used that have expired from this day on.
pub(super) fn last_usable_on(expired_from: BusinessDay) -> BusinessDay {
    if expired_from == BusinessDay::NEVER {
        return BusinessDay::NEVER;
    }
    let before = expired_from.0.previous_day();
    before.map_or(expired_from, BusinessDay)
}

/// Returns the first day on which points can no longer be used of which this is the last usable
/// one: the inverse of [`last_usable_on`].
pub(super) fn expired_from(last_usable_on: BusinessDay) -> BusinessDay {
    last_usable_on.plus_days(1)
}

/// Reads the field `last_usable_on` of a request.
pub(super) fn parse(text: &str) -> Result<BusinessDay, Problem> {
    let day = BusinessDay::parse(text);
    day.ok_or_else(|| Problem::field("last_usable_on", "a day: 2027-11-21"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_usable_day_is_the_day_before_and_for_ever_stays_for_ever() {
        let day = |text: &str| BusinessDay::parse(text).unwrap();
        for (expired, usable) in [
            ("2026-11-22", "2026-11-21"),
            ("2027-01-01", "2026-12-31"),
            ("2028-03-01", "2028-02-29"),
            ("9999-12-30", "9999-12-29"),
            ("9999-12-31", "9999-12-31"),
        ] {
            assert_eq!(last_usable_on(day(expired)), day(usable));
            assert_eq!(expired_from(day(usable)), day(expired));
        }
        // What lasts until the day before "for ever" lasts for ever.
        assert_eq!(expired_from(day("9999-12-30")), BusinessDay::NEVER);
    }
}
