//! `POST /api/v1/admin/payments/{order_no}/close`

use axum::{Json, extract::State};

use super::payment::get_order;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::{self, CloseBy, OrderWithMerchant, PaymentView},
    primitives::OrderNo,
};

/// Close an unpaid payment
///
/// WeChat is asked first: a payment that was made after all is settled and stays, and `state` says
/// so. Makes nothing and needs no key: doing it again changes nothing.
///
/// Where WeChat refuses to say anything of an order (its merchant is not bound any more, the
/// account is closed) and its time is over, it is closed on the operator's word once there is an
/// exception `order_stuck` for it: look at WeChat's merchant platform first. Was it paid after all,
/// that comes to light as a late payment.
#[utoipa::path(
    post,
    path = "/api/v1/admin/payments/{order_no}/close",
    operation_id = "admin_close_payment",
    tag = "admin",
    security(("access_token" = ["payments:close"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment as it stands now", body = PaymentView), Problems),
)]
pub(in crate::http) async fn close_payment(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<PaymentView>, Problem> {
    let operator = auth.may(Permission::ClosePayments)?;
    let known = get_order(&app, operator, order_no).await?;
    let by = CloseBy::Operator(auth.principal().actor());
    let (tenant, id) = (operator.tenant, known.order.id);
    let order = payments::close_payment(app.payments(), tenant, id, by).await?;
    Ok(Json(PaymentView::from(&OrderWithMerchant {
        order,
        ..known
    })))
}
