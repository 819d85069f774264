//! `GET /api/v1/admin/refunds/{refund_no}`

use axum::{Json, extract::State};

use super::refund::get_refund;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::{self, RefundHistoryView},
    primitives::RefundNo,
};

/// A refund with every state that it was in
#[utoipa::path(
    get,
    path = "/api/v1/admin/refunds/{refund_no}",
    operation_id = "admin_get_refund",
    tag = "admin",
    security(("access_token" = ["payments:read"])),
    params(("refund_no" = String, Path)),
    responses((status = 200, description = "The refund", body = RefundHistoryView), Problems),
)]
pub(in crate::http) async fn show_refund(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(refund_no): Path<RefundNo>,
) -> Result<Json<RefundHistoryView>, Problem> {
    let operator = auth.may(Permission::ReadPayments)?;
    let refund = get_refund(&app, operator, refund_no).await?;
    let history = payments::refund_history(app.db(), refund.tenant, refund.id).await?;
    let redirect = payments::find_redirect(app.db(), refund.tenant, refund.id).await?;
    Ok(Json(RefundHistoryView::new(&refund, &history, redirect)))
}
