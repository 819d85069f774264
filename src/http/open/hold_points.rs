//! `POST /api/v1/open/points/holds`

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;

use super::points_transaction::{BackEnd, PointsCommandRequest, PointsTransactionView, execute};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, needs},
        problem::{Problem, Problems},
    },
    points::{HOLD_MINUTES, Instruction},
    primitives::{CustomerId, MerchantId, OrderNo},
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HoldRequest {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    customer_id: CustomerId,
    #[schema(example = 100, minimum = 1, maximum = 1_000_000_000)]
    points: i64,
    /// Your own name for this: 1 to 64 visible ASCII characters, once for each kind; holds and
    /// redemptions are one kind.
    #[schema(example = "cart-7781", min_length = 1, max_length = 64)]
    reference: String,
    /// 1 to 200 characters in one line.
    #[schema(example = "购物车抵扣", min_length = 1, max_length = 200)]
    reason: String,
    /// How long they are held unless captured or released before; 30 unless said.
    #[serde(default)]
    #[schema(example = 30, minimum = 1, maximum = 43_200)]
    minutes: Option<u32>,
    /// An order of this customer that it is about.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    order_no: Option<OrderNo>,
    /// The merchant that it is about; the order's, if there is one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
}

/// Hold points
///
/// Nobody else can spend them, and they do not expire, until they are captured, released, or have
/// timed out. With too few 409 `points_insufficient` says how many are available. Risk may stop it
/// (403 `risk_blocked`) or have a person decide first (`under_review`; the minutes count from the
/// decision). A repeat with the same reference and body returns the same points transaction (200),
/// for ever; with another body 422 `reference_reused`. No `Idempotency-Key` is needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/holds",
    operation_id = "open_hold_points",
    tag = "open",
    security(("access_token" = ["points:hold"])),
    request_body(
        content = HoldRequest,
        example = json!({"customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "points": 100, "reference": "cart-7781", "reason": "购物车抵扣", "minutes": 30}),
    ),
    responses(
        (status = 201, description = "Held, or `under_review`", body = PointsTransactionView),
        (status = 200, description = "A repeat: as it stands by now", body = PointsTransactionView),
        Problems,
    ),
)]
pub(in crate::http) async fn hold_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::HoldPoints>,
    Json(request): Json<HoldRequest>,
) -> Result<(StatusCode, Answer<PointsTransactionView>), Problem> {
    let caller = BackEnd::of(&auth)?;
    let minutes = request.minutes.unwrap_or(HOLD_MINUTES);
    let request = PointsCommandRequest {
        customer_id: request.customer_id,
        points: request.points,
        reference: request.reference,
        reason: request.reason,
        order_no: request.order_no,
        merchant_id: request.merchant_id,
    };
    execute(
        &app,
        request.command(caller, Instruction::Hold { minutes })?,
    )
    .await
}
