//! What the channel says of a return: noted once, booked once. With the last of its round the refund goes on.

use super::{
    ChannelReturn, PartReturn, PaymentShare, ReturnResult, ReturnState, Sharing,
    booking::{book_returned, let_go, note},
    store::{PartsOf, ReturnsOf, Shares},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::LedgerError,
    payments::{ExceptionKind, Orders, Refunds, is_plain},
    primitives::{Lane, OrderId, RefundId, SharingReturnId},
};

/// What is known after a call or a query.
#[derive(Debug, Clone)]
pub(super) enum ReturnWord {
    /// The channel's word, proven.
    Channel(ChannelReturn),
    /// It is certain that the channel does not have it and will not take it.
    Refused { code: String },
    /// Not now.
    Later,
}

/// Notes what is known of a return.
#[derive(Debug)]
pub(super) struct ApplyReturn {
    pub(super) order: OrderId,
    pub(super) refund: RefundId,
    pub(super) back: SharingReturnId,
    pub(super) word: ReturnWord,
}

/// Submits the word; what the ledger refuses is broken books, and pages somebody. True when the refund has gone on.
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
    /// The return after the word, and a wrong answer's reason.
    fn hear(&self, back: &PartReturn) -> (PartReturn, Option<&'static str>) {
        let mut next = back.clone();
        match &self.word {
            ReturnWord::Channel(said) => {
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
            ReturnWord::Refused { code } => {
                next.state = ReturnState::Failed;
                next.fail_reason = Some(code.clone());
            }
            ReturnWord::Later => next.attempts = back.attempts.saturating_add(1),
        }
        (next, None)
    }
}

/// Books a return that is final now.
fn book(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    share: &PaymentShare,
    back: &PartReturn,
) -> Result<(), LedgerError> {
    let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
    let part = parts.get_mut(&back.part).ok_or(LedgerError::NotPending)?;
    match back.state {
        ReturnState::Succeeded => book_returned(set, cx, share, part, back)?,
        ReturnState::Failed => {
            part.returned = part
                .returned
                .checked_sub(back.amount)
                .map_err(|_| LedgerError::BelowZero)?;
            set.put::<PartsOf>(share.id, parts);
        }
        ReturnState::Asked | ReturnState::Processing => {}
    }
    Ok(())
}

impl Operation for ApplyReturn {
    /// True when the refund has gone on.
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
        if set.has_loaded::<Shares>(self.order)
            && let Some(share) = set.get::<Shares>(self.order)
        {
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
        let Some(back) = returns
            .get(&self.back)
            .filter(|back| !back.state.is_final())
        else {
            // It was final before.
            return Ok(share.returning != Some(self.refund));
        };
        let (after, wrong) = self.hear(back);
        if let Some(reason) = wrong
            && back.attempts == 0
        {
            let detail = format!("return {}: {reason}", back.no());
            let about = (&order, Some(&refund));
            note(set, cx, ExceptionKind::WrongAnswer, about, detail);
        }
        let mut next = share.next();
        book(set, cx, &next, &after)?;
        if after.state == ReturnState::Failed {
            let reason = after.fail_reason.as_deref().unwrap_or_default();
            let detail = format!(
                "return {} of {}: {reason}: the shop bears it",
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
            let_go(set, cx, &refund, why);
        }
        set.put::<ReturnsOf>(share.id, returns);
        set.put::<Shares>(self.order, next);
        Ok(over)
    }
}
