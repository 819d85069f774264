//! The sharing of a payment, its parts and their returns. Pure.

use crate::{
    payments::Attempts,
    primitives::{
        Id, MerchantId, Money, OrderId, ReceiverId, RefundId, Secret, SharingId, SharingNo,
        SharingPartId, SharingReturnId, SharingReturnNo, TenantId, Timestamp, coded,
    },
    sharing::{Calls, ReceiverKind, receiver::mask_account},
};

/// The sharing of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentShare {
    /// Has the order's lane.
    pub id: SharingId,
    pub tenant: TenantId,
    pub order: OrderId,
    pub merchant: MerchantId,
    /// None if no rule was in force.
    pub rule_version: Option<u32>,
    /// The payment less what was refunded before.
    pub base: Money,
    /// Refunds requested before the sharing began, which take nothing from it.
    pub asked_before: Money,
    /// The number of changes of the row, its parts and its returns; 1 when it is inserted.
    pub version: u32,
    pub state: ShareState,
    pub wechat_order_id: Option<String>,
    /// The refund for which shares are coming back now.
    pub returning: Option<RefundId>,
    pub attempts: Attempts,
    /// Calls of the share, under the sharing's own number.
    pub calls: Calls,
    /// WeChat shared a part that was marked failed, or returned one that was: no refund of the
    /// order continues until an operator has retried the sharing.
    pub stopped: bool,
}

coded! {
    /// The state of a sharing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ShareState as ShareStateKind: Serde {
        /// Booked. WeChat has not confirmed that it has it; the call is repeated with the same
        /// number.
        Asked = 1 => "asked",
        /// WeChat has it.
        Processing = 2 => "processing",
        /// Nothing was to be shared, or nothing could be: the frozen money is released, under this
        /// number.
        Releasing { release: SharingId } = 3 => "releasing",
        /// Every part is final, and the rest is released. With the number of the release, if there
        /// was one.
        Done { release: Option<SharingId> } = 4 => "done",
    }
}

impl ShareState {
    /// Returns the number of the release, if there is one.
    pub const fn release(self) -> Option<SharingId> {
        match self {
            Self::Asked | Self::Processing => None,
            Self::Releasing { release } => Some(release),
            Self::Done { release } => release,
        }
    }

    /// Returns whether every part is final. Before that no part can be returned.
    pub const fn has_parts_final(self) -> bool {
        match self {
            Self::Asked | Self::Processing => false,
            Self::Releasing { .. } | Self::Done { .. } => true,
        }
    }
}

impl PaymentShare {
    pub fn no(&self) -> SharingNo {
        self.id.into()
    }

    /// Returns the time in the id, which has milliseconds.
    pub fn created_at(&self) -> Timestamp {
        self.id.id().minted_at()
    }

    /// Returns the sharing with the next version.
    #[must_use]
    pub fn next(&self) -> Self {
        Self {
            version: self.version.saturating_add(1),
            ..self.clone()
        }
    }
}

/// The share of one receiver in a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub id: SharingPartId,
    pub receiver: ReceiverId,
    pub kind: ReceiverKind,
    pub account: Secret<String>,
    /// The receiver's name as it may be shown.
    pub name_masked: Option<String>,
    pub amount: Money,
    /// Shown to the receiver.
    pub description: String,
    pub state: PartState,
    /// The channel's code, if it failed.
    pub fail_reason: Option<String>,
    /// The sum of its returns that have not failed.
    pub returned: Money,
    /// It succeeded after it had been marked failed; the books have an entry for each.
    pub late: bool,
}

impl Part {
    /// Returns the account as it may be shown: a merchant number in full, of an openid the last
    /// four characters.
    pub fn account_masked(&self) -> String {
        mask_account(self.kind, &self.account)
    }
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum PartState {
        Pending = 1 => "pending",
        Succeeded = 2 => "succeeded",
        Failed = 3 => "failed",
    }
}

/// The return of some of a part, for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReturn {
    pub id: SharingReturnId,
    pub part: SharingPartId,
    pub refund: RefundId,
    pub amount: Money,
    pub state: ReturnState,
    pub wechat_return_id: Option<String>,
    pub fail_reason: Option<String>,
    /// The number of calls without a final result.
    pub attempts: u32,
    pub calls: Calls,
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReturnState {
        /// WeChat has not confirmed that it has the return.
        Asked = 1 => "asked",
        Processing = 2 => "processing",
        Succeeded = 3 => "succeeded",
        Failed = 4 => "failed",
    }
}

impl ReturnState {
    pub const fn is_final(self) -> bool {
        match self {
            Self::Asked | Self::Processing => false,
            Self::Succeeded | Self::Failed => true,
        }
    }
}

impl PartReturn {
    pub fn no(&self) -> SharingReturnNo {
        self.id.into()
    }
}

/// Returns every cause of entries that a sharing has: itself, its parts and its returns.
pub(super) fn causes<'a>(
    share: &PaymentShare,
    parts: impl IntoIterator<Item = &'a Part>,
    returns: impl IntoIterator<Item = &'a PartReturn>,
) -> Vec<Id> {
    let mut causes = vec![share.id.id()];
    causes.extend(parts.into_iter().map(|part| part.id.id()));
    causes.extend(returns.into_iter().map(|back| back.id.id()));
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_lead_back_to_their_states() {
        for kind in ShareStateKind::ALL {
            assert_eq!(ShareStateKind::from_code(kind.code()), Some(kind));
            assert_eq!(ShareStateKind::from_name(kind.name()), Some(kind));
        }
        for state in PartState::ALL {
            assert_eq!(PartState::from_code(state.code()), Some(state));
        }
        for state in ReturnState::ALL {
            assert_eq!(ReturnState::from_code(state.code()), Some(state));
        }
        assert_eq!(ShareStateKind::from_code(0), None);
    }
}
