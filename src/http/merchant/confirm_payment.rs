//! `POST /api/v1/merchant/payments/{order_no}/confirm`

use axum::{Json, extract::State};

use super::payment::{MerchantPayment, own_order};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    payments::{self, OrderWithMerchant},
    primitives::OrderNo,
};

/// Ask WeChat now whether a payment was made
///
/// For the customer at the counter who says so. Makes nothing that the callback would not make, and
/// needs no key.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/payments/{order_no}/confirm",
    operation_id = "merchant_confirm_payment",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:collect"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment as WeChat knows it", body = MerchantPayment), Problems),
)]
pub(in crate::http) async fn confirm_payment(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<MerchantPayment>, Problem> {
    let staff = auth.may(Permission::CollectPayment)?;
    let known = own_order(&app, staff, order_no).await?;
    let order = payments::confirm(app.payments(), staff.tenant, known.order.id).await?;
    Ok(Json(OrderWithMerchant { order, ..known }.into()))
}
