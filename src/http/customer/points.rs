//! `GET /api/v1/customer/points`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        expiring::{ExpiringPoints, ExpiringWithin},
        extract::{Auth, Customer, Query},
        openapi::Problems,
        problem::Problem,
    },
    payments::PointsShortfall,
    points::{self, Standing},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsBalance {
    /// All posted points; less the debt, and then perhaps below zero, where the platform's policy is `negative`.
    #[schema(example = 120)]
    posted: i64,
    /// Of these, set aside.
    #[schema(example = 20)]
    held: i64,
    /// What can be spent, when it is above zero: neither set aside nor over. Points are over at the turn of their day, also while they are still posted.
    #[schema(example = 100)]
    available: i64,
    /// On their way in, not yet decided.
    #[schema(example = 0)]
    pending: i64,
    /// Owed: taken back by a refund after they had been spent. The next points that come in repay it.
    #[schema(example = 0)]
    debt: i64,
    expiring: ExpiringPoints,
}

impl PointsBalance {
    fn new(standing: &Standing, shortfall: PointsShortfall) -> Self {
        let balance = &standing.balance;
        let owed = match shortfall {
            PointsShortfall::Negative => balance.debt.get(),
            PointsShortfall::Debt | PointsShortfall::Refuse => 0,
        };
        Self {
            posted: balance.posted.get().saturating_sub(owed),
            held: balance.held.get(),
            available: balance.available.get().saturating_sub(owed),
            pending: balance.pending.get(),
            debt: balance.debt.get(),
            expiring: standing.expiring.into(),
        }
    }
}

/// One's own points
#[utoipa::path(
    get,
    path = "/api/v1/customer/points",
    operation_id = "customer_points",
    tag = "customer",
    security(("access_token" = [])),
    params(ExpiringWithin),
    responses((status = 200, description = "The balance", body = PointsBalance), Problems),
)]
pub(in crate::http) async fn points(
    State(app): State<App>,
    auth: Auth<Customer>,
    Query(within): Query<ExpiringWithin>,
) -> Result<Json<PointsBalance>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let days = within.days()?;
    let standing = points::standing(app.db(), customer.tenant, customer.id, days).await?;
    let policy = app.payments().policies.current(customer.tenant).await?;
    let shortfall = policy.terms.points_shortfall;
    Ok(Json(PointsBalance::new(&standing, shortfall)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Balance, points::ExpiringSoon, primitives::Points};

    #[test]
    fn a_debt_is_taken_off_the_balance_only_where_the_policy_says_so() {
        let points = |units| Points::parse(units).unwrap();
        let balance = Balance {
            posted: points(5),
            held: points(2),
            available: points(3),
            pending: points(0),
            debt: points(7),
        };
        let shown = |shortfall| {
            let expiring = ExpiringSoon {
                within_days: 30,
                points: points(0),
                next_on: None,
            };
            let shown = PointsBalance::new(&Standing { balance, expiring }, shortfall);
            (shown.posted, shown.available, shown.debt)
        };
        assert_eq!(shown(PointsShortfall::Debt), (5, 3, 7));
        assert_eq!(shown(PointsShortfall::Refuse), (5, 3, 7));
        assert_eq!(shown(PointsShortfall::Negative), (-2, -4, 7));
    }
}
