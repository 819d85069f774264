//! `GET /api/v1/customer/points/statistics`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer},
        problem::{Problem, Problems},
    },
    points::{self, Statistics},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsStatistics {
    /// Whatever came: earned, awarded. Not the shortfall of a refund whose points were spent: that
    /// is a debt.
    #[schema(example = 480)]
    earned_total: i64,
    /// Whatever left: spent, deducted, taken back by refunds, expired. Not what repaid a debt.
    #[schema(example = 360)]
    spent_total: i64,
    /// The last thirty days on which anything happened, newest first.
    days: Vec<PointsDay>,
    /// By where they came from and went to.
    sources: Vec<PointsSource>,
    /// By what happened, each counted once.
    events: Vec<PointsHappened>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PointsHappened {
    /// `earned`, `awarded`, `taken_back` (by refunds), `deducted`, `redeemed`, `returned`,
    /// `expired` or `adjusted`.
    #[schema(example = "redeemed")]
    what: String,
    #[schema(example = 30)]
    points: i64,
    /// How often.
    #[schema(example = 2)]
    times: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PointsSource {
    /// `payment`, `refund`, `expiry`, `adjustment`, or what a back end calls itself.
    #[schema(example = "payment")]
    source: String,
    earned: i64,
    spent: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PointsDay {
    /// At UTC+8.
    #[schema(format = Date, example = "2026-11-21")]
    day: String,
    earned: i64,
    spent: i64,
}

impl From<Statistics> for PointsStatistics {
    fn from(statistics: Statistics) -> Self {
        let days = statistics.days.into_iter().map(|day| PointsDay {
            day: day.day.to_string(),
            earned: day.earned,
            spent: day.spent,
        });
        let sources = statistics.sources.into_iter().map(|source| PointsSource {
            source: source.source,
            earned: source.earned,
            spent: source.spent,
        });
        let events = statistics.events.into_iter().map(|event| PointsHappened {
            what: event.what,
            points: event.points,
            times: event.times,
        });
        Self {
            events: events.collect(),
            earned_total: statistics.earned_total.get(),
            spent_total: statistics.spent_total.get(),
            days: days.collect(),
            sources: sources.collect(),
        }
    }
}

/// What one earned and spent
#[utoipa::path(
    get,
    path = "/api/v1/customer/points/statistics",
    operation_id = "customer_points_statistics",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    responses((status = 200, description = "Totals and days", body = PointsStatistics), Problems),
)]
pub(in crate::http) async fn points_statistics(
    State(app): State<App>,
    auth: Auth<Customer>,
) -> Result<Json<PointsStatistics>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let statistics = points::statistics(app.db(), customer.tenant, customer.id).await?;
    Ok(Json(statistics.into()))
}
