//! An order's history as operators read it, over HTTP and on the terminal alike.

mod entries;
mod payment;
mod refund;
mod risk;
mod timeline;

use serde::Serialize;

pub use entries::{EntryView, TransferView};
pub use payment::PaymentView;
pub use refund::{RedirectView, RefundHistoryView, RefundView};
pub use risk::{DecisionView, FiredRuleView, ReviewView};
pub use timeline::{TimelineStep, timeline};

use super::{OrderHistory, PaymentException};
use crate::primitives::{ExceptionId, OrderNo, RefundNo, Timestamp};

/// A callback that was authentic but mismatched.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PaymentAlarm)]
pub struct AlarmView {
    /// The stored callback.
    pub callback_id: String,
    /// What is wrong: a stable code.
    #[schema(example = "wrong_amount")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub out_refund_no: String,
    pub wechat_transaction_id: String,
    #[schema(example = 1200)]
    pub amount_fen: i64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Something that a person should look at, or that policy took care of.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PaymentException)]
pub struct ExceptionView {
    #[schema(value_type = String, example = "ex_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub id: ExceptionId,
    /// `late_payment`, `paid_twice`, `answer_mismatch`, `foreign_refund`, `refund_contradiction`,
    /// `refund_refused`, `refund_abnormal`, `sharing_failed`, `sharing_contradiction`,
    /// `not_projected`, `refund_stuck`, `order_stuck`, `sharing_stuck` or `implausible_time`.
    #[schema(example = "paid_twice")]
    pub kind: String,
    #[schema(value_type = Option<String>)]
    pub order_no: Option<OrderNo>,
    #[schema(value_type = Option<String>)]
    pub refund_no: Option<RefundNo>,
    pub detail: String,
    /// Absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// `policy`, or a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<&PaymentException> for ExceptionView {
    fn from(exception: &PaymentException) -> Self {
        Self {
            id: exception.id,
            kind: exception.kind.clone(),
            order_no: exception.order.map(OrderNo::from),
            refund_no: exception.refund.map(RefundNo::from),
            detail: exception.detail.clone(),
            resolution: exception.resolution.clone(),
            resolved_by: exception.resolved_by.as_ref().map(ToString::to_string),
            resolved_at: exception.resolved_at,
            created_at: exception.created_at,
        }
    }
}

/// When WeChat is asked about an unpaid order.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = NextQuery)]
pub struct NextQueryView {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How often it was asked already.
    pub queries: u32,
    /// Why nothing was learnt when it was last asked: no answer, one that cannot be verified or
    /// read, or a refusal. Absent when WeChat was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "WeChat is not understood: HTTP 502 Bad Gateway")]
    pub problem: Option<String>,
}

/// An order's whole history in one answer.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PaymentHistory)]
pub struct PaymentHistoryView {
    pub payment: PaymentView,
    /// The payment's steps and its refunds', in the order of time. The payment's may be a moment
    /// behind `payment`.
    pub timeline: Vec<TimelineStep>,
    /// Oldest first.
    pub refunds: Vec<RefundView>,
    /// What was booked.
    pub entries: Vec<EntryView>,
    pub alarms: Vec<AlarmView>,
    pub exceptions: Vec<ExceptionView>,
    /// What risk decided, in the order of the stages.
    pub decisions: Vec<DecisionView>,
    /// Of the points, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewView>,
    /// Absent when nothing is left to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_query: Option<NextQueryView>,
}

impl From<&OrderHistory> for PaymentHistoryView {
    fn from(history: &OrderHistory) -> Self {
        let alarms = history.alarms.iter().map(|alarm| AlarmView {
            callback_id: alarm.event.to_string(),
            reason: alarm.reason.clone(),
            out_refund_no: alarm.out_refund_no.clone(),
            wechat_transaction_id: alarm.wechat_transaction_id.clone(),
            amount_fen: alarm.amount.get(),
            at: alarm.created_at,
        });
        Self {
            payment: (&history.view).into(),
            timeline: timeline(history),
            refunds: history
                .refunds
                .iter()
                .map(|(refund, _)| refund.into())
                .collect(),
            entries: entries::entries(history),
            alarms: alarms.collect(),
            exceptions: history.exceptions.iter().map(ExceptionView::from).collect(),
            decisions: history.decisions.iter().map(DecisionView::from).collect(),
            review: history
                .review
                .as_ref()
                .map(|review| ReviewView::at(review, history.at)),
            next_query: history.next_query.as_ref().map(|next| NextQueryView {
                at: next.at,
                queries: next.queries,
                problem: next.problem.clone(),
            }),
        }
    }
}
