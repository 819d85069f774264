//! Journal entries and events of sharings. Called inside `decide`; pure.

use crate::{
    audit::{Actor, SystemActor},
    db::{Cx, WorkingSet},
    ledger::{self, AccountKind, Draft, LedgerError},
    outbox::{self, Event},
    payments::{
        ExceptionKind, Order, Refund, RefundState, Refunds, booking::put_exception,
        booking::put_refund,
    },
    primitives::{AccountId, EntryId, EntryKind, Id, TenantId},
    sharing::{Part, PartReturn, PartState, PaymentShare},
};

fn in_transit(tenant: TenantId) -> AccountId {
    AccountId::of_tenant(tenant, AccountKind::SharingInTransit)
}

/// Books parts that are sent: for each, Dr merchant payable / Cr sharing in transit.
pub(super) fn book_sent<'a>(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    parts: impl IntoIterator<Item = &'a Part>,
) -> Result<(), LedgerError> {
    let merchant = AccountId::merchant_payable(share.merchant);
    let transit = in_transit(share.tenant);
    let drafts: Vec<Draft> = parts
        .into_iter()
        .map(|part| Draft::posted(merchant, transit, part.amount.get()))
        .collect();
    post(
        set,
        cx,
        share,
        (share.id.id(), EntryKind::SharingSent),
        &drafts,
    )
}

/// Books the outcome of a part: Dr sharing in transit, Cr receiver payable if it succeeded, Cr
/// merchant payable if it failed.
pub(super) fn book_outcome(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    part: &Part,
) -> Result<(), LedgerError> {
    let to = match part.state {
        PartState::Succeeded => AccountId::receiver_payable(part.receiver),
        PartState::Failed => AccountId::merchant_payable(share.merchant),
        PartState::Pending => {
            return Err(cx
                .inconsistent("the outcome of a part that is pending")
                .into());
        }
    };
    let draft = Draft::posted(in_transit(share.tenant), to, part.amount.get());
    post(
        set,
        cx,
        share,
        (part.id.id(), EntryKind::SharingOutcome),
        &[draft],
    )
}

/// Books a part that arrived after it had been marked failed: Dr merchant payable / Cr receiver
/// payable.
pub(super) fn book_landed(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    part: &Part,
) -> Result<(), LedgerError> {
    let draft = Draft::posted(
        AccountId::merchant_payable(share.merchant),
        AccountId::receiver_payable(part.receiver),
        part.amount.get(),
    );
    post(
        set,
        cx,
        share,
        (part.id.id(), EntryKind::SharingLanded),
        &[draft],
    )
}

/// Books a return: Dr receiver payable / Cr merchant payable.
pub(super) fn book_returned(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    part: &Part,
    back: &PartReturn,
) -> Result<(), LedgerError> {
    let draft = Draft::posted(
        AccountId::receiver_payable(part.receiver),
        AccountId::merchant_payable(share.merchant),
        back.amount.get(),
    );
    post(
        set,
        cx,
        share,
        (back.id.id(), EntryKind::SharingReturned),
        &[draft],
    )
}

fn post(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    (cause, kind): (Id, EntryKind),
    drafts: &[Draft],
) -> Result<(), LedgerError> {
    let (entry, tenant) = (EntryId::of(cause, kind), share.tenant);
    ledger::post(set, tenant, entry, drafts, cx.now())?;
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

/// Raises an exception about a sharing.
pub(super) fn note(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    kind: ExceptionKind,
    (order, refund): (&Order, Option<&Refund>),
    detail: String,
) {
    put_exception(
        set,
        cx,
        order.tenant,
        kind,
        (Some(order), refund),
        detail,
        None,
    );
}

/// Lets a refund continue to the channel whose shares are back or need not come back; one that was
/// withdrawn meanwhile ends here. Returns none if the refund does not wait for shares.
pub(super) fn resume_refund(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    refund: &Refund,
    why: &str,
) -> Option<Refund> {
    if refund.state == RefundState::Withdrawn && refund.attempts.next_at.is_some() {
        let mut over = refund.clone();
        over.attempts.next_at = None;
        set.put::<Refunds>(over.id, over);
        return None;
    }
    if refund.state != RefundState::Returning {
        return None;
    }
    let Ok(mut next) = refund.turn(RefundState::Accepted) else {
        cx.inconsistent("a refund that waits for shares cannot go on");
        return None;
    };
    next.attempts.count = 0;
    next.attempts.problem = None;
    next.attempts.next_at = Some(cx.now());
    put_refund(
        set,
        cx,
        next.clone(),
        &Actor::System(SystemActor::Sharing),
        why,
    );
    Some(next)
}
