//! `POST /api/v1/admin/callbacks/{id}/replay`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path, parse},
        problem::{Problem, Problems},
    },
    payments::{self, HandledCallback},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ReplayAnswer {
    /// `settled`, `refund`, `duplicate` (it had been taken: nothing changed), `ignored` or
    /// `rejected`.
    #[schema(example = "settled")]
    outcome: &'static str,
    /// What is wrong with it: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "wrong_amount")]
    reason: Option<&'static str>,
}

impl From<HandledCallback> for ReplayAnswer {
    fn from(taken: HandledCallback) -> Self {
        Self {
            outcome: taken.outcome().name(),
            reason: match taken {
                HandledCallback::Rejected(reason) => Some(reason),
                HandledCallback::Settled
                | HandledCallback::Refund
                | HandledCallback::Duplicate
                | HandledCallback::Ignored => None,
            },
        }
    }
}

/// Play a callback again
///
/// As if it came now. One that was unverified is verified anew, with the keys of today and the time
/// of its arrival. Needs no key: one that was taken changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/admin/callbacks/{id}/replay",
    operation_id = "admin_replay_callback",
    tag = "admin",
    security(("access_token" = ["callbacks:replay"])),
    params(("id" = String, Path, example = "019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")),
    responses((status = 200, description = "What was done", body = ReplayAnswer), Problems),
)]
pub(in crate::http) async fn replay_callback(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<String>,
) -> Result<Json<ReplayAnswer>, Problem> {
    let operator = auth.may(Permission::ReplayCallbacks)?;
    let (tenant, by) = (operator.tenant, auth.principal().actor());
    let taken = payments::replay_callback(app.payments(), tenant, parse(&id)?, by).await?;
    Ok(Json(taken.into()))
}
