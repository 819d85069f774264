//! An order's whole history in one answer: what happened to it and its refunds, who did it and why,
//! what WeChat said, and what was booked.

use super::{
    Alarm, HistoryRow, OrderWithMerchant, PaymentException, Refund, RefundStep,
    exception::exceptions_of,
    find::{refund_history, refunds_of},
    list,
    watch::{NextQuery, next_query},
};
use crate::{
    db::{Db, DbError, Sql},
    ledger::{TRANSFER_COLUMNS, Transfer, read_transfer},
    primitives::{DecisionId, Id, OrderId, ReviewId, TenantId, Timestamp},
    risk::{self, Decision, ReviewRow},
};

/// Everything that is known of an order.
#[derive(Debug, Clone)]
pub struct OrderHistory {
    pub view: OrderWithMerchant,
    /// As far as they are projected: a moment behind.
    pub steps: Vec<HistoryRow>,
    pub refunds: Vec<(Refund, Vec<RefundStep>)>,
    /// Every transfer of every journal entry that the order, its refunds and its sharings caused,
    /// in the order of their keys.
    pub transfers: Vec<Transfer>,
    /// Callbacks that were authentic but mismatched.
    pub alarms: Vec<Alarm>,
    pub exceptions: Vec<PaymentException>,
    /// What risk decided on it, in the order of the stages.
    pub decisions: Vec<(DecisionId, Decision)>,
    /// Of its points, if there was one.
    pub review: Option<ReviewRow>,
    /// When it was read.
    pub at: Timestamp,
    /// When WeChat is asked next, and how that went so far, while nobody has paid.
    pub next_query: Option<NextQuery>,
}

/// Returns the history of one order of a tenant. Who may read it is for the caller to check.
/// `sharings` are told by whoever knows them.
pub async fn order_history(
    db: &Db,
    tenant: TenantId,
    id: OrderId,
    sharings: &[Id],
) -> Result<Option<OrderHistory>, DbError> {
    let Some(view) = list::find_order(db, tenant, id).await? else {
        return Ok(None);
    };
    let steps = list::history(db, tenant, id).await?;
    let mut refunds = Vec::new();
    for refund in refunds_of(db, tenant, id).await? {
        let history = refund_history(db, tenant, refund.id).await?;
        refunds.push((refund, history));
    }
    let mut causes = vec![id.id()];
    causes.extend(refunds.iter().map(|(refund, _)| refund.id.id()));
    causes.extend(sharings);
    Ok(Some(OrderHistory {
        transfers: transfers_of(db, tenant, &causes).await?,
        alarms: list::alarms_of(db, tenant, &view.order).await?,
        exceptions: exceptions_of(db, tenant, id).await?,
        at: db.now(),
        decisions: risk::decisions_on(db, tenant, id.id()).await?,
        review: risk::find_review(db, tenant, ReviewId::of(id.id())).await?,
        next_query: next_query(db, tenant, id).await?,
        view,
        steps,
        refunds,
    }))
}

/// The transfers of every entry with one of these causes: an entry's id is its cause's but for the
/// last byte.
async fn transfers_of(db: &Db, tenant: TenantId, causes: &[Id]) -> Result<Vec<Transfer>, DbError> {
    let mut sql = Sql::new("SELECT /* payments.transfers_of */ ");
    sql.push(TRANSFER_COLUMNS)
        .push(" FROM transfers WHERE tenant_id = ");
    sql.int(tenant.0).push(" AND (");
    for (index, cause) in causes.iter().enumerate() {
        if index > 0 {
            sql.push(" OR ");
        }
        let mut last = *cause.bytes();
        last[15] = 0xff;
        sql.push("entry_id BETWEEN ")
            .bytes(cause.bytes())
            .push(" AND ")
            .bytes(&last);
    }
    sql.push(") ORDER BY created_at, entry_id, leg");
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_transfer(row)?)).collect()
}
