//! `GET /api/v1/open/points/deeds/{id}`

use axum::{Json, extract::State};

use super::deed::DeedItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path, parse},
        openapi::Problems,
        problem::Problem,
    },
    points::{self, DeedError},
};

/// One deed
#[utoipa::path(
    get,
    path = "/api/v1/open/points/deeds/{id}",
    operation_id = "open_get_deed",
    tag = "open",
    security(("access_token" = [])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The deed", body = DeedItem), Problems),
)]
pub(in crate::http) async fn get_deed(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<String>,
) -> Result<Json<DeedItem>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let deed = points::find_deed(app.db(), operator.tenant, parse(&id)?).await?;
    Ok(Json(deed.ok_or(DeedError::NotFound)?.into()))
}
