//! Ends of holds: a hold is captured, released or times out, once.

use super::{
    Applied, DueHold, PointsError, PointsService, PointsTransaction, PointsTransactionState,
    Source,
    execute::note,
    transaction_entries as entries,
    transaction_store::{self, PointsTransactions},
};
use crate::{
    audit::{Actor, SystemActor},
    db::{Cx, Db, DbError, Operation, SubmitError, Tx, Wanted, Work, WorkingSet},
    ledger,
    primitives::{Lane, Points, PointsTransactionId, TenantId},
};

/// Most holds that one claim takes.
const CLAIM: u32 = 100;
/// Seconds for which a claimed hold is left to its claimer.
const LEASE_SECONDS: i64 = 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Spends `points`, or all that is held if none; the rest is released.
    Capture {
        points: Option<Points>,
    },
    Release,
}

/// Ends a hold of this back end and returns the points transaction. Repeating an end changes
/// nothing. A hold of another back end is [`PointsError::NotFound`].
pub async fn end_hold(
    service: &PointsService,
    (tenant, source): (TenantId, Source),
    transaction: PointsTransactionId,
    end: End,
    by: Actor,
) -> Result<PointsTransaction, PointsError> {
    let ending = match end {
        End::Capture { points } => Ending::Capture(points),
        End::Release => Ending::Release,
    };
    let operation = EndHold {
        tenant,
        source: Some(source),
        transaction,
        ending,
        by,
    };
    Ok(service.db.submit(operation).await?)
}

/// Claims holds that have timed out, so that no other process ends them at the same time. If this
/// process dies, they fall due again.
pub async fn claim_expired_holds(db: &Db) -> Result<Vec<DueHold>, DbError> {
    db.run(ClaimExpiredHolds).await
}

#[derive(Debug)]
struct ClaimExpiredHolds;

impl Work for ClaimExpiredHolds {
    const NAME: &'static str = "points.claim_holds";
    type Reply = Vec<DueHold>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let until = tx.now().plus_seconds(LEASE_SECONDS);
        transaction_store::claim_due(tx, until, CLAIM).await
    }
}

/// Ends a hold that has timed out. Returns false if it has ended already.
pub async fn time_out(
    db: &Db,
    tenant: TenantId,
    transaction: PointsTransactionId,
) -> Result<bool, DbError> {
    let operation = EndHold {
        tenant,
        source: None,
        transaction,
        ending: Ending::TimeOut,
        by: SystemActor::Holds.into(),
    };
    match db.submit(operation).await {
        Ok(_) => Ok(true),
        Err(SubmitError::Refused(PointsError::State(_) | PointsError::NotFound)) => Ok(false),
        Err(SubmitError::Refused(refusal)) => {
            tracing::error!(points_transaction.id = %transaction, reason = %refusal, "a hold cannot be ended");
            Err(DbError::Inconsistent("a hold cannot be ended"))
        }
        Err(SubmitError::Db(error)) => Err(error),
    }
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Capture(Option<Points>),
    Release,
    TimeOut,
}

#[derive(Debug, Clone)]
struct EndHold {
    tenant: TenantId,
    /// The back end whose hold it must be; none accepts any.
    source: Option<Source>,
    transaction: PointsTransactionId,
    ending: Ending,
    by: Actor,
}

impl Operation for EndHold {
    type Reply = PointsTransaction;
    type Refusal = PointsError;
    const NAME: &'static str = "points.end_hold";

    fn lane(&self) -> Lane {
        self.transaction.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want_transaction(want, set, self.transaction);
    }

    fn decide(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
    ) -> Result<PointsTransaction, PointsError> {
        let theirs = |transaction: &&PointsTransaction| {
            let whose = self.source.as_ref();
            transaction.tenant == self.tenant
                && whose.is_none_or(|source| *source == transaction.source)
        };
        let transaction = set
            .get::<PointsTransactions>(self.transaction)
            .filter(theirs)
            .cloned();
        let transaction = transaction.ok_or(PointsError::NotFound)?;
        let turn = match self.ending {
            Ending::Capture(points) => transaction.capture(points, cx.now())?,
            Ending::Release => transaction.release(cx.now())?,
            Ending::TimeOut => transaction.time_out(cx.now())?,
        };
        let Applied::Now(ended) = turn else {
            return Ok(transaction);
        };
        if ended.state == PointsTransactionState::Done {
            entries::capture(set, cx, &ended)?;
        } else {
            entries::void_pending(set, cx, &ended)?;
        }
        note(set, cx, &ended, &self.by);
        set.put::<PointsTransactions>(ended.id, (*ended).clone());
        Ok(*ended)
    }
}

/// Asks for a points transaction and, once it is loaded, for the rows of its pending entry.
pub(super) fn want_transaction(want: &mut Wanted, set: &WorkingSet, id: PointsTransactionId) {
    want.row::<PointsTransactions>(id);
    if let Some(transaction) = set.get_loaded::<PointsTransactions>(id) {
        ledger::want_resolution(want, set, transaction.pending_entry(), 1);
    }
}

/// Returns the operation, for tests without a database. Without an end, the hold times out.
#[cfg(test)]
pub(crate) fn ending(
    tenant: TenantId,
    transaction: PointsTransactionId,
    end: Option<&End>,
) -> impl Operation<Reply = PointsTransaction, Refusal = PointsError> {
    EndHold {
        tenant,
        source: None,
        transaction,
        ending: match end {
            Some(End::Capture { points }) => Ending::Capture(*points),
            Some(End::Release) => Ending::Release,
            None => Ending::TimeOut,
        },
        by: Actor::operator("test"),
    }
}
