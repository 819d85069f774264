//! A committer's identity: leased, with a sequence that has no gaps.
//!
//! A process that starts takes an identity whose lease ran out, or makes a new one, and continues
//! its sequence. It renews the lease while it lives. The lease only keeps two processes from
//! getting in each other's way; what keeps them from doing harm is the key `(committer, seq)` of
//! the commit's row.
//!
//! The session does not commit by itself, so whatever changes a lease commits it here. What only
//! reads leaves its transaction to the caller. No statement has a bound of its own: the committer
//! puts one around each call.

use aws_lc_rs::digest::{Context, SHA256};
use sqlx::{Connection as _, Executor as _, MySqlConnection, Row as _};

use super::super::DbError;
use crate::primitives::{CommitterId, Timestamp};

/// How long an identity stays taken after its holder was last heard of.
const LEASE_SECONDS: i64 = 30;

/// The identity that this committer writes under, and where its sequence stands.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) committer: CommitterId,
    holder: [u8; 16],
    renewed_at: Timestamp,
    /// The last sequence number written.
    pub(super) seq: u64,
    /// The seal of that commit.
    pub(super) seal: [u8; 32],
}

/// Starts the seal of a commit: it covers the one before it, so that the chain breaks wherever a
/// link is changed.
pub fn seal(
    previous: &[u8; 32],
    committer: CommitterId,
    seq: u64,
    committed_at: Timestamp,
    events: &[u8],
) -> Context {
    let mut seal = Context::new(&SHA256);
    seal.update(previous);
    seal.update(&committer.0.to_be_bytes());
    seal.update(&seq.to_be_bytes());
    seal.update(&committed_at.micros().to_be_bytes());
    seal.update(
        &u64::try_from(events.len())
            .unwrap_or(u64::MAX)
            .to_be_bytes(),
    );
    seal.update(events);
    seal
}

impl Lease {
    /// Takes a free identity, or makes one.
    pub(super) async fn take(
        conn: &mut MySqlConnection,
        holder: [u8; 16],
        now: Timestamp,
    ) -> Result<Self, DbError> {
        let mut tx = conn.begin().await?;
        let free: Option<(u32,)> = sqlx::query_as(
            "/* db.lease_find */ SELECT id FROM committers WHERE leased_until < ? ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
        )
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let until = now.plus_seconds(LEASE_SECONDS);
        let committer = if let Some((id,)) = free {
            sqlx::query("/* db.lease_take */ UPDATE committers SET holder = ?, leased_until = ? WHERE id = ?")
                .bind(holder.as_slice())
                .bind(until)
                .bind(id)
                .execute(&mut *tx)
                .await?;
            CommitterId(id)
        } else {
            let made = sqlx::query(
                "/* db.lease_make */ INSERT INTO committers (holder, leased_until) VALUES (?, ?)",
            )
            .bind(holder.as_slice())
            .bind(until)
            .execute(&mut *tx)
            .await?;
            CommitterId(
                u32::try_from(made.last_insert_id())
                    .map_err(|_| DbError::Inconsistent("too many committers"))?,
            )
        };
        tx.commit().await?;
        let mut lease = Self {
            committer,
            holder,
            renewed_at: now,
            seq: 0,
            seal: [0; 32],
        };
        lease.read_head(conn).await?;
        Ok(lease)
    }

    /// Reads where the sequence stands: after a lost race or a lost connection only the table
    /// knows.
    pub(super) async fn read_head(&mut self, conn: &mut MySqlConnection) -> Result<(), DbError> {
        let head = sqlx::query("/* db.commit_head */ SELECT seq, seal FROM commits WHERE committer = ? ORDER BY seq DESC LIMIT 1")
            .bind(self.committer.0)
            .fetch_optional(&mut *conn)
            .await?;
        let Some(row) = head else {
            (self.seq, self.seal) = (0, [0; 32]);
            return Ok(());
        };
        let (seq, seal): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        self.seq =
            u64::try_from(seq).map_err(|_| DbError::Inconsistent("negative commit number"))?;
        self.seal = seal
            .try_into()
            .map_err(|_| DbError::Inconsistent("commit without a seal"))?;
        Ok(())
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now > self.renewed_at.plus_seconds(LEASE_SECONDS / 3)
    }

    /// It has been due for longer than a committer lets pass between two looks at it.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        now > self.renewed_at.plus_seconds(LEASE_SECONDS * 2 / 3)
    }

    /// False when someone else holds the identity by now.
    pub(super) async fn renew(
        &mut self,
        conn: &mut MySqlConnection,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let kept = sqlx::query("/* db.lease_renew */ UPDATE committers SET leased_until = ? WHERE id = ? AND holder = ?")
            .bind(now.plus_seconds(LEASE_SECONDS))
            .bind(self.committer.0)
            .bind(self.holder.as_slice())
            .execute(&mut *conn)
            .await?
            .rows_affected();
        conn.execute("COMMIT").await?;
        self.renewed_at = now;
        Ok(kept == 1)
    }

    /// Gives the identity back, so that the next process continues it at once.
    pub(super) async fn release(
        &self,
        conn: &mut MySqlConnection,
        now: Timestamp,
    ) -> Result<(), DbError> {
        sqlx::query("/* db.lease_release */ UPDATE committers SET leased_until = ? WHERE id = ? AND holder = ?")
            .bind(now.plus_seconds(-1))
            .bind(self.committer.0)
            .bind(self.holder.as_slice())
            .execute(&mut *conn)
            .await?;
        conn.execute("COMMIT").await?;
        Ok(())
    }
}
