//! `POST /api/v1/customer/challenges/{id}/answer`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::challenge::CustomerChallenge;
use crate::{
    app::App,
    customers,
    http::{
        extract::{self, Auth, Path, login_code, needs, parse},
        problem::{Problem, Problems},
    },
    primitives::Secret,
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AnswerChallengeRequest {
    /// What `wx.login` gave just now.
    #[schema(value_type = String, example = "sim-demo-customer-1", min_length = 1, max_length = 128)]
    code: Secret<String>,
}

/// Answer a challenge
///
/// After a 403 `risk_verification_required`: call `wx.login`, send its code here, then repeat the
/// request with the same `Idempotency-Key`. The code proves that the customer has the phone in
/// hand. An answer counts for a while (15 minutes unless the tenant's rules say otherwise).
/// Answering again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/customer/challenges/{id}/answer",
    operation_id = "customer_answer_challenge",
    tag = "customer",
    security(("access_token" = ["pay"])),
    params(("id" = String, Path)),
    request_body = AnswerChallengeRequest,
    responses((status = 200, description = "Answered", body = CustomerChallenge), Problems),
)]
pub(in crate::http) async fn answer_challenge(
    State(app): State<App>,
    auth: Auth<extract::Customer, needs::Pay>,
    Path(id): Path<String>,
    extract::Json(request): extract::Json<AnswerChallengeRequest>,
) -> Result<Json<CustomerChallenge>, Problem> {
    let customer = auth.caller();
    let id = parse(&id)?;
    let code = login_code(&request.code)?;
    let who = (customer.tenant, customer.id);
    let login = app.login().as_ref();
    let challenge = customers::answer_challenge(app.db(), login, who, id, code).await?;
    Ok(Json(CustomerChallenge::of(&challenge, app.now())))
}
