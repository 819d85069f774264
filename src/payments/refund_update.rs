//! What is learnt of a refund, and whether it can be: what it must match before it is applied
//! (`apply_refund.rs`).

use super::{
    ChannelRefund, Order, Refund, RefundNotice, TimeScale,
    channel::{is_out_refund_no, is_plain},
    received_callback::ReceivedCallback,
};
use crate::{
    audit::{Actor, SystemActor},
    primitives::{Id, Money, OrderId, RefundId, RefundNo, TenantId},
};

/// What is known after a call, a query or a callback.
#[derive(Debug, Clone)]
pub(super) enum RefundUpdate {
    /// WeChat's status, verified.
    Channel(ChannelRefund),
    /// WeChat refuses it and does not have it; said of the refund at version `seen`. `unsure` when
    /// somebody may have called before and noted nothing.
    Refused {
        code: String,
        message: String,
        seen: u32,
        unsure: bool,
    },
    /// Not now: a code, and its details. `unsure` when WeChat may have it.
    Later {
        problem: String,
        detail: String,
        unsure: bool,
    },
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundUpdateOutcome {
    /// Noted, now.
    Now(Box<Refund>),
    /// It was known before.
    Before,
    /// It is of an order that is not paid here: nothing was changed. Ask about the order, and say
    /// it again.
    Unpaid(OrderId),
    /// It is wrong: nothing was booked. The code is stable.
    Rejected(&'static str),
}

/// Records what is known of a refund.
#[derive(Debug, Clone)]
pub(super) struct ApplyRefund {
    pub(super) tenant: TenantId,
    pub(super) refund: Option<RefundId>,
    pub(super) update: RefundUpdate,
    /// For an answer: the version of the refund that was asked about. What is said on the way is of
    /// that moment; a callback comes when it comes.
    pub(super) seen: Option<u32>,
    /// Who stated it: `wechat`, or the person on whose request WeChat was called.
    pub(super) by: Actor,
    /// The callback as received, with what it said.
    pub(super) callback: Option<(ReceivedCallback, RefundNotice)>,
    /// Whether a person stated its number: an action of theirs, whatever becomes of it.
    pub(super) stated: bool,
    /// Our merchant number, to which a callback must be addressed.
    pub(super) our_mchid: String,
    pub(super) time_scale: TimeScale,
}

impl ApplyRefund {
    /// An update that came by a callback.
    pub(super) fn callback(
        tenant: TenantId,
        notice: RefundNotice,
        (id, body): (Id, bytes::Bytes),
        our_mchid: String,
        time_scale: TimeScale,
    ) -> Self {
        let number = notice.refund.out_refund_no.parse::<RefundNo>();
        let callback = ReceivedCallback { tenant, id, body };
        Self {
            tenant,
            refund: number.ok().map(RefundNo::id),
            update: RefundUpdate::Channel(notice.refund.clone()),
            seen: None,
            by: SystemActor::WeChat.into(),
            callback: Some((callback, notice)),
            stated: false,
            our_mchid,
            time_scale,
        }
    }

    /// An update that came as an answer, and not by a callback.
    pub(super) fn answer(
        (tenant, refund): (TenantId, Option<RefundId>),
        update: RefundUpdate,
        by: Actor,
        time_scale: TimeScale,
    ) -> Self {
        Self {
            tenant,
            refund,
            update,
            seen: None,
            by,
            callback: None,
            stated: false,
            our_mchid: String::new(),
            time_scale,
        }
    }

    /// What a callback says that cannot be of this order, whoever made the refund.
    pub(super) fn notice_mismatch(&self, order: &Order) -> Option<&'static str> {
        let (_, notice) = self.callback.as_ref()?;
        if notice.sp_mchid != self.our_mchid {
            return Some("wrong_account");
        }
        if notice.sub_mchid != order.sub_mchid {
            return Some("wrong_merchant");
        }
        None
    }

    /// Everything that the refund and its order can tell of WeChat's status.
    pub(super) fn mismatch(
        &self,
        refund: Option<&Refund>,
        order: Option<&Order>,
    ) -> Option<&'static str> {
        let refund = refund.filter(|refund| refund.tenant == self.tenant);
        let (Some(refund), Some(order)) = (refund, order) else {
            return Some("unknown_refund");
        };
        if !refund.state.kind().is_booked() {
            return Some("refund_not_sent");
        }
        if let Some(reason) = self.notice_mismatch(order) {
            return Some(reason);
        }
        if let Some((_, notice)) = &self.callback {
            let paid_by = order
                .state
                .payment()
                .map(|paid| &paid.wechat_transaction_id);
            if paid_by != Some(&notice.wechat_transaction_id) {
                return Some("wrong_transaction");
            }
        }
        let RefundUpdate::Channel(said) = &self.update else {
            return None;
        };
        if said.out_refund_no != refund.out_refund_no() {
            return Some("unknown_refund");
        }
        if said.out_trade_no != order.no().to_string() {
            return Some("wrong_order");
        }
        if said.amount != refund.amount || said.total != order.amount {
            return Some("wrong_amount");
        }
        if !is_plain(&said.wechat_refund_id, 32)
            || refund
                .wechat_refund_id
                .as_ref()
                .is_some_and(|known| *known != said.wechat_refund_id)
        {
            return Some("strange_refund_id");
        }
        None
    }

    /// Everything that the order can tell of a refund that is not ours.
    pub(super) fn foreign_mismatch(
        &self,
        order: &Order,
        said: &ChannelRefund,
    ) -> Option<&'static str> {
        if let Some(reason) = self.notice_mismatch(order) {
            return Some(reason);
        }
        if let Some((_, notice)) = &self.callback {
            let paid_by = order
                .state
                .payment()
                .map(|paid| &paid.wechat_transaction_id);
            if paid_by.is_some_and(|paid_by| *paid_by != notice.wechat_transaction_id) {
                return Some("wrong_transaction");
            }
        }
        if said.total != order.amount || said.amount > order.amount || said.amount == Money::ZERO {
            return Some("wrong_amount");
        }
        if !is_plain(&said.wechat_refund_id, 32) || !is_out_refund_no(&said.out_refund_no) {
            return Some("strange_refund_id");
        }
        None
    }
}
