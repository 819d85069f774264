//! The operator's retry of a sharing.

use sqlx::Row as _;

use super::{
    ShareStateKind, Sharing, SharingError, find::find_sharing, submit_return::query_lost_returns,
    submit_share::query_failed_parts,
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{DbError, Tx, Work},
    payments::expedite_returning_refunds,
    primitives::{OrderId, SharingId, TenantId},
};

/// Makes everything due at once that waits for an order's sharing: the share, the release, and the
/// refunds that wait for shares. A job does the rest.
///
/// A sharing that a contradiction has stopped first queries WeChat about everything that is marked
/// failed, and books the answers. Refunds wait until all answers are final.
pub async fn retry_sharing(
    sharing: &Sharing,
    tenant: TenantId,
    order: OrderId,
    by: Actor,
) -> Result<(), SharingError> {
    let settled = settle(sharing, tenant, order).await?;
    let retry = Retry {
        tenant,
        order,
        settled,
        by,
    };
    sharing.payments.db.run(retry).await
}

/// Queries WeChat about everything that is marked failed of a stopped sharing. Returns true if
/// nothing is open any more, or if it was not stopped.
async fn settle(sharing: &Sharing, tenant: TenantId, order: OrderId) -> Result<bool, DbError> {
    let Some(view) = find_sharing(&sharing.payments.db, tenant, order).await? else {
        return Ok(true);
    };
    if !view.share.stopped {
        return Ok(true);
    }
    let answered = query_failed_parts(sharing, &view.share, &view.parts).await?;
    query_lost_returns(sharing, &view.share, &view.returns)
        .await
        .map(|settled| settled && answered)
}

#[derive(Debug)]
struct Retry {
    tenant: TenantId,
    order: OrderId,
    /// Whether nothing contradicts the books any more.
    settled: bool,
    by: Actor,
}

impl Work for Retry {
    const NAME: &'static str = "sharing.retry";
    type Reply = ();
    type Error = SharingError;

    async fn run(&self, tx: &mut Tx) -> Result<(), SharingError> {
        let now = tx.now();
        let known = sqlx::query(
            "/* sharing.retried */ SELECT id FROM sharings WHERE order_id = ? AND tenant_id = ?",
        )
        .bind(self.order)
        .bind(self.tenant)
        .fetch_optional(tx.conn())
        .await
        .map_err(DbError::from)?
        .ok_or(SharingError::NotFound)?;
        let id: SharingId = known.try_get(0).map_err(DbError::from)?;
        // In the order in which batches write these tables.
        let refunds = expedite_returning_refunds(tx, self.tenant, self.order).await?;
        let share = sqlx::query("/* sharing.retry_share */ UPDATE sharings SET next_attempt_at = IF(state = ?, NULL, ?), stopped = IF(?, 0, stopped), version = version + 1 WHERE id = ? AND (state <> ? OR stopped = 1)")
            .bind(ShareStateKind::Done.code())
            .bind(now)
            .bind(self.settled)
            .bind(id)
            .bind(ShareStateKind::Done.code())
            .execute(tx.conn())
            .await
            .map_err(DbError::from)?;
        if share.rows_affected() + refunds == 0 {
            return Err(SharingError::NothingToRetry);
        }
        audit::record(tx, self.tenant, &self.by, AuditAction::SharingRetried, id).await?;
        Ok(())
    }
}
