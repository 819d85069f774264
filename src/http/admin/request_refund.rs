//! `POST /api/v1/admin/payments/{order_no}/refunds`

use axum::{Json, extract::State, http::StatusCode};

use super::refund::in_name_of;
use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
        refund_request::RefundRequest,
    },
    payments::{self, RefundView, RequestRefund},
    primitives::OrderNo,
};

/// Give money back in a merchant's name
///
/// All of it or a part. Where the order's refunds come to more than the policy's limit with it, or
/// risk wants it looked at, it waits (`awaiting_approval`) for another operator; 403 `risk_blocked`
/// when risk does not allow it.
#[utoipa::path(
    post,
    path = "/api/v1/admin/payments/{order_no}/refunds",
    operation_id = "admin_request_refund",
    tag = "admin",
    security(("access_token" = ["payments:refund"])),
    params(("order_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = RefundRequest,
    responses((status = 201, description = "Asked for, or asked for before with this key", body = RefundView), Problems),
)]
pub(in crate::http) async fn request_refund(
    State(app): State<App>,
    auth: Auth<Operator, needs::RefundPayments>,
    Path(order_no): Path<OrderNo>,
    request: Keyed<RefundRequest>,
) -> Result<(StatusCode, Json<RefundView>), Problem> {
    let operator = auth.caller();
    let request = RequestRefund {
        tenant: operator.tenant,
        order: order_no.id(),
        amount: request.body.amount()?,
        reason: request.body.reason().to_owned(),
        by: in_name_of(auth.principal()),
        claim: request.claim(auth.principal()),
    };
    let refund = payments::request_refund(app.payments(), request).await?;
    Ok((StatusCode::CREATED, Json(RefundView::from(&refund))))
}
