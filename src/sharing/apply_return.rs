//! Applies what the channel says of a return, which is booked once. When the last return of its
//! round is final, the refund continues.

use super::{
    ChannelReturn, PartReturn, PaymentShare, ReturnResult, ReturnState, Sharing,
    booking::{book_returned, note, resume_refund},
    calls::Attempt,
    store::{PartsOf, ReturnsOf, Shares},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::LedgerError,
    payments::{ExceptionKind, Order, Orders, Refund, Refunds, is_plain},
    primitives::{Lane, OrderId, RefundId, SharingReturnId, Timestamp},
};

/// What is known after a call or a query.
#[derive(Debug, Clone)]
pub(super) enum ReturnUpdate {
    /// The channel's status, verified.
    Channel(ChannelReturn),
    /// The channel refuses it and does not have it at this moment.
    Refused { code: String, attempt: Attempt },
    /// It must be repeated. `ended` if it is certain that this attempt did nothing.
    Later { ended: Option<Attempt> },
}

/// Applies an update to a return.
#[derive(Debug, Clone)]
pub(super) struct ApplyReturn {
    pub(super) order: OrderId,
    pub(super) refund: RefundId,
    pub(super) back: SharingReturnId,
    pub(super) update: ReturnUpdate,
}

/// Submits the update. Returns true if the refund has continued. A refusal by the ledger means that
/// the books are inconsistent and is logged as an error.
pub(super) async fn apply(sharing: &Sharing, operation: ApplyReturn) -> Result<bool, DbError> {
    let submitted = sharing.payments.db.submit(operation).await;
    submitted.map_err(|error| match error {
        SubmitError::Db(error) => error,
        SubmitError::Refused(refusal) => {
            tracing::error!(reason = %refusal, "the ledger refused a return's outcome");
            DbError::Inconsistent("the ledger refused a return's outcome")
        }
    })
}

impl ApplyReturn {
    /// Returns the return after the update, and why the answer does not match, if it does not.
    fn apply_channel_status(
        &self,
        back: &PartReturn,
        now: Timestamp,
    ) -> (PartReturn, Option<&'static str>) {
        let mut next = back.clone();
        match &self.update {
            ReturnUpdate::Channel(said) => {
                let wrong = if said.amount != back.amount {
                    Some("wrong_return_amount")
                } else if !is_plain(&said.wechat_return_id, 64) {
                    Some("strange_return_id")
                } else {
                    None
                };
                next.attempts = back.attempts.saturating_add(1);
                if wrong.is_some() {
                    return (next, wrong);
                }
                next.calls.may_arrive_until = None;
                next.wechat_return_id = Some(said.wechat_return_id.clone());
                next.state = match said.result {
                    ReturnResult::Processing => ReturnState::Processing,
                    ReturnResult::Success => ReturnState::Succeeded,
                    ReturnResult::Failed => ReturnState::Failed,
                };
                if next.state == ReturnState::Failed {
                    let reason = said.fail_reason.as_deref().unwrap_or("FAILED");
                    next.fail_reason = Some(reason.to_owned());
                }
            }
            // Another attempt was answered or begun since, or an earlier one may still be taken.
            ReturnUpdate::Refused { attempt, .. }
                if back.state != ReturnState::Asked || !back.calls.proves(*attempt, now) =>
            {
                next.calls.end(*attempt);
                next.attempts = back.attempts.saturating_add(1);
            }
            ReturnUpdate::Refused { code, .. } => {
                next.calls.may_arrive_until = None;
                next.state = ReturnState::Failed;
                next.fail_reason = Some(code.clone());
            }
            ReturnUpdate::Later { ended } => {
                if let Some(attempt) = ended {
                    next.calls.end(*attempt);
                }
                next.attempts = back.attempts.saturating_add(1);
            }
        }
        (next, None)
    }
}

impl ApplyReturn {
    /// Applies a status of a return that is final already. A return that arrived after it had been
    /// marked failed is booked, and an exception is raised that stops the refunds of the order.
    fn apply_late_status(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        (order, refund): (&Order, &Refund),
        share: &PaymentShare,
        mut back: PartReturn,
    ) -> Result<(), LedgerError> {
        let ReturnUpdate::Channel(said) = &self.update else {
            return Ok(());
        };
        if back.state != ReturnState::Failed || said.result == ReturnResult::Failed {
            return Ok(());
        }
        let mut next = share.next();
        let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
        let part = parts.get_mut(&back.part);
        let part = part.ok_or_else(|| cx.inconsistent("a return of a part that is not there"))?;
        let returned = part.returned.checked_add(back.amount);
        let returned = returned.map_err(|_| LedgerError::Overflow)?;
        // Not if the money was asked back once more, and arrived.
        let arrived = said.result == ReturnResult::Success
            && said.amount == back.amount
            && is_plain(&said.wechat_return_id, 64)
            && returned <= part.amount;
        if arrived {
            part.returned = returned;
            back.state = ReturnState::Succeeded;
            back.fail_reason = None;
            back.wechat_return_id = Some(said.wechat_return_id.clone());
            book_returned(set, cx, &next, part, &back)?;
        } else if share.stopped {
            return Ok(());
        }
        let detail = format!(
            "return {} of {}: called lost, and WeChat says {:?}. Refunds of the order wait until the sharing is retried",
            back.no(),
            back.amount,
            said.result
        );
        let about = (order, Some(refund));
        note(set, cx, ExceptionKind::SharingContradiction, about, detail);
        next.stopped = true;
        let mut returns = set.get::<ReturnsOf>(share.id).cloned().unwrap_or_default();
        returns.insert(back.id, back);
        set.put::<PartsOf>(share.id, parts);
        set.put::<ReturnsOf>(share.id, returns);
        set.put::<Shares>(self.order, next);
        Ok(())
    }
}

/// Books a return that has become final.
fn book(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    back: &PartReturn,
) -> Result<(), LedgerError> {
    let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
    let part = parts.get_mut(&back.part);
    let part = part.ok_or_else(|| cx.inconsistent("a return of a part that is not there"))?;
    match back.state {
        ReturnState::Succeeded => book_returned(set, cx, share, part, back)?,
        ReturnState::Failed => {
            part.returned = part
                .returned
                .checked_sub(back.amount)
                .map_err(|_| cx.inconsistent("more came back of a part than was asked for"))?;
            set.put::<PartsOf>(share.id, parts);
        }
        ReturnState::Asked | ReturnState::Processing => {}
    }
    Ok(())
}

impl Operation for ApplyReturn {
    /// True if the refund has continued.
    type Reply = bool;
    type Refusal = LedgerError;
    const NAME: &'static str = "sharing.apply_return";
    const URGENT: bool = true;

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Refunds>(self.refund);
        want.row::<Orders>(self.order);
        want.row::<Shares>(self.order);
        if let Some(share) = set.get_loaded::<Shares>(self.order) {
            want.row::<PartsOf>(share.id);
            want.row::<ReturnsOf>(share.id);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<bool, LedgerError> {
        let order = set.get::<Orders>(self.order).cloned();
        let refund = set.get::<Refunds>(self.refund).cloned();
        let share = set.get::<Shares>(self.order).cloned();
        let (Some(order), Some(refund), Some(share)) = (order, refund, share) else {
            return Ok(false);
        };
        let mut returns = set.get::<ReturnsOf>(share.id).cloned().unwrap_or_default();
        let Some(back) = returns.get(&self.back) else {
            return Ok(share.returning != Some(self.refund));
        };
        if back.state.is_final() {
            let back = back.clone();
            self.apply_late_status(set, cx, (&order, &refund), &share, back)?;
            return Ok(share.returning != Some(self.refund));
        }
        let (after, wrong) = self.apply_channel_status(back, cx.now());
        if let Some(reason) = wrong
            && back.attempts == 0
        {
            let detail = format!("return {}: {reason}", back.no());
            let about = (&order, Some(&refund));
            note(set, cx, ExceptionKind::AnswerMismatch, about, detail);
        }
        let mut next = share.next();
        book(set, cx, &next, &after)?;
        if after.state == ReturnState::Failed {
            let reason = after.fail_reason.as_deref().unwrap_or_default();
            let detail = format!(
                "return {} of {}: {reason}: the merchant bears it",
                after.no(),
                after.amount
            );
            let about = (&order, Some(&refund));
            note(set, cx, ExceptionKind::SharingFailed, about, detail);
        }
        returns.insert(after.id, after);
        let mut round = returns
            .values()
            .filter(|back| back.refund == self.refund)
            .map(|back| back.state);
        let over = round.clone().all(ReturnState::is_final);
        if over {
            let failed = round.any(|state| state == ReturnState::Failed);
            next.returning = None;
            let why = if failed {
                "a share did not come back"
            } else {
                "the shares are back"
            };
            resume_refund(set, cx, &refund, why);
        }
        set.put::<ReturnsOf>(share.id, returns);
        set.put::<Shares>(self.order, next);
        Ok(over)
    }
}
