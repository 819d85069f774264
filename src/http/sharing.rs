//! Sharings and their rules as operators and merchants see them. Openids are masked, and names were
//! never kept whole.

use serde::Serialize;

use crate::{
    primitives::{MerchantId, Money, OrderNo, ReceiverId, RefundNo, SharingNo, Timestamp},
    sharing::{Part, PartReturn, PaymentShare, RulePart, SharingRule, SharingView},
};

/// A merchant's rule.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SharingRuleAnswer {
    /// Sharings name the version that they follow; 0: none was ever set.
    #[schema(example = 2)]
    version: u32,
    /// Whether payments are shared at all.
    active: bool,
    /// The most that WeChat allowed when the rule was set, in millionths.
    #[schema(example = 300_000)]
    ratio_max_ppm: Option<u32>,
    parts: Vec<SharingRulePart>,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SharingRulePart {
    #[schema(value_type = String, example = "rc_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    receiver_id: ReceiverId,
    /// `merchant` or `person`.
    #[schema(example = "merchant")]
    kind: &'static str,
    /// A merchant number, or the end of an openid.
    #[schema(example = "1900000100")]
    account: String,
    #[schema(example = "账***")]
    name: Option<String>,
    /// Millionths of the payment less fee and refunds, rounded down to the fen.
    #[schema(example = 50_000)]
    ratio_ppm: u32,
    #[schema(example = "平台服务费")]
    description: String,
}

impl From<&RulePart> for SharingRulePart {
    fn from(part: &RulePart) -> Self {
        Self {
            receiver_id: part.receiver,
            kind: part.kind.name(),
            account: part.account_masked(),
            name: part.name_masked.clone(),
            ratio_ppm: part.ratio_ppm,
            description: part.description.clone(),
        }
    }
}

impl From<Option<SharingRule>> for SharingRuleAnswer {
    fn from(rule: Option<SharingRule>) -> Self {
        Self {
            version: rule.as_ref().map_or(0, |rule| rule.version),
            active: rule.as_ref().is_some_and(|rule| rule.active),
            ratio_max_ppm: rule.as_ref().map(|rule| rule.ratio_max_ppm),
            created_at: rule.as_ref().map(|rule| rule.created_at),
            parts: rule.map_or_else(Vec::new, |rule| {
                rule.parts.iter().map(SharingRulePart::from).collect()
            }),
        }
    }
}

/// The sharing of one payment.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SharingSummary {
    #[schema(value_type = String)]
    sharing_no: SharingNo,
    #[schema(value_type = String)]
    order_no: OrderNo,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// `asked`, `processing`, `releasing` or `done`.
    #[schema(example = "done")]
    state: &'static str,
    /// Absent: no rule was in force, and all was released.
    rule_version: Option<u32>,
    /// The payment less what was asked back before the sharing.
    #[schema(example = 10_000)]
    base_fen: i64,
    /// Why it is not further.
    problem: Option<String>,
    /// WeChat shared what was called refused, or brought back what was called lost: refunds of the
    /// order wait until the sharing is retried.
    stopped: bool,
    attempts: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&PaymentShare> for SharingSummary {
    fn from(share: &PaymentShare) -> Self {
        Self {
            sharing_no: share.no(),
            order_no: share.order.into(),
            merchant_id: share.merchant,
            state: share.state.kind().name(),
            rule_version: share.rule_version,
            base_fen: share.base.get(),
            problem: share.attempts.problem.clone(),
            stopped: share.stopped,
            attempts: share.attempts.count,
            next_attempt_at: share.attempts.next_at,
            created_at: share.created_at(),
        }
    }
}

/// The sharing of one payment with its parts and what came back of them.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SharingAnswer {
    #[serde(flatten)]
    summary: SharingSummary,
    parts: Vec<SharingPartAnswer>,
    returns: Vec<SharingReturnAnswer>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SharingPartAnswer {
    #[schema(value_type = String)]
    receiver_id: ReceiverId,
    #[schema(example = "merchant")]
    kind: &'static str,
    /// A merchant number, or the end of an openid.
    account: String,
    name: Option<String>,
    #[schema(example = 497)]
    amount_fen: i64,
    /// Asked back for refunds, and not failed to come back.
    returned_fen: i64,
    /// `pending`, `succeeded` or `failed`.
    #[schema(example = "succeeded")]
    state: &'static str,
    /// WeChat's code.
    fail_reason: Option<String>,
}

impl From<&Part> for SharingPartAnswer {
    fn from(part: &Part) -> Self {
        Self {
            receiver_id: part.receiver,
            kind: part.kind.name(),
            account: part.account_masked(),
            name: part.name_masked.clone(),
            amount_fen: part.amount.get(),
            returned_fen: part.returned.get(),
            state: part.state.name(),
            fail_reason: part.fail_reason.clone(),
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct SharingReturnAnswer {
    return_no: String,
    /// For which it comes back.
    #[schema(value_type = String)]
    refund_no: RefundNo,
    #[schema(value_type = Option<String>)]
    receiver_id: Option<ReceiverId>,
    amount_fen: i64,
    /// `asked`, `processing`, `succeeded` or `failed`.
    #[schema(example = "succeeded")]
    state: &'static str,
    fail_reason: Option<String>,
}

impl SharingReturnAnswer {
    fn of(back: &PartReturn, parts: &[Part]) -> Self {
        let part = parts.iter().find(|part| part.id == back.part);
        Self {
            return_no: back.no().to_string(),
            refund_no: back.refund.into(),
            receiver_id: part.map(|part| part.receiver),
            amount_fen: Money::get(back.amount),
            state: back.state.name(),
            fail_reason: back.fail_reason.clone(),
        }
    }
}

impl From<&SharingView> for SharingAnswer {
    fn from(view: &SharingView) -> Self {
        let returns = view.returns.iter();
        Self {
            summary: SharingSummary::from(&view.share),
            parts: view.parts.iter().map(SharingPartAnswer::from).collect(),
            returns: returns
                .map(|back| SharingReturnAnswer::of(back, &view.parts))
                .collect(),
        }
    }
}
