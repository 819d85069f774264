//! `GET /api/v1/customer/payments/{order_no}`

use axum::{Json, extract::State};

use super::payment::{CustomerPayment, own_order};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, Path},
        problem::{Problem, Problems},
    },
    primitives::OrderNo,
};

/// One's own payment
#[utoipa::path(
    get,
    path = "/api/v1/customer/payments/{order_no}",
    operation_id = "customer_get_payment",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment", body = CustomerPayment), Problems),
)]
pub(in crate::http) async fn get_payment(
    State(app): State<App>,
    auth: Auth<Customer>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<CustomerPayment>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    Ok(Json(own_order(&app, customer, order_no).await?.into()))
}
