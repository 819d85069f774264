//! A payment as its customer sees it.

use serde::Serialize;

use crate::{
    app::App,
    http::{extract::Customer, problem::Problem},
    payments::{self, CreatedPayment, Order, OrderWithMerchant, PayParameters, PaymentError},
    primitives::{OrderNo, Timestamp, coded},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CustomerPayment {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: OrderNo,
    /// `created`, `prepaid`, `paid`, `partly_refunded`, `refunded`, `closed` or `expired`.
    #[schema(example = "paid")]
    state: &'static str,
    #[schema(example = 1200)]
    amount_fen: i64,
    #[schema(example = "老王面馆")]
    merchant_name: String,
    /// What of it has come back.
    #[schema(example = 0)]
    refunded_fen: i64,
    /// What this payment earned; `null` until it is paid.
    #[schema(example = 12)]
    points_earned: Option<i64>,
    /// `credited`; `pending` when they come later, or not; `none` when there are none.
    #[schema(example = "credited")]
    points_state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    /// After this it cannot be paid.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The arguments of `wx.requestPayment`; only in the answer to the creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    wechat_pay: Option<PayParameters>,
}

impl CustomerPayment {
    fn new(order: &Order, merchant_name: String) -> Self {
        let payment = order.state.payment();
        let points_state = PointsState::of(order);
        Self {
            order_no: order.no(),
            state: order.state.name(),
            amount_fen: order.amount.get(),
            merchant_name,
            refunded_fen: order.refunds.done.get(),
            points_earned: payment.map(|payment| match points_state {
                PointsState::None => 0,
                PointsState::Credited | PointsState::Pending => payment.points.get(),
            }),
            points_state: points_state.name(),
            created_at: order.created_at(),
            paid_at: payment.map(|payment| payment.paid_at),
            closed_at: order.state.closed_at(),
            expires_at: order.expires_at,
            wechat_pay: None,
        }
    }
}

coded! {
    /// What a customer is told of the points of a payment: not why they wait, nor why there are
    /// none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum PointsState {
        Credited => "credited",
        Pending => "pending",
        None => "none",
    }
}

impl PointsState {
    fn of(order: &Order) -> Self {
        if order.is_under_review() {
            Self::Pending
        } else if order.credited_points().is_zero() {
            Self::None
        } else {
            Self::Credited
        }
    }
}

impl From<OrderWithMerchant> for CustomerPayment {
    fn from(view: OrderWithMerchant) -> Self {
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
) -> Result<OrderWithMerchant, Problem> {
    let view = payments::find_order(app.db(), customer.tenant, order_no.id()).await?;
    let own = view.filter(|view| view.order.customer == Some(customer.id));
    Ok(own.ok_or(PaymentError::OrderNotFound)?)
}
