//! `GET /api/v1/admin/callbacks/{id}`

use axum::{Json, extract::State};
use serde::Serialize;

use super::callback::CallbackItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path, parse},
        problem::{Problem, Problems},
    },
    payments::{self, ReplayError},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CallbackWithBody {
    #[serde(flatten)]
    callback: CallbackItem,
    /// As received; the part that says something is encrypted. What of it is not text stands as
    /// `U+FFFD`.
    body: String,
}

/// A callback as it was received
#[utoipa::path(
    get,
    path = "/api/v1/admin/callbacks/{id}",
    operation_id = "admin_get_callback",
    tag = "admin",
    security(("access_token" = ["callbacks:read"])),
    params(("id" = String, Path, example = "019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")),
    responses((status = 200, description = "The callback", body = CallbackWithBody), Problems),
)]
pub(in crate::http) async fn get_callback(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<String>,
) -> Result<Json<CallbackWithBody>, Problem> {
    let operator = auth.may(Permission::ReadCallbacks)?;
    let found = payments::find_callback(app.db(), operator.tenant, parse(&id)?).await?;
    let found = found.ok_or(ReplayError::NotFound)?;
    Ok(Json(CallbackWithBody {
        callback: CallbackItem::from(&found),
        body: String::from_utf8_lossy(&found.body).into_owned(),
    }))
}
