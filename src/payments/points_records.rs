//! Records of a customer's points, each with the payment that it is about. Read-only; nothing is
//! decided by it.
//!
//! Points know no payments, so the records are read here, where both are known; how a change is
//! called is said there ([`change_types`](crate::points::change_types)).

use sqlx::FromRow;

use crate::{
    db::{Db, DbError},
    ledger::{ConstrainedSide, Phase},
    points::change_types::{KIND, caused_by, change_type, source_of},
    primitives::{
        AccountId, CustomerId, EntryCause, OrderId, OrderNo, PageLimit, TenantId, Timestamp,
    },
};

/// One change of a customer's points.
#[derive(Debug, Clone, FromRow)]
pub struct PointsRecord {
    /// 1, 2, .. without gaps: the version of the account after the change.
    pub version: u32,
    pub points_change: i64,
    pub points_balance: i64,
    /// `earn`, `adjust`, `refund` (given back), `shortfall` (missing for it, now owed), `repay` (of
    /// what is owed), `award`, `deduct`, `redeem`, `hold`, `release` (of a hold), `return` (of what
    /// was deducted or redeemed), `expire`, `held` (until a review is decided), `credited` and
    /// `voided` (it is), `other`.
    pub change_type: String,
    /// Where the points came from or went to: `payment`, `refund`, `expiry`, `adjustment`, or the
    /// name of a back end.
    pub source: String,
    /// `posted`, `pending`, `voided`.
    pub state: String,
    order_id: Option<OrderId>,
    pub merchant_name: Option<String>,
    pub created_at: Timestamp,
}

impl PointsRecord {
    pub fn order_no(&self) -> Option<OrderNo> {
        self.order_id.map(OrderNo::from)
    }
}

/// Returns up to `limit.probe()` points records of a customer, newest first, older than `before`.
pub async fn list_points_records(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    before: Option<u32>,
    limit: PageLimit,
) -> Result<Vec<PointsRecord>, DbError> {
    let (kind, change_type, source) = (KIND, change_type(), source_of());
    let (credit, pending, void) = (
        ConstrainedSide::Credit.code(),
        Phase::Pending.code(),
        Phase::Void.code(),
    );
    let of_refunds = caused_by(&[EntryCause::Refund]);
    let of_transactions = caused_by(&[
        EntryCause::PointsTransaction,
        EntryCause::OrderOrPointsTransaction,
    ]);
    let of_orders = caused_by(&[EntryCause::Order, EntryCause::OrderOrPointsTransaction]);
    let statement = format!(
        "SELECT /* payments.list_points_records */ t.account_version AS version, \
         CASE t.constrained_side WHEN {credit} THEN t.amount ELSE -t.amount END AS points_change, \
         t.balance_after AS points_balance, {change_type} AS change_type, {source} AS source, \
         CASE t.phase WHEN {pending} THEN 'pending' WHEN {void} THEN 'voided' ELSE 'posted' END AS state, \
         o.id AS order_id, m.name AS merchant_name, t.created_at \
         FROM transfers t \
         LEFT JOIN refunds r ON {kind} IN {of_refunds} AND r.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') \
         LEFT JOIN points_transactions p ON {kind} IN {of_transactions} AND p.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') \
         LEFT JOIN payment_orders o ON o.id = CASE WHEN p.id IS NOT NULL THEN p.order_id WHEN r.id IS NOT NULL THEN r.order_id \
         WHEN {kind} IN {of_orders} THEN CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') END \
         LEFT JOIN merchants m ON m.id = COALESCE(o.merchant_id, p.merchant_id) \
         WHERE t.constrained_account = ? AND t.tenant_id = ? AND t.account_version < ? \
         ORDER BY t.account_version DESC LIMIT ?"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(AccountId::customer_points(customer))
        .bind(tenant)
        .bind(before.unwrap_or(u32::MAX))
        .bind(limit.probe())
        .fetch_all(db.pool())
        .await?)
}
