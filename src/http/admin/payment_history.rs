//! `GET /api/v1/admin/payments/{order_no}/history`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::{self, PaymentError, PaymentHistoryView},
    primitives::OrderNo,
    sharing,
};

/// A payment's whole history in one answer
///
/// What happened to it and to its refunds, who did it and why; every journal entry with its
/// transfers; callbacks that were wrong, and what a person should look at.
#[utoipa::path(
    get,
    path = "/api/v1/admin/payments/{order_no}/history",
    operation_id = "admin_payment_history",
    tag = "admin",
    security(("access_token" = ["payments:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The history", body = PaymentHistoryView), Problems),
)]
pub(in crate::http) async fn payment_history(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<PaymentHistoryView>, Problem> {
    let operator = auth.may(Permission::ReadPayments)?;
    let (db, tenant, order) = (app.db(), operator.tenant, order_no.id());
    let shared = sharing::sharing_causes(db, tenant, order).await?;
    let history = payments::order_history(db, tenant, order, &shared).await?;
    let history = history.ok_or(PaymentError::OrderNotFound)?;
    Ok(Json(PaymentHistoryView::from(&history)))
}
