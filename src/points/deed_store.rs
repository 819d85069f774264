//! `point_deeds`: how to load and write many at once, and every other statement on it.

use std::collections::BTreeMap;

use sqlx::{Row as _, mysql::MySqlRow};

use super::{Deed, DeedKind, DeedState, DeedWish, Reference, Source};
use crate::{
    audit::Actor,
    db::{Change, Db, DbError, DueClaim, Recorder, RowSet, Sql, Tx},
    primitives::{
        BusinessDay, CustomerId, DeedId, MerchantId, PageLimit, Points, TenantId, Timestamp,
    },
};

/// `point_deeds`: loaded, inserted, and changed only if the version is still the one that was loaded.
#[derive(Debug)]
pub(crate) struct Deeds;

pub(crate) const DEED_COLUMNS: &str = "d.id, d.tenant_id, d.customer_id, d.kind, d.state, d.points, d.captured, d.source, d.reference, d.reason, d.order_id, d.merchant_id, \
     d.expires_on, d.hold_until, d.created_by, d.version, d.created_at, d.updated_at, d.returned, d.returns, d.returns_of";

/// Columns as in [`DEED_COLUMNS`].
pub(crate) fn read_deed(row: &MySqlRow) -> Result<Deed, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let code = |place: usize| -> Result<u8, sqlx::Error> {
        u8::try_from(row.try_get::<i8, _>(place)?).map_err(|_| broken("a code of point_deeds"))
    };
    let points = |place: usize| -> Result<Points, sqlx::Error> {
        Points::parse(row.try_get(place)?).map_err(|_| broken("points of point_deeds"))
    };
    Ok(Deed {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        customer: row.try_get(2)?,
        kind: DeedKind::from_code(code(3)?).ok_or(broken("point_deeds.kind"))?,
        state: DeedState::from_code(code(4)?).ok_or(broken("point_deeds.state"))?,
        points: points(5)?,
        captured: points(6)?,
        returned: points(18)?,
        returns: row.try_get(19)?,
        returns_of: row.try_get(20)?,
        source: Source::parse(row.try_get(7)?).map_err(|_| broken("point_deeds.source"))?,
        reference: Reference::parse(row.try_get(8)?)
            .map_err(|_| broken("point_deeds.reference"))?,
        reason: row.try_get(9)?,
        order: row.try_get(10)?,
        merchant: row.try_get(11)?,
        expires_on: row.try_get::<Option<time::Date>, _>(12)?.map(BusinessDay),
        hold_until: row.try_get(13)?,
        created_by: Actor::new(row.try_get::<String, _>(14)?),
        version: row.try_get(15)?,
        created_at: row.try_get(16)?,
        updated_at: row.try_get(17)?,
    })
}

impl RowSet for Deeds {
    type Key = DeedId;
    type Row = Deed;
    const LOCK_ORDER: u8 = 28;

    fn load(keys: &[DeedId], sql: &mut Sql) {
        sql.push("SELECT /* points.load_deeds */ ")
            .push(DEED_COLUMNS)
            .push(" FROM point_deeds d WHERE d.id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(DeedId, Deed), sqlx::Error> {
        let deed = read_deed(row)?;
        Ok((deed.id, deed))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        out.rows(
            "INSERT /* points.insert_deeds */ INTO point_deeds (id, tenant_id, customer_id, kind, state, points, captured, source, reference, reason, order_id, \
             merchant_id, expires_on, hold_until, due_at, returns_of, created_by, version, created_at, updated_at) VALUES ",
            new,
            "",
            true,
            |sql, change| {
                let deed = change.after;
                sql.push("(").bytes(deed.id.bytes()).push(",").int(deed.tenant.0);
                sql.push(",").bytes(deed.customer.bytes()).push(",").int(deed.kind.code());
                sql.push(",").int(deed.state.code()).push(",").int(deed.points.get());
                sql.push(",").int(deed.captured.get()).push(",").text(deed.source.as_str());
                sql.push(",").text(deed.reference.as_str()).push(",").text(&deed.reason).push(",");
                sql.option(deed.order, |sql, id| { sql.bytes(id.bytes()); }).push(",");
                sql.option(deed.merchant, |sql, id| { sql.bytes(id.bytes()); }).push(",");
                sql.option(deed.expires_on, |sql, day| { sql.day(day); }).push(",");
                sql.option(deed.hold_until, |sql, at| { sql.time(at); }).push(",");
                sql.option(due(deed), |sql, at| { sql.time(at); }).push(",");
                sql.option(deed.returns_of, |sql, id| { sql.bytes(id.bytes()); }).push(",");
                sql.text(deed.created_by.as_str()).push(",").int(deed.version).push(",");
                sql.time(deed.created_at).push(",").time(deed.updated_at).push(")");
            },
        );
        for change in known {
            let deed = change.after;
            let mut sql = Sql::new("UPDATE /* points.update_deed */ point_deeds SET state = ");
            sql.int(deed.state.code())
                .push(", captured = ")
                .int(deed.captured.get());
            sql.push(", returned = ")
                .int(deed.returned.get())
                .push(", returns = ")
                .int(deed.returns);
            sql.push(", hold_until = ")
                .option(deed.hold_until, |sql, at| {
                    sql.time(at);
                });
            sql.push(", due_at = ").option(due(deed), |sql, at| {
                sql.time(at);
            });
            sql.push(", version = ")
                .int(deed.version)
                .push(", updated_at = ");
            sql.time(deed.updated_at)
                .push(" WHERE id = ")
                .bytes(deed.id.bytes());
            sql.push(" AND version = ")
                .int(change.before.map_or(0, |before| before.version));
            out.statement(&sql, Some(1));
        }
    }
}

/// `point_deed_lots`: of which lots a deed took points, and what of that was given back. Written as a whole when the points are taken; what was given back since is changed
/// only if it is still what was loaded.
#[derive(Debug)]
pub(super) struct DeedLots;

/// What a deed took of a lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FromLot {
    pub(super) tenant: TenantId,
    pub(super) taken: i64,
    pub(super) returned: i64,
}

impl RowSet for DeedLots {
    type Key = DeedId;
    type Row = BTreeMap<BusinessDay, FromLot>;
    const LOCK_ORDER: u8 = 27;

    fn load(keys: &[DeedId], sql: &mut Sql) {
        sql.push("SELECT /* points.load_deed_lots */ deed_id, expires_on, tenant_id, taken, returned FROM point_deed_lots WHERE deed_id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(DeedId, Self::Row), sqlx::Error> {
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
        out.rows(
            "INSERT /* points.insert_deed_lots */ INTO point_deed_lots (deed_id, expires_on, tenant_id, taken, returned) VALUES ",
            &new,
            "",
            true,
            |sql, (deed, day, lot)| {
                sql.push("(").bytes(deed.bytes()).push(",").day(*day);
                sql.push(",").int(lot.tenant.0).push(",").int(lot.taken);
                sql.push(",").int(lot.returned).push(")");
            },
        );
        for (deed, day, before, lot) in known {
            let mut sql =
                Sql::new("UPDATE /* points.return_to_lot */ point_deed_lots SET returned = ");
            sql.int(lot.returned)
                .push(" WHERE deed_id = ")
                .bytes(deed.bytes());
            sql.push(" AND expires_on = ")
                .day(day)
                .push(" AND returned = ")
                .int(before.returned);
            out.statement(&sql, Some(1));
        }
    }
}

/// When somebody must look at it: the end of its hold.
fn due(deed: &Deed) -> Option<Timestamp> {
    deed.hold_until.filter(|_| deed.state == DeedState::Held)
}

const DUE: DueClaim = DueClaim {
    select: "/* points.due_holds */ SELECT id, tenant_id FROM point_deeds WHERE due_at <= ? ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* points.claim_holds */ point_deeds SET due_at = ",
    where_id: " WHERE id IN (",
};

/// Up to `limit` holds whose time is over, taken until `until`.
pub(super) async fn claim_due(
    tx: &mut Tx,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<(DeedId, TenantId)>, DbError> {
    let now = tx.now();
    DUE.claim(tx, (now, until), limit, |(id, _): &(DeedId, TenantId)| {
        *id.bytes()
    })
    .await
}

/// What a deed names and this slice does not own: read once, since none of it changes later (but whether a customer is blocked, which need not be sure to the instant).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parties {
    /// The customer's status; none for one that does not exist.
    pub(super) customer: Option<String>,
    pub(super) merchant_exists: bool,
    /// The order's customer and merchant.
    pub(super) order: Option<(Option<CustomerId>, MerchantId)>,
}

pub(super) async fn find_parties(db: &Db, wish: &DeedWish) -> Result<Parties, DbError> {
    let row = sqlx::query(
        "/* points.find_parties */ SELECT c.status, m.id, o.customer_id, o.merchant_id FROM (SELECT 1) one \
         LEFT JOIN customers c ON c.id = ? AND c.tenant_id = ? LEFT JOIN merchants m ON m.id = ? AND m.tenant_id = ? \
         LEFT JOIN payment_orders o ON o.id = ? AND o.tenant_id = ?",
    )
    .bind(wish.customer)
    .bind(wish.tenant)
    .bind(wish.merchant)
    .bind(wish.tenant)
    .bind(wish.order)
    .bind(wish.tenant)
    .fetch_one(db.pool())
    .await?;
    let merchant: Option<MerchantId> = row.try_get(1)?;
    let merchant_of_order: Option<MerchantId> = row.try_get(3)?;
    let customer_of_order: Option<CustomerId> = row.try_get(2)?;
    Ok(Parties {
        customer: row.try_get(0)?,
        merchant_exists: merchant.is_some(),
        order: merchant_of_order.map(|merchant| (customer_of_order, merchant)),
    })
}

/// Whether the reference was used.
pub(super) async fn is_known(db: &Db, wish: &DeedWish) -> Result<bool, DbError> {
    let known: Option<i64> = sqlx::query_scalar(
        "/* points.is_known */ SELECT 1 FROM point_deeds WHERE tenant_id = ? AND source = ? AND kind = ? AND reference = ?",
    )
    .bind(wish.tenant)
    .bind(wish.source.as_str())
    .bind(wish.kind().code())
    .bind(wish.reference.as_str())
    .fetch_optional(db.pool())
    .await?;
    Ok(known.is_some())
}

pub(super) async fn find(db: &Db, tenant: TenantId, id: DeedId) -> Result<Option<Deed>, DbError> {
    let statement = format!(
        "SELECT /* points.find_deed */ {DEED_COLUMNS} FROM point_deeds d WHERE d.id = ? AND d.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    Ok(row.as_ref().map(read_deed).transpose()?)
}

/// Which deeds are wanted. All that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct DeedFilter {
    pub customer: Option<CustomerId>,
    pub source: Option<Source>,
    pub kind: Option<DeedKind>,
    pub state: Option<DeedState>,
    pub reference: Option<Reference>,
}

/// Up to `limit.probe()` deeds, newest first, older than `before`.
pub(super) async fn list(
    db: &Db,
    tenant: TenantId,
    filter: &DeedFilter,
    before: Option<DeedId>,
    limit: PageLimit,
) -> Result<Vec<Deed>, DbError> {
    let mut sql = Sql::new("SELECT /* points.list_deeds */ ");
    sql.push(DEED_COLUMNS)
        .push(" FROM point_deeds d WHERE d.tenant_id = ")
        .int(tenant.0);
    if let Some(customer) = filter.customer {
        sql.push(" AND d.customer_id = ").bytes(customer.bytes());
    }
    if let Some(source) = &filter.source {
        sql.push(" AND d.source = ").text(source.as_str());
    }
    if let Some(kind) = filter.kind {
        sql.push(" AND d.kind = ").int(kind.code());
    } else if filter.reference.is_some() {
        // All of them, so that the unique key leads to the reference.
        sql.push(" AND d.kind IN (1, 2, 3, 4)");
    }
    if let Some(state) = filter.state {
        sql.push(" AND d.state = ").int(state.code());
    }
    if let Some(reference) = &filter.reference {
        sql.push(" AND d.reference = ").text(reference.as_str());
    }
    if let Some(before) = before {
        sql.push(" AND d.id < ").bytes(before.bytes());
    }
    sql.push(" ORDER BY d.id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_deed(row)?)).collect()
}
