//! `GET /api/v1/merchant/payments/{order_no}/refunds`

use axum::{Json, extract::State};
use serde::Serialize;

use super::{payment::own_order, refund::MerchantRefund};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    payments,
    primitives::OrderNo,
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MerchantRefunds {
    /// Oldest first.
    items: Vec<MerchantRefund>,
}

/// The refunds of one of the merchant's payments
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments/{order_no}/refunds",
    operation_id = "merchant_payment_refunds",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "Every refund", body = MerchantRefunds), Problems),
)]
pub(in crate::http) async fn payment_refunds(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<MerchantRefunds>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let view = own_order(&app, staff, order_no).await?;
    let refunds = payments::refunds_of(app.db(), view.order.tenant, view.order.id).await?;
    Ok(Json(MerchantRefunds {
        items: refunds.iter().map(MerchantRefund::from).collect(),
    }))
}
