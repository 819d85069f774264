//! `POST /api/v1/admin/exceptions/{id}/resolve`

use axum::extract::State;
use serde::Deserialize;

use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
        replay::Replayable,
    },
    idempotency::{self, StoredAnswer},
    payments::{ExceptionView, PaymentException, ResolveException},
    primitives::ExceptionId,
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ResolveRequest {
    /// What was done about it. No personal data: it is kept for years.
    #[schema(example = "已与商户核对，线下退还", min_length = 1, max_length = 200)]
    resolution: String,
}

/// Say what was done about an exception
///
/// It is open no longer. Moves no money by itself.
#[utoipa::path(
    post,
    path = "/api/v1/admin/exceptions/{id}/resolve",
    operation_id = "admin_resolve_exception",
    tag = "admin",
    security(("access_token" = ["exceptions:resolve"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ResolveRequest,
    responses((status = 200, description = "Resolved", body = ExceptionView), Problems),
)]
pub(in crate::http) async fn resolve_exception(
    State(app): State<App>,
    auth: Auth<Operator, needs::ResolveExceptions>,
    Path(id): Path<ExceptionId>,
    request: Keyed<ResolveRequest>,
) -> Result<Replayable, Problem> {
    let operator = auth.caller();
    let work = ResolveException {
        tenant: operator.tenant,
        id,
        resolution: request.body.resolution.clone(),
        by: auth.principal().actor(),
    };
    Ok(
        idempotency::once(app.db(), request.claim(auth.principal()), work, answer)
            .await?
            .into(),
    )
}

fn answer(exception: &PaymentException) -> Result<StoredAnswer, serde_json::Error> {
    StoredAnswer::json(
        200,
        Some(*exception.id.bytes()),
        &ExceptionView::from(exception),
    )
}
