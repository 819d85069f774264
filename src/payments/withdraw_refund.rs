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
//! Only a refund that WeChat has not confirmed: *accepted*, or *returning*, of which WeChat was
//! never told. What an *absent* proves is that no call before it was taken, and only when each of
//! these has ended: so none may be younger than a call can live ([`CALL_SECONDS`]), and one of
//! which nothing was learnt no younger than WeChat would still take it
//! ([`ARRIVAL_WINDOW_SECONDS`]). A call says that it begins, in a transaction of its own, before it
//! does (`submit_refund.rs`); that is refused when the refund is withdrawn by then, and a
//! withdrawal is written only if no call began since the query was asked for (a guard of its own in
//! the row's `UPDATE`). So whichever of the two is first, the other learns of it.
//!
//! It is booked as a refund that failed. The shares that were on their way back for it go on
//! coming, to the merchant: what the receiver gave back is not given out again, and the next refund
//! of the order takes less.
//!
//! Should WeChat have it after all, what it did is booked as another refund (`foreign_refund.rs`),
//! with an exception (`refund_contradiction`), as of any that had ended here.
//!
//! Killed after the query: nothing has happened. The same key gives what it gave.

use super::{
    ChannelOutcome, Payments, PolicyTerms, Refund, RefundError, RefundState, RefundStateKind,
    RefusalKind, TimeScale, WithdrawalRequest,
    apply_refund::apply_answer,
    booking::put_refund,
    find::find_refund,
    list,
    refund_rows::want_outcome,
    request_refund::is_one_short_line,
    store::{Orders, Refunds},
    time_scale::ARRIVAL_WINDOW_SECONDS,
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Cx, Operation, Wanted, WorkingSet},
    idempotency::{Claim, KeyUse},
    primitives::{Lane, RefundId, TenantId, Timestamp},
};

/// How long a call to WeChat may live, with its repetitions (12 s), and two clocks that differ.
const CALL_SECONDS: i64 = 60;

/// A person's request to withdraw a refund.
#[derive(Debug, Clone)]
pub struct WithdrawRefund {
    pub tenant: TenantId,
    pub refund: RefundId,
    /// Kept in its history.
    pub reason: String,
    pub by: Actor,
    pub claim: Claim,
}

/// Withdraws a refund; or notes that this person wants it, when a second must agree. The refund as
/// it stands then is the answer.
///
/// Fails with [`RefundError::NotWithdrawable`] when WeChat has it or it is over, with
/// [`RefundError::CallInProgress`] while a call may be under way.
pub async fn withdraw_refund(
    payments: &Payments,
    request: WithdrawRefund,
) -> Result<Refund, RefundError> {
    if request.reason.trim().is_empty() || !is_one_short_line(&request.reason) {
        return Err(RefundError::BadReason);
    }
    let policy = payments.policies.current(request.tenant).await?;
    let mut operation = Withdraw {
        request,
        terms: policy.terms,
        time_scale: payments.time_scale,
        absent_after: None,
    };
    let refund = match payments.db.submit(operation.clone()).await? {
        WithdrawOutcome::Done(refund) => return Ok(*refund),
        WithdrawOutcome::Asks(refund) => refund,
    };
    prove_absent(payments, &refund).await?;
    operation.absent_after = Some(refund.progress.calls);
    match payments.db.submit(operation).await? {
        WithdrawOutcome::Done(refund) => Ok(*refund),
        WithdrawOutcome::Asks(_) => Err(RefundError::CallInProgress),
    }
}

/// Asks WeChat; what it has is noted.
async fn prove_absent(payments: &Payments, refund: &Refund) -> Result<(), RefundError> {
    let order = list::find_order(&payments.db, refund.tenant, refund.order).await?;
    let sub_mchid = order.ok_or(RefundError::OrderNotFound)?.order.sub_mchid;
    let channel = payments.channels.of(refund.tenant);
    match channel.query_refund(refund.no(), &sub_mchid).await {
        ChannelOutcome::Refused(no) if no.kind == RefusalKind::Absent => Ok(()),
        ChannelOutcome::Refused(no) => Err(RefundError::ChannelRefused(no.code)),
        ChannelOutcome::Unknown(_) => Err(RefundError::ChannelUnknown),
        ChannelOutcome::Done(said) => {
            apply_answer(payments, refund, said).await?;
            let now = find_refund(&payments.db, refund.tenant, refund.id).await?;
            let kind = now.map_or(refund.state.kind(), |refund| refund.state.kind());
            Err(RefundError::NotWithdrawable(kind))
        }
    }
}

/// How far a withdrawal came.
#[derive(Debug)]
enum WithdrawOutcome {
    /// Withdrawn, or asked for; now, or before with the same key.
    Done(Box<Refund>),
    /// It may be, if WeChat says that it has nothing.
    Asks(Box<Refund>),
}

#[derive(Debug, Clone)]
struct Withdraw {
    request: WithdrawRefund,
    terms: PolicyTerms,
    time_scale: TimeScale,
    /// WeChat had nothing when so many calls had begun.
    absent_after: Option<u32>,
}

impl Withdraw {
    /// Whether somebody else must want it too.
    fn needs_second_person(&self, refund: &Refund) -> Result<bool, RefundError> {
        if refund.amount <= self.terms.refund_review_above {
            return Ok(false);
        }
        match &refund.progress.withdrawal {
            None => Ok(true),
            Some(first) if first.by == self.request.by => Err(RefundError::SamePerson),
            Some(_) => Ok(false),
        }
    }

    /// Whether a call for it may still be taken. Of each call that ended, an attempt was counted; a
    /// process that died counted none.
    fn may_still_arrive(&self, refund: &Refund, now: Timestamp) -> bool {
        let answered = refund.attempts.count >= refund.progress.calls && !refund.attempts.unsure;
        let seconds = if answered {
            CALL_SECONDS
        } else {
            ARRIVAL_WINDOW_SECONDS
        };
        let last = refund.progress.called_at;
        last.is_some_and(|at| self.time_scale.after(at, seconds) > now)
    }

    /// The first of two people wants it.
    fn ask(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        refund: &Refund,
    ) -> Result<WithdrawOutcome, RefundError> {
        let request = &self.request;
        let mut asked = refund
            .turn(refund.state)
            .map_err(|refused| RefundError::NotWithdrawable(refused.from))?;
        asked.progress.withdrawal = Some(WithdrawalRequest {
            by: request.by.clone(),
            reason: request.reason.clone(),
        });
        let amount = asked.amount;
        let action = AuditAction::RefundWithdrawalRequested { amount };
        audit::note(set, cx, request.tenant, &request.by, action, &asked.no());
        put_refund(set, cx, asked.clone(), &request.by, &request.reason);
        request.claim.use_for(set, cx, request.refund.id());
        Ok(WithdrawOutcome::Done(Box::new(asked)))
    }
}

impl Operation for Withdraw {
    type Reply = WithdrawOutcome;
    type Refusal = RefundError;
    const NAME: &'static str = "payments.withdraw_refund";

    fn lane(&self) -> Lane {
        self.request.refund.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        self.request.claim.want(want, set);
        want_outcome(want, set, self.request.refund);
    }

    fn decide(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
    ) -> Result<WithdrawOutcome, RefundError> {
        let request = &self.request;
        let refund = set
            .get::<Refunds>(request.refund)
            .filter(|refund| refund.tenant == request.tenant)
            .cloned()
            .ok_or(RefundError::NotFound)?;
        match request.claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(_) => return Ok(WithdrawOutcome::Done(Box::new(refund))),
            KeyUse::Taken(known) => {
                let known = RefundId::new(known);
                return Err(RefundError::KeyReused(Some(known.into())));
            }
        }
        let order = set
            .get::<Orders>(refund.order)
            .cloned()
            .ok_or_else(|| cx.inconsistent("a refund of an order that is not there"))?;
        if !may_be_withdrawn(refund.state.kind()) {
            return Err(RefundError::NotWithdrawable(refund.state.kind()));
        }
        if self.needs_second_person(&refund)? {
            return self.ask(set, cx, &refund);
        }
        if self.may_still_arrive(&refund, cx.now()) {
            return Err(RefundError::CallInProgress);
        }
        if self.absent_after != Some(refund.progress.calls) {
            return Ok(WithdrawOutcome::Asks(Box::new(refund)));
        }
        let mut withdrawn = refund.clone();
        withdrawn.attempts.problem = Some(request.reason.clone());
        withdrawn.attempts.detail = None;
        let withdrawn = super::apply_refund::undo(
            set,
            cx,
            &order,
            &withdrawn,
            RefundState::Withdrawn,
            &request.by,
        )?;
        let amount = withdrawn.amount;
        let action = AuditAction::RefundWithdrawn {
            amount,
            reason: request.reason.clone(),
            asked_by: refund.progress.withdrawal.map(|first| first.by),
        };
        audit::note(
            set,
            cx,
            request.tenant,
            &request.by,
            action,
            &withdrawn.no(),
        );
        request.claim.use_for(set, cx, request.refund.id());
        Ok(WithdrawOutcome::Done(Box::new(withdrawn)))
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
    request: WithdrawRefund,
    (terms, absent_after): (PolicyTerms, u32),
) -> Result<Refund, RefundError> {
    let operation = Withdraw {
        request,
        terms,
        time_scale: TimeScale::default(),
        absent_after: Some(absent_after),
    };
    match memory.decide(now, &operation)? {
        WithdrawOutcome::Done(refund) | WithdrawOutcome::Asks(refund) => Ok(*refund),
    }
}
