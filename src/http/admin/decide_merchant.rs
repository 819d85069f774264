//! `POST /api/v1/admin/merchants/{id}/approve`, `/reject`, `/suspend`

use axum::extract::State;
use serde::Deserialize;

use super::merchant::AdminMerchant;
use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
        replay::Replayable,
    },
    idempotency::{self, StoredAnswer},
    merchants::{self, Decide, Decision, Merchant},
    payments::{self, ChannelMode},
    primitives::MerchantId,
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ApproveRequest {
    /// WeChat's number of the merchant under our service provider 服务商. A tenant that collects
    /// for itself 直连 leaves it out: it is the tenant's own.
    #[schema(example = "1900000109", pattern = "^[0-9]{1,32}$")]
    #[serde(default)]
    sub_mchid: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReasonRequest {
    /// Shown to the merchant.
    #[schema(example = "营业执照不清晰", min_length = 1, max_length = 200)]
    reason: String,
}

/// Approve a merchant
///
/// Only a pending one. From then on it collects money.
#[utoipa::path(
    post,
    path = "/api/v1/admin/merchants/{id}/approve",
    operation_id = "admin_approve_merchant",
    tag = "admin",
    security(("access_token" = ["merchants:decide"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ApproveRequest,
    responses((status = 200, description = "Approved", body = AdminMerchant), Problems),
)]
pub(in crate::http) async fn approve(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideMerchants>,
    Path(id): Path<MerchantId>,
    request: Keyed<ApproveRequest>,
) -> Result<Replayable, Problem> {
    let tenant = auth.caller().tenant;
    let channel = app.channels().of(tenant);
    let us = channel.account();
    let decision = match (us.mode, request.body.sub_mchid.as_deref()) {
        (ChannelMode::Partner, Some(sub_mchid)) => Decision::approve_under(&us.mchid, sub_mchid)?,
        (ChannelMode::Partner, None) => {
            return Err(Problem::field(
                "sub_mchid",
                "WeChat's number of the merchant",
            ));
        }
        (ChannelMode::Direct, None) => Decision::approve(&us.mchid)?,
        (ChannelMode::Direct, Some(own)) if own == us.mchid => Decision::approve(own)?,
        (ChannelMode::Direct, Some(_)) => {
            return Err(Problem::field(
                "sub_mchid",
                "nothing, or the tenant's own number: it collects for itself",
            ));
        }
    };
    decide(&app, &auth, id, &request, decision).await
}

/// Reject a merchant
///
/// Only a pending one. Its owner may register again.
#[utoipa::path(
    post,
    path = "/api/v1/admin/merchants/{id}/reject",
    operation_id = "admin_reject_merchant",
    tag = "admin",
    security(("access_token" = ["merchants:decide"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ReasonRequest,
    responses((status = 200, description = "Rejected", body = AdminMerchant), Problems),
)]
pub(in crate::http) async fn reject(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideMerchants>,
    Path(id): Path<MerchantId>,
    request: Keyed<ReasonRequest>,
) -> Result<Replayable, Problem> {
    let decision = Decision::reject(&request.body.reason)?;
    decide(&app, &auth, id, &request, decision).await
}

/// Suspend a merchant
///
/// Only an approved one. It collects nothing from then on: its codes lead nowhere, and orders that
/// are not paid are closed at WeChat within seconds (one that is paid before that counts). What was
/// paid stays; refunds of it are asked for and agreed to by operators, no longer by the merchant's
/// people.
#[utoipa::path(
    post,
    path = "/api/v1/admin/merchants/{id}/suspend",
    operation_id = "admin_suspend_merchant",
    tag = "admin",
    security(("access_token" = ["merchants:decide"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ReasonRequest,
    responses((status = 200, description = "Suspended", body = AdminMerchant), Problems),
)]
pub(in crate::http) async fn suspend(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideMerchants>,
    Path(id): Path<MerchantId>,
    request: Keyed<ReasonRequest>,
) -> Result<Replayable, Problem> {
    let decision = Decision::suspend(&request.body.reason)?;
    let answer = decide(&app, &auth, id, &request, decision).await?;
    let tenant = auth.caller().tenant;
    merchants::forget_codes(app.db(), app.cache(), tenant, id).await?;
    payments::expedite_open_orders(app.payments(), tenant, id).await?;
    Ok(answer)
}

async fn decide<T>(
    app: &App,
    auth: &Auth<Operator, needs::DecideMerchants>,
    merchant: MerchantId,
    request: &Keyed<T>,
    decision: Decision,
) -> Result<Replayable, Problem> {
    let operator = auth.caller();
    let by = auth.principal().actor();
    let work = Decide {
        tenant: operator.tenant,
        merchant,
        decision,
        by,
    };
    Ok(
        idempotency::once(app.db(), request.claim(auth.principal()), work, answer)
            .await?
            .into(),
    )
}

fn answer(merchant: &Merchant) -> Result<StoredAnswer, serde_json::Error> {
    StoredAnswer::json(
        200,
        Some(*merchant.id.bytes()),
        &AdminMerchant::from(merchant),
    )
}
