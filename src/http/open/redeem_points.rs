//! `POST /api/v1/open/points/redemptions`

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

/// Redeem points
///
/// The points that expire first are spent first. With too few 409 `points_insufficient` says how
/// many are available, and nothing is kept. Risk may stop it (403 `risk_blocked`) or have a person
/// decide (`under_review`: the points are held until then). A repeat with the same reference and
/// body returns the same points transaction (200), for ever; with another body 422
/// `reference_reused`. No `Idempotency-Key` is needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/redemptions",
    operation_id = "open_redeem_points",
    tag = "open",
    security(("access_token" = ["points:hold"])),
    request_body(
        content = PointsCommandRequest,
        example = json!({"customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "points": 60, "reference": "gift-2026-11-21-0001", "reason": "兑换咖啡一杯"}),
    ),
    responses(
        (status = 201, description = "Spent, or `under_review`", body = PointsTransactionView),
        (status = 200, description = "A repeat: as it stands by now", body = PointsTransactionView),
        Problems,
    ),
)]
pub(in crate::http) async fn redeem_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::HoldPoints>,
    Json(request): Json<PointsCommandRequest>,
) -> Result<(StatusCode, Answer<PointsTransactionView>), Problem> {
    let caller = BackEnd::of(&auth)?;
    execute(&app, request.command(caller, Instruction::Redeem)?).await
}
