//! An order's story in the words in which operators read it, over HTTP and on the terminal alike.

mod entries;
mod payment;
mod refund;
mod risk;
mod timeline;

use serde::Serialize;

pub use entries::{ToldEntry, ToldTransfer};
pub use payment::ToldPayment;
pub use refund::{RedirectView, ToldRefund, ToldRefundWithHistory};
pub use risk::{ToldDecision, ToldFired, ToldReview};
pub use timeline::{ToldStep, timeline};

use super::{OrderStory, PaymentException};
use crate::primitives::{ExceptionId, OrderNo, RefundNo, Timestamp};

/// A callback that was soundly signed and wrong.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PaymentAlarm)]
pub struct ToldAlarm {
    /// The stored callback.
    pub callback_id: String,
    /// What is wrong: a stable word.
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
pub struct ToldException {
    #[schema(value_type = String, example = "ex_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub id: ExceptionId,
    /// `late_payment`, `paid_twice`, `wrong_answer`, `foreign_refund`, `refund_contradiction`, `refund_refused`, `refund_abnormal`, `sharing_failed`,
    /// `sharing_contradiction`, `not_projected`, `refund_stuck`, `order_stuck`, `sharing_stuck` or
    /// `wrong_time`.
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

impl From<&PaymentException> for ToldException {
    fn from(exception: &PaymentException) -> Self {
        Self {
            id: exception.id,
            kind: exception.kind.clone(),
            order_no: exception.order.map(OrderNo::from),
            refund_no: exception.refund.map(RefundNo::from),
            detail: exception.detail.clone(),
            resolution: exception.resolution.clone(),
            resolved_by: exception.resolved_by.clone(),
            resolved_at: exception.resolved_at,
            created_at: exception.created_at,
        }
    }
}

/// When WeChat is asked about an unpaid order.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = NextQuery)]
pub struct ToldQuery {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How often it was asked already.
    pub queries: u32,
    /// Why nothing was learnt when it was last asked: no answer, one that cannot be believed or
    /// read, or a refusal. Absent when WeChat was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "WeChat is not understood: HTTP 502 Bad Gateway")]
    pub problem: Option<String>,
}

/// An order's whole history in one answer.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PaymentHistory)]
pub struct ToldStory {
    pub payment: ToldPayment,
    /// The payment's steps and its refunds', in the order of time. The payment's may be a moment behind `payment`.
    pub timeline: Vec<ToldStep>,
    /// Oldest first.
    pub refunds: Vec<ToldRefund>,
    /// What was booked.
    pub entries: Vec<ToldEntry>,
    pub alarms: Vec<ToldAlarm>,
    pub exceptions: Vec<ToldException>,
    /// What risk decided, in the order of the stages.
    pub decisions: Vec<ToldDecision>,
    /// Of the points, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ToldReview>,
    /// Absent when nothing is left to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_query: Option<ToldQuery>,
}

impl From<&OrderStory> for ToldStory {
    fn from(story: &OrderStory) -> Self {
        let alarms = story.alarms.iter().map(|alarm| ToldAlarm {
            callback_id: alarm.event.to_string(),
            reason: alarm.reason.clone(),
            out_refund_no: alarm.out_refund_no.clone(),
            wechat_transaction_id: alarm.wechat_transaction_id.clone(),
            amount_fen: alarm.amount.get(),
            at: alarm.created_at,
        });
        Self {
            payment: (&story.view).into(),
            timeline: timeline(story),
            refunds: story
                .refunds
                .iter()
                .map(|(refund, _)| refund.into())
                .collect(),
            entries: entries::entries(story),
            alarms: alarms.collect(),
            exceptions: story.exceptions.iter().map(ToldException::from).collect(),
            decisions: story.decisions.iter().map(ToldDecision::from).collect(),
            review: story
                .review
                .as_ref()
                .map(|review| ToldReview::at(review, story.at)),
            next_query: story.next_query.as_ref().map(|next| ToldQuery {
                at: next.at,
                queries: next.queries,
                problem: next.problem.clone(),
            }),
        }
    }
}
