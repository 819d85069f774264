//! `POST /api/v1/open/points/deductions`

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::deed::{BackEnd, DeedItem, DeedRequest, ask};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, needs},
        openapi::Problems,
        problem::Problem,
    },
    points::Wanted,
};

/// Take points from a customer
///
/// Never below zero: with too few 409 `points_insufficient` says how many are available, and nothing is kept, so that the reference may be used again.
/// The same reference with the same body is the same deed, for ever (200); with another body 422 `reference_reused`. An `Idempotency-Key` is not needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/deductions",
    operation_id = "open_deduct_points",
    tag = "open",
    security(("access_token" = [])),
    request_body = DeedRequest,
    responses(
        (status = 201, description = "Taken", body = DeedItem),
        (status = 200, description = "Asked for before: as it stands by now", body = DeedItem),
        Problems,
    ),
)]
pub(in crate::http) async fn deduct_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::DeductPoints>,
    Json(request): Json<DeedRequest>,
) -> Result<(StatusCode, Answer<DeedItem>), Problem> {
    let caller = BackEnd::of(&auth)?;
    ask(&app, request.wish(caller, Wanted::Deduct)?).await
}
