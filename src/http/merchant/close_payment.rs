//! `POST /api/v1/merchant/payments/{order_no}/close`

use axum::{Json, extract::State};

use super::payment::{MerchantPayment, own_order};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    payments::{self, CloseBy, OrderWithMerchant},
    primitives::OrderNo,
};

/// Close an unpaid payment
///
/// WeChat is asked first: a payment that was made after all is settled and stays, and `state` says
/// so. Makes nothing and needs no key: doing it again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/payments/{order_no}/close",
    operation_id = "merchant_close_payment",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:close"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment as it stands now", body = MerchantPayment), Problems),
)]
pub(in crate::http) async fn close_payment(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<MerchantPayment>, Problem> {
    let staff = auth.may(Permission::ClosePayment)?;
    let known = own_order(&app, staff, order_no).await?;
    let by = CloseBy::Merchant(auth.principal().actor());
    let (tenant, id) = (staff.tenant, known.order.id);
    let order = payments::close_payment(app.payments(), tenant, id, by).await?;
    Ok(Json(OrderWithMerchant { order, ..known }.into()))
}
