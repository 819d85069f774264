//! Noting a foreign refund (`foreign_refund.rs`): a person says under which number WeChat has it,
//! and WeChat is asked.

use super::{
    ChannelOutcome, Payments, Refund, RefundError, RefundUpdateOutcome, RefusalKind,
    apply_refund::apply,
    channel::is_out_refund_no,
    find::find_by_number,
    list,
    refund_update::{ApplyRefund, RefundUpdate},
};
use crate::{
    audit::Actor,
    primitives::{OrderId, RefundNo, TenantId},
};

/// A person says under which number somebody else refunded an order.
#[derive(Debug, Clone)]
pub struct NoteForeignRefund {
    pub tenant: TenantId,
    pub order: OrderId,
    /// As the merchant platform and the bill show it: 商户退款单号.
    pub out_refund_no: String,
    pub by: Actor,
}

/// Asks WeChat about a refund that was made elsewhere, and books what it says. Stating a number
/// twice changes nothing; so does that of a refund of ours.
pub async fn note_foreign_refund(
    payments: &Payments,
    statement: NoteForeignRefund,
) -> Result<Refund, RefundError> {
    let NoteForeignRefund {
        tenant,
        order,
        out_refund_no,
        by,
    } = statement;
    if !is_out_refund_no(&out_refund_no) {
        return Err(RefundError::BadNumber);
    }
    let known = list::find_order(&payments.db, tenant, order).await?;
    let known = known.ok_or(RefundError::OrderNotFound)?.order;
    if !known.state.kind().is_paid() {
        return Err(RefundError::NotPaid);
    }
    let channel = payments.channels.of(tenant);
    let said = channel
        .query_refund_of(&out_refund_no, &known.sub_mchid)
        .await;
    let said = match said {
        ChannelOutcome::Done(said) if said.out_trade_no == known.no().to_string() => said,
        // Of another order of the merchant: for whoever looks at this one there is none.
        ChannelOutcome::Done(_) => return Err(RefundError::NotFound),
        ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::Absent => {
            return Err(RefundError::NotFound);
        }
        ChannelOutcome::Refused(refusal) => return Err(RefundError::ChannelRefused(refusal.code)),
        ChannelOutcome::Unknown(_) => return Err(RefundError::ChannelUnknown),
    };
    let own = out_refund_no.parse::<RefundNo>().ok().map(RefundNo::id);
    let update = RefundUpdate::Channel(said);
    let operation = ApplyRefund {
        stated: true,
        ..ApplyRefund::answer((tenant, own), update, by, payments.time_scale)
    };
    match apply(payments, operation).await? {
        RefundUpdateOutcome::Now(refund) => Ok(*refund),
        RefundUpdateOutcome::Before => {
            let found = find_by_number(&payments.db, tenant, &out_refund_no).await?;
            found.ok_or(RefundError::NotFound)
        }
        RefundUpdateOutcome::Unpaid(_) => Err(RefundError::NotPaid),
        RefundUpdateOutcome::Rejected(reason) => Err(RefundError::AnswerMismatch(reason)),
    }
}
