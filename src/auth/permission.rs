//! What each role may do: the whole table.

use super::{OperatorRole, StaffRole};

/// One thing that a caller may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// One's own profile, payments and points.
    ReadOwn,
    /// Pay at a merchant.
    Pay,
    /// Register a merchant.
    RegisterMerchant,
    /// The merchant's profile and its collection codes.
    ReadOwnMerchant,
    /// The merchant's payments and totals.
    ReadMerchantPayments,
    /// Create and disable the merchant's collection codes.
    WriteCodes,
    /// Collect at the counter, and ask WeChat about the merchant's payments.
    CollectPayment,
    /// Close the merchant's unpaid payments.
    ClosePayment,
    /// Ask for refunds of the merchant's payments; how large, the tenant's policy says.
    RequestRefund,
    /// Agree to refunds that others of the merchant asked for, or not.
    DecideRefund,
    ReadMerchants,
    /// Approve, reject, suspend.
    DecideMerchants,
    ReadPointsRule,
    WritePointsRule,
    ReadAlarms,
    ReadAuditLogs,
    /// What is told to others after a payment, and which of it.
    ReadDeliveries,
    /// Say what is told, and have it tried again.
    WriteDeliveries,
    /// Every payment and refund of the tenant, with what was booked.
    ReadPayments,
    /// Ask WeChat about any payment, and give it up.
    ClosePayments,
    /// Refund any payment; retry, redirect and withdraw refunds.
    RefundPayments,
    /// Agree to refunds that somebody else asked for, or not.
    DecideRefunds,
    ReadPaymentPolicy,
    WritePaymentPolicy,
    ReadExceptions,
    ResolveExceptions,
    ReadCallbacks,
    ReplayCallbacks,
    /// The merchant's sharing rule and the sharings of its payments.
    ReadMerchantSharing,
    /// Receivers, rules and sharings of every merchant.
    ReadSharing,
    /// Add and remove receivers, set rules, try again.
    WriteSharing,
    /// Give points to customers.
    AwardPoints,
    /// Take points from customers.
    DeductPoints,
    /// Hold customers' points, and capture or release holds.
    HoldPoints,
    /// Balances, records and statistics of points of every customer.
    ReadPoints,
    /// Start the expiry of points before its hour.
    ExpirePoints,
    /// The rules, the decisions and why.
    ReadRisk,
    /// Put a changed file of rules in force at once.
    ReloadRisk,
    /// What waits for a person to decide.
    ReadReviews,
    /// Decide it.
    DecideReviews,
}

impl Permission {
    pub const ALL: [Self; 40] = [
        Self::ReadOwn,
        Self::Pay,
        Self::RegisterMerchant,
        Self::ReadOwnMerchant,
        Self::ReadMerchantPayments,
        Self::WriteCodes,
        Self::CollectPayment,
        Self::ClosePayment,
        Self::RequestRefund,
        Self::DecideRefund,
        Self::ReadMerchants,
        Self::DecideMerchants,
        Self::ReadPointsRule,
        Self::WritePointsRule,
        Self::ReadAlarms,
        Self::ReadAuditLogs,
        Self::ReadDeliveries,
        Self::WriteDeliveries,
        Self::ReadPayments,
        Self::ClosePayments,
        Self::RefundPayments,
        Self::DecideRefunds,
        Self::ReadPaymentPolicy,
        Self::WritePaymentPolicy,
        Self::ReadExceptions,
        Self::ResolveExceptions,
        Self::ReadCallbacks,
        Self::ReplayCallbacks,
        Self::ReadMerchantSharing,
        Self::ReadSharing,
        Self::WriteSharing,
        Self::AwardPoints,
        Self::DeductPoints,
        Self::HoldPoints,
        Self::ReadPoints,
        Self::ExpirePoints,
        Self::ReadRisk,
        Self::ReloadRisk,
        Self::ReadReviews,
        Self::DecideReviews,
    ];

    pub(super) const OF_CUSTOMER: &'static [Self] =
        &[Self::ReadOwn, Self::Pay, Self::RegisterMerchant];

    pub(super) const fn of_staff(role: StaffRole) -> &'static [Self] {
        match role {
            StaffRole::Owner => &[
                Self::ReadOwnMerchant,
                Self::ReadMerchantPayments,
                Self::WriteCodes,
                Self::CollectPayment,
                Self::ClosePayment,
                Self::RequestRefund,
                Self::DecideRefund,
                Self::ReadMerchantSharing,
            ],
            StaffRole::Clerk => &[
                Self::ReadOwnMerchant,
                Self::ReadMerchantPayments,
                Self::CollectPayment,
                Self::ClosePayment,
                Self::RequestRefund,
            ],
        }
    }

    pub(super) const fn of_operator(role: OperatorRole) -> &'static [Self] {
        match role {
            OperatorRole::Admin => &[
                Self::ReadMerchants,
                Self::DecideMerchants,
                Self::ReadPointsRule,
                Self::WritePointsRule,
                Self::ReadAlarms,
                Self::ReadAuditLogs,
                Self::ReadDeliveries,
                Self::WriteDeliveries,
                Self::ReadPayments,
                Self::ClosePayments,
                Self::RefundPayments,
                Self::DecideRefunds,
                Self::ReadPaymentPolicy,
                Self::WritePaymentPolicy,
                Self::ReadExceptions,
                Self::ResolveExceptions,
                Self::ReadCallbacks,
                Self::ReplayCallbacks,
                Self::ReadSharing,
                Self::WriteSharing,
                Self::AwardPoints,
                Self::DeductPoints,
                Self::ReadPoints,
                Self::ExpirePoints,
                Self::ReadRisk,
                Self::ReloadRisk,
                Self::ReadReviews,
                Self::DecideReviews,
            ],
            OperatorRole::Auditor => &[
                Self::ReadMerchants,
                Self::ReadPointsRule,
                Self::ReadAlarms,
                Self::ReadAuditLogs,
                Self::ReadDeliveries,
                Self::ReadPayments,
                Self::ReadPaymentPolicy,
                Self::ReadExceptions,
                Self::ReadCallbacks,
                Self::ReadSharing,
                Self::ReadPoints,
                Self::ReadRisk,
                Self::ReadReviews,
            ],
            OperatorRole::Service => &[
                Self::AwardPoints,
                Self::DeductPoints,
                Self::HoldPoints,
                Self::ReadPoints,
            ],
        }
    }

    /// The short name in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOwn => "own:read",
            Self::Pay => "pay",
            Self::RegisterMerchant => "merchant:register",
            Self::ReadOwnMerchant => "own_merchant:read",
            Self::ReadMerchantPayments => "merchant_payments:read",
            Self::WriteCodes => "codes:write",
            Self::CollectPayment => "merchant_payments:show",
            Self::ClosePayment => "merchant_payments:close",
            Self::RequestRefund => "merchant_refunds:request",
            Self::DecideRefund => "merchant_refunds:decide",
            Self::ReadMerchants => "merchants:read",
            Self::DecideMerchants => "merchants:decide",
            Self::ReadPointsRule => "points_rule:read",
            Self::WritePointsRule => "points_rule:write",
            Self::ReadAlarms => "alarms:read",
            Self::ReadAuditLogs => "audit_logs:read",
            Self::ReadDeliveries => "deliveries:read",
            Self::WriteDeliveries => "deliveries:write",
            Self::ReadPayments => "payments:read",
            Self::ClosePayments => "payments:close",
            Self::RefundPayments => "payments:refund",
            Self::DecideRefunds => "refunds:decide",
            Self::ReadPaymentPolicy => "payment_policy:read",
            Self::WritePaymentPolicy => "payment_policy:write",
            Self::ReadExceptions => "exceptions:read",
            Self::ResolveExceptions => "exceptions:resolve",
            Self::ReadCallbacks => "callbacks:read",
            Self::ReplayCallbacks => "callbacks:replay",
            Self::ReadMerchantSharing => "merchant_sharing:read",
            Self::ReadSharing => "sharing:read",
            Self::WriteSharing => "sharing:write",
            Self::AwardPoints => "points:award",
            Self::DeductPoints => "points:deduct",
            Self::HoldPoints => "points:hold",
            Self::ReadPoints => "points:read",
            Self::ExpirePoints => "points:expire",
            Self::ReadRisk => "risk:read",
            Self::ReloadRisk => "risk:reload",
            Self::ReadReviews => "risk_reviews:read",
            Self::DecideReviews => "risk_reviews:decide",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roles across, permissions down. A change of this table is a decision, so it is written out
    /// twice.
    #[test]
    fn each_role_may_do_exactly_this() {
        let table = Permission::ALL.map(|permission| {
            let mark = |of: &[Permission]| if of.contains(&permission) { 'x' } else { '.' };
            let row: String = [
                mark(Permission::OF_CUSTOMER),
                mark(Permission::of_staff(StaffRole::Owner)),
                mark(Permission::of_staff(StaffRole::Clerk)),
                mark(Permission::of_operator(OperatorRole::Admin)),
                mark(Permission::of_operator(OperatorRole::Auditor)),
                mark(Permission::of_operator(OperatorRole::Service)),
            ]
            .into_iter()
            .collect();
            format!("{row} {}", permission.name())
        });
        let expected = "\
x..... own:read
x..... pay
x..... merchant:register
.xx... own_merchant:read
.xx... merchant_payments:read
.x.... codes:write
.xx... merchant_payments:show
.xx... merchant_payments:close
.xx... merchant_refunds:request
.x.... merchant_refunds:decide
...xx. merchants:read
...x.. merchants:decide
...xx. points_rule:read
...x.. points_rule:write
...xx. alarms:read
...xx. audit_logs:read
...xx. deliveries:read
...x.. deliveries:write
...xx. payments:read
...x.. payments:close
...x.. payments:refund
...x.. refunds:decide
...xx. payment_policy:read
...x.. payment_policy:write
...xx. exceptions:read
...x.. exceptions:resolve
...xx. callbacks:read
...x.. callbacks:replay
.x.... merchant_sharing:read
...xx. sharing:read
...x.. sharing:write
...x.x points:award
...x.x points:deduct
.....x points:hold
...xxx points:read
...x.. points:expire
...xx. risk:read
...x.. risk:reload
...xx. risk_reviews:read
...x.. risk_reviews:decide";
        assert_eq!(table.join("\n"), expected);
    }
}
