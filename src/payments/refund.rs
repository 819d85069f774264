//! The refund and its transitions. Pure.

use super::{ChannelRefund, Order, PointsBack};
use crate::{
    audit::{Actor, SystemActor},
    primitives::{MerchantId, Money, OrderId, RefundId, RefundNo, TenantId, Timestamp, coded},
};

/// Money going back to the customer, and points coming back from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Has the order's lane.
    pub id: RefundId,
    pub tenant: TenantId,
    pub order: OrderId,
    pub merchant: MerchantId,
    pub amount: Money,
    /// Shown to the customer.
    pub reason: String,
    pub requested_by: Actor,
    pub approved_by: Option<Actor>,
    /// Points that go back with it.
    pub points: PointsBack,
    /// Made by the tenant: the order was paid after it had been closed.
    pub late: bool,
    pub origin: RefundOrigin,
    /// Counts the changes of the row: 1 when made.
    pub version: u32,
    pub state: RefundState,
    /// WeChat's number, once it was told.
    pub wechat_refund_id: Option<String>,
    /// Where the money went, in WeChat's words.
    pub received_account: Option<String>,
    pub attempts: Attempts,
    pub progress: Progress,
}

/// Whether a refund makes progress, and who wants it withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Times that WeChat was about to be told, and the last of them: written before each call and
    /// never by an operation.
    pub calls: u32,
    pub called_at: Option<Timestamp>,
    /// When it came into its state.
    pub since: Timestamp,
    /// An exception says that it is stuck.
    pub stuck: bool,
    /// Somebody wants it withdrawn, and a second person must agree.
    pub withdrawal: Option<WithdrawalRequest>,
}

impl Progress {
    /// Of a refund that came into its state at `since` and of which WeChat was not told yet.
    pub const fn new(since: Timestamp) -> Self {
        Self {
            calls: 0,
            called_at: None,
            since,
            stuck: false,
            withdrawal: None,
        }
    }
}

/// The request of the first of two people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalRequest {
    pub by: Actor,
    pub reason: String,
}

coded! {
    /// Who made it: see `foreign_refund.rs`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum RefundOrigin as RefundOriginKind {
        /// Asked for here.
        Here = 0 => "here",
        /// By somebody else at the channel, under a number that is not ours.
        Elsewhere { out_refund_no: String } = 1 => "elsewhere",
        /// Asked for here under this number, ended here, and made by the channel after all.
        AfterAll { out_refund_no: String } = 2 => "after_all",
    }
}

impl RefundOrigin {
    /// The channel's number of what was not made under the number of its row.
    pub fn foreign_no(&self) -> Option<&str> {
        match self {
            Self::Here => None,
            Self::Elsewhere { out_refund_no } | Self::AfterAll { out_refund_no } => {
                Some(out_refund_no)
            }
        }
    }

    /// As the table has it.
    pub fn from_columns(code: u8, foreign_no: Option<String>) -> Option<Self> {
        match (RefundOriginKind::from_code(code)?, foreign_no) {
            (RefundOriginKind::Here, None) => Some(Self::Here),
            (RefundOriginKind::Elsewhere, Some(out_refund_no)) => {
                Some(Self::Elsewhere { out_refund_no })
            }
            (RefundOriginKind::AfterAll, Some(out_refund_no)) => {
                Some(Self::AfterAll { out_refund_no })
            }
            (RefundOriginKind::Here, Some(_))
            | (RefundOriginKind::Elsewhere | RefundOriginKind::AfterAll, None) => None,
        }
    }
}

/// How the calls to WeChat went so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    pub count: u32,
    /// One ended without an answer, so WeChat may have the refund.
    pub unsure: bool,
    /// Why it makes no progress, as a code.
    pub problem: Option<String>,
    /// Details of the problem, if there are any: WeChat's code, or what of its answer was not
    /// understood. Says nothing without a problem.
    pub detail: Option<String>,
    /// When it is looked at again; none: never, or not before somebody decides.
    pub next_at: Option<Timestamp>,
}

coded! {
    /// Where a refund stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum RefundState as RefundStateKind: Serde {
        /// Above a limit: a second person must agree. The amount is reserved, nothing is booked.
        AwaitingApproval = 1 => "awaiting_approval",
        /// The second person did not agree.
        Rejected = 2 => "rejected",
        /// Booked. Shares of the payment must come back first.
        Returning = 3 => "returning",
        /// Booked. WeChat has not confirmed that it has it; it is asked again with the same number.
        Accepted = 4 => "accepted",
        /// WeChat has it.
        Processing = 5 => "processing",
        /// The money has arrived.
        Succeeded { at: Timestamp } = 6 => "succeeded",
        /// The customer's bank does not take it: an operator says where it shall go.
        Abnormal = 7 => "abnormal",
        /// WeChat closed it: the money is the merchant's again.
        Closed = 8 => "closed",
        /// WeChat refused it: the money is the merchant's again.
        Failed = 9 => "failed",
        /// People took it back, since WeChat had nothing of it: the money is the merchant's again.
        Withdrawn = 10 => "withdrawn",
    }
}

impl RefundStateKind {
    /// Whether WeChat never took it, and was not asked, or said so for good.
    pub const fn never_reached_channel(self) -> bool {
        match self {
            Self::AwaitingApproval
            | Self::Rejected
            | Self::Returning
            | Self::Failed
            | Self::Withdrawn => true,
            Self::Accepted | Self::Processing | Self::Succeeded | Self::Abnormal | Self::Closed => {
                false
            }
        }
    }

    /// Whether its first entry is in the books.
    pub const fn is_booked(self) -> bool {
        match self {
            Self::AwaitingApproval | Self::Rejected => false,
            Self::Returning
            | Self::Accepted
            | Self::Processing
            | Self::Succeeded
            | Self::Abnormal
            | Self::Closed
            | Self::Failed
            | Self::Withdrawn => true,
        }
    }

    /// Whether it takes something from what can still be refunded.
    pub const fn counts_against_order(self) -> bool {
        match self {
            Self::Rejected | Self::Closed | Self::Failed | Self::Withdrawn => false,
            Self::AwaitingApproval
            | Self::Returning
            | Self::Accepted
            | Self::Processing
            | Self::Succeeded
            | Self::Abnormal => true,
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Rejected | Self::Succeeded | Self::Closed | Self::Failed | Self::Withdrawn => {
                true
            }
            Self::AwaitingApproval
            | Self::Returning
            | Self::Accepted
            | Self::Processing
            | Self::Abnormal => false,
        }
    }

    /// Whether a history may go from here to there in one step. The table is in the module's text.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::AwaitingApproval => {
                matches!(next, Self::Rejected | Self::Returning | Self::Accepted)
            }
            Self::Returning => {
                matches!(next, Self::Returning | Self::Accepted | Self::Withdrawn)
            }
            Self::Accepted => matches!(
                next,
                Self::Accepted
                    | Self::Processing
                    | Self::Succeeded
                    | Self::Abnormal
                    | Self::Closed
                    | Self::Failed
                    | Self::Withdrawn
            ),
            Self::Processing | Self::Abnormal => matches!(
                next,
                Self::Accepted
                    | Self::Processing
                    | Self::Succeeded
                    | Self::Abnormal
                    | Self::Closed
                    | Self::Failed
            ),
            Self::Rejected | Self::Succeeded | Self::Closed | Self::Failed | Self::Withdrawn => {
                false
            }
        }
    }
}

impl Attempts {
    /// Of a refund that nobody has told WeChat of.
    const fn none(next_at: Option<Timestamp>) -> Self {
        Self {
            count: 0,
            unsure: false,
            problem: None,
            detail: None,
            next_at,
        }
    }
}

/// What the customer is shown of a refund of which whoever made it told us no reason.
const REASON_ELSEWHERE: &str = "商户退款";
/// What the customer is shown when an order was paid after it had been closed.
const REASON_LATE: &str = "订单已关闭，款项退回";

impl Refund {
    /// Somebody asks for it. It awaits a second person, unless who asks may initiate it alone.
    pub fn requested(
        id: RefundId,
        order: &Order,
        amount: Money,
        points: PointsBack,
        reason: String,
        by: Actor,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            tenant: order.tenant,
            order: order.id,
            merchant: order.merchant,
            amount,
            reason,
            requested_by: by,
            approved_by: None,
            points,
            late: false,
            origin: RefundOrigin::Here,
            version: 1,
            state: RefundState::AwaitingApproval,
            wechat_refund_id: None,
            received_account: None,
            attempts: Attempts::none(None),
            progress: Progress::new(now),
        }
    }

    /// The order was paid after it had been closed, and all of it goes back at once by the tenant's
    /// policy. Its payment earned nothing.
    pub fn of_late_payment(id: RefundId, order: &Order, now: Timestamp) -> Self {
        let (points, by) = (PointsBack::NONE, Actor::System(SystemActor::Tenant));
        let reason = REASON_LATE.to_owned();
        Self {
            late: true,
            state: RefundState::Accepted,
            attempts: Attempts::none(Some(now)),
            ..Self::requested(id, order, order.amount, points, reason, by, now)
        }
    }

    /// The channel tells for the first time of a refund that somebody else made.
    pub fn made_elsewhere(
        id: RefundId,
        order: &Order,
        said: &ChannelRefund,
        points: PointsBack,
        now: Timestamp,
    ) -> Self {
        let (reason, by) = (
            REASON_ELSEWHERE.to_owned(),
            Actor::System(SystemActor::Elsewhere),
        );
        Self {
            origin: RefundOrigin::Elsewhere {
                out_refund_no: said.out_refund_no.clone(),
            },
            state: RefundState::Processing,
            wechat_refund_id: Some(said.wechat_refund_id.clone()),
            attempts: Attempts::none(Some(now)),
            ..Self::requested(id, order, said.amount, points, reason, by, now)
        }
    }

    /// The channel has made `own` after all, which had ended here. WeChat's number is perhaps known
    /// from when it was ours, and one row has it: not this one.
    pub fn made_after_all(
        id: RefundId,
        order: &Order,
        own: &Self,
        said: &ChannelRefund,
        points: PointsBack,
        now: Timestamp,
    ) -> Self {
        Self {
            reason: own.reason.clone(),
            requested_by: own.requested_by.clone(),
            origin: RefundOrigin::AfterAll {
                out_refund_no: said.out_refund_no.clone(),
            },
            wechat_refund_id: None,
            ..Self::made_elsewhere(id, order, said, points, now)
        }
    }

    pub fn no(&self) -> RefundNo {
        self.id.into()
    }

    /// The number under which the channel knows it.
    pub fn out_refund_no(&self) -> String {
        let foreign = self.origin.foreign_no();
        foreign.map_or_else(|| self.no().to_string(), str::to_owned)
    }

    /// Whether nobody here asked for it, or it had ended here: then nothing of it is in the books
    /// before it has arrived.
    pub const fn is_foreign(&self) -> bool {
        !matches!(self.origin, RefundOrigin::Here)
    }

    /// To the millisecond: it stands in the id.
    pub fn created_at(&self) -> Timestamp {
        self.id.id().minted_at()
    }

    /// When the money arrived, once it did.
    pub const fn succeeded_at(&self) -> Option<Timestamp> {
        match self.state {
            RefundState::Succeeded { at } => Some(at),
            RefundState::AwaitingApproval
            | RefundState::Rejected
            | RefundState::Returning
            | RefundState::Accepted
            | RefundState::Processing
            | RefundState::Abnormal
            | RefundState::Closed
            | RefundState::Failed
            | RefundState::Withdrawn => None,
        }
    }

    /// The refund in another state. Refused when that does not follow.
    pub fn turn(&self, state: RefundState) -> Result<Self, InvalidRefundTransition> {
        let (from, to) = (self.state.kind(), state.kind());
        if !from.may_become(to) {
            return Err(InvalidRefundTransition { from, to });
        }
        Ok(Self {
            version: self.version.saturating_add(1),
            state,
            ..self.clone()
        })
    }
}

/// A state that does not follow on the one that a refund is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a refund that is {} cannot become {}", .from.name(), .to.name())]
pub struct InvalidRefundTransition {
    pub from: RefundStateKind,
    pub to: RefundStateKind,
}

/// Seconds until a refund that did not get an answer, or not the one that was hoped for, is looked
/// at again.
pub(crate) fn pause_seconds(attempts: u32) -> i64 {
    const PAUSES: [i64; 8] = [5, 15, 60, 120, 300, 600, 1_800, 3_600];
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    PAUSES[place.min(PAUSES.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_states_is_this() {
        let mut table = String::new();
        for from in RefundStateKind::ALL {
            table.push_str(from.name());
            table.push(':');
            for to in RefundStateKind::ALL {
                if from.may_become(to) {
                    table.push(' ');
                    table.push_str(to.name());
                }
            }
            table.push('\n');
            assert_eq!(
                from.is_final(),
                RefundStateKind::ALL
                    .into_iter()
                    .all(|to| !from.may_become(to))
            );
            assert_eq!(RefundStateKind::from_code(from.code()), Some(from));
        }
        assert_eq!(
            table,
            "awaiting_approval: rejected returning accepted\n\
             rejected:\n\
             returning: returning accepted withdrawn\n\
             accepted: accepted processing succeeded abnormal closed failed withdrawn\n\
             processing: accepted processing succeeded abnormal closed failed\n\
             succeeded:\n\
             abnormal: accepted processing succeeded abnormal closed failed\n\
             closed:\n\
             failed:\n\
             withdrawn:\n"
        );
    }
}
