//! `POST /api/v1/merchant/refunds/{refund_no}/approve` and `/reject`

use axum::{Json, extract::State};

use super::refund::{MerchantRefund, in_name_of};
use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Path, Staff, needs},
        problem::{Problem, Problems},
        refund_request::{ApproveRefundRequest, RejectRefundRequest},
    },
    payments,
    primitives::RefundNo,
};

/// Agree to a refund
///
/// Only by an owner who did not ask for it, up to the tenant's limit. It is booked and WeChat is
/// told.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/refunds/{refund_no}/approve",
    operation_id = "merchant_approve_refund",
    tag = "merchant",
    security(("access_token" = ["merchant_refunds:decide"])),
    params(("refund_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ApproveRefundRequest,
    responses((status = 200, description = "Agreed to, now or before with this key", body = MerchantRefund), Problems),
)]
pub(in crate::http) async fn approve(
    State(app): State<App>,
    auth: Auth<Staff, needs::DecideRefund>,
    Path(refund_no): Path<RefundNo>,
    request: Keyed<ApproveRefundRequest>,
) -> Result<Json<MerchantRefund>, Problem> {
    let by = in_name_of(auth.caller(), auth.principal());
    let decision = request.decision(auth.principal(), refund_no, by)?;
    let refund = payments::decide_refund(app.payments(), decision).await?;
    Ok(Json(MerchantRefund::from(&refund)))
}

/// Reject a refund
///
/// One that waits. Nothing was booked for it and nothing is; what it held of the payment can be
/// refunded again.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/refunds/{refund_no}/reject",
    operation_id = "merchant_reject_refund",
    tag = "merchant",
    security(("access_token" = ["merchant_refunds:decide"])),
    params(("refund_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = RejectRefundRequest,
    responses((status = 200, description = "Rejected, now or before with this key", body = MerchantRefund), Problems),
)]
pub(in crate::http) async fn reject(
    State(app): State<App>,
    auth: Auth<Staff, needs::DecideRefund>,
    Path(refund_no): Path<RefundNo>,
    request: Keyed<RejectRefundRequest>,
) -> Result<Json<MerchantRefund>, Problem> {
    let by = in_name_of(auth.caller(), auth.principal());
    let decision = request.decision(auth.principal(), refund_no, by)?;
    let refund = payments::decide_refund(app.payments(), decision).await?;
    Ok(Json(MerchantRefund::from(&refund)))
}
