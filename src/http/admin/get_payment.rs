//! `GET /api/v1/admin/payments/{order_no}`

use axum::{Json, extract::State};

use super::payment::get_order;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::PaymentView,
    primitives::OrderNo,
};

/// A payment
#[utoipa::path(
    get,
    path = "/api/v1/admin/payments/{order_no}",
    operation_id = "admin_get_payment",
    tag = "admin",
    security(("access_token" = ["payments:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment", body = PaymentView), Problems),
)]
pub(in crate::http) async fn get_payment(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<PaymentView>, Problem> {
    let operator = auth.may(Permission::ReadPayments)?;
    let view = get_order(&app, operator, order_no).await?;
    Ok(Json(PaymentView::from(&view)))
}
