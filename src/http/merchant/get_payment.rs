//! `GET /api/v1/merchant/payments/{order_no}`

use axum::{Json, extract::State};
use serde::Serialize;

use super::payment::{MerchantPayment, own_order};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    payments::{self, HistoryRow},
    primitives::{OrderNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MerchantPaymentWithHistory {
    #[serde(flatten)]
    payment: MerchantPayment,
    /// The states that it was in, in order, each with its beginning. May be a moment behind `state`.
    history: Vec<HistoryItem>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct HistoryItem {
    #[schema(example = "created")]
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<HistoryRow> for HistoryItem {
    fn from(row: HistoryRow) -> Self {
        Self {
            state: row.state.name(),
            at: row.at,
        }
    }
}

/// One of the merchant's payments
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments/{order_no}",
    operation_id = "merchant_get_payment",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The payment", body = MerchantPaymentWithHistory), Problems),
)]
pub(in crate::http) async fn get_payment(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<MerchantPaymentWithHistory>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let view = own_order(&app, staff, order_no).await?;
    let mut history = payments::history(app.db(), view.order.tenant, view.order.id).await?;
    // What changed within a state, such as a refund that was asked for, is in the timeline.
    history.dedup_by_key(|row| row.state);
    let history = history.into_iter().map(HistoryItem::from).collect();
    Ok(Json(MerchantPaymentWithHistory {
        payment: view.into(),
        history,
    }))
}
