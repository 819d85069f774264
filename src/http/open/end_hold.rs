//! `POST /api/v1/open/points/holds/{id}/capture` and `/release`

use axum::{Json as Answer, extract::State};
use serde::Deserialize;

use super::points_transaction::{BackEnd, PointsTransactionView};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, Path, needs, parse},
        problem::{Problem, Problems},
    },
    points::{self, End},
    primitives::Points,
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CaptureRequest {
    /// At most what is held; all of it unless said. What is not captured is released.
    #[serde(default)]
    #[schema(example = 80, minimum = 1)]
    points: Option<i64>,
}

/// Capture a hold
///
/// Once: to repeat it with the same points gives the same answer. When it was released, has timed
/// out, or waits for a review, 409 `points_transaction_state_conflict` says which.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/holds/{id}/capture",
    operation_id = "open_capture_hold",
    tag = "open",
    security(("access_token" = ["points:hold"])),
    params(("id" = String, Path, description = "The points transaction's id")),
    request_body = CaptureRequest,
    responses((status = 200, description = "Captured, now or before", body = PointsTransactionView), Problems),
)]
pub(in crate::http) async fn capture(
    State(app): State<App>,
    auth: Auth<Operator, needs::HoldPoints>,
    Path(id): Path<String>,
    Json(request): Json<CaptureRequest>,
) -> Result<Answer<PointsTransactionView>, Problem> {
    let points = request.points.map(Points::parse).transpose();
    let points = points.map_err(|_| Problem::field("points", "1 or more"))?;
    end(&app, &auth, &id, End::Capture { points }).await
}

/// Release a hold
///
/// To repeat it gives the same answer. When it was captured, has timed out, or waits for a review,
/// 409 `points_transaction_state_conflict` says which.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/holds/{id}/release",
    operation_id = "open_release_hold",
    tag = "open",
    security(("access_token" = ["points:hold"])),
    params(("id" = String, Path, description = "The points transaction's id")),
    responses((status = 200, description = "Released, now or before", body = PointsTransactionView), Problems),
)]
pub(in crate::http) async fn release(
    State(app): State<App>,
    auth: Auth<Operator, needs::HoldPoints>,
    Path(id): Path<String>,
) -> Result<Answer<PointsTransactionView>, Problem> {
    end(&app, &auth, &id, End::Release).await
}

async fn end(
    app: &App,
    auth: &Auth<Operator, needs::HoldPoints>,
    id: &str,
    end: End,
) -> Result<Answer<PointsTransactionView>, Problem> {
    let caller = BackEnd::of(auth)?;
    let (transaction, whose) = (parse(id)?, (caller.tenant, caller.source));
    let ended = points::end_hold(&app.points_service(), whose, transaction, end, caller.by).await?;
    Ok(Answer(PointsTransactionView::from(ended)))
}
