//! `POST /api/v1/auth/wechat/login`

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::session::Session;
use crate::{
    app::App,
    customers,
    http::{extract, openapi::Problems, problem::Problem},
    merchants,
    primitives::Secret,
    tenants::{self, Tenant},
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WechatLoginRequest {
    /// The platform's code.
    #[schema(example = "demo")]
    tenant: String,
    /// What `wx.login` gave.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    code: Secret<String>,
    /// As whom: one person may be both.
    #[serde(rename = "as")]
    audience: LoginAs,
}

#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum LoginAs {
    Customer,
    Merchant,
}

/// Log in with WeChat
///
/// A customer who comes for the first time is made; a merchant must be on the staff of a shop.
#[utoipa::path(
    post,
    path = "/api/v1/auth/wechat/login",
    tag = "auth",
    request_body = WechatLoginRequest,
    responses((status = 200, description = "In", body = Session), Problems),
)]
pub(in crate::http) async fn wechat_login(
    State(app): State<App>,
    extract::Json(request): extract::Json<WechatLoginRequest>,
) -> Result<Json<Session>, Problem> {
    let tenant = find_tenant(&app, &request.tenant).await?.id;
    let code = login_code(&request.code)?;
    let (db, login, lifetime) = (app.db(), app.login().as_ref(), app.sessions());
    Ok(Json(match request.audience {
        LoginAs::Customer => {
            let signed = customers::sign_in(db, login, lifetime, tenant, code).await?;
            Session::of_customer(&app, signed)
        }
        LoginAs::Merchant => {
            let signed = merchants::sign_in(db, login, lifetime, tenant, code).await?;
            Session::of_staff(&app, signed)
        }
    }))
}

async fn find_tenant(app: &App, code: &str) -> Result<Tenant, Problem> {
    let unknown = Problem::new(
        StatusCode::NOT_FOUND,
        "tenant_not_found",
        "There is no tenant of this code",
        "平台不存在",
    );
    tenants::find_by_code(app.db(), code).await?.ok_or(unknown)
}

/// What WeChat gives is plain and short; the rest need not be sent to it.
fn login_code(code: &Secret<String>) -> Result<&str, Problem> {
    let code = code.expose().as_str();
    let sound = (1..=128).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        Ok(code)
    } else {
        Err(Problem::field("code", "what wx.login gave"))
    }
}
