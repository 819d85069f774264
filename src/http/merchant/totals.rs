//! `GET /api/v1/merchant/totals`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Query, Staff},
        problem::{Problem, Problems},
    },
    payments::{self, DayTotals},
    primitives::BusinessDay,
};

/// A year and a day: as many rows as a screen can be asked to draw.
const DAYS_MAX: u32 = 366;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct TotalsQuery {
    /// First day, at UTC+8.
    #[param(format = Date, example = "2026-11-01")]
    from: String,
    /// Last day, included; at most 366 days.
    #[param(format = Date, example = "2026-11-30")]
    to: String,
}

impl TotalsQuery {
    fn days(&self) -> Result<(BusinessDay, BusinessDay), Problem> {
        let day = |name, text| {
            BusinessDay::parse(text).ok_or_else(|| Problem::field(name, "a day such as 2026-11-21"))
        };
        let (from, to) = (day("from", &self.from)?, day("to", &self.to)?);
        if (from..from.plus_days(DAYS_MAX)).contains(&to) {
            Ok((from, to))
        } else {
            Err(Problem::field(
                "to",
                "not before `from`, and at most 366 days",
            ))
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Totals {
    orders: i64,
    paid_fen: i64,
    points: i64,
    refunds: i64,
    refunded_fen: i64,
    points_back: i64,
    /// In order; days without payments are absent.
    days: Vec<TotalsDay>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct TotalsDay {
    #[schema(format = Date, example = "2026-11-21")]
    day: String,
    #[schema(example = 87)]
    orders: i64,
    #[schema(example = 104_400)]
    paid_fen: i64,
    /// Credited to customers.
    #[schema(example = 1_044)]
    points: i64,
    /// Refunds that arrived on that day, whenever the payment was.
    #[schema(example = 2)]
    refunds: i64,
    #[schema(example = 2_400)]
    refunded_fen: i64,
    /// Given back by customers with these refunds.
    #[schema(example = 24)]
    points_back: i64,
}

impl From<Vec<DayTotals>> for Totals {
    fn from(days: Vec<DayTotals>) -> Self {
        let sum = |of: fn(&DayTotals) -> i64| days.iter().map(of).fold(0, i64::saturating_add);
        Self {
            orders: sum(|day| day.orders),
            paid_fen: sum(|day| day.paid.get()),
            points: sum(|day| day.points.get()),
            refunds: sum(|day| day.refunds),
            refunded_fen: sum(|day| day.refunded.get()),
            points_back: sum(|day| day.points_back.get()),
            days: days.iter().map(TotalsDay::from).collect(),
        }
    }
}

impl From<&DayTotals> for TotalsDay {
    fn from(day: &DayTotals) -> Self {
        Self {
            day: day.day.to_string(),
            orders: day.orders,
            paid_fen: day.paid.get(),
            points: day.points.get(),
            refunds: day.refunds,
            refunded_fen: day.refunded.get(),
            points_back: day.points_back.get(),
        }
    }
}

/// The merchant's takings by day
///
/// A moment behind the payments themselves.
#[utoipa::path(
    get,
    path = "/api/v1/merchant/totals",
    operation_id = "merchant_totals",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(TotalsQuery),
    responses((status = 200, description = "Sum and days", body = Totals), Problems),
)]
pub(in crate::http) async fn totals(
    State(app): State<App>,
    auth: Auth<Staff>,
    Query(query): Query<TotalsQuery>,
) -> Result<Json<Totals>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let (from, to) = query.days()?;
    let days = payments::merchant_totals(app.db(), staff.tenant, staff.merchant, from, to).await?;
    Ok(Json(days.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_are_in_order_and_at_most_a_year() {
        let days = |from: &str, to: &str| {
            let query = TotalsQuery {
                from: from.to_owned(),
                to: to.to_owned(),
            };
            query.days().is_ok()
        };
        assert!(days("2026-11-01", "2026-11-01"));
        assert!(days("2026-01-01", "2027-01-01"));
        assert!(!days("2026-01-01", "2027-01-02"));
        assert!(!days("2026-11-02", "2026-11-01"));
        assert!(!days("2026-13-01", "2026-11-01"));
        assert!(!days("", ""));
    }
}
