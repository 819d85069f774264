//! `GET /api/v1/open/points/transactions/{id}`

use axum::{Json, extract::State};

use super::points_transaction::PointsTransactionView;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path, parse},
        problem::{Problem, Problems},
    },
    points::{self, PointsError},
};

/// A points transaction
#[utoipa::path(
    get,
    path = "/api/v1/open/points/transactions/{id}",
    operation_id = "open_get_points_transaction",
    tag = "open",
    security(("access_token" = ["points:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The points transaction", body = PointsTransactionView), Problems),
)]
pub(in crate::http) async fn get_points_transaction(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<String>,
) -> Result<Json<PointsTransactionView>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let transaction =
        points::find_points_transaction(app.db(), operator.tenant, parse(&id)?).await?;
    Ok(Json(transaction.ok_or(PointsError::NotFound)?.into()))
}
