//! A sweep of expired points, as operators see it.

use serde::Serialize;

use crate::{points::expiry::ExpiryRun, primitives::Timestamp};

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ExpiryRun)]
pub(in crate::http) struct ExpiryRunItem {
    #[schema(example = "xr_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: String,
    /// Points are expired whose first day without them is this or an earlier one (UTC+8).
    #[schema(value_type = String, format = Date, example = "2026-11-21")]
    day: String,
    /// `asked`, `under_way` or `finished`.
    #[schema(example = "under_way")]
    state: &'static str,
    /// `schedule`, or who asked for it.
    #[schema(example = "operator:lin")]
    started_by: String,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// So far: accounts of which points expired. A process that was killed may not have lived to
    /// count its last ones; the journal has them all.
    #[schema(example = 1200)]
    accounts: u64,
    /// Lots that were emptied until now, or emptied but for what is held.
    #[schema(example = 1310)]
    lots: u64,
    /// So far.
    #[schema(example = 25210)]
    points: i64,
    /// So far: notices of points that will expire, one for each customer and day.
    #[schema(example = 800)]
    notices: u64,
}

impl From<ExpiryRun> for ExpiryRunItem {
    fn from(run: ExpiryRun) -> Self {
        Self {
            id: run.id.to_string(),
            day: run.day.to_string(),
            state: run.state.name(),
            started_by: run.started_by.to_string(),
            asked_at: run.asked_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            accounts: run.accounts,
            lots: run.lots,
            points: run.points.get(),
            notices: run.notices,
        }
    }
}
