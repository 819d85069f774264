//! `POST /api/v1/open/points/awards`

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;

use super::points_transaction::{BackEnd, PointsCommandRequest, PointsTransactionView, execute};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, needs},
        openapi::Problems,
        problem::Problem,
    },
    points::Instruction,
    primitives::{BusinessDay, CustomerId, MerchantId, OrderNo},
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AwardRequest {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    customer_id: CustomerId,
    #[schema(example = 100, minimum = 1, maximum = 1_000_000_000)]
    points: i64,
    /// Your own name for this: 1 to 64 visible ASCII characters, once for each kind (`award`, `deduct`, `redeem`), for ever.
    #[schema(example = "birthday-2026-0001", min_length = 1, max_length = 64)]
    reference: String,
    /// 1 to 200 characters in one line.
    #[schema(example = "生日礼", min_length = 1, max_length = 200)]
    reason: String,
    /// The first day (at UTC+8) on which they are gone, later than today (422 `field_invalid`, `expired_from`); the validity of the tenant's points rule unless said.
    #[serde(default)]
    #[schema(format = Date, example = "2027-11-22")]
    expired_from: Option<String>,
    /// An order of this customer that it is about.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    order_no: Option<OrderNo>,
    /// The merchant that it is about; the order's, if there is one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
}

/// Give points to a customer
///
/// They repay what the customer owes first. The caps of the points rule are for what payments earn and do not apply. Risk may stop it (403 `risk_blocked`) or have a
/// person decide (`under_review`: the points are pending until then).
/// The same reference with the same body is the same points transaction, for ever (200); with another body 422 `reference_reused`. An `Idempotency-Key` is not needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/awards",
    operation_id = "open_award_points",
    tag = "open",
    security(("access_token" = [])),
    request_body = AwardRequest,
    responses(
        (status = 201, description = "Given, or `under_review`", body = PointsTransactionView),
        (status = 200, description = "Asked for before: as it stands by now", body = PointsTransactionView),
        Problems,
    ),
)]
pub(in crate::http) async fn award_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::AwardPoints>,
    Json(request): Json<AwardRequest>,
) -> Result<(StatusCode, Answer<PointsTransactionView>), Problem> {
    let caller = BackEnd::of(&auth)?;
    let day = |text: &str| {
        BusinessDay::parse(text).ok_or_else(|| Problem::field("expired_from", "a day: 2027-11-22"))
    };
    let expired_from = request.expired_from.as_deref().map(day).transpose()?;
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
