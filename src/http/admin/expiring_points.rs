//! `GET /api/v1/admin/points/expiring`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Query},
        last_usable::{expired_from, last_usable_on},
        problem::{Problem, Problems},
    },
    points::expiry::{self, ExpiringDay, FORECAST_DAYS_MAX},
    primitives::BusinessDay,
};

/// Days that are shown unless said.
const DAYS: u32 = 30;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ExpiringQuery {
    /// The first last usable day (UTC+8), today unless said.
    #[param(value_type = Option<String>, format = Date, example = "2026-11-21")]
    from: Option<String>,
    /// The last day (UTC+8), thirty days after the first unless said; at most 92 days after it.
    #[param(value_type = Option<String>, format = Date, example = "2026-12-21")]
    to: Option<String>,
}

/// Points that expire, by day.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ExpiringPointsByDay)]
pub(in crate::http) struct ExpiringPoints {
    /// Days after which points expire, the earliest first.
    days: Vec<ExpiringDayItem>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ExpiringDayItem {
    /// The last day on which they can be used (UTC+8).
    #[schema(value_type = String, format = Date, example = "2026-11-22")]
    last_usable_on: String,
    /// Unless they are spent before. Of a day that has passed: what is still held.
    #[schema(example = 52100)]
    points: i64,
    #[schema(example = 310)]
    customers: i64,
}

impl From<ExpiringDay> for ExpiringDayItem {
    fn from(day: ExpiringDay) -> Self {
        Self {
            last_usable_on: last_usable_on(day.expired_from).to_string(),
            points: day.points,
            customers: day.customers,
        }
    }
}

/// What expires when
///
/// The points of all customers together.
#[utoipa::path(
    get,
    path = "/api/v1/admin/points/expiring",
    operation_id = "admin_expiring_points",
    tag = "admin",
    security(("access_token" = ["points:read"])),
    params(ExpiringQuery),
    responses((status = 200, description = "By day", body = ExpiringPoints), Problems),
)]
pub(in crate::http) async fn expiring_points(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(query): Query<ExpiringQuery>,
) -> Result<Json<ExpiringPoints>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let (from, to) = days(&query, app.now().business_day())?;
    let (from, to) = (expired_from(from), expired_from(to));
    let found = expiry::expiring_by_day(app.db(), operator.tenant, from, to).await?;
    let days = found.into_iter().map(ExpiringDayItem::from).collect();
    Ok(Json(ExpiringPoints { days }))
}

fn days(query: &ExpiringQuery, today: BusinessDay) -> Result<(BusinessDay, BusinessDay), Problem> {
    let read = |field, text: Option<&str>| {
        let day = text.map(|text| {
            BusinessDay::parse(text)
                .ok_or_else(|| Problem::field(field, "a day such as 2026-11-21"))
        });
        day.transpose()
    };
    let from = read("from", query.from.as_deref())?.unwrap_or(today);
    let to = read("to", query.to.as_deref())?.unwrap_or(from.plus_days(DAYS));
    if to < from || to > from.plus_days(u32::from(FORECAST_DAYS_MAX)) {
        return Err(Problem::field("to", "from, or up to 92 days after it"));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_days_are_asked_for_at_a_time() {
        let today = BusinessDay::parse("2026-11-21").unwrap();
        let ask = |from: Option<&str>, to: Option<&str>| {
            let query = ExpiringQuery {
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            };
            let read = days(&query, today).map_err(|problem| format!("{problem:?}"));
            read.map(|(from, to)| (from.to_string(), to.to_string()))
        };
        let said = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(ask(None, None), said("2026-11-21", "2026-12-21"));
        assert_eq!(
            ask(Some("2027-01-01"), Some("2027-01-01")),
            said("2027-01-01", "2027-01-01")
        );
        assert!(ask(None, Some("2026-11-20")).unwrap_err().contains("to"));
        assert!(ask(None, Some("2027-02-22")).is_err());
        assert!(ask(Some("yesterday"), None).unwrap_err().contains("from"));
    }
}
