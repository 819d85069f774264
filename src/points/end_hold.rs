//! What was set aside is spent, let go, or its time is over: one of these, once.

use super::{
    Deed, DeedError, DeedState, Desk, Source, Turn,
    ask::note,
    deed_entries as entries,
    deed_store::{self, Deeds},
};
use crate::{
    audit::Actor,
    db::{Cx, Db, DbError, Operation, SubmitError, Tx, Wanted, Work, WorkingSet},
    ledger,
    primitives::{DeedId, Lane, Points, TenantId},
};

/// Holds that one look takes at most.
const CLAIM: u32 = 100;
/// How long a hold is left to whoever took it to end it.
const LEASE_SECONDS: i64 = 30;

/// How a hold ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Spends so many points, or all; the rest is let go.
    Capture {
        points: Option<Points>,
    },
    Release,
}

/// Ends a hold of this back end; another's does not exist for it. The same end twice is one. Gives the deed as it stands then.
pub async fn end_hold(
    desk: &Desk,
    (tenant, source): (TenantId, Source),
    deed: DeedId,
    end: End,
    by: Actor,
) -> Result<Deed, DeedError> {
    let ending = match end {
        End::Capture { points } => Ending::Capture(points),
        End::Release => Ending::Release,
    };
    let operation = EndHold {
        tenant,
        source: Some(source),
        deed,
        ending,
        by,
    };
    Ok(desk.db.submit(operation).await?)
}

/// Takes holds whose time is over, so that no other process ends them at the same time; nothing is lost if this one dies.
pub async fn claim_over(db: &Db) -> Result<Vec<(DeedId, TenantId)>, DbError> {
    db.run(ClaimOver).await
}

#[derive(Debug)]
struct ClaimOver;

impl Work for ClaimOver {
    const NAME: &'static str = "points.claim_holds";
    type Reply = Vec<(DeedId, TenantId)>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let until = tx.now().plus_seconds(LEASE_SECONDS);
        deed_store::claim_due(tx, until, CLAIM).await
    }
}

/// Ends a hold whose time is over. False when somebody else has ended it, one way or another.
pub async fn time_out(db: &Db, tenant: TenantId, deed: DeedId) -> Result<bool, DbError> {
    let operation = EndHold {
        tenant,
        source: None,
        deed,
        ending: Ending::TimeOut,
        by: Actor::new("job:holds"),
    };
    match db.submit(operation).await {
        Ok(_) => Ok(true),
        Err(SubmitError::Refused(DeedError::State(_) | DeedError::NotFound)) => Ok(false),
        Err(SubmitError::Refused(refusal)) => {
            tracing::error!(deed.id = %deed, reason = %refusal, "a hold cannot be ended");
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
    /// Whose it must be; none for whoever.
    source: Option<Source>,
    deed: DeedId,
    ending: Ending,
    by: Actor,
}

impl Operation for EndHold {
    type Reply = Deed;
    type Refusal = DeedError;
    const NAME: &'static str = "points.end_hold";

    fn lane(&self) -> Lane {
        self.deed.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want_deed(want, set, self.deed);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Deed, DeedError> {
        let theirs = |deed: &&Deed| {
            let whose = self.source.as_ref();
            deed.tenant == self.tenant && whose.is_none_or(|source| *source == deed.source)
        };
        let deed = set.get::<Deeds>(self.deed).filter(theirs).cloned();
        let deed = deed.ok_or(DeedError::NotFound)?;
        let turn = match self.ending {
            Ending::Capture(points) => deed.capture(points, cx.now())?,
            Ending::Release => deed.release(cx.now())?,
            Ending::TimeOut => deed.time_out(cx.now())?,
        };
        let Turn::Now(ended) = turn else {
            return Ok(deed);
        };
        if ended.state == DeedState::Done {
            entries::capture(set, cx, &ended)?;
        } else {
            entries::drop_pending(set, cx, &ended)?;
        }
        note(set, cx, &ended, &self.by);
        set.put::<Deeds>(ended.id, (*ended).clone());
        Ok(*ended)
    }
}

/// A deed, and once it is known what is pending for it.
pub(super) fn want_deed(want: &mut Wanted, set: &WorkingSet, id: DeedId) {
    want.row::<Deeds>(id);
    if set.has_loaded::<Deeds>(id)
        && let Some(deed) = set.get::<Deeds>(id)
    {
        ledger::want_resolution(want, set, deed.pending_entry(), 1);
    }
}

/// The operation by itself, for tests that need no database. Without an end: its time is over.
#[cfg(test)]
pub(crate) fn ending(
    tenant: TenantId,
    deed: DeedId,
    end: Option<&End>,
) -> impl Operation<Reply = Deed, Refusal = DeedError> {
    EndHold {
        tenant,
        source: None,
        deed,
        ending: match end {
            Some(End::Capture { points }) => Ending::Capture(*points),
            Some(End::Release) => Ending::Release,
            None => Ending::TimeOut,
        },
        by: Actor::new("test"),
    }
}
