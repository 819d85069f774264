//! `POST /api/v1/admin/refunds/{refund_no}/withdraw`

use axum::{Json, extract::State};

use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
        refund_request::WithdrawRefundRequest,
    },
    payments::{self, RefundView, WithdrawRefund},
    primitives::RefundNo,
};

/// Take back a refund that WeChat does not take
///
/// For one that WeChat refuses again and again (`problem` says why), or that waits for a share that
/// does not come back. WeChat is asked first: only what it has nothing of can be withdrawn, and
/// only when no call of ours may still be on its way, which is a minute after the last, and ten
/// where WeChat did not answer (`refund_call_in_progress`). Then the money is the merchant's again,
/// as if WeChat had refused it for good. Above the policy's `refund_review_above_fen` the first
/// operator's word is noted (`withdrawal_requested_by`) and the refund goes on being tried; a
/// second operator's withdraws it.
#[utoipa::path(
    post,
    path = "/api/v1/admin/refunds/{refund_no}/withdraw",
    operation_id = "admin_withdraw_refund",
    tag = "admin",
    security(("access_token" = ["payments:refund"])),
    params(("refund_no" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = WithdrawRefundRequest,
    responses((status = 200, description = "Withdrawn, or noted that this operator wants it; now or before with this key", body = RefundView), Problems),
)]
pub(in crate::http) async fn withdraw_refund(
    State(app): State<App>,
    auth: Auth<Operator, needs::RefundPayments>,
    Path(refund_no): Path<RefundNo>,
    request: Keyed<WithdrawRefundRequest>,
) -> Result<Json<RefundView>, Problem> {
    let operator = auth.caller();
    let request = WithdrawRefund {
        tenant: operator.tenant,
        refund: refund_no.id(),
        reason: request.body.reason()?,
        by: auth.principal().actor(),
        claim: request.claim(auth.principal()),
    };
    let refund = payments::withdraw_refund(app.payments(), request).await?;
    Ok(Json(RefundView::from(&refund)))
}
