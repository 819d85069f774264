//! `POST /api/v1/auth/refresh`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::session::Session;
use crate::{
    app::App,
    auth::{AuthError, RefreshToken, SubjectKind},
    customers,
    http::{extract, problem::Problem, problem::Problems},
    merchants,
    primitives::Secret,
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RefreshRequest {
    /// What the login, or the last refresh, gave.
    #[schema(
        value_type = String,
        example = "zfc_5f0c2f6e7a9d4b1c8e3a6d0b9f7c2e514a8d1c6b3e9f0a7d2c5b8e4f1a6d9c03"
    )]
    refresh_token: Secret<String>,
}

/// Stay in
///
/// Uses the refresh token up and gives the next one. A token that is used twice revokes everything
/// that its login led to: log in again.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    tag = "auth",
    request_body = RefreshRequest,
    responses((status = 200, description = "Still in", body = Session), Problems),
)]
pub(in crate::http) async fn refresh(
    State(app): State<App>,
    extract::Json(request): extract::Json<RefreshRequest>,
) -> Result<Json<Session>, Problem> {
    let token =
        RefreshToken::parse(request.refresh_token.expose()).ok_or(AuthError::RefreshInvalid)?;
    Ok(Json(match token.kind() {
        SubjectKind::Customer => {
            let signed = customers::refresh(app.db(), app.sessions(), token).await?;
            Session::of_customer(&app, signed)
        }
        SubjectKind::Staff => {
            let signed = merchants::refresh(app.db(), app.sessions(), token).await?;
            Session::of_staff(&app, signed)
        }
    }))
}
