//! `POST /api/v1/auth/wechat/login`

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::session::Session;
use crate::{
    app::App,
    customers::{self, Arrival},
    http::{
        extract::{self, login_code},
        origin::RequestOrigin,
        problem::{Problem, Problems},
    },
    merchants,
    primitives::{ChallengeId, Secret},
    tenants::{self, Tenant},
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WechatLoginRequest {
    /// The tenant's code.
    #[schema(example = "demo")]
    tenant: String,
    /// What `wx.login` gave.
    #[schema(value_type = String, example = "sim-demo-customer-1", min_length = 1, max_length = 128)]
    code: Secret<String>,
    /// As whom: one person may be both.
    #[serde(rename = "as")]
    audience: LoginAs,
    /// For customers, after a 403 `risk_verification_required`: the challenge of that answer.
    /// Together with a fresh code this answers it.
    #[schema(value_type = Option<String>, example = "ch_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    #[serde(default)]
    challenge: Option<ChallengeId>,
}

#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum LoginAs {
    Customer,
    Merchant,
}

/// Log in with WeChat
///
/// A customer who comes for the first time is made; whoever logs in as merchant must be on the
/// staff of one.
///
/// A customer may have to show that the phone is in their hand (403 `risk_verification_required`,
/// with a `challenge`): call `wx.login` again and repeat this with the fresh code and the
/// challenge. 403 `risk_blocked`: not now.
#[utoipa::path(
    post,
    path = "/api/v1/auth/wechat/login",
    tag = "auth",
    params(("Device-Id" = Option<String>, Header, description = "What the mini-program calls the phone: 1 to 64 of `A-Z a-z 0-9 . _ : -`")),
    request_body(
        content = WechatLoginRequest,
        examples(
            ("as_customer" = (summary = "As a customer", value = json!({"tenant": "demo", "code": "sim-demo-customer-1", "as": "customer"}))),
            ("as_merchant" = (summary = "As an owner or a clerk", value = json!({"tenant": "demo", "code": "sim-merchant-owner-1", "as": "merchant"}))),
            ("with_challenge" = (summary = "With the answer to a challenge", value = json!({"tenant": "demo", "code": "sim-demo-customer-1", "as": "customer", "challenge": "ch_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00"}))),
        ),
    ),
    responses((status = 200, description = "In", body = Session), Problems),
)]
pub(in crate::http) async fn wechat_login(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    extract::Json(request): extract::Json<WechatLoginRequest>,
) -> Result<Json<Session>, Problem> {
    let tenant = find_tenant(&app, &request.tenant).await?.id;
    let code = login_code(&request.code)?;
    let (db, login, lifetime) = (app.db(), app.login().as_ref(), app.sessions());
    Ok(Json(match request.audience {
        LoginAs::Customer => {
            let arrival = Arrival {
                tenant,
                code,
                origin,
                challenge: request.challenge,
            };
            let signed = customers::sign_in(db, login, app.risk(), lifetime, arrival).await?;
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
