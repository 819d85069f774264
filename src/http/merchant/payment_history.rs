//! `GET /api/v1/merchant/payments/{order_no}/history`

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    payment::{MerchantPayment, own_order},
    refund::{MerchantRefund, for_merchants},
};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    payments::{self, PaymentError, TimelineStep},
    primitives::OrderNo,
    sharing,
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MerchantPaymentHistory {
    payment: MerchantPayment,
    /// The payment's steps and its refunds', in the order of time. The payment's may be a moment
    /// behind `payment`.
    timeline: Vec<TimelineStep>,
    /// Oldest first.
    refunds: Vec<MerchantRefund>,
}

/// What happened to one of the merchant's payments and to its refunds
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments/{order_no}/history",
    operation_id = "merchant_payment_history",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The history", body = MerchantPaymentHistory), Problems),
)]
pub(in crate::http) async fn payment_history(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<MerchantPaymentHistory>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let own = own_order(&app, staff, order_no).await?;
    let (db, tenant, order) = (app.db(), staff.tenant, own.order.id);
    let shared = sharing::sharing_causes(db, tenant, order).await?;
    let history = payments::order_history(db, tenant, order, &shared).await?;
    let history = history.ok_or(PaymentError::OrderNotFound)?;
    let mut timeline = payments::timeline(&history);
    for step in &mut timeline {
        step.who = for_merchants(&step.who);
    }
    let refunds = history.refunds.iter().map(|(refund, _)| refund.into());
    Ok(Json(MerchantPaymentHistory {
        refunds: refunds.collect(),
        timeline,
        payment: history.view.into(),
    }))
}
