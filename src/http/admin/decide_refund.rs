//! `POST /api/v1/admin/refunds/{refund_no}/approve` and `/reject`

use axum::{Json, extract::State};

use super::refund::in_name_of;
use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
        refund_request::{ApproveRefundRequest, RejectRefundRequest},
    },
    payments::{self, RefundView},
    primitives::RefundNo,
};

/// Agree to a refund
///
/// Only by an operator who did not ask for it. It is booked and WeChat is told.
#[utoipa::path(
    post,
    path = "/api/v1/admin/refunds/{refund_no}/approve",
    operation_id = "admin_approve_refund",
    tag = "admin",
    security(("access_token" = ["refunds:decide"])),
    params(("refund_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ApproveRefundRequest,
    responses((status = 200, description = "Agreed to, now or before with this key", body = RefundView), Problems),
)]
pub(in crate::http) async fn approve(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideRefunds>,
    Path(refund_no): Path<RefundNo>,
    request: Keyed<ApproveRefundRequest>,
) -> Result<Json<RefundView>, Problem> {
    let by = in_name_of(auth.principal());
    let decision = request.decision(auth.principal(), refund_no, by)?;
    let refund = payments::decide_refund(app.payments(), decision).await?;
    Ok(Json(RefundView::from(&refund)))
}

/// Reject a refund
///
/// One that waits. Nothing was booked for it and nothing is; what it held of the payment can be
/// refunded again.
#[utoipa::path(
    post,
    path = "/api/v1/admin/refunds/{refund_no}/reject",
    operation_id = "admin_reject_refund",
    tag = "admin",
    security(("access_token" = ["refunds:decide"])),
    params(("refund_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = RejectRefundRequest,
    responses((status = 200, description = "Rejected, now or before with this key", body = RefundView), Problems),
)]
pub(in crate::http) async fn reject(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideRefunds>,
    Path(refund_no): Path<RefundNo>,
    request: Keyed<RejectRefundRequest>,
) -> Result<Json<RefundView>, Problem> {
    let by = in_name_of(auth.principal());
    let decision = request.decision(auth.principal(), refund_no, by)?;
    let refund = payments::decide_refund(app.payments(), decision).await?;
    Ok(Json(RefundView::from(&refund)))
}
