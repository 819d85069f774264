//! The chart of accounts: which kinds of account there are, and what holds of each.
//!
//! A kind of account is a line here and a line of the table in `docs/glossary.md`, which a test
//! holds against this one. An account has no row that says so: its id is that of its owner with the
//! code of its kind as the last byte, so that owner, kind, asset and whether it is constrained
//! follow from the id.

use crate::primitives::{AccountId, CustomerId, Id, MerchantId, ReceiverId, TenantId, coded};

coded! {
    /// What an account holds.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
    pub enum Asset {
        /// Money, in fen.
        Cny => "cny_fen",
        /// Points, whole.
        Points => "points",
    }
}

coded! {
    /// Whose account it is: whose id it is derived from.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum AccountOwner {
        Tenant => "tenant",
        Customer => "customer",
        Merchant => "merchant",
        /// A receiver of shares.
        Receiver => "receiver",
    }
}

coded! {
    /// The side on which an account grows.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum NormalSide {
        Debit => "debit",
        Credit => "credit",
    }
}

coded! {
    /// What an account is for. The number is the last byte of its id and is never used again for
    /// something else.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
    pub enum AccountKind {
        /// A customer's points.
        CustomerPoints = 1 => "customer_points",
        /// What the tenant owes a merchant for payments collected.
        MerchantPayable = 0x11 => "merchant_payable",
        /// What WeChat owes for payments collected.
        ChannelReceivable = 0x12 => "channel_receivable",
        /// Money on its way back to customers: WeChat has taken the refund and has not said what
        /// became of it.
        RefundsInTransit = 0x13 => "refunds_in_transit",
        /// Money on its way to receivers of shares.
        SharingInTransit = 0x14 => "sharing_in_transit",
        /// What a receiver of shares was given.
        ReceiverPayable = 0x15 => "receiver_payable",
        /// Points that were created: the other side of every credit.
        PointsIssued = 0x21 => "points_issued",
        /// Points that were spent.
        PointsRedeemed = 0x22 => "points_redeemed",
        /// Points that expired.
        PointsExpired = 0x23 => "points_expired",
        /// Points that a customer owes: taken back by a refund after they had been spent.
        CustomerDebt = 0x24 => "customer_debt",
    }
}

/// What the chart says of a kind of account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChartLine {
    pub owner: AccountOwner,
    pub asset: Asset,
    pub normal_side: NormalSide,
    /// May not go below zero, and therefore is written with a version check.
    pub constrained: bool,
}

impl AccountKind {
    pub const fn chart_line(self) -> ChartLine {
        use AccountOwner::{Customer, Merchant, Receiver, Tenant};
        use Asset::{Cny, Points};
        use NormalSide::{Credit, Debit};
        let (owner, asset, normal_side) = match self {
            Self::CustomerPoints => (Customer, Points, Credit),
            Self::MerchantPayable => (Merchant, Cny, Credit),
            Self::ChannelReceivable => (Tenant, Cny, Debit),
            Self::RefundsInTransit | Self::SharingInTransit => (Tenant, Cny, Credit),
            Self::ReceiverPayable => (Receiver, Cny, Credit),
            Self::PointsIssued => (Tenant, Points, Debit),
            Self::PointsRedeemed | Self::PointsExpired => (Tenant, Points, Credit),
            Self::CustomerDebt => (Customer, Points, Debit),
        };
        ChartLine {
            owner,
            asset,
            normal_side,
            constrained: matches!(self, Self::CustomerPoints),
        }
    }

    pub const fn asset(self) -> Asset {
        self.chart_line().asset
    }

    /// May not go below zero, and therefore is written with a version check.
    pub const fn is_constrained(self) -> bool {
        self.chart_line().constrained
    }
}

impl AccountId {
    pub const fn customer_points(customer: CustomerId) -> Self {
        Self::new(customer.id().with_kind(AccountKind::CustomerPoints.code()))
    }

    pub const fn merchant_payable(merchant: MerchantId) -> Self {
        Self::new(merchant.id().with_kind(AccountKind::MerchantPayable.code()))
    }

    /// Points that the customer owes.
    pub const fn customer_debt(customer: CustomerId) -> Self {
        Self::new(customer.id().with_kind(AccountKind::CustomerDebt.code()))
    }

    /// The debt account of the customer whose points these are: it follows them in the order of
    /// ids.
    #[must_use]
    pub const fn debt_of_points(self) -> Self {
        Self::new(self.id().with_kind(AccountKind::CustomerDebt.code()))
    }

    pub const fn receiver_payable(receiver: ReceiverId) -> Self {
        Self::new(receiver.id().with_kind(AccountKind::ReceiverPayable.code()))
    }

    /// The customer whose points these are; none for another kind of account.
    #[must_use]
    pub fn customer(&self) -> Option<CustomerId> {
        let theirs = self.kind() == Some(AccountKind::CustomerPoints);
        theirs.then(|| CustomerId::new(self.id().with_kind(0)))
    }

    /// An account of the tenant itself: the channel, points issued, redeemed, expired.
    #[must_use]
    pub fn of_tenant(tenant: TenantId, kind: AccountKind) -> Self {
        let mut bytes = [0; 16];
        bytes[10..14].copy_from_slice(&tenant.0.to_be_bytes());
        Self::new(Id::from_bytes(bytes).with_kind(kind.code()))
    }

    /// Fails only for a row that this program did not write.
    pub fn kind(&self) -> Option<AccountKind> {
        AccountKind::from_code(self.id().kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_knows_its_kind() {
        for kind in AccountKind::ALL {
            assert_eq!(AccountId::of_tenant(TenantId(7), kind).kind(), Some(kind));
        }
    }
}
