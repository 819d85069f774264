//! A payment as its customer sees it.

use serde::Serialize;

use crate::{
    app::App,
    http::{extract::Customer, problem::Problem},
    payments::{self, CreatedPayment, Order, OrderState, OrderView, PayParameters, PaymentError},
    primitives::{OrderNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CustomerPayment {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: OrderNo,
    /// `created`, `prepaid`, `paid` or `closed`.
    #[schema(example = "paid")]
    state: &'static str,
    #[schema(example = 1200)]
    amount_fen: i64,
    #[schema(example = "老王面馆")]
    merchant_name: String,
    /// What this payment earned; `null` until it is paid.
    #[schema(example = 12)]
    points_earned: Option<i64>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
    /// After this it cannot be paid.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The arguments of `wx.requestPayment`; only in the answer to the creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    wechat_pay: Option<PayParameters>,
}

impl CustomerPayment {
    fn new(order: &Order, merchant_name: String) -> Self {
        let (points_earned, paid_at) = match &order.state {
            OrderState::Paid {
                paid_at, points, ..
            } => (Some(points.get()), Some(*paid_at)),
            OrderState::Created | OrderState::Prepaid { .. } | OrderState::Closed { .. } => {
                (None, None)
            }
        };
        Self {
            order_no: order.no(),
            state: order.state.name(),
            amount_fen: order.amount.get(),
            merchant_name,
            points_earned,
            created_at: order.created_at(),
            paid_at,
            expires_at: order.expires_at,
            wechat_pay: None,
        }
    }
}

impl From<OrderView> for CustomerPayment {
    fn from(view: OrderView) -> Self {
        Self::new(&view.order, view.merchant_name)
    }
}

impl From<CreatedPayment> for CustomerPayment {
    fn from(created: CreatedPayment) -> Self {
        let payment = Self::new(&created.order, created.merchant_name);
        Self {
            wechat_pay: Some(created.pay),
            ..payment
        }
    }
}

/// The order, if it is the customer's: another's does not exist.
pub(super) async fn own_order(
    app: &App,
    customer: Customer,
    order_no: OrderNo,
) -> Result<OrderView, Problem> {
    let view = payments::find_order(app.db(), customer.tenant, order_no.order_id()).await?;
    let own = view.filter(|view| view.order.customer == customer.id);
    Ok(own.ok_or(PaymentError::OrderNotFound)?)
}
