//! Every statement on `deliveries`.

use sqlx::{Executor as _, FromRow, MySql, QueryBuilder, Row as _, mysql::MySqlRow};

use super::{
    AttemptResult, Delivery, DeliveryFilter, DeliveryId, DeliveryKind, DeliveryState,
    DeliverySubject, delivery::NewDelivery,
};
use crate::{
    db::{Columns, Db, DbError, Sql, Tx},
    primitives::{BusinessDay, Id, Money, PageLimit, Points, TenantId, Timestamp},
};

/// Rows that one statement inserts at most.
const ROWS_MAX: usize = 500;

const COLUMNS: &str = "id, tenant_id, kind, order_id, refund_id, amount_fen, happened_at, state, attempts, \
     next_attempt_at, last_error, created_at, updated_at, customer_id, expired_from, points";

impl FromRow<'_, MySqlRow> for Delivery {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let strange = |what: &'static str| sqlx::Error::Decode(what.into());
        let id: [u8; 16] = row
            .try_get::<Vec<u8>, _>("id")?
            .try_into()
            .map_err(|_| strange("a delivery's id"))?;
        let kind: String = row.try_get("kind")?;
        let state: String = row.try_get("state")?;
        Ok(Self {
            id: DeliveryId::new(Id::from_bytes(id)),
            tenant: row.try_get("tenant_id")?,
            kind: DeliveryKind::from_name(&kind).ok_or_else(|| strange("a delivery's kind"))?,
            about: about(row)?,
            happened_at: row.try_get("happened_at")?,
            state: DeliveryState::from_name(&state).ok_or_else(|| strange("a delivery's state"))?,
            attempts: row.try_get("attempts")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            last_error: row.try_get("last_error")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

fn about(row: &MySqlRow) -> Result<DeliverySubject, sqlx::Error> {
    let strange = |what: &'static str| sqlx::Error::Decode(what.into());
    if let Some(order) = row.try_get("order_id")? {
        return Ok(DeliverySubject::Order {
            order,
            refund: row.try_get("refund_id")?,
            amount: Money::parse(row.try_get("amount_fen")?)
                .map_err(|_| strange("a delivery's amount"))?,
        });
    }
    Ok(DeliverySubject::Expiry {
        customer: row.try_get("customer_id")?,
        on: BusinessDay(row.try_get("expired_from")?),
        points: Points::parse(row.try_get("points")?)
            .map_err(|_| strange("a delivery's points"))?,
    })
}

/// The key decides what was planned before.
pub(super) async fn insert_new(tx: &mut Tx, rows: &[NewDelivery]) -> Result<(), DbError> {
    let now = tx.now();
    for rows in rows.chunks(ROWS_MAX) {
        let head = "INSERT /* deliveries.insert_new */ INTO deliveries";
        let mut sql = Sql::insert(head, rows, |row, new| {
            row.set("id", new.id.bytes()).set("tenant_id", new.tenant);
            row.set("kind", new.kind.name());
            about_columns(row, &new.about);
            row.set("happened_at", new.happened_at);
            row.set("state", DeliveryState::Pending.name());
            row.set("attempts", 0_u8);
            row.set("next_attempt_at", new.due_at.unwrap_or(now));
            row.set("created_at", now).set("updated_at", now);
        });
        sql.push(" ON DUPLICATE KEY UPDATE id = VALUES(id)");
        tx.conn()
            .execute(sqlx::raw_sql(sql.into_statement()))
            .await?;
    }
    Ok(())
}

/// Six columns: those of an order, and those of points.
fn about_columns(row: &mut Columns<'_>, about: &DeliverySubject) {
    let (of_order, of_points) = match *about {
        DeliverySubject::Order {
            order,
            refund,
            amount,
        } => (Some((order, refund, amount)), None),
        DeliverySubject::Expiry {
            customer,
            on,
            points,
        } => (None, Some((customer, on, points))),
    };
    row.set("order_id", of_order.map(|(order, ..)| order));
    row.set("refund_id", of_order.and_then(|(_, refund, _)| refund));
    row.set("amount_fen", of_order.map(|(.., amount)| amount));
    row.set("customer_id", of_points.map(|(customer, ..)| customer));
    row.set("expired_from", of_points.map(|(_, on, _)| on));
    row.set("points", of_points.map(|(.., points)| points));
}

/// What is due, oldest first. What others have locked is theirs.
pub(super) async fn lock_due(tx: &mut Tx, limit: u32) -> Result<Vec<Delivery>, DbError> {
    let now = tx.now();
    let statement = format!(
        "/* deliveries.lock_due */ SELECT {COLUMNS} FROM deliveries WHERE next_attempt_at <= ? \
         ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(now)
        .bind(limit)
        .fetch_all(tx.conn())
        .await?)
}

/// Counts an attempt at each of them and puts them off until the lease ends. They are locked.
pub(super) async fn claim(
    tx: &mut Tx,
    claimed: &[Delivery],
    lease_until: Timestamp,
) -> Result<(), DbError> {
    if claimed.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new(
        "UPDATE /* deliveries.claim */ deliveries SET attempts = attempts + 1, next_attempt_at = ",
    );
    sql.time(lease_until).push(", updated_at = ").time(tx.now());
    sql.push(" WHERE state = 'pending' AND id IN (");
    let ids = claimed.iter().map(|delivery| delivery.id.bytes());
    sql.values(ids).push(")");
    let done = tx
        .conn()
        .execute(sqlx::raw_sql(sql.into_statement()))
        .await?;
    expect(done.rows_affected(), claimed.len())
}

/// Writes what became of the attempt that `delivery` was claimed for. False when it is no longer
/// the newest attempt; except that what was told is told, whoever is trying again.
pub(super) async fn record(
    tx: &mut Tx,
    delivery: &Delivery,
    result: &AttemptResult,
) -> Result<bool, DbError> {
    let now = tx.now();
    let told = result.state == DeliveryState::Delivered;
    let done = sqlx::query(
        "/* deliveries.record */ UPDATE deliveries SET state = ?, next_attempt_at = ?, last_error = ?, updated_at = ? \
         WHERE id = ? AND tenant_id = ? AND state = 'pending' AND (attempts = ? OR ?)",
    )
    .bind(result.state.name())
    .bind(result.next_attempt_at)
    .bind(result.last_error.as_deref())
    .bind(now)
    .bind(delivery.id.bytes().as_slice())
    .bind(delivery.tenant)
    .bind(delivery.attempts)
    .bind(told)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, DbError> {
    let statement = format!(
        "/* deliveries.lock */ SELECT {COLUMNS} FROM deliveries WHERE id = ? AND tenant_id = ? FOR UPDATE"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(id.bytes().as_slice())
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?)
}

/// Pending again, due at once. It is locked. The last error stays until there is another.
pub(super) async fn reset(tx: &mut Tx, delivery: &Delivery) -> Result<(), DbError> {
    let now = tx.now();
    let done = sqlx::query(
        "/* deliveries.revive */ UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?, updated_at = ? \
         WHERE id = ? AND tenant_id = ? AND state = ?",
    )
    .bind(now)
    .bind(now)
    .bind(delivery.id.bytes().as_slice())
    .bind(delivery.tenant)
    .bind(delivery.state.name())
    .execute(tx.conn())
    .await?;
    expect(done.rows_affected(), 1)
}

pub(super) async fn list(
    db: &Db,
    tenant: TenantId,
    filter: DeliveryFilter,
    before: Option<DeliveryId>,
    limit: PageLimit,
) -> Result<Vec<Delivery>, DbError> {
    let mut query: QueryBuilder<MySql> = QueryBuilder::new("/* deliveries.list */ SELECT ");
    query
        .push(COLUMNS)
        .push(" FROM deliveries WHERE tenant_id = ");
    query.push_bind(tenant);
    if let Some(before) = before {
        query.push(" AND id < ").push_bind(before.bytes().to_vec());
    }
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.name());
    }
    if let Some(kind) = filter.kind {
        query.push(" AND kind = ").push_bind(kind.name());
    }
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(limit.probe());
    Ok(query.build_query_as().fetch_all(db.pool()).await?)
}

fn expect(rows: u64, wanted: usize) -> Result<(), DbError> {
    if u64::try_from(wanted) == Ok(rows) {
        Ok(())
    } else {
        Err(DbError::Inconsistent("a locked delivery changed"))
    }
}
