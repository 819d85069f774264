//! `POST /api/v1/merchant/payments`

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Staff, needs},
        problem::{Problem, Problems},
    },
    payments::{self, CollectPayment, NativePayment},
    primitives::{Money, OrderNo, Timestamp},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CollectPaymentRequest {
    #[schema(example = 1200, minimum = 1, maximum = 5_000_000)]
    amount_fen: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NativePaymentView {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: OrderNo,
    #[schema(example = 1200)]
    amount_fen: i64,
    /// Show it as a matrix, or take the picture at `code.svg` or `code.png` under the payment.
    #[schema(example = "weixin://wxpay/bizpayurl?pr=p4lpSuKzz")]
    code_url: String,
    /// After this it cannot be paid.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<NativePayment> for NativePaymentView {
    fn from(shown: NativePayment) -> Self {
        Self {
            order_no: shown.order.no(),
            amount_fen: shown.order.amount.get(),
            code_url: shown.code_url.into_inner(),
            expires_at: shown.order.expires_at,
        }
    }
}

/// Collect at the counter
///
/// Makes an order that any customer's WeChat can scan and pay (Native 扫码支付). Paid it is only
/// when the payment's `state` says so; the points go to whoever pays. 403 `risk_blocked`: not now,
/// and nothing was made.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/payments",
    operation_id = "merchant_collect_payment",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:collect"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = CollectPaymentRequest,
    responses((status = 201, description = "Made, or made before with this key", body = NativePaymentView), Problems),
)]
pub(in crate::http) async fn collect_payment(
    State(app): State<App>,
    auth: Auth<Staff, needs::CollectPayment>,
    request: Keyed<CollectPaymentRequest>,
) -> Result<(StatusCode, Json<NativePaymentView>), Problem> {
    let staff = auth.caller();
    let amount = Money::parse(request.body.amount_fen);
    let request = CollectPayment {
        tenant: staff.tenant,
        merchant: staff.merchant,
        amount: amount.map_err(|_| Problem::field("amount_fen", "1 to 5000000"))?,
        by: auth.principal().actor(),
        claim: request.claim(auth.principal()),
    };
    let shown = payments::collect_payment(app.payments(), request).await?;
    Ok((StatusCode::CREATED, Json(shown.into())))
}
