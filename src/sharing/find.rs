//! Reads of sharings.

use super::{
    Part, PartReturn, PaymentShare, ShareStateKind,
    share::causes,
    store::{PART_COLUMNS, RETURN_COLUMNS, SHARE_COLUMNS, read_part, read_return, read_share},
};
use crate::{
    db::{Db, DbError},
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
    let Some((share, parts)) = find_by_order(db, tenant, order).await? else {
        return Ok(None);
    };
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
    tenant: TenantId,
    order: OrderId,
) -> Result<Option<(PaymentShare, Vec<Part>)>, DbError> {
    let statement = format!(
        "SELECT /* sharing.find */ {SHARE_COLUMNS} FROM sharings s WHERE s.order_id = ? AND s.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(order)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    let Some(share) = row.as_ref().map(read_share).transpose()? else {
        return Ok(None);
    };
    let parts = parts_of(db, tenant, share.id).await?;
    Ok(Some((share, parts)))
}

/// Returns the parts in the order of their ids, which is their order in each call to WeChat.
pub(super) async fn parts_of(
    db: &Db,
    tenant: TenantId,
    share: SharingId,
) -> Result<Vec<Part>, DbError> {
    let statement = format!(
        "SELECT /* sharing.parts_of */ {PART_COLUMNS} FROM sharing_parts p JOIN sharing_receivers r ON r.id = p.receiver_id WHERE p.sharing_id = ? AND r.tenant_id = ? ORDER BY p.id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(share)
        .bind(tenant)
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
