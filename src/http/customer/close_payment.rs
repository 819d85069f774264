//! `POST /api/v1/customer/payments/{order_no}/close`

use axum::{Json, extract::State};

use super::payment::{CustomerPayment, own_order};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, Path},
        problem::{Problem, Problems},
    },
    payments::{self, CloseBy, OrderWithMerchant},
    primitives::OrderNo,
};

/// Close a payment
///
/// WeChat is asked first: a payment that was made after all is settled and stays, and `state` says
/// so. Makes nothing and needs no key: doing it again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/customer/payments/{order_no}/close",
    operation_id = "customer_close_payment",
    tag = "customer",
    security(("access_token" = ["pay"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment as it stands now", body = CustomerPayment), Problems),
)]
pub(in crate::http) async fn close_payment(
    State(app): State<App>,
    auth: Auth<Customer>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<CustomerPayment>, Problem> {
    let customer = auth.may(Permission::Pay)?;
    let known = own_order(&app, customer, order_no).await?;
    let (tenant, id) = (customer.tenant, known.order.id);
    let order = payments::close_payment(app.payments(), tenant, id, CloseBy::Customer).await?;
    Ok(Json(OrderWithMerchant { order, ..known }.into()))
}
