//! `points_transactions`: how to load and write many at once, and every other statement on it.

use std::collections::BTreeMap;

use sqlx::{FromRow, Row as _, mysql::MySqlRow};

use super::{
    PointsCommand, PointsTransaction, PointsTransactionKind, PointsTransactionState, Reference,
    Source,
};
use crate::{
    db::{
        Change, ClaimTime, Columns, Db, DbError, DueClaim, LoadRows, RecordRows, Recorder, RowSet,
        Sql, Tx,
    },
    primitives::{
        BusinessDay, CustomerId, PageLimit, Points, PointsTransactionId, TenantId, Timestamp,
    },
};

/// `points_transactions`: loaded, inserted, and changed only if the version is still the one that
/// was loaded.
#[derive(Debug)]
pub(crate) struct PointsTransactions;

pub(crate) const POINTS_TRANSACTION_COLUMNS: &str = "p.id, p.tenant_id, p.customer_id, p.kind, p.state, p.points, p.captured, p.source, p.reference, p.reason, p.order_id, p.merchant_id, \
     p.expired_from, p.hold_until, p.created_by, p.version, p.created_at, p.updated_at, p.returned, p.returns, p.returns_of";

/// Columns as in [`POINTS_TRANSACTION_COLUMNS`].
pub(crate) fn read_points_transaction(row: &MySqlRow) -> Result<PointsTransaction, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let code = |column: usize| -> Result<u8, sqlx::Error> {
        u8::try_from(row.try_get::<i8, _>(column)?)
            .map_err(|_| broken("a code of points_transactions"))
    };
    let points = |column: usize| -> Result<Points, sqlx::Error> {
        Points::parse(row.try_get(column)?).map_err(|_| broken("points of points_transactions"))
    };
    Ok(PointsTransaction {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        customer: row.try_get(2)?,
        kind: PointsTransactionKind::from_code(code(3)?)
            .ok_or(broken("points_transactions.kind"))?,
        state: PointsTransactionState::from_code(code(4)?)
            .ok_or(broken("points_transactions.state"))?,
        points: points(5)?,
        captured: points(6)?,
        returned: points(18)?,
        returns: row.try_get(19)?,
        returns_of: row.try_get(20)?,
        source: Source::parse(row.try_get(7)?).map_err(|_| broken("points_transactions.source"))?,
        reference: Reference::parse(row.try_get(8)?)
            .map_err(|_| broken("points_transactions.reference"))?,
        reason: row.try_get(9)?,
        order: row.try_get(10)?,
        merchant: row.try_get(11)?,
        expired_from: row.try_get::<Option<time::Date>, _>(12)?.map(BusinessDay),
        hold_until: row.try_get(13)?,
        created_by: row.try_get(14)?,
        version: row.try_get(15)?,
        created_at: row.try_get(16)?,
        updated_at: row.try_get(17)?,
    })
}

impl RowSet for PointsTransactions {
    type Key = PointsTransactionId;
    type Row = PointsTransaction;
    const LOCK_ORDER: u8 = 28;
}

impl LoadRows for PointsTransactions {
    fn load(keys: &[PointsTransactionId], sql: &mut Sql) {
        sql.push("SELECT /* points.load_transactions */ ")
            .push(POINTS_TRANSACTION_COLUMNS)
            .push(" FROM points_transactions p WHERE p.id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(PointsTransactionId, PointsTransaction), sqlx::Error> {
        let transaction = read_points_transaction(row)?;
        Ok((transaction.id, transaction))
    }
}

impl RecordRows for PointsTransactions {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        let head = "INSERT /* points.insert_transactions */ INTO points_transactions";
        out.insert(head, new, |row, change| {
            let transaction = change.after;
            row.set("id", transaction.id);
            row.set("tenant_id", transaction.tenant);
            row.set("customer_id", transaction.customer);
            row.set("kind", transaction.kind.code());
            row.set("points", transaction.points);
            row.set("source", transaction.source.as_str());
            row.set("reference", transaction.reference.as_str());
            row.set("reason", &transaction.reason);
            row.set("order_id", transaction.order);
            row.set("merchant_id", transaction.merchant);
            row.set("expired_from", transaction.expired_from);
            row.set("returns_of", transaction.returns_of);
            row.set("created_by", &transaction.created_by);
            row.set("created_at", transaction.created_at);
            mutable_columns(row, transaction);
        });
        for change in known {
            let transaction = change.after;
            let head = "UPDATE /* points.update_transaction */ points_transactions SET ";
            let mut sql = Sql::update(head, |row| mutable_columns(row, transaction));
            sql.push(" WHERE id = ").value(transaction.id);
            sql.push(" AND version = ")
                .value(change.before.map_or(0, |before| before.version));
            out.statement(&sql, Some(1));
        }
    }
}

fn mutable_columns(row: &mut Columns<'_>, transaction: &PointsTransaction) {
    row.set("state", transaction.state.code());
    row.set("captured", transaction.captured);
    row.set("returned", transaction.returned);
    row.set("returns", transaction.returns);
    row.set("hold_until", transaction.hold_until);
    row.set("due_at", due(transaction));
    row.set("version", transaction.version);
    row.set("updated_at", transaction.updated_at);
}

/// `points_transaction_lots`: of which lots a points transaction took points, and what of that was
/// given back. Written as a whole when the points are taken; what was given back since is changed
/// only if it is still what was loaded.
#[derive(Debug)]
pub(super) struct TransactionLots;

/// What a points transaction took of a lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FromLot {
    pub(super) tenant: TenantId,
    pub(super) taken: i64,
    pub(super) returned: i64,
}

impl RowSet for TransactionLots {
    type Key = PointsTransactionId;
    type Row = BTreeMap<BusinessDay, FromLot>;
    const LOCK_ORDER: u8 = 27;
}

impl LoadRows for TransactionLots {
    fn load(keys: &[PointsTransactionId], sql: &mut Sql) {
        sql.push("SELECT /* points.load_transaction_lots */ points_transaction_id, expired_from, tenant_id, taken, returned FROM points_transaction_lots WHERE points_transaction_id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(PointsTransactionId, Self::Row), sqlx::Error> {
        let lot = FromLot {
            tenant: TenantId(row.try_get(2)?),
            taken: row.try_get(3)?,
            returned: row.try_get(4)?,
        };
        let day = BusinessDay(row.try_get(1)?);
        Ok((row.try_get(0)?, BTreeMap::from([(day, lot)])))
    }

    fn merge(known: &mut Option<Self::Row>, row: Self::Row) {
        known.get_or_insert_default().extend(row);
    }
}

impl RecordRows for TransactionLots {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for change in changes {
            for (day, lot) in change.after {
                let before = change.before.and_then(|before| before.get(day));
                match before {
                    None => new.push((change.key, *day, *lot)),
                    Some(before) if before != lot => known.push((change.key, *day, *before, *lot)),
                    Some(_) => {}
                }
            }
        }
        let head = "INSERT /* points.insert_transaction_lots */ INTO points_transaction_lots";
        out.insert(head, new, |row, (transaction, day, lot)| {
            row.set("points_transaction_id", transaction);
            row.set("expired_from", day);
            row.set("tenant_id", lot.tenant);
            row.set("taken", lot.taken);
            row.set("returned", lot.returned);
        });
        for (transaction, day, before, lot) in known {
            let head = "UPDATE /* points.return_to_lot */ points_transaction_lots SET ";
            let mut sql = Sql::update(head, |row| _ = row.set("returned", lot.returned));
            sql.push(" WHERE points_transaction_id = ")
                .value(transaction);
            sql.push(" AND expired_from = ").value(day);
            sql.push(" AND returned = ").value(before.returned);
            out.statement(&sql, Some(1));
        }
    }
}

/// When somebody must look at it: the end of its hold.
fn due(transaction: &PointsTransaction) -> Option<Timestamp> {
    transaction
        .hold_until
        .filter(|_| transaction.state == PointsTransactionState::Held)
}

const DUE: DueClaim = DueClaim {
    select: "/* points.due_holds */ SELECT id, tenant_id FROM points_transactions WHERE due_at <= ? ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* points.claim_holds */ points_transactions SET due_at = ",
    where_id: " WHERE id IN (",
};

/// A hold that has timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct DueHold {
    pub id: PointsTransactionId,
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
}

/// Up to `limit` holds that have timed out, claimed until `until`.
pub(super) async fn claim_due(
    tx: &mut Tx,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<DueHold>, DbError> {
    let now = tx.now();
    DUE.claim(tx, ClaimTime { now, until }, limit, |hold: &DueHold| {
        *hold.id.bytes()
    })
    .await
}

/// Whether the reference was used.
pub(super) async fn is_known(db: &Db, command: &PointsCommand) -> Result<bool, DbError> {
    let known: Option<i64> = sqlx::query_scalar(
        "/* points.is_known */ SELECT 1 FROM points_transactions WHERE tenant_id = ? AND source = ? AND kind = ? AND reference = ?",
    )
    .bind(command.tenant)
    .bind(command.source.as_str())
    .bind(command.kind().code())
    .bind(command.reference.as_str())
    .fetch_optional(db.pool())
    .await?;
    Ok(known.is_some())
}

pub(super) async fn find(
    db: &Db,
    tenant: TenantId,
    id: PointsTransactionId,
) -> Result<Option<PointsTransaction>, DbError> {
    let statement = format!(
        "SELECT /* points.find_points_transaction */ {POINTS_TRANSACTION_COLUMNS} FROM points_transactions p WHERE p.id = ? AND p.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    Ok(row.as_ref().map(read_points_transaction).transpose()?)
}

/// Which points transactions to list. All that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct PointsTransactionFilter {
    pub customer: Option<CustomerId>,
    pub source: Option<Source>,
    pub kind: Option<PointsTransactionKind>,
    pub state: Option<PointsTransactionState>,
    pub reference: Option<Reference>,
}

/// Returns up to `limit.probe()` points transactions, newest first, older than `before`.
pub(super) async fn list(
    db: &Db,
    tenant: TenantId,
    filter: &PointsTransactionFilter,
    before: Option<PointsTransactionId>,
    limit: PageLimit,
) -> Result<Vec<PointsTransaction>, DbError> {
    let mut sql = Sql::new("SELECT /* points.list_points_transactions */ ");
    sql.push(POINTS_TRANSACTION_COLUMNS)
        .push(" FROM points_transactions p WHERE p.tenant_id = ")
        .int(tenant.0);
    if let Some(customer) = filter.customer {
        sql.push(" AND p.customer_id = ").bytes(customer.bytes());
    }
    if let Some(source) = &filter.source {
        sql.push(" AND p.source = ").text(source.as_str());
    }
    if let Some(kind) = filter.kind {
        sql.push(" AND p.kind = ").int(kind.code());
    } else if filter.reference.is_some() {
        // All of them, so that the unique key leads to the reference.
        sql.push(" AND p.kind IN (");
        let kinds = PointsTransactionKind::ALL.map(PointsTransactionKind::code);
        sql.values(kinds).push(")");
    }
    if let Some(state) = filter.state {
        sql.push(" AND p.state = ").int(state.code());
    }
    if let Some(reference) = &filter.reference {
        sql.push(" AND p.reference = ").text(reference.as_str());
    }
    if let Some(before) = before {
        sql.push(" AND p.id < ").bytes(before.bytes());
    }
    sql.push(" ORDER BY p.id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter()
        .map(|row| Ok(read_points_transaction(row)?))
        .collect()
}
