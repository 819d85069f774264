//! Applies what the channel says of a share or a release, which is booked once.

use std::collections::BTreeMap;

use super::{
    ChannelPart, ChannelShare, Part, PartResult, PartState, PaymentShare, ShareState, Sharing,
    booking::{book_landed, book_outcome, note},
    calls::Attempt,
    store::{PartsOf, Shares},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::LedgerError,
    payments::{
        ChangeReason, ExceptionKind, Order, OrderSharing, Orders, RefusalKind, TimeScale,
        booking::put_order, is_plain, pause_seconds,
    },
    primitives::{Lane, Money, OrderId, SharingId, SharingPartId},
};

/// What is known after a call or a query.
#[derive(Debug, Clone)]
pub(super) enum ShareUpdate {
    /// The channel's status, verified.
    Channel(ChannelShare),
    /// The channel refuses it and does not have it at this moment. For a share this counts only if
    /// the refused attempt proves it ([`Calls::proves`](super::calls::Calls::proves)); a release
    /// needs no proof.
    Refused {
        kind: RefusalKind,
        code: String,
        attempt: Option<Attempt>,
    },
    /// It must be repeated. `unsure` if the channel may have it; `ended` if it is certain that this
    /// attempt did nothing.
    Later {
        problem: &'static str,
        unsure: bool,
        ended: Option<Attempt>,
    },
}

/// Applies an update to the share or the release with a number.
#[derive(Debug, Clone)]
pub(super) struct ApplyShare {
    pub(super) order: OrderId,
    /// The number of the share or of the release.
    pub(super) number: SharingId,
    pub(super) update: ShareUpdate,
    pub(super) time_scale: TimeScale,
}

/// Submits the update. Returns none if there is no such sharing. A refusal by the ledger means that
/// the books are inconsistent and is logged as an error.
pub(super) async fn apply(
    sharing: &Sharing,
    operation: ApplyShare,
) -> Result<Option<PaymentShare>, DbError> {
    let submitted = sharing.payments.db.submit(operation).await;
    submitted.map_err(|error| match error {
        SubmitError::Db(error) => error,
        SubmitError::Refused(refusal) => {
            tracing::error!(reason = %refusal, "the ledger refused a share's outcome");
            DbError::Inconsistent("the ledger refused a share's outcome")
        }
    })
}

type Parts = BTreeMap<SharingPartId, Part>;

impl ApplyShare {
    /// Returns whether another attempt was answered or begun since this one. Then its refusal
    /// proves nothing.
    fn is_superseded(&self, share: &PaymentShare) -> bool {
        match &self.update {
            ShareUpdate::Refused { attempt, .. } => {
                share.state != ShareState::Asked
                    || attempt.is_none_or(|attempt| !share.calls.is_last(attempt))
            }
            ShareUpdate::Channel(_) | ShareUpdate::Later { .. } => false,
        }
    }

    /// Applies the channel's status of the share itself.
    fn apply_share_status(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        share: &PaymentShare,
    ) -> Result<PaymentShare, LedgerError> {
        let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
        let mut next = share.next();
        match &self.update {
            ShareUpdate::Channel(said) => {
                if let Some(reason) = mismatch(said, &parts) {
                    // Raised once, however often the channel repeats its answer.
                    if share.attempts.problem.as_deref() != Some(reason) {
                        let detail = format!("sharing {}: {reason}", share.no());
                        note(
                            set,
                            cx,
                            ExceptionKind::AnswerMismatch,
                            (order, None),
                            detail,
                        );
                    }
                    schedule(&mut next, cx, self.time_scale, reason);
                } else {
                    take(
                        set,
                        cx,
                        (order, self.time_scale),
                        (&mut next, &mut parts),
                        said,
                    )?;
                }
            }
            ShareUpdate::Refused {
                attempt: Some(attempt),
                ..
            } if !next.calls.proves(*attempt, cx.now()) => {
                // An earlier attempt may still be taken.
                next.calls.end(*attempt);
                schedule(&mut next, cx, self.time_scale, "refused_and_unclear");
                next.attempts.next_at = next.attempts.next_at.max(next.calls.may_arrive_until);
            }
            ShareUpdate::Refused { code, .. } => {
                next.calls.may_arrive_until = None;
                let pending = parts
                    .values_mut()
                    .filter(|part| part.state == PartState::Pending);
                for part in pending {
                    part.state = PartState::Failed;
                    part.fail_reason = Some(code.clone());
                    book_outcome(set, cx, &next, part)?;
                }
                let detail = format!("sharing {}: WeChat refuses it: {code}", share.no());
                note(set, cx, ExceptionKind::SharingFailed, (order, None), detail);
                // A release needs a number of its own.
                next.state = ShareState::Releasing {
                    release: SharingId::new(cx.new_id(order.id.lane())),
                };
                next.attempts.count = 0;
                next.attempts.unsure = false;
                next.attempts.problem = Some(code.clone());
                next.attempts.next_at = Some(cx.now());
            }
            ShareUpdate::Later {
                problem,
                unsure,
                ended,
            } => {
                if let Some(attempt) = ended {
                    next.calls.end(*attempt);
                }
                next.attempts.unsure |= *unsure;
                schedule(&mut next, cx, self.time_scale, problem);
            }
        }
        set.put::<PartsOf>(share.id, parts);
        Ok(next)
    }

    /// Applies the channel's status of the release of frozen money.
    fn apply_release_status(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        share: &PaymentShare,
    ) -> PaymentShare {
        let mut next = share.next();
        match &self.update {
            ShareUpdate::Channel(said) if said.finished => {
                next.wechat_order_id =
                    is_valid_id(&said.wechat_order_id).then(|| said.wechat_order_id.clone());
                finish(set, cx, order, &mut next, Some(self.number));
            }
            ShareUpdate::Channel(_) => schedule(&mut next, cx, self.time_scale, "processing"),
            // Nothing is frozen any more: everything was refunded, or thirty days have passed.
            ShareUpdate::Refused {
                kind: RefusalKind::NotEnough,
                ..
            } => finish(set, cx, order, &mut next, Some(self.number)),
            ShareUpdate::Refused { code, .. } => {
                // After thirty days WeChat releases the money by itself; a person looks into the
                // refusal.
                let detail = format!(
                    "sharing {}: WeChat does not release the rest: {code}",
                    share.no()
                );
                note(set, cx, ExceptionKind::SharingFailed, (order, None), detail);
                finish(set, cx, order, &mut next, Some(self.number));
                next.attempts.problem = Some(code.clone());
            }
            ShareUpdate::Later {
                problem, unsure, ..
            } => {
                next.attempts.unsure |= *unsure;
                schedule(&mut next, cx, self.time_scale, problem);
            }
        }
        next
    }

    /// Applies a status that arrives after the share has ended, from a late answer or a query. A
    /// part that the channel shared and that was marked failed is booked, and an exception is
    /// raised that stops the refunds of the order. A release that waited for this status is not
    /// needed once nothing is open, since a share that the channel has releases the rest. Returns
    /// none if nothing changes and nothing waits for the status.
    fn apply_late_status(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        share: &PaymentShare,
    ) -> Result<Option<PaymentShare>, LedgerError> {
        let mut next = share.next();
        let said = match &self.update {
            ShareUpdate::Channel(said) => said,
            // The share is queried before a release; without an answer the release waits.
            ShareUpdate::Later { problem, .. } if next.attempts.next_at.is_some() => {
                schedule(&mut next, cx, self.time_scale, problem);
                return Ok(Some(next));
            }
            ShareUpdate::Later { .. } | ShareUpdate::Refused { .. } => return Ok(None),
        };
        let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
        let (mut landed, mut open) = (Money::ZERO, false);
        for part in parts.values_mut() {
            let stated = said.parts.iter().find(|stated| is_of(stated, part));
            match (part.state, stated.map(|stated| stated.result)) {
                (PartState::Failed, Some(PartResult::Success)) => {
                    part.state = PartState::Succeeded;
                    part.late = true;
                    book_landed(set, cx, &next, part)?;
                    landed = landed
                        .checked_add(part.amount)
                        .map_err(|_| LedgerError::Overflow)?;
                }
                (PartState::Succeeded, Some(PartResult::Success))
                | (PartState::Failed, Some(PartResult::Closed)) => {}
                (PartState::Failed | PartState::Pending, Some(PartResult::Pending))
                | (PartState::Succeeded, Some(PartResult::Pending | PartResult::Closed))
                | (PartState::Pending, Some(_))
                | (_, None) => open = true,
            }
        }
        if landed.is_zero() && !open {
            let ShareState::Releasing { release } = share.state else {
                return Ok(None);
            };
            // WeChat has it, and every part is final: the share has released the rest.
            finish(set, cx, order, &mut next, Some(release));
            return Ok(Some(next));
        }
        if !share.stopped || !landed.is_zero() {
            let detail = format!(
                "sharing {}: WeChat has it, which was called refused; {landed} arrived{}. Refunds of the order wait until the sharing is retried",
                share.no(),
                if open { ", and something is open" } else { "" }
            );
            note(
                set,
                cx,
                ExceptionKind::SharingContradiction,
                (order, None),
                detail,
            );
        }
        next.stopped = true;
        if let ShareState::Releasing { release } = share.state {
            if open {
                schedule(&mut next, cx, self.time_scale, "sharing_contradiction");
            } else {
                // The share has released the rest.
                finish(set, cx, order, &mut next, Some(release));
            }
        }
        set.put::<PartsOf>(share.id, parts);
        Ok(Some(next))
    }
}

/// Applies the channel's result of each part.
fn take(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    (order, time_scale): (&Order, TimeScale),
    (next, parts): (&mut PaymentShare, &mut Parts),
    said: &ChannelShare,
) -> Result<(), LedgerError> {
    if next.state == ShareState::Asked {
        next.attempts.count = 0;
    }
    next.state = ShareState::Processing;
    next.calls.may_arrive_until = None;
    next.attempts.unsure = false;
    next.wechat_order_id = Some(said.wechat_order_id.clone());
    for part in parts.values_mut() {
        let Some(stated) = said.parts.iter().find(|stated| is_of(stated, part)) else {
            continue;
        };
        let state = match stated.result {
            PartResult::Pending => PartState::Pending,
            PartResult::Success => PartState::Succeeded,
            PartResult::Closed => PartState::Failed,
        };
        if part.state != PartState::Pending || state == PartState::Pending {
            continue;
        }
        part.state = state;
        if state == PartState::Failed {
            let reason = stated.fail_reason.as_deref().unwrap_or("CLOSED");
            part.fail_reason = Some(reason.to_owned());
            let detail = format!(
                "sharing {}: a part of {} failed: {reason}",
                next.no(),
                part.amount
            );
            note(set, cx, ExceptionKind::SharingFailed, (order, None), detail);
        }
        book_outcome(set, cx, next, part)?;
    }
    if parts.values().all(|part| part.state != PartState::Pending) {
        finish(set, cx, order, next, None);
    } else {
        schedule(next, cx, time_scale, "processing");
    }
    Ok(())
}

/// Returns how the channel's status contradicts the parts, if it does. Released money appears in it
/// as a part of the merchant's own, which is not checked.
fn mismatch(said: &ChannelShare, parts: &Parts) -> Option<&'static str> {
    if !is_valid_id(&said.wechat_order_id) {
        return Some("strange_order_id");
    }
    // It has the share, without results so far.
    if !said.finished && said.parts.is_empty() {
        return None;
    }
    for part in parts.values() {
        let Some(stated) = said.parts.iter().find(|stated| is_of(stated, part)) else {
            return Some("part_missing");
        };
        let contradicts = match part.state {
            PartState::Pending => false,
            PartState::Succeeded => stated.result == PartResult::Closed,
            PartState::Failed => stated.result == PartResult::Success,
        };
        if contradicts {
            return Some("part_contradiction");
        }
    }
    None
}

fn is_valid_id(wechat_order_id: &str) -> bool {
    is_plain(wechat_order_id, 64)
}

/// A receiver has at most one part of a sharing.
fn is_of(stated: &ChannelPart, part: &Part) -> bool {
    stated.account == part.account && stated.amount == part.amount
}

fn finish(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    next: &mut PaymentShare,
    release: Option<SharingId>,
) {
    next.state = ShareState::Done { release };
    next.attempts.problem = None;
    next.attempts.unsure = false;
    next.attempts.next_at = None;
    put_order(
        set,
        cx,
        order.share(OrderSharing::Done),
        ChangeReason::Sharing,
        None,
    );
}

/// Counts the attempt and schedules the next one.
fn schedule(next: &mut PaymentShare, cx: &Cx<'_>, time_scale: TimeScale, problem: &str) {
    next.attempts.count = next.attempts.count.saturating_add(1);
    next.attempts.problem = Some(problem.to_owned());
    let pause = pause_seconds(next.attempts.count);
    next.attempts.next_at = Some(time_scale.after(cx.now(), pause));
}

impl Operation for ApplyShare {
    /// The sharing after the update; none if there is none.
    type Reply = Option<PaymentShare>;
    type Refusal = LedgerError;
    const NAME: &'static str = "sharing.apply_share";
    const URGENT: bool = true;

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Orders>(self.order);
        want.row::<Shares>(self.order);
        if let Some(share) = set.get_loaded::<Shares>(self.order) {
            want.row::<PartsOf>(share.id);
        }
    }

    fn decide(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
    ) -> Result<Option<PaymentShare>, LedgerError> {
        let order = set.get::<Orders>(self.order).cloned();
        let share = set.get::<Shares>(self.order).cloned();
        let (Some(order), Some(share)) = (order, share) else {
            return Ok(None);
        };
        let next = match share.state {
            ShareState::Asked | ShareState::Processing if self.number == share.id => {
                if self.is_superseded(&share) {
                    return Ok(Some(share));
                }
                self.apply_share_status(set, cx, &order, &share)?
            }
            ShareState::Releasing { release } if self.number == release => {
                self.apply_release_status(set, cx, &order, &share)
            }
            ShareState::Releasing { .. } | ShareState::Done { .. } if self.number == share.id => {
                match self.apply_late_status(set, cx, &order, &share)? {
                    Some(next) => next,
                    None => return Ok(Some(share)),
                }
            }
            // The sharing has ended or moved on: the answer is out of date.
            ShareState::Asked
            | ShareState::Processing
            | ShareState::Releasing { .. }
            | ShareState::Done { .. } => return Ok(Some(share)),
        };
        set.put::<Shares>(self.order, next.clone());
        Ok(Some(next))
    }
}
