//! `GET /api/v1/customer/points`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        expiring::{ExpiringPoints, ExpiringWithin},
        extract::{Auth, Customer, Query},
        points_balance::ShownBalance,
        problem::{Problem, Problems},
    },
    payments::PointsShortfall,
    points::{self, CustomerPoints},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsBalance {
    /// All posted points; less the debt, and then perhaps below zero, where the tenant's policy is
    /// `negative`.
    #[schema(example = 120)]
    posted: i64,
    /// Of these, held.
    #[schema(example = 20)]
    held: i64,
    /// What can be spent, when it is above zero: needed by no hold and not expired. Points expire
    /// at the end of their last usable day, also while they are still posted. Less the debt, and
    /// then below zero, where the tenant's policy is `negative`.
    #[schema(example = 100)]
    available: i64,
    /// On their way in, not yet decided.
    #[schema(example = 0)]
    pending: i64,
    /// Owed: taken back by a refund after they had been spent. The next points that come in, or
    /// become free again, repay it; until then none can be spent.
    #[schema(example = 0)]
    debt: i64,
    expiring: ExpiringPoints,
}

impl PointsBalance {
    fn new(customer_points: &CustomerPoints, shortfall: PointsShortfall) -> Self {
        let shown = ShownBalance::new(&customer_points.balance, shortfall);
        Self {
            posted: shown.posted,
            held: shown.held,
            available: shown.available,
            pending: shown.pending,
            debt: shown.debt,
            expiring: customer_points.expiring.into(),
        }
    }
}

/// One's own points
#[utoipa::path(
    get,
    path = "/api/v1/customer/points",
    operation_id = "customer_points",
    tag = "customer",
    security(("access_token" = ["own:read"])),
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
    let customer_points =
        points::customer_points(app.db(), customer.tenant, customer.id, days).await?;
    let policy = app.payments().policies.current(customer.tenant).await?;
    let shortfall = policy.terms.points_shortfall;
    Ok(Json(PointsBalance::new(&customer_points, shortfall)))
}
