//! `POST /api/v1/open/points/awards`

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;

use super::points_transaction::{BackEnd, PointsCommandRequest, PointsTransactionView, execute};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, needs},
        last_usable,
        problem::{Problem, Problems},
    },
    points::Instruction,
    primitives::{CustomerId, MerchantId, OrderNo},
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AwardRequest {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    customer_id: CustomerId,
    #[schema(example = 100, minimum = 1, maximum = 1_000_000_000)]
    points: i64,
    /// Your own name for this: 1 to 64 visible ASCII characters, once for each kind (`award`,
    /// `deduct`, `redeem`), for ever.
    #[schema(example = "birthday-2026-0001", min_length = 1, max_length = 64)]
    reference: String,
    /// 1 to 200 characters in one line.
    #[schema(example = "生日礼", min_length = 1, max_length = 200)]
    reason: String,
    /// The last day (at UTC+8) on which they can be used, today or later (422 `field_invalid`,
    /// `last_usable_on`); `9999-12-31` is for ever. The validity of the tenant's points rule unless
    /// said.
    #[serde(default)]
    #[schema(format = Date, example = "2027-11-21")]
    last_usable_on: Option<String>,
    /// An order of this customer that it is about.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    order_no: Option<OrderNo>,
    /// The merchant that it is about; the order's, if there is one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
}

/// Award points
///
/// They repay what the customer owes first. The caps of the points rule are for what payments earn
/// and do not apply. Risk may stop it (403 `risk_blocked`) or have a person decide (`under_review`:
/// the points are pending until then). A repeat with the same reference and body returns the same
/// points transaction (200), for ever; with another body 422 `reference_reused`. No
/// `Idempotency-Key` is needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/awards",
    operation_id = "open_award_points",
    tag = "open",
    security(("access_token" = ["points:award"])),
    request_body(
        content = AwardRequest,
        examples(
            ("award" = (summary = "With the validity of the tenant's rule", value = json!({"customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "points": 100, "reference": "birthday-2026-0001", "reason": "生日礼"}))),
            ("until" = (summary = "Until a day, about an order", value = json!({"customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "points": 20, "reference": "review-2026-0001", "reason": "评价晒单", "last_usable_on": "9999-12-31", "order_no": "06D8R5MKTS7J0T4V3C9Q2W00"}))),
        ),
    ),
    responses(
        (status = 201, description = "Given, or `under_review`", body = PointsTransactionView),
        (status = 200, description = "A repeat: as it stands by now", body = PointsTransactionView),
        Problems,
    ),
)]
pub(in crate::http) async fn award_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::AwardPoints>,
    Json(request): Json<AwardRequest>,
) -> Result<(StatusCode, Answer<PointsTransactionView>), Problem> {
    let caller = BackEnd::of(&auth)?;
    let last = request.last_usable_on.as_deref();
    let last = last.map(last_usable::parse).transpose()?;
    let expired_from = last.map(last_usable::expired_from);
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
        request.command(caller, Instruction::Award { expired_from })?,
    )
    .await
}
