//! What the channel says of a share or of a release: noted once, booked once.

use std::collections::BTreeMap;

use super::{
    ChannelPart, ChannelShare, Part, PartResult, PartState, PaymentShare, ShareState, Sharing,
    booking::{book_outcome, note},
    store::{PartsOf, Shares},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::LedgerError,
    payments::{
        ExceptionKind, Order, OrderSharing, Orders, Pace, RefusalKind, Why, booking::put_order,
        is_plain, pause_seconds,
    },
    primitives::{Lane, OrderId, SharingId, SharingPartId},
};

/// What is known after a call or a query.
#[derive(Debug, Clone)]
pub(super) enum ShareWord {
    /// The channel's word, proven.
    Channel(ChannelShare),
    /// It is certain that the channel does not have it and will not take it.
    Refused { kind: RefusalKind, code: String },
    /// Not now. `unsure` when the channel may have it.
    Later { problem: &'static str, unsure: bool },
}

/// Notes what is known of the call with a number.
#[derive(Debug)]
pub(super) struct ApplyShare {
    pub(super) order: OrderId,
    /// The share, or the release.
    pub(super) number: SharingId,
    pub(super) word: ShareWord,
    pub(super) pace: Pace,
}

/// Submits the word; what the ledger refuses is broken books, and pages somebody. None: there is no such sharing.
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
    /// The word about the share itself.
    fn hear_share(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        share: &PaymentShare,
    ) -> Result<PaymentShare, LedgerError> {
        let mut parts = set.get::<PartsOf>(share.id).cloned().unwrap_or_default();
        let mut next = share.next();
        match &self.word {
            ShareWord::Channel(said) => {
                if let Some(reason) = objection(said, &parts) {
                    // Said once, however often the channel repeats itself.
                    if share.attempts.problem.as_deref() != Some(reason) {
                        let detail = format!("sharing {}: {reason}", share.no());
                        note(set, cx, ExceptionKind::WrongAnswer, (order, None), detail);
                    }
                    schedule(&mut next, cx, self.pace, reason);
                } else {
                    take(set, cx, (order, self.pace), (&mut next, &mut parts), said)?;
                }
            }
            ShareWord::Refused { code, .. } => {
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
            ShareWord::Later { problem, unsure } => {
                next.attempts.unsure |= *unsure;
                schedule(&mut next, cx, self.pace, problem);
            }
        }
        set.put::<PartsOf>(share.id, parts);
        Ok(next)
    }

    /// The word about the release of what is frozen.
    fn hear_release(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        share: &PaymentShare,
    ) -> PaymentShare {
        let mut next = share.next();
        match &self.word {
            ShareWord::Channel(said) if said.finished => {
                next.wechat_order_id =
                    sound(&said.wechat_order_id).then(|| said.wechat_order_id.clone());
                finish(set, cx, order, &mut next, Some(self.number));
            }
            ShareWord::Channel(_) => schedule(&mut next, cx, self.pace, "processing"),
            // Nothing is frozen any more: all of it was refunded, or the thirty days are over.
            ShareWord::Refused {
                kind: RefusalKind::NotEnough,
                ..
            } => finish(set, cx, order, &mut next, Some(self.number)),
            ShareWord::Refused { code, .. } => {
                // After thirty days WeChat lets go by itself; a person looks why not now.
                let detail = format!(
                    "sharing {}: WeChat does not release the rest: {code}",
                    share.no()
                );
                note(set, cx, ExceptionKind::SharingFailed, (order, None), detail);
                finish(set, cx, order, &mut next, Some(self.number));
                next.attempts.problem = Some(code.clone());
            }
            ShareWord::Later { problem, unsure } => {
                next.attempts.unsure |= *unsure;
                schedule(&mut next, cx, self.pace, problem);
            }
        }
        next
    }
}

/// Takes over what the channel says of each part.
fn take(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    (order, pace): (&Order, Pace),
    (next, parts): (&mut PaymentShare, &mut Parts),
    said: &ChannelShare,
) -> Result<(), LedgerError> {
    if next.state == ShareState::Asked {
        next.attempts.count = 0;
    }
    next.state = ShareState::Processing;
    next.attempts.unsure = false;
    next.wechat_order_id = Some(said.wechat_order_id.clone());
    for part in parts.values_mut() {
        let Some(told) = said.parts.iter().find(|told| is_of(told, part)) else {
            continue;
        };
        let state = match told.result {
            PartResult::Pending => PartState::Pending,
            PartResult::Success => PartState::Succeeded,
            PartResult::Closed => PartState::Failed,
        };
        if part.state != PartState::Pending || state == PartState::Pending {
            continue;
        }
        part.state = state;
        if state == PartState::Failed {
            let reason = told.fail_reason.as_deref().unwrap_or("CLOSED");
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
        schedule(next, cx, pace, "processing");
    }
    Ok(())
}

/// Everything that our own parts can tell of the channel's word. What is released appears there as a part of the shop's own and is not ours to judge.
fn objection(said: &ChannelShare, parts: &Parts) -> Option<&'static str> {
    if !sound(&said.wechat_order_id) {
        return Some("strange_order_id");
    }
    for part in parts.values() {
        let Some(told) = said.parts.iter().find(|told| is_of(told, part)) else {
            return Some("part_missing");
        };
        let contradicts = match part.state {
            PartState::Pending => false,
            PartState::Succeeded => told.result == PartResult::Closed,
            PartState::Failed => told.result == PartResult::Success,
        };
        if contradicts {
            return Some("part_contradiction");
        }
    }
    None
}

fn sound(wechat_order_id: &str) -> bool {
    is_plain(wechat_order_id, 64)
}

/// A receiver has at most one part of a sharing.
fn is_of(told: &ChannelPart, part: &Part) -> bool {
    told.account == part.account && told.amount == part.amount
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
    put_order(set, cx, order.share(OrderSharing::Done), Why::Sharing, None);
}

/// Counts the attempt and says when the next is due.
fn schedule(next: &mut PaymentShare, cx: &Cx<'_>, pace: Pace, problem: &str) {
    next.attempts.count = next.attempts.count.saturating_add(1);
    next.attempts.problem = Some(problem.to_owned());
    let pause = pause_seconds(next.attempts.count);
    next.attempts.next_at = Some(pace.after(cx.now(), pause));
}

impl Operation for ApplyShare {
    /// The sharing as it stands then; none: there is none.
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
        if set.has_loaded::<Shares>(self.order)
            && let Some(share) = set.get::<Shares>(self.order)
        {
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
                self.hear_share(set, cx, &order, &share)?
            }
            ShareState::Releasing { release } if self.number == release => {
                self.hear_release(set, cx, &order, &share)
            }
            // The answer to a question that is settled.
            ShareState::Asked
            | ShareState::Processing
            | ShareState::Releasing { .. }
            | ShareState::Done { .. } => return Ok(Some(share)),
        };
        set.put::<Shares>(self.order, next.clone());
        Ok(Some(next))
    }
}
