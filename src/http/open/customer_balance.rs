//! `GET /api/v1/open/points/customers/{customer_id}/balance`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    customers,
    http::{
        expiring::{ExpiringPoints, ExpiringWithin},
        extract::{Auth, Operator, Path, Query, parse},
        points_balance::ShownBalance,
        problem::{Problem, Problems},
    },
    points::{self, PointsError},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CustomerBalance {
    /// All posted points; less the debt, and then perhaps below zero, where the tenant's policy is
    /// `negative`. The customer is shown the same numbers.
    #[schema(example = 120)]
    posted: i64,
    /// On their way in, not yet decided.
    #[schema(example = 0)]
    pending: i64,
    /// Of the posted ones, held.
    #[schema(example = 20)]
    held: i64,
    /// What can be spent, when it is above zero: needed by no hold and not expired. Points expire
    /// at the end of their last usable day, also while they are still posted. Less the debt, and
    /// then below zero, where the tenant's policy is `negative`.
    #[schema(example = 100)]
    available: i64,
    /// Owed: taken back by a refund after they had been spent. The next points that come in, or
    /// become free again, repay it; until then none can be spent.
    #[schema(example = 0)]
    debt: i64,
    expiring: ExpiringPoints,
}

/// A customer's points
///
/// A customer is known by the id (`cu_..`) that the profile shows.
#[utoipa::path(
    get,
    path = "/api/v1/open/points/customers/{customer_id}/balance",
    operation_id = "open_customer_balance",
    tag = "open",
    security(("access_token" = ["points:read"])),
    params(("customer_id" = String, Path), ExpiringWithin),
    responses((status = 200, description = "The balance", body = CustomerBalance), Problems),
)]
pub(in crate::http) async fn customer_balance(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(customer_id): Path<String>,
    Query(within): Query<ExpiringWithin>,
) -> Result<Json<CustomerBalance>, Problem> {
    let tenant = auth.may(Permission::ReadPoints)?.tenant;
    let customer = parse(&customer_id)?;
    let known = customers::find_customer(app.db(), tenant, customer).await?;
    known.ok_or(PointsError::CustomerUnknown)?;
    let customer_points =
        points::customer_points(app.db(), tenant, customer, within.days()?).await?;
    let policy = app.payments().policies.current(tenant).await?;
    let shown = ShownBalance::new(&customer_points.balance, policy.terms.points_shortfall);
    Ok(Json(CustomerBalance {
        posted: shown.posted,
        pending: shown.pending,
        held: shown.held,
        available: shown.available,
        debt: shown.debt,
        expiring: customer_points.expiring.into(),
    }))
}
