//! Reads of sharings, and the operator's retry.

use sqlx::Row as _;

use super::{
    Part, PartReturn, PaymentShare, ShareStateKind, Sharing, SharingError,
    share::causes,
    store::{PART_COLUMNS, RETURN_COLUMNS, SHARE_COLUMNS, read_part, read_return, read_share},
    submit_return::query_lost_returns,
    submit_share::query_failed_parts,
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Db, DbError, Tx, Work},
    payments::expedite_returning_refunds,
    primitives::{Id, OrderId, PageLimit, SharingId, TenantId},
};

/// A sharing with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingView {
    pub share: PaymentShare,
    pub parts: Vec<Part>,
    pub returns: Vec<PartReturn>,
}

/// Returns the sharing of an order of a tenant, if it has begun. The caller checks who may see it.
pub async fn find_sharing(
    db: &Db,
    tenant: TenantId,
    order: OrderId,
) -> Result<Option<SharingView>, DbError> {
    let Some((share, parts)) = find_by_order(db, order).await? else {
        return Ok(None);
    };
    if share.tenant != tenant {
        return Ok(None);
    }
    let returns = returns_of(db, share.id).await?;
    Ok(Some(SharingView {
        share,
        parts,
        returns,
    }))
}

/// Returns the causes of the sharing's entries in the books, for
/// [`crate::payments::order_history`].
pub async fn sharing_causes(db: &Db, tenant: TenantId, order: OrderId) -> Result<Vec<Id>, DbError> {
    let view = find_sharing(db, tenant, order).await?;
    Ok(view.map_or_else(Vec::new, |view| {
        causes(&view.share, &view.parts, &view.returns)
    }))
}

/// Returns up to `limit.probe()` sharings of a tenant, newest first, older than `before`, in any
/// state or in one.
pub async fn list_sharings(
    db: &Db,
    tenant: TenantId,
    state: Option<ShareStateKind>,
    before: Option<SharingId>,
    limit: PageLimit,
) -> Result<Vec<PaymentShare>, DbError> {
    let statement = format!(
        "SELECT /* sharing.list */ {SHARE_COLUMNS} FROM sharings s WHERE s.tenant_id = ? AND s.id < ? AND (? = 0 OR s.state = ?) ORDER BY s.id DESC LIMIT ?"
    );
    let state = state.map_or(0, ShareStateKind::code);
    let before = before.map_or([0xff; 16], |id| *id.bytes());
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(tenant)
        .bind(before.as_slice())
        .bind(state)
        .bind(state)
        .bind(limit.probe())
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_share(row)?)).collect()
}

pub(super) async fn find_by_order(
    db: &Db,
    order: OrderId,
) -> Result<Option<(PaymentShare, Vec<Part>)>, DbError> {
    let statement =
        format!("SELECT /* sharing.find */ {SHARE_COLUMNS} FROM sharings s WHERE s.order_id = ?");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(order)
        .fetch_optional(db.pool())
        .await?;
    let Some(share) = row.as_ref().map(read_share).transpose()? else {
        return Ok(None);
    };
    let parts = parts_of(db, share.id).await?;
    Ok(Some((share, parts)))
}

/// Returns the parts in the order of their ids, which is their order in each call to WeChat.
pub(super) async fn parts_of(db: &Db, share: SharingId) -> Result<Vec<Part>, DbError> {
    let statement = format!(
        "SELECT /* sharing.parts_of */ {PART_COLUMNS} FROM sharing_parts p JOIN sharing_receivers r ON r.id = p.receiver_id WHERE p.sharing_id = ? ORDER BY p.id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(share)
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_part(row)?.1)).collect()
}

async fn returns_of(db: &Db, share: SharingId) -> Result<Vec<PartReturn>, DbError> {
    let statement = format!(
        "SELECT /* sharing.returns_of */ {RETURN_COLUMNS} FROM sharing_returns b WHERE b.sharing_id = ? ORDER BY b.id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(share)
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_return(row)?.1)).collect()
}

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
