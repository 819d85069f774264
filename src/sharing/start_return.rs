//! Decides which shares of a payment must come back before a refund goes to the channel.

use std::collections::BTreeMap;

use super::{
    Calls, Part, PartReturn, PartState, PaymentShare, ReceiverKind, ReturnState, Sharing,
    amounts::to_return,
    booking::{note, resume_refund},
    calls::Attempt,
    store::{PartsOf, RefundsOf, ReturnsOf, Shares},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::LedgerError,
    payments::{ExceptionKind, Order, Orders, Refund, RefundState, Refunds, TimeScale},
    primitives::{Lane, Money, OrderId, RefundId, SharingReturnId},
};

/// The result of [`start_return`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReturnRound {
    /// The refund must wait: the sharing is not final, or shares for another refund are coming
    /// back.
    Waiting,
    /// The returns of the refund's round. For those that the channel has not confirmed, a call is
    /// recorded.
    InProgress(Box<PaymentShare>, Vec<ReturnCallDue>),
    /// Nothing must come back, or everything has: the refund has continued.
    Finished,
}

/// A return to be requested or queried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReturnCallDue {
    pub(super) back: PartReturn,
    /// The recorded call; none if the return is only queried.
    pub(super) attempt: Option<Attempt>,
}

/// Starts the round of a refund, or continues it.
pub(super) async fn start_return(
    sharing: &Sharing,
    refund: &Refund,
) -> Result<ReturnRound, DbError> {
    let operation = StartReturn {
        refund: refund.id,
        order: refund.order,
        time_scale: sharing.payments.time_scale,
    };
    let submitted = sharing.payments.db.submit(operation).await;
    submitted.map_err(|error| match error {
        SubmitError::Db(error) => error,
        SubmitError::Refused(refusal) => {
            tracing::error!(refund.no = %refund.no(), reason = %refusal, "the amounts of a return do not fit");
            DbError::Inconsistent("the amounts of a return do not fit")
        }
    })
}

#[derive(Debug, Clone)]
struct StartReturn {
    refund: RefundId,
    order: OrderId,
    time_scale: TimeScale,
}

impl StartReturn {
    /// Returns the sum of the order's refunds, including this one and excluding others that wait
    /// for shares, less those that were requested before the sharing, which take nothing from it.
    fn covered(&self, set: &WorkingSet, share: &PaymentShare) -> Result<Money, LedgerError> {
        let ids = set
            .get::<RefundsOf>(self.order)
            .cloned()
            .unwrap_or_default();
        let amounts = ids
            .iter()
            .filter_map(|id| set.get::<Refunds>(*id))
            .filter(|refund| {
                let kind = refund.state.kind();
                let gone_on = refund.state != RefundState::Returning || refund.id == self.refund;
                kind.counts_against_order() && kind.is_booked() && gone_on
            })
            .map(|refund| refund.amount);
        let refunded = Money::try_sum(amounts).map_err(|_| LedgerError::Overflow)?;
        Ok(refunded.saturating_sub(share.asked_before))
    }

    fn start(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        share: &PaymentShare,
        refund: &Refund,
    ) -> Result<ReturnRound, LedgerError> {
        let covered = self.covered(set, share)?;
        let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
        let mut round = Vec::new();
        let mut stays = Money::ZERO;
        for part in parts.values_mut() {
            let due = due_of(part, share, covered);
            if due.is_zero() {
                continue;
            }
            match part.kind {
                ReceiverKind::Merchant => {
                    part.returned = part
                        .returned
                        .checked_add(due)
                        .map_err(|_| LedgerError::Overflow)?;
                    let mut calls = Calls::default();
                    let attempt = Some(calls.begin(cx.now(), self.time_scale));
                    let back = PartReturn {
                        id: SharingReturnId::new(cx.new_id(order.id.lane())),
                        part: part.id,
                        refund: refund.id,
                        amount: due,
                        state: ReturnState::Asked,
                        wechat_return_id: None,
                        fail_reason: None,
                        attempts: 0,
                        calls,
                    };
                    round.push(ReturnCallDue { back, attempt });
                }
                ReceiverKind::Person => {
                    // Earlier refunds have reported their part of it.
                    let before = due_of(part, share, covered.saturating_sub(refund.amount));
                    let due = due.saturating_sub(before);
                    stays = stays.checked_add(due).map_err(|_| LedgerError::Overflow)?;
                }
            }
        }
        if !stays.is_zero() {
            let detail = format!(
                "refund {}: {stays} would have to come back from a person, which WeChat cannot do: the merchant bears it",
                refund.no()
            );
            note(
                set,
                cx,
                ExceptionKind::SharingFailed,
                (order, Some(refund)),
                detail,
            );
        }
        if round.is_empty() {
            // The version is written all the same, since it guards what was counted.
            set.put::<Shares>(order.id, share.next());
            resume_refund(set, cx, refund, "no shares to come back");
            return Ok(ReturnRound::Finished);
        }
        let next = PaymentShare {
            returning: Some(refund.id),
            ..share.next()
        };
        let mut returns: BTreeMap<_, _> =
            set.get::<ReturnsOf>(share.id).cloned().unwrap_or_default();
        returns.extend(round.iter().map(|turn| (turn.back.id, turn.back.clone())));
        set.put::<PartsOf>(share.id, parts);
        set.put::<ReturnsOf>(share.id, returns);
        set.put::<Shares>(order.id, next.clone());
        // Written unchanged: its version guards against a concurrent withdrawal.
        set.put::<Refunds>(refund.id, refund.clone());
        Ok(ReturnRound::InProgress(Box::new(next), round))
    }

    /// Continues a round: records another call for every return that the channel has not confirmed.
    fn go_on(&self, set: &mut WorkingSet, cx: &Cx<'_>, share: &PaymentShare) -> ReturnRound {
        let mut returns = set.get::<ReturnsOf>(share.id).cloned().unwrap_or_default();
        let open = returns
            .values_mut()
            .filter(|back| back.refund == self.refund && !back.state.is_final());
        let round: Vec<ReturnCallDue> = open
            .map(|back| {
                let asked = back.state == ReturnState::Asked;
                let attempt = asked.then(|| back.calls.begin(cx.now(), self.time_scale));
                ReturnCallDue {
                    back: back.clone(),
                    attempt,
                }
            })
            .collect();
        let mut share = share.clone();
        if round.iter().any(|turn| turn.attempt.is_some()) {
            share = share.next();
            set.put::<ReturnsOf>(share.id, returns);
            set.put::<Shares>(self.order, share.clone());
        }
        ReturnRound::InProgress(Box::new(share), round)
    }
}

/// Returns what must still come back of a part; zero for one that never arrived.
fn due_of(part: &Part, share: &PaymentShare, covered: Money) -> Money {
    match part.state {
        PartState::Succeeded => to_return(part.amount, share.base, covered, part.returned),
        PartState::Pending | PartState::Failed => Money::ZERO,
    }
}

impl Operation for StartReturn {
    type Reply = ReturnRound;
    type Refusal = LedgerError;
    const NAME: &'static str = "sharing.start_return";

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Refunds>(self.refund);
        want.row::<Orders>(self.order);
        want.row::<Shares>(self.order);
        want.row::<RefundsOf>(self.order);
        if let Some(refunds) = set.get_loaded::<RefundsOf>(self.order) {
            for refund in refunds {
                want.row::<Refunds>(*refund);
            }
        }
        if let Some(share) = set.get_loaded::<Shares>(self.order) {
            want.row::<PartsOf>(share.id);
            want.row::<ReturnsOf>(share.id);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<ReturnRound, LedgerError> {
        let refund = set.get::<Refunds>(self.refund).cloned();
        let order = set.get::<Orders>(self.order).cloned();
        let (Some(refund), Some(order)) = (refund, order) else {
            return Ok(ReturnRound::Finished);
        };
        let withdrawn = refund.state == RefundState::Withdrawn;
        if !(refund.state == RefundState::Returning || withdrawn) || refund.order != self.order {
            return Ok(ReturnRound::Finished);
        }
        let Some(share) = set.get::<Shares>(self.order).cloned() else {
            resume_refund(set, cx, &refund, "nothing was shared");
            return Ok(ReturnRound::Finished);
        };
        // A round that is under way continues after a withdrawal; no other begins.
        if withdrawn && share.returning != Some(self.refund) {
            resume_refund(set, cx, &refund, "withdrawn");
            return Ok(ReturnRound::Finished);
        }
        // After a contradiction refunds wait for a person.
        if !share.state.has_parts_final() || share.stopped {
            return Ok(ReturnRound::Waiting);
        }
        match share.returning {
            Some(other) if other != self.refund => Ok(ReturnRound::Waiting),
            Some(_) => Ok(self.go_on(set, cx, &share)),
            None => self.start(set, cx, &order, &share, &refund),
        }
    }
}

/// Runs a turn of the returns of a refund in memory, for tests without a database.
#[cfg(test)]
pub(super) fn turn_in_memory(
    memory: &mut crate::db::batch::memory::Memory,
    now: crate::primitives::Timestamp,
    (refund, order): (RefundId, OrderId),
) -> ReturnRound {
    let operation = StartReturn {
        refund,
        order,
        time_scale: TimeScale::default(),
    };
    memory.decide(now, &operation).expect("amounts that fit")
}
