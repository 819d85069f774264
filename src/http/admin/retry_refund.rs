//! `POST /api/v1/admin/refunds/{refund_no}/retry`

use axum::{Json, extract::State};

use super::refund::get_refund;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::{self, RefundView},
    primitives::RefundNo,
};

/// Do now what is due for a refund
///
/// WeChat is told of it, or asked what became of it, as a job would do in time: after the
/// merchant's account was filled up, for example. Always under the same number, so it refunds once
/// however often it is done, and needs no key. A refund for which nothing is due is answered as it
/// is; so is one that somebody is telling WeChat of at this moment, and one whose last attempt got
/// no answer and may still arrive there (`problem` is `absent_once`, for ten minutes).
#[utoipa::path(
    post,
    path = "/api/v1/admin/refunds/{refund_no}/retry",
    operation_id = "admin_retry_refund",
    tag = "admin",
    security(("access_token" = ["payments:refund"])),
    params(("refund_no" = String, Path)),
    responses((status = 200, description = "The refund as it stands now", body = RefundView), Problems),
)]
pub(in crate::http) async fn retry_refund(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(refund_no): Path<RefundNo>,
) -> Result<Json<RefundView>, Problem> {
    let operator = auth.may(Permission::RefundPayments)?;
    let refund = get_refund(&app, operator, refund_no).await?;
    let refund = payments::retry_refund(app.payments(), operator.tenant, refund.id).await?;
    Ok(Json(RefundView::from(&refund)))
}
