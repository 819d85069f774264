//! What people and programs do.

use serde_json::{Value, json};

use super::Actor;
use crate::primitives::{
    BusinessDay, CustomerId, MerchantId, Money, OrderId, OrderNo, Points, StaffId, Timestamp,
};

/// What was done, with the facts that the subject alone does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditAction {
    MerchantRegistered {
        owner: StaffId,
    },
    MerchantApproved {
        sub_mchid: String,
    },
    MerchantRejected {
        reason: String,
    },
    MerchantSuspended {
        reason: String,
    },
    CollectionCodeCreated {
        merchant: MerchantId,
        label: String,
        amount: Option<Money>,
    },
    CollectionCodeDisabled {
        merchant: MerchantId,
    },
    PointsRuleSet {
        version: u32,
        effective_from: Timestamp,
    },
    PointsRuleWithdrawn {
        version: u32,
        effective_from: Timestamp,
    },
    PaymentCollectionStarted {
        amount: Money,
    },
    PaymentClosed,
    RefundRequested {
        order: OrderNo,
        amount: Money,
        /// What it waits for a second person for, if it does.
        approval_reason: Option<&'static str>,
    },
    RefundApproved {
        amount: Money,
    },
    RefundRejected {
        amount: Money,
    },
    /// A person wants an abnormal refund to go elsewhere, and a second one must want the same.
    RefundRedirectRequested {
        to: String,
    },
    /// WeChat is about to be asked.
    RefundRedirected {
        to: String,
    },
    /// A person said under which number a refund of this order was made elsewhere.
    ForeignRefundReported {
        out_refund_no: String,
    },
    /// The first of two people wants it withdrawn.
    RefundWithdrawalRequested {
        amount: Money,
    },
    RefundWithdrawn {
        amount: Money,
        reason: String,
        /// The first of two people.
        asked_by: Option<Actor>,
    },
    PaymentPolicySet {
        version: u32,
    },
    ExceptionResolved {
        resolution: String,
    },
    CallbackReplayed {
        outcome: String,
    },
    DeliverySettingsSet {
        shipping: &'static str,
        payment_template: Option<String>,
        refund_template: Option<String>,
        expiry_template: Option<String>,
    },
    DeliveryRetried {
        kind: &'static str,
        /// None for what is not about an order.
        order: Option<OrderId>,
    },
    SharingReceiverAdded {
        merchant: MerchantId,
        kind: &'static str,
    },
    SharingReceiverRemoved {
        merchant: MerchantId,
    },
    SharingRuleSet {
        version: u32,
        active: bool,
    },
    SharingRetried,
    RiskRulesReloaded {
        number: u32,
    },
    ReviewClaimed,
    ReviewUnclaimed,
    /// `decided` is false for the first of two approvals.
    ReviewApproved {
        points: Points,
        decided: bool,
    },
    ReviewRejected {
        points: Points,
    },
    /// The time-out decided.
    ReviewTimedOut {
        points: Points,
        released: bool,
    },
    /// Points awarded, deducted, redeemed, held or returned by a back end; a line for each change
    /// of state.
    PointsTransaction {
        customer: CustomerId,
        kind: &'static str,
        state: &'static str,
        points: Points,
        captured: Points,
    },
    PointsExpiryAsked {
        day: BusinessDay,
    },
}

impl AuditAction {
    /// The name in the table and in the API; never changed, since old lines carry it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MerchantRegistered { .. } => "merchant.registered",
            Self::MerchantApproved { .. } => "merchant.approved",
            Self::MerchantRejected { .. } => "merchant.rejected",
            Self::MerchantSuspended { .. } => "merchant.suspended",
            Self::CollectionCodeCreated { .. } => "collection_code.created",
            Self::CollectionCodeDisabled { .. } => "collection_code.disabled",
            Self::PointsRuleSet { .. } => "points_rule.set",
            Self::PointsRuleWithdrawn { .. } => "points_rule.withdrawn",
            Self::PaymentCollectionStarted { .. } => "payment.collection_started",
            Self::PaymentClosed => "payment.closed",
            Self::RefundRequested { .. } => "refund.requested",
            Self::RefundApproved { .. } => "refund.approved",
            Self::RefundRejected { .. } => "refund.rejected",
            Self::RefundRedirectRequested { .. } => "refund.redirect_requested",
            Self::RefundRedirected { .. } => "refund.redirected",
            Self::ForeignRefundReported { .. } => "refund.foreign_reported",
            Self::RefundWithdrawalRequested { .. } => "refund.withdrawal_requested",
            Self::RefundWithdrawn { .. } => "refund.withdrawn",
            Self::PaymentPolicySet { .. } => "payment_policy.set",
            Self::ExceptionResolved { .. } => "exception.resolved",
            Self::CallbackReplayed { .. } => "callback.replayed",
            Self::DeliverySettingsSet { .. } => "delivery_settings.set",
            Self::DeliveryRetried { .. } => "delivery.retried",
            Self::SharingReceiverAdded { .. } => "sharing_receiver.added",
            Self::SharingReceiverRemoved { .. } => "sharing_receiver.removed",
            Self::SharingRuleSet { .. } => "sharing_rule.set",
            Self::SharingRetried => "sharing.retried",
            Self::RiskRulesReloaded { .. } => "risk_rules.reloaded",
            Self::ReviewClaimed => "risk_review.claimed",
            Self::ReviewUnclaimed => "risk_review.unclaimed",
            Self::ReviewApproved { .. } => "risk_review.approved",
            Self::ReviewRejected { .. } => "risk_review.rejected",
            Self::ReviewTimedOut { .. } => "risk_review.timed_out",
            Self::PointsTransaction { .. } => "points.transaction",
            Self::PointsExpiryAsked { .. } => "points_expiry.asked",
        }
    }

    pub fn detail(&self) -> Value {
        match self {
            Self::MerchantRegistered { owner } => json!({ "owner": owner }),
            Self::MerchantApproved { sub_mchid } => json!({ "sub_mchid": sub_mchid }),
            Self::MerchantRejected { reason } | Self::MerchantSuspended { reason } => {
                json!({ "reason": reason })
            }
            Self::CollectionCodeCreated {
                merchant,
                label,
                amount,
            } => {
                json!({ "merchant": merchant, "label": label, "amount_fen": amount })
            }
            Self::CollectionCodeDisabled { merchant }
            | Self::SharingReceiverRemoved { merchant } => json!({ "merchant": merchant }),
            Self::PointsRuleSet {
                version,
                effective_from,
            }
            | Self::PointsRuleWithdrawn {
                version,
                effective_from,
            } => json!({ "version": version, "effective_from": effective_from }),
            Self::PaymentPolicySet { version } => json!({ "version": version }),
            Self::RefundRequested {
                order,
                amount,
                approval_reason,
            } => {
                json!({ "order_no": order, "amount_fen": amount, "approval_reason": approval_reason })
            }
            Self::PaymentCollectionStarted { amount }
            | Self::RefundApproved { amount }
            | Self::RefundRejected { amount }
            | Self::RefundWithdrawalRequested { amount } => json!({ "amount_fen": amount }),
            Self::RefundWithdrawn {
                amount,
                reason,
                asked_by,
            } => {
                let asked_by = asked_by.as_ref().map(Actor::to_string);
                json!({ "amount_fen": amount, "reason": reason, "asked_by": asked_by })
            }
            Self::RefundRedirectRequested { to } | Self::RefundRedirected { to } => {
                json!({ "to": to })
            }
            Self::ForeignRefundReported { out_refund_no } => {
                json!({ "out_refund_no": out_refund_no })
            }
            Self::ExceptionResolved { resolution } => json!({ "resolution": resolution }),
            Self::CallbackReplayed { outcome } => json!({ "outcome": outcome }),
            Self::DeliverySettingsSet {
                shipping,
                payment_template,
                refund_template,
                expiry_template,
            } => json!({
                "shipping": shipping,
                "payment_template": payment_template,
                "refund_template": refund_template,
                "expiry_template": expiry_template,
            }),
            Self::DeliveryRetried { kind, order } => json!({ "kind": kind, "order": order }),
            Self::SharingReceiverAdded { merchant, kind } => {
                json!({ "merchant": merchant, "kind": kind })
            }
            Self::SharingRuleSet { version, active } => {
                json!({ "version": version, "active": active })
            }
            Self::RiskRulesReloaded { number } => json!({ "rule_set": number }),
            Self::ReviewApproved { points, decided } => {
                json!({ "points": points, "decided": decided })
            }
            Self::ReviewRejected { points } => json!({ "points": points }),
            Self::ReviewTimedOut { points, released } => {
                json!({ "points": points, "released": released })
            }
            Self::PaymentClosed
            | Self::SharingRetried
            | Self::ReviewClaimed
            | Self::ReviewUnclaimed => json!({}),
            Self::PointsTransaction {
                customer,
                kind,
                state,
                points,
                captured,
            } => json!({
                "customer": customer,
                "kind": kind,
                "state": state,
                "points": points,
                "captured": captured,
            }),
            Self::PointsExpiryAsked { day } => json!({ "day": day.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_says_amounts_in_fen() {
        let merchant = MerchantId::new(crate::primitives::Id::from_bytes([7; 16]));
        let action = AuditAction::CollectionCodeCreated {
            merchant,
            label: "一号柜台".to_owned(),
            amount: Some(Money::parse(1200).unwrap()),
        };
        assert_eq!(action.detail()["amount_fen"], 1200);
        assert_eq!(action.detail()["merchant"], merchant.to_string());
    }
}
