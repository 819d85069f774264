//! Withdrawing a refund that WeChat does not take: people take it back.
//!
//! ```text
//! may it be? ── large, and nobody asked ─▶ noted who wants it; a second person says the same
//!    │
//!    └─ yes ▶ query ── WeChat has nothing ─▶ withdrawn, if no call began meanwhile
//!                │
//!                ├─ WeChat has it ─▶ noted as any answer is; refused
//!                └─ no answer, or a refusal ─▶ refused
//! ```
//!
//! Only a refund that WeChat has not confirmed: *accepted*, or *returning*, of which WeChat was never told. What an *absent* proves is that no call before it was taken, and only
//! when each of these has ended: so none may be younger than a call can live ([`CALL_SECONDS`]), and one of which nothing was learnt no younger than WeChat would still
//! take it ([`LANDS_SECONDS`]). A call says that it begins, in a transaction of its own, before it does
//! (`submit_refund.rs`); that is refused when the refund is withdrawn by then, and a withdrawal is written only if no call began since the query was asked for (a guard of
//! its own in the row's `UPDATE`). So whichever of the two is first, the other learns of it.
//!
//! It is booked as a refund that failed. The shares that were on their way back for it go on coming, to the merchant: what the receiver gave back is not given out again, and the
//! next refund of the order takes less.
//!
//! Should WeChat have it after all, what it did is booked as another refund (`foreign.rs`), with an exception (`refund_contradiction`), as of any that was given up here.
//!
//! Killed after the query: nothing has happened. The same key gives what it gave.

use super::{
    Outcome, Pace, Payments, PolicyTerms, Refund, RefundError, RefundState, RefundStateKind,
    RefusalKind, Withdrawal,
    apply_refund::{hear_answer, want_outcome},
    booking::put_refund,
    find::find_refund,
    list,
    pace::LANDS_SECONDS,
    request_refund::fits,
    store::{Orders, Refunds},
};
use crate::{
    audit::{self, Action, Actor},
    db::{Cx, Operation, Wanted, WorkingSet},
    idempotency::{Claim, KeyRow, Keys},
    primitives::{Lane, RefundId, TenantId, Timestamp},
};

/// How long a call to WeChat may live, with its repetitions (12 s), and two clocks that differ.
const CALL_SECONDS: i64 = 60;

/// A person's wish that a refund be withdrawn.
#[derive(Debug, Clone)]
pub struct WithdrawRefund {
    pub tenant: TenantId,
    pub refund: RefundId,
    /// Kept in its history.
    pub reason: String,
    pub by: Actor,
    pub claim: Claim,
}

/// Withdraws a refund; or notes that this person wants it, when a second must agree. The refund as it stands then is the answer.
///
/// Fails with [`RefundError::NotWithdrawable`] when WeChat has it or it is over, with [`RefundError::BeingTold`] while a call may be under way.
pub async fn withdraw_refund(
    payments: &Payments,
    wish: WithdrawRefund,
) -> Result<Refund, RefundError> {
    if wish.reason.trim().is_empty() || !fits(&wish.reason) {
        return Err(RefundError::BadReason);
    }
    let policy = payments.policies.current(wish.tenant).await?;
    let mut operation = Withdraw {
        wish,
        terms: policy.terms,
        pace: payments.pace,
        absent_after: None,
    };
    let refund = match payments.db.submit(operation.clone()).await? {
        Withdrawn::Done(refund) => return Ok(*refund),
        Withdrawn::Asks(refund) => refund,
    };
    prove_absent(payments, &refund).await?;
    operation.absent_after = Some(refund.progress.calls);
    match payments.db.submit(operation).await? {
        Withdrawn::Done(refund) => Ok(*refund),
        Withdrawn::Asks(_) => Err(RefundError::BeingTold),
    }
}

/// Asks WeChat; what it has is noted.
async fn prove_absent(payments: &Payments, refund: &Refund) -> Result<(), RefundError> {
    let order = list::find_order(&payments.db, refund.tenant, refund.order).await?;
    let sub_mchid = order.ok_or(RefundError::OrderNotFound)?.order.sub_mchid;
    let channel = payments.channels.of(refund.tenant);
    match channel.query_refund(refund.no(), &sub_mchid).await {
        Outcome::Refused(no) if no.kind == RefusalKind::Absent => Ok(()),
        Outcome::Refused(no) => Err(RefundError::ChannelRefused(no.code)),
        Outcome::Unknown(_) => Err(RefundError::ChannelUnknown),
        Outcome::Done(said) => {
            hear_answer(payments, refund, said).await?;
            let now = find_refund(&payments.db, refund.id).await?;
            let kind = now.map_or(refund.state.kind(), |refund| refund.state.kind());
            Err(RefundError::NotWithdrawable(kind))
        }
    }
}

/// How far a withdrawal came.
#[derive(Debug)]
enum Withdrawn {
    /// Withdrawn, or asked for; now, or before with the same key.
    Done(Box<Refund>),
    /// It may be, if WeChat says that it has nothing.
    Asks(Box<Refund>),
}

#[derive(Debug, Clone)]
struct Withdraw {
    wish: WithdrawRefund,
    terms: PolicyTerms,
    pace: Pace,
    /// WeChat had nothing when so many calls had begun.
    absent_after: Option<u32>,
}

impl Withdraw {
    /// Whether somebody else must want it too.
    fn needs_another(&self, refund: &Refund) -> Result<bool, RefundError> {
        if refund.amount <= self.terms.refund_review_above {
            return Ok(false);
        }
        match &refund.progress.withdrawal {
            None => Ok(true),
            Some(first) if first.by == self.wish.by => Err(RefundError::SamePerson),
            Some(_) => Ok(false),
        }
    }

    /// Whether a call for it may still be taken. Of each call that ended, an attempt was counted; a process that died counted none.
    fn may_land(&self, refund: &Refund, now: Timestamp) -> bool {
        let heard = refund.attempts.count >= refund.progress.calls && !refund.attempts.unsure;
        let seconds = if heard { CALL_SECONDS } else { LANDS_SECONDS };
        let last = refund.progress.called_at;
        last.is_some_and(|at| self.pace.after(at, seconds) > now)
    }

    fn use_key(&self, set: &mut WorkingSet, cx: &Cx<'_>) {
        let used = KeyRow {
            tenant: self.wish.tenant,
            request_hash: self.wish.claim.request_hash,
            effect: self.wish.refund.id(),
            at: cx.now(),
        };
        set.put::<Keys>(self.wish.claim.id, used);
    }

    /// The first of two people wants it.
    fn ask(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        refund: &Refund,
    ) -> Result<Withdrawn, RefundError> {
        let wish = &self.wish;
        let mut asked = refund
            .turn(refund.state)
            .map_err(|refused| RefundError::NotWithdrawable(refused.from))?;
        asked.progress.withdrawal = Some(Withdrawal {
            by: wish.by.clone(),
            reason: wish.reason.clone(),
        });
        let amount = asked.amount;
        let action = Action::RefundWithdrawalAsked { amount };
        audit::note(set, cx, wish.tenant, &wish.by, action, &asked.no());
        put_refund(set, cx, asked.clone(), &wish.by, &wish.reason);
        self.use_key(set, cx);
        Ok(Withdrawn::Done(Box::new(asked)))
    }
}

impl Operation for Withdraw {
    type Reply = Withdrawn;
    type Refusal = RefundError;
    const NAME: &'static str = "payments.withdraw_refund";

    fn lane(&self) -> Lane {
        self.wish.refund.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Keys>(self.wish.claim.id);
        want_outcome(want, set, self.wish.refund);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Withdrawn, RefundError> {
        let wish = &self.wish;
        let refund = set
            .get::<Refunds>(wish.refund)
            .filter(|refund| refund.tenant == wish.tenant)
            .cloned()
            .ok_or(RefundError::NotFound)?;
        if let Some(used) = set.get::<Keys>(wish.claim.id).copied() {
            if used.request_hash != wish.claim.request_hash {
                let known = RefundId::new(used.effect);
                return Err(RefundError::KeyReused(Some(known.into())));
            }
            return Ok(Withdrawn::Done(Box::new(refund)));
        }
        let order = set
            .get::<Orders>(refund.order)
            .cloned()
            .ok_or_else(|| cx.inconsistent("a refund of an order that is not there"))?;
        if !may_be_withdrawn(refund.state.kind()) {
            return Err(RefundError::NotWithdrawable(refund.state.kind()));
        }
        if self.needs_another(&refund)? {
            return self.ask(set, cx, &refund);
        }
        if self.may_land(&refund, cx.now()) {
            return Err(RefundError::BeingTold);
        }
        if self.absent_after != Some(refund.progress.calls) {
            return Ok(Withdrawn::Asks(Box::new(refund)));
        }
        let mut withdrawn = refund.clone();
        withdrawn.attempts.problem = Some(wish.reason.clone());
        withdrawn.attempts.detail = None;
        let withdrawn = super::apply_refund::undo(
            set,
            cx,
            &order,
            &withdrawn,
            RefundState::Withdrawn,
            &wish.by,
        )?;
        let amount = withdrawn.amount;
        let action = Action::RefundWithdrawn {
            amount,
            reason: wish.reason.clone(),
            asked_by: refund.progress.withdrawal.map(|first| first.by),
        };
        audit::note(set, cx, wish.tenant, &wish.by, action, &withdrawn.no());
        self.use_key(set, cx);
        Ok(Withdrawn::Done(Box::new(withdrawn)))
    }
}

/// Whether WeChat has not confirmed that it has it. *Awaiting approval* is rejected, not withdrawn.
const fn may_be_withdrawn(kind: RefundStateKind) -> bool {
    match kind {
        RefundStateKind::Returning | RefundStateKind::Accepted => true,
        RefundStateKind::AwaitingApproval
        | RefundStateKind::Rejected
        | RefundStateKind::Processing
        | RefundStateKind::Succeeded
        | RefundStateKind::Abnormal
        | RefundStateKind::Closed
        | RefundStateKind::Failed
        | RefundStateKind::Withdrawn => false,
    }
}

/// The operation by itself, for tests that need no database: WeChat had nothing when so many calls
/// had begun.
#[cfg(test)]
pub(crate) fn withdraw_in_memory(
    memory: &mut crate::db::batch::memory::Memory,
    now: Timestamp,
    wish: WithdrawRefund,
    (terms, absent_after): (PolicyTerms, u32),
) -> Result<Refund, RefundError> {
    let operation = Withdraw {
        wish,
        terms,
        pace: Pace::default(),
        absent_after: Some(absent_after),
    };
    match memory.decide(now, &operation)? {
        Withdrawn::Done(refund) | Withdrawn::Asks(refund) => Ok(*refund),
    }
}
