//! Returns of deducted or redeemed points, all or a part, once per reference.
//!
//! A **return** is a points transaction of kind [`PointsTransactionKind::Return`] that names the
//! one whose points it gives back ([`PointsTransaction::returns_of`]). It is done at once. A back
//! end can return only its own points transactions, and no more than they took and have not given
//! back.
//!
//! - **Lots**: the points go back into the lots from which they came, which are kept with each
//!   points transaction (`points_transaction_lots`). A partial return fills the lots that expire
//!   last first, so that the customer has what they would have if less had been spent.
//! - **Expired lots** get their points back too. These points cannot be spent, and the next sweep
//!   expires them: a return gives back points, not time.
//! - **A debt** that arose meanwhile is repaid first, out of the lots that have not expired.
//! - **Concurrent returns** are serialised by the version of the points transaction that they
//!   return; the later one finds less left. A **repeat** with the same reference returns the
//!   existing return.
//! - **Risk** is not asked. Blocked customers get their points back, and caps do not apply.
//!
//! The operation is one commit. If the process dies before it, nothing was written and the caller
//! repeats; if it dies after it, the repeat finds the return by its reference.

use super::{
    Executed, PointsError, PointsService, PointsTransaction, PointsTransactionKind,
    PointsTransactionState, Reference, Source, TransitionError,
    command::{check_amount_and_reason, key_of},
    execute::{before, note},
    transaction_entries as entries,
    transaction_store::{PointsTransactions, TransactionLots},
};
use crate::{
    audit::Actor,
    db::{Cx, Operation, Wanted, WorkingSet},
    idempotency::{Claim, KeyUse, first_half},
    ledger::{self, LedgerError},
    primitives::{AccountId, BusinessDay, Lane, Points, PointsTransactionId, TenantId},
};

/// A command to return points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnCommand {
    pub tenant: TenantId,
    /// The points transaction that took the points.
    pub of: PointsTransactionId,
    pub points: Points,
    pub source: Source,
    pub reference: Reference,
    pub reason: String,
    pub by: Actor,
}

/// Returns points to the customer. A repeat (same reference, same request) returns the existing
/// return; another request under the reference fails with [`PointsError::ReferenceReused`].
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
    /// Claims the reference for this command.
    fn claim(&self) -> Claim {
        Claim {
            id: self.key(),
            tenant: self.tenant,
            request_hash: self.request_hash(),
        }
    }

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
        if let Some(made) = self.command.claim().want(want, set) {
            want.row::<PointsTransactions>(PointsTransactionId::new(made));
        }
        want.row::<PointsTransactions>(self.command.of);
        if let Some(of) = set.get_loaded::<PointsTransactions>(self.command.of) {
            want.row::<TransactionLots>(of.id);
            ledger::want_spending(want, AccountId::customer_points(of.customer));
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Executed, PointsError> {
        let command = &self.command;
        let claim = command.claim();
        match claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(made) => return before(set, made),
            KeyUse::Taken(made) => {
                return Err(PointsError::ReferenceReused(PointsTransactionId::new(made)));
            }
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
        claim.use_for(set, cx, transaction.id.id());
        note(set, cx, &transaction, &transaction.created_by);
        set.put::<PointsTransactions>(less.id, less);
        set.put::<PointsTransactions>(transaction.id, transaction.clone());
        Ok(Executed {
            transaction,
            repeated: false,
        })
    }
}

/// Takes `points` out of what the points transaction took of lots, the lot that expires last first,
/// and counts them as returned. Returns the points by lot.
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

/// Returns the operation, for tests without a database.
#[cfg(test)]
pub(crate) fn returning(
    command: ReturnCommand,
) -> impl Operation<Reply = Executed, Refusal = PointsError> {
    ReturnPoints { command }
}
