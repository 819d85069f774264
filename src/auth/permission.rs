//! What each role may do: the whole table.

use super::{OperatorRole, StaffRole};
use crate::primitives::coded;

coded! {
    /// One thing that a caller may or may not do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Permission {
        /// One's own profile, payments and points.
        ReadOwn => "own:read",
        /// Pay at a merchant.
        Pay => "pay",
        /// Register a merchant.
        RegisterMerchant => "merchant:register",
        /// The merchant's profile and its collection codes.
        ReadOwnMerchant => "own_merchant:read",
        /// The merchant's payments and totals.
        ReadMerchantPayments => "merchant_payments:read",
        /// Create and disable the merchant's collection codes.
        WriteCodes => "codes:write",
        /// Collect at the counter, and ask WeChat about the merchant's payments.
        CollectPayment => "merchant_payments:collect",
        /// Close the merchant's unpaid payments.
        ClosePayment => "merchant_payments:close",
        /// Ask for refunds of the merchant's payments; how large, the tenant's policy says.
        RequestRefund => "merchant_refunds:request",
        /// Agree to refunds that others of the merchant asked for, or not.
        DecideRefund => "merchant_refunds:decide",
        ReadMerchants => "merchants:read",
        /// Approve, reject, suspend.
        DecideMerchants => "merchants:decide",
        ReadPointsRule => "points_rule:read",
        WritePointsRule => "points_rule:write",
        ReadAlarms => "alarms:read",
        ReadAuditLogs => "audit_logs:read",
        /// What is told to others after a payment, and which of it.
        ReadDeliveries => "deliveries:read",
        /// Say what is told, and have it tried again.
        WriteDeliveries => "deliveries:write",
        /// Every payment and refund of the tenant, with what was booked.
        ReadPayments => "payments:read",
        /// Ask WeChat about any payment, and close it.
        ClosePayments => "payments:close",
        /// Refund any payment; retry, redirect and withdraw refunds.
        RefundPayments => "payments:refund",
        /// Agree to refunds that somebody else asked for, or not.
        DecideRefunds => "refunds:decide",
        ReadPaymentPolicy => "payment_policy:read",
        WritePaymentPolicy => "payment_policy:write",
        ReadExceptions => "exceptions:read",
        ResolveExceptions => "exceptions:resolve",
        ReadCallbacks => "callbacks:read",
        ReplayCallbacks => "callbacks:replay",
        /// The merchant's sharing rule and the sharings of its payments.
        ReadMerchantSharing => "merchant_sharing:read",
        /// Receivers, rules and sharings of every merchant.
        ReadSharing => "sharing:read",
        /// Add and remove receivers, set rules, try again.
        WriteSharing => "sharing:write",
        /// Give points to customers.
        AwardPoints => "points:award",
        /// Take points from customers.
        DeductPoints => "points:deduct",
        /// Hold customers' points, and capture or release holds.
        HoldPoints => "points:hold",
        /// Balances, records and statistics of points of every customer.
        ReadPoints => "points:read",
        /// Start the expiry of points before its hour.
        ExpirePoints => "points:expire",
        /// The rules, the decisions and why.
        ReadRisk => "risk:read",
        /// Put a changed file of rules in force at once.
        ReloadRisk => "risk:reload",
        /// What waits for a person to decide.
        ReadReviews => "risk_reviews:read",
        /// Decide it.
        DecideReviews => "risk_reviews:decide",
    }
}

impl Permission {
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

    /// The roles that have it, by their names; a customer's is `customer`.
    pub fn roles(self) -> Vec<&'static str> {
        let staff = StaffRole::ALL.map(|role| (role.name(), Self::of_staff(role)));
        let operators = OperatorRole::ALL.map(|role| (role.name(), Self::of_operator(role)));
        [("customer", Self::OF_CUSTOMER)]
            .into_iter()
            .chain(staff)
            .chain(operators)
            .filter(|(_, permissions)| permissions.contains(&self))
            .map(|(role, _)| role)
            .collect()
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
.xx... merchant_payments:collect
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
