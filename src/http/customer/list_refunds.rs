//! `GET /api/v1/customer/payments/{order_no}/refunds`

use axum::{Json, extract::State};
use serde::Serialize;

use super::payment::own_order;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, Path},
        problem::{Problem, Problems},
    },
    payments::{self, Refund},
    primitives::{OrderNo, RefundNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CustomerRefunds {
    /// Oldest first. One that still waits for the merchant's or the tenant's word is not here.
    items: Vec<CustomerRefund>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct CustomerRefund {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    refund_no: RefundNo,
    /// `returning`, `accepted`, `processing`, `abnormal`: on its way; `succeeded`; `closed`,
    /// `failed` or `withdrawn`: it will not come.
    #[schema(example = "succeeded")]
    state: &'static str,
    #[schema(example = 1200)]
    amount_fen: i64,
    #[schema(example = "缺货")]
    reason: String,
    /// Points that are given back for it.
    #[schema(example = 12)]
    points_back: i64,
    /// Where the money went, in WeChat's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "支付用户零钱")]
    received_account: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the money arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    succeeded_at: Option<Timestamp>,
}

impl From<Refund> for CustomerRefund {
    fn from(refund: Refund) -> Self {
        Self {
            refund_no: refund.no(),
            state: refund.state.kind().name(),
            amount_fen: refund.amount.get(),
            points_back: refund.points.due.get(),
            created_at: refund.created_at(),
            succeeded_at: refund.succeeded_at(),
            received_account: refund.received_account,
            reason: refund.reason,
        }
    }
}

/// What comes back of one's payment
#[utoipa::path(
    get,
    path = "/api/v1/customer/payments/{order_no}/refunds",
    operation_id = "customer_list_refunds",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "Every refund", body = CustomerRefunds), Problems),
)]
pub(in crate::http) async fn list_refunds(
    State(app): State<App>,
    auth: Auth<Customer>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<CustomerRefunds>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let view = own_order(&app, customer, order_no).await?;
    let refunds = payments::refunds_of(app.db(), view.order.tenant, view.order.id).await?;
    let on_their_way = refunds
        .into_iter()
        .filter(|refund| refund.state.kind().is_booked());
    Ok(Json(CustomerRefunds {
        items: on_their_way.map(CustomerRefund::from).collect(),
    }))
}
