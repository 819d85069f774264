//! `POST /api/v1/admin/payments/{order_no}/confirm`

use axum::{Json, extract::State};

use super::payment::get_order;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::{self, OrderWithMerchant, PaymentView},
    primitives::OrderNo,
};

/// Ask WeChat now whether a payment was made
///
/// Makes nothing that the callback would not make, and needs no key. A paid order is asked about,
/// too: somebody may have refunded it elsewhere.
#[utoipa::path(
    post,
    path = "/api/v1/admin/payments/{order_no}/confirm",
    operation_id = "admin_confirm_payment",
    tag = "admin",
    security(("access_token" = ["payments:close"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment as WeChat knows it", body = PaymentView), Problems),
)]
pub(in crate::http) async fn confirm_payment(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<PaymentView>, Problem> {
    let operator = auth.may(Permission::ClosePayments)?;
    let known = get_order(&app, operator, order_no).await?;
    let order =
        payments::confirm_for_operator(app.payments(), operator.tenant, known.order.id).await?;
    Ok(Json(PaymentView::from(&OrderWithMerchant {
        order,
        ..known
    })))
}
