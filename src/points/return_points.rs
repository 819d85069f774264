//! Returns of what a deduction or a redemption took: of all of it or a part, once per reference.
//!
//! A **return** is a points transaction of its own, of kind [`PointsTransactionKind::Return`], that
//! names the one whose points it gives back ([`PointsTransaction::returns_of`]) and is done at
//! once. Only the back end's own points transactions can be returned, and never more than they took
//! and have not given back.
//!
//! - **Into the lots from which they came**, which are kept with each points transaction
//!   (`points_transaction_lots`). Of a part, the lots that expire last get theirs back first: after
//!   it the customer has what they would have if less had been spent in the first place.
//! - **What would have expired by now** goes back into its own day all the same. It cannot be
//!   spent, and the next sweep takes it, as it would have if it had never been spent: a return
//!   gives back points, not time.
//! - **A debt** that arose meanwhile is repaid first, out of the lots that have not expired.
//! - **Two at once** meet at the version of the points transaction that they return: one of them
//!   finds less left. A **repeat** is the same return, by its reference.
//! - Risk is not asked, and customers who are blocked get back what is theirs. Caps are for
//!   payments.
//!
//! One commit, by the operation alone: killed before it nothing was written and the caller repeats;
//! after it the reference finds it.

use super::{
    Executed, PointsError, PointsService, PointsTransaction, PointsTransactionKind,
    PointsTransactionState, Reference, Source, TransitionError,
    command::{check_amount_and_reason, key_of},
    execute::note,
    transaction_entries as entries,
    transaction_store::{PointsTransactions, TransactionLots},
};
use crate::{
    audit::Actor,
    db::{Cx, Operation, Wanted, WorkingSet},
    idempotency::{KeyRow, Keys, first_half},
    ledger::{self, LedgerError},
    primitives::{AccountId, BusinessDay, Lane, Points, PointsTransactionId, TenantId},
};

/// Points to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnCommand {
    pub tenant: TenantId,
    /// What took them.
    pub of: PointsTransactionId,
    pub points: Points,
    pub source: Source,
    pub reference: Reference,
    pub reason: String,
    pub by: Actor,
}

/// Returns points to the customer. The same reference with the same request is the same return, for
/// ever; with another request it is [`PointsError::ReferenceReused`].
pub async fn return_points(
    service: &PointsService,
    command: ReturnCommand,
) -> Result<Executed, PointsError> {
    check_amount_and_reason(command.points, &command.reason)?;
    Ok(service.db.submit(ReturnPoints { command }).await?)
}

#[derive(Debug, Clone)]
struct ReturnPoints {
    command: ReturnCommand,
}

impl ReturnCommand {
    fn key(&self) -> [u8; 16] {
        key_of(
            self.tenant,
            PointsTransactionKind::Return,
            (&self.source, &self.reference),
        )
    }

    fn request_hash(&self) -> [u8; 16] {
        first_half(&[
            b"return",
            self.of.bytes(),
            &self.points.get().to_be_bytes(),
            self.reason.as_bytes(),
        ])
    }

    fn new_transaction(&self, cx: &Cx<'_>, of: &PointsTransaction) -> PointsTransaction {
        PointsTransaction {
            id: PointsTransactionId::new(cx.new_id(of.customer.lane())),
            tenant: of.tenant,
            customer: of.customer,
            kind: PointsTransactionKind::Return,
            state: PointsTransactionState::Done,
            points: self.points,
            captured: Points::ZERO,
            returned: Points::ZERO,
            returns: 0,
            returns_of: Some(of.id),
            source: self.source.clone(),
            reference: self.reference.clone(),
            reason: self.reason.clone(),
            order: of.order,
            merchant: of.merchant,
            expired_from: None,
            hold_until: None,
            created_by: self.by.clone(),
            version: 1,
            created_at: cx.now(),
            updated_at: cx.now(),
        }
    }
}

impl Operation for ReturnPoints {
    type Reply = Executed;
    type Refusal = PointsError;
    const NAME: &'static str = "points.return";

    fn lane(&self) -> Lane {
        self.command.of.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        let key = self.command.key();
        want.row::<Keys>(key);
        if let Some(used) = set.get_loaded::<Keys>(key) {
            want.row::<PointsTransactions>(PointsTransactionId::new(used.effect));
        }
        want.row::<PointsTransactions>(self.command.of);
        if let Some(of) = set.get_loaded::<PointsTransactions>(self.command.of) {
            want.row::<TransactionLots>(of.id);
            ledger::want_spending(want, AccountId::customer_points(of.customer));
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Executed, PointsError> {
        let command = &self.command;
        let key = command.key();
        if let Some(used) = set.get::<Keys>(key).copied() {
            if used.request_hash != command.request_hash() {
                return Err(PointsError::ReferenceReused(PointsTransactionId::new(
                    used.effect,
                )));
            }
            let transaction = set
                .get::<PointsTransactions>(PointsTransactionId::new(used.effect))
                .cloned();
            let transaction = transaction.ok_or(PointsError::NotFound)?;
            return Ok(Executed {
                transaction,
                repeated: true,
            });
        }
        let theirs = |transaction: &&PointsTransaction| {
            transaction.tenant == command.tenant && transaction.source == command.source
        };
        let of = set
            .get::<PointsTransactions>(command.of)
            .filter(theirs)
            .cloned();
        let of = of.ok_or(PointsError::NotFound)?;
        let less = of
            .return_points(command.points)
            .map_err(|unfit| match unfit {
                TransitionError::State(state) => PointsError::NotDone(state),
                TransitionError::Amount(_)
                | TransitionError::Kind(_)
                | TransitionError::Left(_) => unfit.into(),
            })?;
        let lots = take_from_transaction(set, cx, &of, command.points)?;
        let transaction = command.new_transaction(cx, &of);
        entries::return_points(set, cx, &transaction, &lots)?;
        let used = KeyRow {
            tenant: transaction.tenant,
            request_hash: command.request_hash(),
            effect: transaction.id.id(),
            at: cx.now(),
        };
        set.put::<Keys>(key, used);
        note(set, cx, &transaction, &transaction.created_by);
        set.put::<PointsTransactions>(less.id, less);
        set.put::<PointsTransactions>(transaction.id, transaction.clone());
        Ok(Executed {
            transaction,
            repeated: false,
        })
    }
}

/// So many points of what the points transaction took of lots, the last to expire first; noted as
/// returned.
fn take_from_transaction(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    of: &PointsTransaction,
    points: Points,
) -> Result<Vec<(BusinessDay, Points)>, PointsError> {
    let mut lots = set
        .get::<TransactionLots>(of.id)
        .cloned()
        .unwrap_or_default();
    let (mut due, mut parts) = (points.get(), Vec::new());
    for (on, lot) in lots.iter_mut().rev() {
        let part = lot.taken.saturating_sub(lot.returned).min(due);
        if part > 0 {
            lot.returned = lot.returned.saturating_add(part);
            due = due.saturating_sub(part);
            parts.push((*on, Points::parse(part).map_err(|_| LedgerError::Overflow)?));
        }
    }
    if due > 0 {
        let inconsistent =
            cx.inconsistent("a points transaction has less left in its lots than it says");
        return Err(LedgerError::from(inconsistent).into());
    }
    set.put::<TransactionLots>(of.id, lots);
    Ok(parts)
}

/// The operation by itself, for tests that need no database.
#[cfg(test)]
pub(crate) fn returning(
    command: ReturnCommand,
) -> impl Operation<Reply = Executed, Refusal = PointsError> {
    ReturnPoints { command }
}
