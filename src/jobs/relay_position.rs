//! Where the relay stands among the commits of each committer.

use crate::{
    db::{Db, DbError, Tx},
    primitives::CommitterId,
};

/// The name under which the position is kept.
pub(super) const RELAY: &str = "orders";

/// Where a relay that finds a number missing stops.
pub(super) const GAP: &str = "a gap in the commits";

/// The number after the one where the relay stands.
pub(super) async fn next_seq(db: &Db, committer: CommitterId) -> Result<i64, DbError> {
    let position: Option<i64> = sqlx::query_scalar(
        "/* relay.position */ SELECT seq FROM relay_positions WHERE relay = ? AND committer = ?",
    )
    .bind(RELAY)
    .bind(committer)
    .fetch_optional(db.pool())
    .await?;
    Ok(position.unwrap_or(0).saturating_add(1))
}

/// None when another process is at it.
pub(super) async fn lock_position(
    tx: &mut Tx,
    committer: CommitterId,
) -> Result<Option<i64>, DbError> {
    let lock = "/* relay.lock */ SELECT seq FROM relay_positions WHERE relay = ? AND committer = ? FOR UPDATE SKIP LOCKED";
    let position = sqlx::query_scalar(lock)
        .bind(RELAY)
        .bind(committer)
        .fetch_optional(tx.conn())
        .await?;
    if position.is_some() {
        return Ok(position);
    }
    let made = sqlx::query("/* relay.start */ INSERT IGNORE INTO relay_positions (relay, committer, seq) VALUES (?, ?, 0)")
        .bind(RELAY)
        .bind(committer)
        .execute(tx.conn())
        .await?;
    Ok((made.rows_affected() == 1).then_some(0))
}

pub(super) async fn move_position(
    tx: &mut Tx,
    committer: CommitterId,
    seq: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "/* relay.move */ UPDATE relay_positions SET seq = ? WHERE relay = ? AND committer = ?",
    )
    .bind(seq)
    .bind(RELAY)
    .bind(committer)
    .execute(tx.conn())
    .await?;
    Ok(())
}
