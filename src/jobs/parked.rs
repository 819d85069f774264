//! Commits that could not be projected: parked, tried again, seen. What waits for them and what
//! does not is told in `relay.rs`.

use std::collections::BTreeSet;

use sqlx::FromRow;

use super::{
    project_events::{project, unpack},
    relay_position::{GAP, RELAY, lock_position, move_position},
};
use crate::{
    db::{Db, DbError, Tx, Work, with_read_timeout},
    deliveries::SettingsCache,
    outbox,
    payments::{self, ExceptionKind},
    primitives::{CommitterId, TenantId, Timestamp, WithCauses},
};

/// Commits of one committer that are parked at most.
const PARKED_MAX: i64 = 100;

/// One that is parked.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ParkedCommit {
    pub committer: u32,
    pub seq: i64,
    /// Why it could not be projected the last time.
    pub reason: String,
    pub attempts: u32,
    pub parked_at: Timestamp,
    pub next_attempt_at: Timestamp,
}

/// What is parked, oldest first.
pub async fn list_parked(db: &Db) -> Result<Vec<ParkedCommit>, DbError> {
    Ok(sqlx::query_as(
        "/* relay.list_parked */ SELECT committer, seq, reason, attempts, parked_at, next_attempt_at FROM relay_parked \
         WHERE relay = ? ORDER BY parked_at, committer, seq",
    )
    .bind(RELAY)
    .fetch_all(db.pool())
    .await?)
}

/// True when it is the commit that cannot be projected, and not the database that cannot do it now
/// or the account that may not.
pub(super) fn is_of_a_commit(error: &DbError) -> bool {
    match error {
        DbError::Inconsistent(what) => *what != GAP,
        DbError::Violation(_) | DbError::Unreadable(_) => true,
        DbError::Sql(error) => match error.as_database_error() {
            // Data, constraints, and what a trigger says. Not: rights, missing tables, space.
            Some(told) => {
                let state = told.code().unwrap_or_default();
                let of_data = ["22", "23", "45"]
                    .iter()
                    .any(|class| state.starts_with(class));
                of_data || crate::db::is_constraint(error)
            }
            None => true, // asked for wrongly
        },
        DbError::Overloaded
        | DbError::Contention(_)
        | DbError::Unavailable(_)
        | DbError::ReadOnly
        | DbError::Timeout(_)
        | DbError::Stopping
        | DbError::ClockOff
        | DbError::Migrate(_) => false,
    }
}

/// Moves the relay past a commit, and keeps its name.
pub(super) async fn park(
    db: &Db,
    committer: CommitterId,
    seq: i64,
    error: &DbError,
) -> Result<(), DbError> {
    let reason = reason_of(error);
    let parked = db
        .run(Park {
            committer,
            seq,
            reason: reason.clone(),
        })
        .await?;
    if parked {
        tracing::error!(
            committer = committer.0,
            seq,
            reason,
            "a commit cannot be projected and is parked"
        );
        metrics::counter!("relay_parked_total").increment(1);
    }
    Ok(())
}

/// An error with its causes, as much of it as the column holds.
fn reason_of(error: &DbError) -> String {
    WithCauses(error).to_string().chars().take(250).collect()
}

/// The text by which the exceptions of a parked commit are found again.
fn named(committer: CommitterId, seq: i64) -> String {
    format!("commit {}/{seq}", committer.0)
}

#[derive(Debug)]
struct Park {
    committer: CommitterId,
    seq: i64,
    reason: String,
}

impl Work for Park {
    const NAME: &'static str = "relay.park";
    /// False when another process was first.
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        if lock_position(tx, self.committer).await? != Some(self.seq.saturating_sub(1)) {
            return Ok(false);
        }
        let Some((events, _)) = read_commit(tx, self.committer, self.seq).await? else {
            return Ok(false);
        };
        let parked: i64 = sqlx::query_scalar("/* relay.count_parked */ SELECT CAST(COUNT(*) AS SIGNED) FROM relay_parked WHERE relay = ? AND committer = ?")
            .bind(RELAY)
            .bind(self.committer)
            .fetch_one(tx.conn())
            .await?;
        if parked >= PARKED_MAX {
            return Err(DbError::Inconsistent(
                "too many commits cannot be projected: the relay stands",
            ));
        }
        let now = tx.now();
        sqlx::query(
            "/* relay.park */ INSERT INTO relay_parked (relay, committer, seq, reason, attempts, parked_at, next_attempt_at) VALUES (?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(RELAY)
        .bind(self.committer)
        .bind(self.seq)
        .bind(&self.reason)
        .bind(now)
        .bind(now.plus_seconds(rest_after(1)))
        .execute(tx.conn())
        .await?;
        move_position(tx, self.committer, self.seq).await?;
        for tenant in tenants_of(&events) {
            let detail = named(self.committer, self.seq);
            payments::raise_exception(tx, tenant, ExceptionKind::NotProjected, &detail).await?;
        }
        Ok(true)
    }
}

/// Of whom it tells, as far as it can be read.
fn tenants_of(events: &[u8]) -> BTreeSet<TenantId> {
    let events = outbox::unpack(events).unwrap_or_default();
    events.iter().map(outbox::Event::tenant).collect()
}

/// Seconds after an attempt: a minute, doubling, to an hour.
fn rest_after(attempts: u32) -> i64 {
    60_i64
        .saturating_mul(1 << attempts.saturating_sub(1).min(6))
        .min(3_600)
}

async fn read_commit(
    tx: &mut Tx,
    committer: CommitterId,
    seq: i64,
) -> Result<Option<(Vec<u8>, Timestamp)>, DbError> {
    Ok(sqlx::query_as(
        "/* relay.read_parked */ SELECT events, committed_at FROM commits WHERE committer = ? AND seq = ?",
    )
    .bind(committer)
    .bind(seq)
    .fetch_optional(tx.conn())
    .await?)
}

/// Tries again what is due again, each whatever became of the others; fails with the first error
/// that was not of a commit.
pub(super) async fn retry_due(db: &Db, settings: &SettingsCache) -> Result<(), DbError> {
    let parked = with_read_timeout("what is parked", list_parked(db)).await?;
    metrics::gauge!("relay_parked").set(f64::from(u32::try_from(parked.len()).unwrap_or(u32::MAX)));
    let now = db.now();
    let mut failure = None;
    for commit in parked.iter().filter(|commit| commit.next_attempt_at <= now) {
        let committer = CommitterId(commit.committer);
        if let Err(error) = retry_parked(db, settings, committer, commit.seq).await {
            failure = failure.or(Some(error));
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Tries one again now. True when it is projected; false when it is not, or not parked any more, or
/// another process is at it.
pub async fn retry_parked(
    db: &Db,
    settings: &SettingsCache,
    committer: CommitterId,
    seq: i64,
) -> Result<bool, DbError> {
    let settings = settings.clone();
    let error = match db
        .run(Unpark {
            committer,
            seq,
            settings,
        })
        .await
    {
        Ok(projected) => {
            if projected {
                tracing::info!(committer = committer.0, seq, "a parked commit is projected");
            }
            return Ok(projected);
        }
        Err(error) if is_of_a_commit(&error) => error,
        Err(error) => return Err(error),
    };
    let reason = reason_of(&error);
    tracing::error!(
        committer = committer.0,
        seq,
        reason,
        "a parked commit still cannot be projected"
    );
    db.run(NoteAttempt {
        committer,
        seq,
        reason,
    })
    .await?;
    Ok(false)
}

#[derive(Debug)]
struct Unpark {
    committer: CommitterId,
    seq: i64,
    settings: SettingsCache,
}

impl Work for Unpark {
    const NAME: &'static str = "relay.unpark";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let parked: Option<(u32,)> = sqlx::query_as("/* relay.lock_parked */ SELECT attempts FROM relay_parked WHERE relay = ? AND committer = ? AND seq = ? FOR UPDATE SKIP LOCKED")
            .bind(RELAY)
            .bind(self.committer)
            .bind(self.seq)
            .fetch_optional(tx.conn())
            .await?;
        if parked.is_none() {
            return Ok(false);
        }
        let commit = read_commit(tx, self.committer, self.seq).await?;
        let (events, at) = commit.ok_or(DbError::Inconsistent("a parked commit is gone"))?;
        project(tx, &self.settings, &unpack(&events, at)?).await?;
        sqlx::query(
            "/* relay.unpark */ DELETE FROM relay_parked WHERE relay = ? AND committer = ? AND seq = ?",
        )
        .bind(RELAY)
        .bind(self.committer)
        .bind(self.seq)
        .execute(tx.conn())
        .await?;
        for tenant in tenants_of(&events) {
            let detail = named(self.committer, self.seq);
            payments::settle_exception(
                tx,
                tenant,
                ExceptionKind::NotProjected,
                &detail,
                "projected",
            )
            .await?;
        }
        Ok(true)
    }
}

#[derive(Debug)]
struct NoteAttempt {
    committer: CommitterId,
    seq: i64,
    reason: String,
}

impl Work for NoteAttempt {
    const NAME: &'static str = "relay.note_attempt";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        let attempts: Option<u32> = sqlx::query_scalar("/* relay.parked_attempts */ SELECT attempts FROM relay_parked WHERE relay = ? AND committer = ? AND seq = ? FOR UPDATE")
            .bind(RELAY)
            .bind(self.committer)
            .bind(self.seq)
            .fetch_optional(tx.conn())
            .await?;
        let Some(attempts) = attempts.map(|attempts| attempts.saturating_add(1)) else {
            return Ok(());
        };
        sqlx::query("/* relay.park_again */ UPDATE relay_parked SET attempts = ?, reason = ?, next_attempt_at = ? WHERE relay = ? AND committer = ? AND seq = ?")
            .bind(attempts)
            .bind(&self.reason)
            .bind(now.plus_seconds(rest_after(attempts)))
            .bind(RELAY)
            .bind(self.committer)
            .bind(self.seq)
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}
