//! `POST /api/v1/customer/payments/{order_no}/confirm`

use axum::{Json, extract::State};

use super::payment::{CustomerPayment, own_order};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, Path},
        problem::{Problem, Problems},
    },
    payments::{self, OrderWithMerchant},
    primitives::OrderNo,
};

/// Ask WeChat whether a payment was made
///
/// For the moment after `wx.requestPayment` when the callback has not come yet. Makes nothing that
/// the callback would not make, and needs no key.
#[utoipa::path(
    post,
    path = "/api/v1/customer/payments/{order_no}/confirm",
    operation_id = "customer_confirm_payment",
    tag = "customer",
    security(("access_token" = ["pay"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment as WeChat knows it", body = CustomerPayment), Problems),
)]
pub(in crate::http) async fn confirm_payment(
    State(app): State<App>,
    auth: Auth<Customer>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<CustomerPayment>, Problem> {
    let customer = auth.may(Permission::Pay)?;
    let known = own_order(&app, customer, order_no).await?;
    let order = payments::confirm(app.payments(), customer.tenant, known.order.id).await?;
    Ok(Json(OrderWithMerchant { order, ..known }.into()))
}
