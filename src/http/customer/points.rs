//! `GET /api/v1/customer/points`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer},
        openapi::Problems,
        problem::Problem,
    },
    points,
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsBalance {
    /// All posted points.
    #[schema(example = 120)]
    posted: i64,
    /// Of these, set aside.
    #[schema(example = 20)]
    held: i64,
    /// What can be spent: posted less held.
    #[schema(example = 100)]
    available: i64,
    /// On their way in, not yet decided.
    #[schema(example = 0)]
    pending: i64,
}

/// One's own points
#[utoipa::path(
    get,
    path = "/api/v1/customer/points",
    operation_id = "customer_points",
    tag = "customer",
    security(("access_token" = [])),
    responses((status = 200, description = "The balance", body = PointsBalance), Problems),
)]
pub(in crate::http) async fn points(
    State(app): State<App>,
    auth: Auth<Customer>,
) -> Result<Json<PointsBalance>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let balance = points::balance(app.db(), customer.tenant, customer.id).await?;
    Ok(Json(PointsBalance {
        posted: balance.posted.get(),
        held: balance.held.get(),
        available: balance.available.get(),
        pending: balance.pending.get(),
    }))
}
