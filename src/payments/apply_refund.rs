//! Applies what WeChat states of a refund, by answer, query or callback. Each statement is booked
//! once.
//!
//! | status here \ WeChat states | processing | abnormal | success | closed |
//! |---|---|---|---|---|
//! | accepted, processing, abnormal | processing | abnormal | succeeded | closed |
//! | succeeded | older | older | known | **contradiction** |
//! | closed | older | older | **after all** | known |
//! | failed, withdrawn | **after all** | **after all** | **after all** | known |
//! | no such number | foreign | foreign | foreign | foreign |
//!
//! *Known* and *older* change nothing: notices overtake each other and the answers to queries; such
//! a callback is stored and answered with 204. *Foreign* and *after all* are refunds that WeChat
//! made and this service did not: see `foreign_refund.rs`. A *contradiction* is for a person; it
//! moves nothing, and that amount cannot be refunded again. A success by which more would arrive
//! than was paid is rejected like a wrong amount.
//!
//! # What proves that WeChat does not have a refund
//!
//! A refusal proves that this attempt did nothing; *absent* in answer to a query after it proves
//! that no attempt has arrived **yet**. Both together prove that WeChat never will have the refund
//! only if no other attempt can still arrive:
//!
//! - no other attempt is under way: whoever calls has claimed the refund for longer than a call can
//!   take (`submit_refund.rs`), and nothing was applied since, which the version shows;
//! - no earlier attempt ended without an answer. If one did, the first *absent* is recorded
//!   (`absent_once`), and the same is tried again [`ARRIVAL_WINDOW_SECONDS`] later; only the second
//!   counts. A call that began and was never counted as an attempt ended without an answer, too.

use super::{
    BookingError, CallbackOutcome, ChangeReason, ChannelRefund, ExceptionKind, Order, Payments,
    Refund, RefundOrigin, RefundState, RefundStateKind, RefundStatus,
    booking::{
        book_refund_arrived, book_refund_undone, book_refunded_elsewhere, put_exception, put_order,
        put_refund,
    },
    channel::short_reason,
    foreign_refund::is_after_all,
    plausible::{Plausible, plausible},
    refund::pause_seconds,
    refund_rows::{want_budget_of, want_order_and_points, want_outcome},
    refund_update::{ApplyRefund, RefundUpdate, RefundUpdateOutcome},
    reviews::{refund_arrived, refund_failed},
    store::{AlarmRow, CallbackRow, ForeignRefunds, Orders, Refunds},
    stuck::raise_if_stuck,
    time_scale::ARRIVAL_WINDOW_SECONDS,
};
use crate::{
    audit::{Actor, SystemActor},
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    primitives::{Lane, Timestamp},
};

/// What is noted of the first *absent* after an attempt without an answer.
pub(super) const ABSENT_ONCE: &str = "absent_once";

/// What cannot follow what is in the books.
const CONTRADICTION: &str = "refund_contradiction";

/// The unique key on WeChat's number of a refund.
const NUMBER_KEY: &str = "refunds_wechat";

/// Submits the update. A refusal by the ledger is a broken invariant and is logged as an error.
pub(super) async fn apply(
    payments: &Payments,
    operation: ApplyRefund,
) -> Result<RefundUpdateOutcome, DbError> {
    let mut rejected = operation.clone();
    match payments.db.submit(operation).await {
        // WeChat gives us the number of another refund: as strange as no number at all.
        Err(SubmitError::Db(error)) if error.unique_key().as_deref() == Some(NUMBER_KEY) => {
            if let RefundUpdate::Channel(said) = &mut rejected.update {
                said.wechat_refund_id.clear();
            }
            payments.db.submit(rejected).await
        }
        outcome => outcome,
    }
    .map_err(|error| match error {
        SubmitError::Db(error) => error,
        SubmitError::Refused(refusal) => {
            tracing::error!(reason = %refusal, "the books refused a refund's outcome");
            DbError::Inconsistent("the books refused a refund's outcome")
        }
    })
}

impl ApplyRefund {
    /// The refund that goes by its number here, or that a job asks about.
    fn own<'s>(&self, set: &'s WorkingSet) -> Option<&'s Refund> {
        let refund = self.refund.and_then(|id| set.get::<Refunds>(id));
        refund.filter(|refund| refund.tenant == self.tenant)
    }

    pub(super) fn reject(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        reason: &'static str,
        (order, refund): (Option<&Order>, Option<&Refund>),
    ) {
        let Some((callback, notice)) = &self.callback else {
            self.reject_answer(set, cx, reason, (order, refund));
            return;
        };
        let alarm = || AlarmRow::of_refund(self.tenant, reason, notice, cx.now());
        if !callback.reject(set, cx, reason, alarm) {
            return;
        }
        let kind = match refund {
            // Money may have gone, and it is in no books.
            None => Some(ExceptionKind::ForeignRefund),
            Some(_) if matches!(reason, "refund_not_sent" | "refund_over_paid") => {
                Some(ExceptionKind::RefundContradiction)
            }
            Some(_) => None,
        };
        if let Some(kind) = kind {
            let refund_no = &notice.refund.out_refund_no;
            let detail = format!("{reason}: refund {refund_no}");
            put_exception(set, cx, self.tenant, kind, (order, refund), detail, None);
        }
    }

    /// An answer that is wrong is noted on the refund, which is asked about again ever more rarely;
    /// a person is told once, however often it is repeated.
    fn reject_answer(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        reason: &'static str,
        (order, refund): (Option<&Order>, Option<&Refund>),
    ) {
        let known = refund.is_some_and(|refund| refund.attempts.problem.as_deref() == Some(reason));
        if !known {
            put_exception(
                set,
                cx,
                self.tenant,
                ExceptionKind::AnswerMismatch,
                (order, refund),
                reason.to_owned(),
                None,
            );
        }
        if let Some(refund) = refund
            && let Ok(mut next) = refund.turn(refund.state)
        {
            next.attempts.problem = Some(reason.to_owned());
            next.attempts.detail = None;
            next.attempts.unsure = true;
            self.schedule(&mut next, cx.now());
            put_refund(set, cx, next, &self.by, reason);
        }
    }

    fn keep_callback(&self, set: &mut WorkingSet, cx: &Cx<'_>, outcome: CallbackOutcome) {
        if let Some((callback, _)) = &self.callback {
            callback.keep(set, cx, outcome, None);
        }
    }

    /// The alarm of a callback that could not be read when it came does not say what about. It is
    /// read now.
    fn name_alarm(&self, set: &mut WorkingSet, cx: &Cx<'_>) {
        if let Some((callback, notice)) = &self.callback
            && let Some(reason) = callback.alarm(set).and_then(AlarmRow::unread_reason)
        {
            let alarm = AlarmRow::of_refund(self.tenant, reason, notice, cx.now());
            callback.raise(set, alarm);
        }
    }

    fn apply(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        refund: &Refund,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        match &self.update {
            RefundUpdate::Channel(said) => self.apply_channel_status(set, cx, order, refund, said),
            RefundUpdate::Refused {
                code,
                message,
                seen,
                unsure,
            } => {
                // Something was learnt since: another attempt with the same number, which WeChat
                // may have taken. This one proves nothing any more.
                if refund.version != *seen || refund.state != RefundState::Accepted {
                    return Ok(RefundUpdateOutcome::Before);
                }
                if (refund.attempts.unsure || *unsure)
                    && refund.attempts.problem.as_deref() != Some(ABSENT_ONCE)
                {
                    return self.absent_once(set, cx, refund);
                }
                let message = short_reason(message);
                let detail = format!("{}: {code} {message}", refund.no());
                put_exception(
                    set,
                    cx,
                    self.tenant,
                    ExceptionKind::RefundRefused,
                    (Some(order), Some(refund)),
                    detail,
                    None,
                );
                let mut failed = refund.clone();
                failed.attempts.problem = Some(code.chars().take(80).collect());
                failed.attempts.detail = Some(message);
                self.undone(set, cx, order, &failed, RefundState::Failed)
            }
            RefundUpdate::Later {
                problem,
                detail,
                unsure,
            } => {
                if refund.state.kind().is_final() {
                    return Ok(RefundUpdateOutcome::Before);
                }
                let same = refund.attempts.problem.as_deref() == Some(problem);
                let mut next = refund.clone();
                // Queries that were answered are no attempts of this trouble.
                if refund.attempts.problem.is_none() && refund.state != RefundState::Accepted {
                    next.attempts.count = 0;
                }
                next.attempts.problem = Some(problem.chars().take(80).collect());
                next.attempts.detail = Some(short_reason(detail));
                next.attempts.unsure |= *unsure;
                self.schedule(&mut next, cx.now());
                let told = raise_if_stuck(set, cx, self.time_scale, order, &mut next);
                if same && !unsure && !told {
                    return Ok(put_quietly(set, next));
                }
                let next = next.turn(next.state)?;
                put_refund(set, cx, next.clone(), &self.by, problem);
                Ok(RefundUpdateOutcome::Now(Box::new(next)))
            }
        }
    }

    /// WeChat does not have it, and an attempt that got no answer may still arrive there.
    fn absent_once(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        refund: &Refund,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        let mut next = refund.turn(refund.state)?;
        next.attempts.problem = Some(ABSENT_ONCE.to_owned());
        next.attempts.detail = None;
        next.attempts.count = next.attempts.count.saturating_add(1);
        next.attempts.next_at = Some(self.time_scale.after(cx.now(), ARRIVAL_WINDOW_SECONDS));
        put_refund(set, cx, next.clone(), &self.by, ABSENT_ONCE);
        Ok(RefundUpdateOutcome::Now(Box::new(next)))
    }

    pub(super) fn apply_channel_status(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        refund: &Refund,
        said: &ChannelRefund,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        let kind = refund.state.kind();
        let same = match said.status {
            RefundStatus::Success => kind == RefundStateKind::Succeeded,
            RefundStatus::Closed => {
                matches!(
                    kind,
                    RefundStateKind::Closed | RefundStateKind::Failed | RefundStateKind::Withdrawn
                )
            }
            // What was said earlier may arrive later. Not of a refund that failed or was withdrawn:
            // that one WeChat never had.
            RefundStatus::Abnormal => matches!(
                kind,
                RefundStateKind::Abnormal | RefundStateKind::Succeeded | RefundStateKind::Closed
            ),
            RefundStatus::Processing => {
                matches!(kind, RefundStateKind::Succeeded | RefundStateKind::Closed)
                    || (kind == RefundStateKind::Abnormal && self.callback.is_some())
            }
        };
        let waits = matches!(
            kind,
            RefundStateKind::Processing | RefundStateKind::Abnormal
        );
        // A person has sent it to another account since, or a callback was faster.
        let is_superseded = self.seen.is_some_and(|seen| seen != refund.version);
        if is_superseded
            && waits
            && matches!(
                said.status,
                RefundStatus::Abnormal | RefundStatus::Processing
            )
        {
            return Ok(RefundUpdateOutcome::Before);
        }
        if same && (kind.is_final() || self.callback.is_some()) {
            self.keep_callback(set, cx, CallbackOutcome::Duplicate);
            return Ok(RefundUpdateOutcome::Before);
        }
        if kind.is_final() || kind == RefundStateKind::Returning {
            self.contradict(set, cx, order, refund, said);
            return Ok(RefundUpdateOutcome::Rejected(CONTRADICTION));
        }
        let over = order.refunds.done.checked_add(refund.amount);
        if said.status == RefundStatus::Success && over.is_ok_and(|over| over > order.amount) {
            self.reject(set, cx, "refund_over_paid", (Some(order), Some(refund)));
            return Ok(RefundUpdateOutcome::Rejected("refund_over_paid"));
        }
        let mut told = refund.clone();
        // One row has a number of WeChat's: the one under whose number it was made first.
        if !matches!(refund.origin, RefundOrigin::AfterAll { .. }) {
            told.wechat_refund_id = Some(said.wechat_refund_id.clone());
        }
        if let Some(account) = &said.received_account {
            told.received_account = Some(account.chars().take(64).collect());
        }
        told.attempts.problem = None;
        told.attempts.detail = None;
        told.attempts.unsure = false;
        self.keep_callback(set, cx, CallbackOutcome::Refund);
        match said.status {
            RefundStatus::Success => self.arrive(set, cx, order, &told, said),
            RefundStatus::Closed => self.undone(set, cx, order, &told, RefundState::Closed),
            RefundStatus::Abnormal | RefundStatus::Processing => {
                let state = match said.status {
                    RefundStatus::Abnormal => RefundState::Abnormal,
                    RefundStatus::Processing | RefundStatus::Success | RefundStatus::Closed => {
                        RefundState::Processing
                    }
                };
                let same =
                    state == refund.state && told.wechat_refund_id == refund.wechat_refund_id;
                if same && refund.attempts.problem.is_none() {
                    self.schedule(&mut told, cx.now());
                    if !raise_if_stuck(set, cx, self.time_scale, order, &mut told) {
                        return Ok(put_quietly(set, told));
                    }
                    let told = told.turn(state)?;
                    put_refund(set, cx, told.clone(), &self.by, "stuck");
                    return Ok(RefundUpdateOutcome::Now(Box::new(told)));
                }
                let mut next = told.turn(state)?;
                if !waits || state != refund.state {
                    next.attempts.count = 0;
                }
                self.schedule(&mut next, cx.now());
                if state == RefundState::Abnormal && refund.state != RefundState::Abnormal {
                    let detail = format!("{}: the customer's bank does not take it", refund.no());
                    put_exception(
                        set,
                        cx,
                        self.tenant,
                        ExceptionKind::RefundAbnormal,
                        (Some(order), Some(refund)),
                        detail,
                        None,
                    );
                }
                put_refund(set, cx, next.clone(), &self.by, state.kind().name());
                Ok(RefundUpdateOutcome::Now(Box::new(next)))
            }
        }
    }

    /// WeChat states what cannot follow: nothing moves, and a person is told. Of a callback once,
    /// also when it had failed before, and has its alarm.
    fn contradict(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        order: &Order,
        refund: &Refund,
        said: &ChannelRefund,
    ) {
        if let Some((callback, notice)) = &self.callback {
            let alarm = || AlarmRow::of_refund(self.tenant, CONTRADICTION, notice, cx.now());
            if !callback.reject(set, cx, CONTRADICTION, alarm) {
                return;
            }
        }
        let state = refund.state.kind().name();
        let detail = format!("{} is {state} and WeChat says {}", refund.no(), said.status);
        let (kind, about) = (
            ExceptionKind::RefundContradiction,
            (Some(order), Some(refund)),
        );
        put_exception(set, cx, self.tenant, kind, about, detail, None);
    }

    fn arrive(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        refund: &Refund,
        said: &ChannelRefund,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        let now = cx.now();
        let paid_at = order.state.payment().map_or(now, |payment| payment.paid_at);
        let Plausible { at, odd } = plausible(said.succeeded_at.unwrap_or(now), paid_at, now);
        let mut done = refund.turn(RefundState::Succeeded { at })?;
        done.attempts.next_at = None;
        if let Some(odd) = odd {
            let about = (Some(order), Some(refund));
            let kind = ExceptionKind::ImplausibleTime;
            let detail = format!("WeChat dates the arrival of {} {odd}", refund.no());
            put_exception(set, cx, self.tenant, kind, about, detail, None);
        }
        if done.is_foreign() {
            book_refunded_elsewhere(set, cx, order, &mut done)?;
        } else {
            book_refund_arrived(set, cx, order, &done)?;
        }
        let order = order.complete_refund(done.amount)?;
        let order = refund_arrived(set, cx, order, &done)?;
        put_order(set, cx, order, ChangeReason::RefundArrived, None);
        let event = crate::outbox::Event::RefundSettled {
            refund: done.id,
            order: done.order,
            tenant: done.tenant,
            merchant: done.merchant,
            amount: done.amount,
            points: done.points.due,
            at,
        };
        crate::outbox::tell(cx, &event);
        put_refund(set, cx, done.clone(), &self.by, "arrived");
        Ok(RefundUpdateOutcome::Now(Box::new(done)))
    }

    fn undone(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        refund: &Refund,
        state: RefundState,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        let undone = undo(set, cx, order, refund, state, &self.by)?;
        Ok(RefundUpdateOutcome::Now(Box::new(undone)))
    }

    /// Counts the attempt and says when the next is due. An abnormal refund waits for a person; it
    /// is looked at hourly, since that person may act at WeChat.
    fn schedule(&self, refund: &mut Refund, now: Timestamp) {
        refund.attempts.count = refund.attempts.count.saturating_add(1);
        let pause = if refund.state == RefundState::Abnormal {
            3_600
        } else {
            pause_seconds(refund.attempts.count)
        };
        refund.attempts.next_at = Some(self.time_scale.after(now, pause));
    }
}

/// A refund that was initiated, or that others made, will not happen: what was booked for it is
/// undone, in this state.
pub(super) fn undo(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &Refund,
    state: RefundState,
    by: &Actor,
) -> Result<Refund, BookingError> {
    let was_returning = refund.state == RefundState::Returning;
    let mut undone = refund.turn(state)?;
    // Shares may be on their way back for it: whoever brings them back looks, and ends that.
    undone.attempts.next_at = was_returning.then_some(cx.now());
    // Of what others made nothing is in the books before it has arrived.
    if !undone.is_foreign() {
        book_refund_undone(set, cx, order, &undone)?;
    }
    let order = order.cancel_refund(undone.amount, undone.points)?;
    refund_failed(set, cx, &order, &mut undone)?;
    put_order(set, cx, order, ChangeReason::RefundDropped, None);
    let why = undone.attempts.problem.clone();
    let why = why.as_deref().unwrap_or(state.kind().name());
    put_refund(set, cx, undone.clone(), by, why);
    let written = set.get::<Refunds>(undone.id).cloned();
    Ok(written.unwrap_or(undone))
}

/// Notes an answer of WeChat's that was not asked for by a call.
pub(super) async fn apply_answer(
    payments: &Payments,
    refund: &Refund,
    said: ChannelRefund,
) -> Result<RefundUpdateOutcome, DbError> {
    let about = (refund.tenant, Some(refund.id));
    let (update, by) = (
        RefundUpdate::Channel(said),
        Actor::System(SystemActor::WeChat),
    );
    let operation = ApplyRefund::answer(about, update, by, payments.time_scale);
    apply(payments, operation).await
}

/// Notes only when it is looked at again: nothing happened that its history should tell, and
/// whoever decides meanwhile need not mind.
fn put_quietly(set: &mut WorkingSet, refund: Refund) -> RefundUpdateOutcome {
    set.put::<Refunds>(refund.id, refund.clone());
    RefundUpdateOutcome::Now(Box::new(refund))
}

impl Operation for ApplyRefund {
    type Reply = RefundUpdateOutcome;
    type Refusal = BookingError;
    const NAME: &'static str = "payments.apply_refund";
    const URGENT: bool = true;

    fn lane(&self) -> Lane {
        self.refund.map_or(Lane(0), |refund| refund.lane())
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some((callback, _)) = &self.callback {
            callback.want(want);
        }
        if let Some(id) = self.refund {
            want_outcome(want, set, id);
            if !set.has_loaded::<Refunds>(id) {
                return;
            }
        }
        let own = self.own(set);
        if let RefundUpdate::Channel(said) = &self.update
            && own.is_none_or(|own| is_after_all(own, said))
        {
            // Not made here, or ended here.
            if let Some(order) = own.map(|own| own.order).or(said.order_id()) {
                want_order_and_points(want, set, order);
                want_budget_of(want, set, order);
            }
            let key = ForeignRefunds::key_of(self.tenant, &said.out_refund_no);
            want.row::<ForeignRefunds>(key);
            if let Some(foreign) = set.get_loaded::<ForeignRefunds>(key) {
                want.row::<Refunds>(foreign.refund);
            }
        }
    }

    fn decide(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        self.audit_statement(set, cx);
        self.name_alarm(set, cx);
        // One that was rejected is judged again: it may be played again after what was missing is
        // there. For each reason a person is told once.
        if let Some((callback, _)) = &self.callback
            && callback.kept(set).is_some_and(CallbackRow::was_taken)
        {
            return Ok(RefundUpdateOutcome::Before);
        }
        let own = self.own(set).cloned();
        let of = match (&own, &self.update) {
            (Some(own), _) => Some(own.order),
            (None, RefundUpdate::Channel(said)) => said.order_id(),
            (None, RefundUpdate::Refused { .. } | RefundUpdate::Later { .. }) => None,
        };
        let order = of.and_then(|order| set.get::<Orders>(order));
        let order = order.filter(|order| order.tenant == self.tenant).cloned();
        let (Some(own), Some(order)) = (&own, &order) else {
            return self.decide_foreign(set, cx, order.as_ref());
        };
        if let Some(reason) = self.mismatch(Some(own), Some(order)) {
            self.reject(set, cx, reason, (Some(order), Some(own)));
            return Ok(RefundUpdateOutcome::Rejected(reason));
        }
        match &self.update {
            RefundUpdate::Channel(said) if is_after_all(own, said) => {
                self.apply_foreign_status(set, cx, order, Some(own), said)
            }
            RefundUpdate::Channel(_)
            | RefundUpdate::Refused { .. }
            | RefundUpdate::Later { .. } => self.apply(set, cx, order, own),
        }
    }
}

impl ApplyRefund {
    /// There is no refund here of this number: is it somebody else's, of an order of ours?
    fn decide_foreign(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: Option<&Order>,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        let (RefundUpdate::Channel(said), Some(order)) = (&self.update, order) else {
            self.reject(set, cx, "unknown_refund", (order, None));
            return Ok(RefundUpdateOutcome::Rejected("unknown_refund"));
        };
        if let Some(reason) = self.foreign_mismatch(order, said) {
            self.reject(set, cx, reason, (Some(order), None));
            return Ok(RefundUpdateOutcome::Rejected(reason));
        }
        if !order.state.kind().is_paid() {
            return Ok(RefundUpdateOutcome::Unpaid(order.id));
        }
        self.apply_foreign_status(set, cx, order, None, said)
    }

    /// Applies what the channel says of a refund that was not made here, or had ended here (`own`),
    /// for the first time or again. The order is paid.
    fn apply_foreign_status(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        own: Option<&Refund>,
        said: &ChannelRefund,
    ) -> Result<RefundUpdateOutcome, BookingError> {
        let key = ForeignRefunds::key_of(self.tenant, &said.out_refund_no);
        if let Some(row) = set.get::<ForeignRefunds>(key).copied() {
            let known = set.get::<Refunds>(row.refund).cloned();
            let known =
                known.ok_or_else(|| cx.inconsistent("a number of a refund that is not there"))?;
            if let Some(reason) = self.mismatch(Some(&known), Some(order)) {
                self.reject(set, cx, reason, (Some(order), Some(&known)));
                return Ok(RefundUpdateOutcome::Rejected(reason));
            }
            return self.apply_channel_status(set, cx, order, &known, said);
        }
        let Some((counted, refund)) = self.add_foreign(set, cx, order, own, said)? else {
            // Nothing has moved by it, and nothing will.
            if said.status == RefundStatus::Closed {
                self.keep_callback(set, cx, CallbackOutcome::Duplicate);
                return Ok(RefundUpdateOutcome::Before);
            }
            self.reject(set, cx, "refund_over_paid", (Some(order), None));
            return Ok(RefundUpdateOutcome::Rejected("refund_over_paid"));
        };
        self.apply_channel_status(set, cx, &counted, &refund, said)
    }
}

/// The operation by itself, for tests that need no database: what WeChat says of a refund, or that
/// it refuses the one of this version and has nothing of it.
#[cfg(test)]
pub(crate) fn refund_update_operation(
    tenant: crate::primitives::TenantId,
    refund: Option<crate::primitives::RefundId>,
    said: Result<ChannelRefund, u32>,
) -> impl Operation<Reply = RefundUpdateOutcome, Refusal = BookingError> {
    let update = match said {
        Ok(said) => RefundUpdate::Channel(said),
        Err(seen) => RefundUpdate::Refused {
            code: "INVALID_REQUEST".to_owned(),
            message: String::new(),
            seen,
            unsure: false,
        },
    };
    let by = Actor::System(SystemActor::WeChat);
    ApplyRefund::answer((tenant, refund), update, by, super::TimeScale::default())
}
