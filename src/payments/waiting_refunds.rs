//! Refunds that wait for shares: *returning*, and *withdrawn* ones whose shares are still on their
//! way back. Whoever shares payments looks at them and says here when to look again.

use sqlx::FromRow;

use super::RefundStateKind;
use crate::{
    db::{ClaimTime, DbError, DueClaim, Tx},
    primitives::{OrderId, RefundId, TenantId, Timestamp},
};

const DUE: DueClaim = DueClaim {
    select: "/* payments.due_returns */ SELECT id, tenant_id FROM refunds WHERE next_attempt_at <= ? AND state IN (?, ?) ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[
        RefundStateKind::Returning.code(),
        RefundStateKind::Withdrawn.code(),
    ],
    update: "UPDATE /* payments.claim_returns */ refunds SET next_attempt_at = ",
    where_id: " WHERE id IN (",
};

/// A refund that waits for shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct WaitingRefund {
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
    pub id: RefundId,
}

/// Claims up to `limit` of them that are due.
pub(crate) async fn claim_waiting_refunds(
    tx: &mut Tx,
    time: ClaimTime,
    limit: u32,
) -> Result<Vec<WaitingRefund>, DbError> {
    DUE.claim(tx, time, limit, |refund: &WaitingRefund| *refund.id.bytes())
        .await
}

/// Has one that still waits looked at again at `next`.
pub(crate) async fn postpone_waiting_refund(
    tx: &mut Tx,
    refund: RefundId,
    next: Timestamp,
) -> Result<(), DbError> {
    sqlx::query("/* payments.postpone_return */ UPDATE refunds SET next_attempt_at = ? WHERE id = ? AND state IN (?, ?) AND next_attempt_at IS NOT NULL")
        .bind(next)
        .bind(refund)
        .bind(RefundStateKind::Returning.code())
        .bind(RefundStateKind::Withdrawn.code())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Has the *returning* refunds of an order looked at now. Returns how many there are.
pub(crate) async fn expedite_returning_refunds(
    tx: &mut Tx,
    tenant: TenantId,
    order: OrderId,
) -> Result<u64, DbError> {
    let now = tx.now();
    let refunds = sqlx::query("/* payments.expedite_returns */ UPDATE refunds SET next_attempt_at = ? WHERE order_id = ? AND tenant_id = ? AND state = ?")
        .bind(now)
        .bind(order)
        .bind(tenant)
        .bind(RefundStateKind::Returning.code())
        .execute(tx.conn())
        .await?;
    Ok(refunds.rows_affected())
}
