//! The relay: reads the commits of each committer in their order and hands their events to the
//! slices, which project the history of orders, the totals of merchants and the days of points,
//! note which payments are to be shared, and plan what is to be told to others.
//!
//! Where it stands is written in the transaction that writes what it read, so it is exactly once
//! whatever is killed; a second process that looks at the same committer finds its position locked
//! and goes on to the next. A gap in a sequence cannot be (the key of a commit is its committer and
//! number); should there be one, the relay stops at it rather than skip it.
//!
//! # A commit that cannot be projected
//!
//! Unreadable events, a row that a constraint refuses, a panic: one commit shall not hold up all
//! that come after it, for every tenant. It is *parked* (`relay_parked`, which names it and says
//! why; an open exception for each tenant of which it tells; an error in the log; the gauge
//! `relay_parked`), in the transaction that moves the position past it, and the relay goes on. What
//! cannot be projected because of the database (no answer, no right, no space) is nobody's fault
//! and is not parked; neither is anything more once `PARKED_MAX` commits of one committer are,
//! since then something else is wrong.
//!
//! Nothing waits behind a parked commit but what is its own: of the orders in it the lines of
//! history (which carry the order's version, so that later ones may arrive before), their share in
//! the totals (sums), the messages that tell of them, and the sharing of the payments in it. It is
//! tried again by itself on a growing interval (a commit that a newer program wrote is read once
//! this process is the newer one), or at once when somebody says `zhangfang relay retry`; then its
//! exceptions are resolved. Until then `verify-ledger` finds what is missing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    parked,
    project_events::{project, unpack},
    relay_position::{GAP, RELAY, lock_position, move_position, next_seq},
    runner::{Job, Rest},
};
use crate::{
    db::{Db, DbError, Tx, Work, with_read_timeout},
    deliveries::SettingsCache,
    primitives::{CommitterId, Timestamp},
};

/// How often the relay looks for commits. What came meanwhile is one transaction: at every commit's
/// heels it would cost the payments more than it gives their history.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Relay {
    pub(super) db: Db,
    pub(super) settings: SettingsCache,
}

impl Job for Relay {
    const NAME: &'static str = "relay";
    const REST: Rest = Rest {
        idle: PAUSE,
        failed: Duration::from_secs(1),
    };
    /// It goes through all committers. Its transactions have their own bounds.
    const ROUND_MAX: Option<Duration> = None;

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        round(&self.db, &self.settings).await
    }
}

/// Commits that one transaction reads at most.
const COMMITS_MAX: u32 = 16;

/// The committers with commits that were not read.
async fn behind(db: &Db) -> Result<Vec<(u32,)>, DbError> {
    Ok(sqlx::query_as(
        "/* relay.behind */ SELECT c.id FROM committers c LEFT JOIN relay_positions p ON p.relay = ? AND p.committer = c.id \
         WHERE EXISTS (SELECT 1 FROM commits m WHERE m.committer = c.id AND m.seq > COALESCE(p.seq, 0)) ORDER BY c.id",
    )
    .bind(RELAY)
    .fetch_all(db.pool())
    .await?)
}

/// One look at every committer with news, and at what is parked and due again. True when there is
/// more to read at once.
async fn round(db: &Db, settings: &SettingsCache) -> Result<bool, DbError> {
    let behind = with_read_timeout("the relay's look", behind(db)).await?;
    metrics::gauge!("relay_committers_behind")
        .set(f64::from(u32::try_from(behind.len()).unwrap_or(u32::MAX)));
    let (mut more, mut failure) = (false, None);
    for (committer,) in behind {
        match project_next(db, settings, CommitterId(committer)).await {
            Ok(read_more) => more |= read_more,
            // One that cannot be read does not hold up the others.
            Err(error) => failure = Some(error),
        }
    }
    if let Err(error) = parked::retry_due(db, settings).await {
        failure = Some(error);
    }
    failure.map_or(Ok(more), Err)
}

/// The next commits of one committer; what cannot be projected is parked. True when there may be
/// more.
async fn project_next(
    db: &Db,
    settings: &SettingsCache,
    committer: CommitterId,
) -> Result<bool, DbError> {
    let read = |only| ProjectCommits {
        committer,
        settings: settings.clone(),
        only,
    };
    match db.run(read(None)).await {
        Ok(read) => return Ok(read == u64::from(COMMITS_MAX)),
        Err(error) if parked::is_of_a_commit(&error) => {}
        Err(error) => return Err(error),
    }
    // One of them cannot be projected: one by one, until it is met.
    let first = with_read_timeout("the relay's position", next_seq(db, committer)).await?;
    for seq in first..first.saturating_add(i64::from(COMMITS_MAX)) {
        match db.run(read(Some(seq))).await {
            Ok(0) => break, // another process has read it, or there is none
            Ok(_) => {}
            Err(error) if parked::is_of_a_commit(&error) => {
                parked::park(db, committer, seq, &error).await?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads everything that is committed. For tests and for the end of a demo.
pub async fn drain(db: &Db) -> Result<(), DbError> {
    let settings = SettingsCache::start(db.clone());
    while !behind(db).await?.is_empty() {
        round(db, &settings).await?;
    }
    Ok(())
}

/// Projects the next commits of one committer.
#[derive(Debug)]
pub struct ProjectCommits {
    pub committer: CommitterId,
    /// What each tenant wants told.
    pub settings: SettingsCache,
    /// Only this one, if it is the next.
    pub only: Option<i64>,
}

impl Work for ProjectCommits {
    const NAME: &'static str = "relay.project";
    type Reply = u64;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<u64, DbError> {
        let Some(position) = lock_position(tx, self.committer).await? else {
            return Ok(0);
        };
        if self.only.is_some_and(|seq| seq != position + 1) {
            return Ok(0);
        }
        let commits: Vec<(i64, Timestamp, Vec<u8>)> = sqlx::query_as(
            "/* relay.read */ SELECT seq, committed_at, events FROM commits WHERE committer = ? AND seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(self.committer)
        .bind(position)
        .bind(if self.only.is_some() { 1 } else { COMMITS_MAX })
        .fetch_all(tx.conn())
        .await?;
        let (mut collected, mut read) = (Vec::new(), 0_u64);
        let mut last = position;
        for (seq, at, events) in commits {
            if seq != last + 1 {
                return Err(DbError::Inconsistent(GAP));
            }
            collected.extend(unpack(&events, at)?);
            last = seq;
            read += 1;
        }
        if read == 0 {
            return Ok(0);
        }
        project(tx, &self.settings, &collected).await?;
        move_position(tx, self.committer, last).await?;
        metrics::counter!("relay_commits_total").increment(read);
        Ok(read)
    }
}
