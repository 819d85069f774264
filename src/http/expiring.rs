//! Points that will expire soon, as customers and back ends are shown them.

use serde::{Deserialize, Serialize};

use super::{last_usable::last_usable_on, problem::Problem};
use crate::points::ExpiringSoon;

/// Days looked ahead unless asked, and at most.
const WITHIN_DAYS: u32 = 30;
const WITHIN_DAYS_MAX: u32 = 366;

/// How far to look ahead.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExpiringWithin {
    /// Days to look ahead for points that will expire, 30 unless said.
    #[param(minimum = 1, maximum = 366)]
    expiring_within_days: Option<u32>,
}

impl ExpiringWithin {
    pub(super) fn days(&self) -> Result<u32, Problem> {
        match self.expiring_within_days.unwrap_or(WITHIN_DAYS) {
            days @ 1..=WITHIN_DAYS_MAX => Ok(days),
            _ => Err(Problem::field("expiring_within_days", "1 to 366")),
        }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ExpiringPoints {
    #[schema(example = 30)]
    within_days: u32,
    /// Expire within these days, unless they are used before.
    #[schema(example = 80)]
    points: i64,
    /// The last day (at UTC+8) on which all of them can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2026-11-30")]
    last_usable_on: Option<String>,
}

impl From<ExpiringSoon> for ExpiringPoints {
    fn from(soon: ExpiringSoon) -> Self {
        Self {
            within_days: soon.within_days,
            points: soon.points.get(),
            last_usable_on: soon.next_on.map(|day| last_usable_on(day).to_string()),
        }
    }
}
