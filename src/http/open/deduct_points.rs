//! `POST /api/v1/open/points/deductions`

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::points_transaction::{BackEnd, PointsCommandRequest, PointsTransactionView, execute};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, needs},
        problem::{Problem, Problems},
    },
    points::Instruction,
};

/// Deduct points
///
/// Never below zero: with too few 409 `points_insufficient` says how many are available, and
/// nothing is kept, so that the reference may be used again. A repeat with the same reference and
/// body returns the same points transaction (200), for ever; with another body 422
/// `reference_reused`. No `Idempotency-Key` is needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/deductions",
    operation_id = "open_deduct_points",
    tag = "open",
    security(("access_token" = ["points:deduct"])),
    request_body(
        content = PointsCommandRequest,
        example = json!({"customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "points": 20, "reference": "correction-2026-0001", "reason": "补录更正"}),
    ),
    responses(
        (status = 201, description = "Taken", body = PointsTransactionView),
        (status = 200, description = "A repeat: as it stands by now", body = PointsTransactionView),
        Problems,
    ),
)]
pub(in crate::http) async fn deduct_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::DeductPoints>,
    Json(request): Json<PointsCommandRequest>,
) -> Result<(StatusCode, Answer<PointsTransactionView>), Problem> {
    let caller = BackEnd::of(&auth)?;
    execute(&app, request.command(caller, Instruction::Deduct)?).await
}
