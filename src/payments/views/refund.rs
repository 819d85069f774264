//! A refund as operators read it.

use serde::Serialize;

use super::TimelineStep;
use crate::{
    payments::{Redirect, Refund, RefundStep},
    primitives::{MerchantId, OrderNo, RefundNo, Timestamp},
};

/// A refund with everything that its row knows.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AdminRefund)]
pub struct RefundView {
    /// Towards WeChat it is `out_refund_no`, unless one is stated.
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    pub refund_no: RefundNo,
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    pub order_no: OrderNo,
    #[schema(value_type = String, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub merchant_id: MerchantId,
    /// `awaiting_approval`, `rejected`, `returning`, `accepted`, `processing`, `succeeded`,
    /// `abnormal`, `closed`, `failed` or `withdrawn`.
    #[schema(example = "processing")]
    pub state: &'static str,
    #[schema(example = 1200)]
    pub amount_fen: i64,
    /// Shown to the customer.
    pub reason: String,
    #[schema(example = "st_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub requested_by: String,
    /// Who agreed, or did not, when a second person had to.
    pub decided_by: Option<String>,
    /// Points that go back with it: those of the next three kinds, and those that the customer had
    /// and gives back.
    #[schema(example = 12)]
    pub points_back: i64,
    /// Of these, missing because the customer had spent them: now owed.
    #[schema(example = 0)]
    pub clawback_shortfall: i64,
    /// Of these, expired unspent before the refund: they count as given back.
    #[schema(example = 0)]
    pub points_expired: i64,
    /// Of these, under review when the refund was initiated: they were never credited.
    #[schema(example = 0)]
    pub points_withheld: i64,
    /// Made by the tenant, because the order was paid after it had been closed.
    pub late: bool,
    /// `here`, `elsewhere` (somebody else made it at WeChat), or `after_all` (asked for here, ended
    /// here, and made by WeChat all the same).
    #[schema(example = "here")]
    pub origin: &'static str,
    /// The number under which WeChat knows it, when that is not `refund_no`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_refund_no: Option<String>,
    pub wechat_refund_id: Option<String>,
    /// Where the money went, in WeChat's words.
    pub received_account: Option<String>,
    /// Calls to WeChat since it last moved.
    #[schema(example = 1)]
    pub attempts: u32,
    /// A call ended without an answer: WeChat may have the refund.
    pub unsure: bool,
    /// Why it makes no progress, as a code.
    #[schema(example = "not_enough")]
    pub problem: Option<String>,
    /// Details of the problem, if there are any: WeChat's code, or what of its answer was
    /// not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "HTTP 502 Bad Gateway")]
    pub problem_detail: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Timestamp>,
    /// Who wants it withdrawn, while a second person must agree.
    pub withdrawal_requested_by: Option<String>,
    /// Why.
    pub withdrawal_reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the money arrived.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub succeeded_at: Option<Timestamp>,
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        let withdrawal = refund.progress.withdrawal.as_ref();
        Self {
            refund_no: refund.no(),
            order_no: refund.order.into(),
            merchant_id: refund.merchant,
            state: refund.state.kind().name(),
            amount_fen: refund.amount.get(),
            reason: refund.reason.clone(),
            requested_by: refund.requested_by.to_string(),
            decided_by: refund.approved_by.as_ref().map(ToString::to_string),
            points_back: refund.points.due.get(),
            clawback_shortfall: refund.points.shortfall.get(),
            points_expired: refund.points.expired.get(),
            points_withheld: refund.points.withheld.get(),
            late: refund.late,
            origin: refund.origin.kind().name(),
            out_refund_no: refund.origin.foreign_no().map(str::to_owned),
            wechat_refund_id: refund.wechat_refund_id.clone(),
            received_account: refund.received_account.clone(),
            attempts: refund.attempts.count,
            unsure: refund.attempts.unsure,
            problem: refund.attempts.problem.clone(),
            problem_detail: problem_detail(refund),
            next_attempt_at: refund.attempts.next_at,
            withdrawal_requested_by: withdrawal.map(|request| request.by.to_string()),
            withdrawal_reason: withdrawal.map(|request| request.reason.clone()),
            created_at: refund.created_at(),
            succeeded_at: refund.succeeded_at(),
        }
    }
}

fn problem_detail(refund: &Refund) -> Option<String> {
    let attempts = &refund.attempts;
    attempts
        .detail
        .clone()
        .filter(|_| attempts.problem.is_some())
}

/// A refund and every state that it was in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AdminRefundWithHistory)]
pub struct RefundHistoryView {
    #[serde(flatten)]
    pub refund: RefundView,
    pub history: Vec<TimelineStep>,
    /// Where it is to go instead of the customer's account, if that takes two people.
    pub redirect: Option<RedirectView>,
}

impl RefundHistoryView {
    pub fn new(refund: &Refund, history: &[RefundStep], redirect: Option<Redirect>) -> Self {
        let history = history
            .iter()
            .map(|step| TimelineStep::of_refund(refund, step));
        Self {
            refund: refund.into(),
            history: history.collect(),
            redirect: redirect.map(RedirectView::from),
        }
    }
}

/// What was said of where an abnormal refund is to go.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AdminRefundRedirect)]
pub struct RedirectView {
    /// The bank and the card's last four digits, or the merchant's account.
    #[schema(example = "ICBC_DEBIT …2233")]
    pub to: String,
    pub asked_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// Who said the same and sent it; null while that is awaited.
    pub agreed_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub agreed_at: Option<Timestamp>,
}

impl From<Redirect> for RedirectView {
    fn from(said: Redirect) -> Self {
        Self {
            to: said.to(),
            asked_by: said.asked_by.to_string(),
            asked_at: said.asked_at,
            agreed_by: said.agreed_by.as_ref().map(ToString::to_string),
            agreed_at: said.agreed_at,
        }
    }
}
