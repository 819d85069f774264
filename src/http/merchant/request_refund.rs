//! `POST /api/v1/merchant/payments/{order_no}/refunds`

use axum::{Json, extract::State, http::StatusCode};

use super::refund::{MerchantRefund, in_name_of};
use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Path, Staff, needs},
        problem::{Problem, Problems},
        refund_request::RefundRequest,
    },
    payments::{self, RequestRefund},
    primitives::OrderNo,
};

/// Give money back
///
/// All of it or a part. Where the order's refunds come to more than the limits of the tenant's
/// policy with it, or a clerk's of the day do, it waits (`awaiting_approval`) for the owner or for
/// the tenant. WeChat takes minutes to days to deliver; `state` says where it stands. One that
/// looks unusual waits in the same way, whatever its amount, or is refused (403 `risk_blocked`):
/// then nothing was made and `decision` is what to quote to the tenant.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/payments/{order_no}/refunds",
    operation_id = "merchant_request_refund",
    tag = "merchant",
    security(("access_token" = ["merchant_refunds:request"])),
    params(("order_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = RefundRequest,
    responses((status = 201, description = "Asked for, or asked for before with this key", body = MerchantRefund), Problems),
)]
pub(in crate::http) async fn request_refund(
    State(app): State<App>,
    auth: Auth<Staff, needs::RequestRefund>,
    Path(order_no): Path<OrderNo>,
    request: Keyed<RefundRequest>,
) -> Result<(StatusCode, Json<MerchantRefund>), Problem> {
    let staff = auth.caller();
    let request = RequestRefund {
        tenant: staff.tenant,
        order: order_no.id(),
        amount: request.body.amount()?,
        reason: request.body.reason().to_owned(),
        by: in_name_of(staff, auth.principal()),
        claim: request.claim(auth.principal()),
    };
    let refund = payments::request_refund(app.payments(), request).await?;
    Ok((StatusCode::CREATED, Json(MerchantRefund::from(&refund))))
}
