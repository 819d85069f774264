//! Every statement on `points_expiry_runs`, and on lots during a sweep.

use sqlx::{FromRow, Row as _, mysql::MySqlRow};

use super::{Counts, ExpiryRun, FORGET_DAYS, REFUND_DAYS, RunState};
use crate::{
    audit::Actor,
    db::{Db, DbError, Tx, Work},
    ledger,
    primitives::{AccountId, BusinessDay, ExpiryRunId, PageLimit, Points, TenantId, Timestamp},
};

const COLUMNS: &str = "id, tenant_id, day, started_by, asked_at, started_at, finished_at, accounts, lots, points, notices";

impl FromRow<'_, MySqlRow> for ExpiryRun {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let count = |name: &str| {
            u64::try_from(row.try_get::<i64, _>(name)?)
                .map_err(|_| sqlx::Error::Decode("a count of points_expiry_runs".into()))
        };
        let (started_at, finished_at) = (row.try_get("started_at")?, row.try_get("finished_at")?);
        let state = match (started_at, finished_at) {
            (_, Some(_)) => RunState::Finished,
            (Some(_), None) => RunState::UnderWay,
            (None, None) => RunState::Asked,
        };
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant_id")?,
            day: BusinessDay(row.try_get("day")?),
            state,
            started_by: row.try_get("started_by")?,
            asked_at: row.try_get("asked_at")?,
            started_at,
            finished_at,
            accounts: count("accounts")?,
            lots: count("lots")?,
            points: Points::parse(row.try_get("points")?)
                .map_err(|_| sqlx::Error::Decode("points_expiry_runs.points".into()))?,
            notices: count("notices")?,
        })
    }
}

pub(super) async fn tenants_without_run(
    tx: &mut Tx,
    day: BusinessDay,
) -> Result<Vec<TenantId>, DbError> {
    let tenants: Vec<(TenantId,)> = sqlx::query_as(
        "/* points.tenants_without_expiry */ SELECT t.id FROM tenants t WHERE NOT EXISTS \
         (SELECT 1 FROM points_expiry_runs r WHERE r.tenant_id = t.id AND r.day = ? AND r.nightly = 1) ORDER BY t.id",
    )
    .bind(day.0)
    .fetch_all(tx.conn())
    .await?;
    Ok(tenants.into_iter().map(|(tenant,)| tenant).collect())
}

/// Returns false if a run prevents it: an unfinished one of the tenant, or the nightly one of the
/// day.
pub(super) async fn insert_run(
    tx: &mut Tx,
    id: ExpiryRunId,
    (tenant, day): (TenantId, BusinessDay),
    nightly: bool,
    by: &Actor,
) -> Result<bool, DbError> {
    let now = tx.now();
    let made = sqlx::query(
        "/* points.insert_expiry */ INSERT IGNORE INTO points_expiry_runs \
         (id, tenant_id, day, nightly, open, started_by, asked_at, accounts, lots, points, notices) VALUES (?, ?, ?, ?, 1, ?, ?, 0, 0, 0, 0)",
    )
    .bind(id)
    .bind(tenant)
    .bind(day.0)
    .bind(nightly.then_some(1))
    .bind(by)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(made.rows_affected() == 1)
}

pub(super) async fn open_run(tx: &mut Tx, tenant: TenantId) -> Result<Option<ExpiryRun>, DbError> {
    let statement = format!(
        "/* points.open_expiry */ SELECT {COLUMNS} FROM points_expiry_runs WHERE tenant_id = ? AND open = 1"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?)
}

pub(super) async fn find_run(
    tx: &mut Tx,
    tenant: TenantId,
    id: ExpiryRunId,
) -> Result<Option<ExpiryRun>, DbError> {
    let statement = format!(
        "/* points.find_expiry */ SELECT {COLUMNS} FROM points_expiry_runs WHERE id = ? AND tenant_id = ?"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?)
}

pub(super) async fn list_runs(
    db: &Db,
    tenant: TenantId,
    before: Option<ExpiryRunId>,
    limit: PageLimit,
) -> Result<Vec<ExpiryRun>, DbError> {
    let statement = format!(
        "/* points.list_expiries */ SELECT {COLUMNS} FROM points_expiry_runs \
         WHERE tenant_id = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(tenant)
        .bind(before)
        .bind(before)
        .bind(limit.probe())
        .fetch_all(db.pool())
        .await?)
}

/// A run that nobody has finished.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct OpenRun {
    pub id: ExpiryRunId,
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
}

/// A run that is worked on, its worker, and the end of the lease.
#[derive(Debug, FromRow)]
pub(super) struct LeasedRun {
    #[sqlx(flatten)]
    pub run: OpenRun,
    pub holder: Vec<u8>,
    pub leased_until: Timestamp,
}

/// Returns and locks the run that is worked on. There is one lease, whichever the tenant.
pub(super) async fn leased_run(tx: &mut Tx) -> Result<Option<LeasedRun>, DbError> {
    Ok(sqlx::query_as(
        "/* points.leased_expiry */ SELECT id, tenant_id, holder, leased_until FROM points_expiry_runs WHERE lease = 1 FOR UPDATE",
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Returns the oldest run that is not finished, of all tenants.
pub(super) async fn first_open(tx: &mut Tx) -> Result<Option<OpenRun>, DbError> {
    Ok(sqlx::query_as(
        "/* points.first_expiry */ SELECT id, tenant_id FROM points_expiry_runs WHERE open = 1 ORDER BY id LIMIT 1",
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Returns false if another worker has a lease, on this run or another: there is one lease.
pub(super) async fn lease(
    tx: &mut Tx,
    id: ExpiryRunId,
    holder: &[u8; 16],
    until: Timestamp,
) -> Result<bool, DbError> {
    let now = tx.now();
    let leased = sqlx::query(
        "/* points.lease_expiry */ UPDATE points_expiry_runs SET lease = 1, holder = ?, leased_until = ?, \
         started_at = COALESCE(started_at, ?) WHERE id = ? AND open = 1 AND (lease IS NULL OR holder = ? OR leased_until < ?)",
    )
    .bind(holder.as_slice())
    .bind(until)
    .bind(now)
    .bind(id)
    .bind(holder.as_slice())
    .bind(now)
    .execute(tx.conn())
    .await
    .map_err(DbError::from);
    match leased {
        Ok(leased) => Ok(leased.rows_affected() == 1),
        Err(error) if error.unique_key().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns false if another worker holds the lease.
pub(super) async fn count(
    tx: &mut Tx,
    id: ExpiryRunId,
    holder: &[u8; 16],
    done: &Counts,
) -> Result<bool, DbError> {
    let until = tx.now().plus_seconds(super::LEASE_SECONDS);
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counted = sqlx::query(
        "/* points.count_expiry */ UPDATE points_expiry_runs SET accounts = accounts + ?, lots = lots + ?, points = points + ?, \
         notices = notices + ?, leased_until = ? WHERE id = ? AND lease = 1 AND holder = ?",
    )
    .bind(number(done.accounts))
    .bind(number(done.lots))
    .bind(done.points.get())
    .bind(number(done.notices))
    .bind(until)
    .bind(id)
    .bind(holder.as_slice())
    .execute(tx.conn())
    .await?;
    Ok(counted.rows_affected() == 1)
}

/// Called in the transaction of [`count`], which holds the row's lock.
pub(super) async fn finish(
    tx: &mut Tx,
    id: ExpiryRunId,
    noticed_until: Option<BusinessDay>,
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* points.finish_expiry */ UPDATE points_expiry_runs SET open = NULL, lease = NULL, holder = NULL, leased_until = NULL, \
         finished_at = ?, noticed_until = ? WHERE id = ?",
    )
    .bind(now)
    .bind(noticed_until.map(|day| day.0))
    .bind(id)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn release(
    tx: &mut Tx,
    id: ExpiryRunId,
    holder: &[u8; 16],
) -> Result<(), DbError> {
    sqlx::query(
        "/* points.release_expiry */ UPDATE points_expiry_runs SET lease = NULL, holder = NULL, leased_until = NULL \
         WHERE id = ? AND lease = 1 AND holder = ?",
    )
    .bind(id)
    .bind(holder.as_slice())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Returns the day up to which the last run with notices planned them.
pub async fn noticed_until(db: &Db, tenant: TenantId) -> Result<Option<BusinessDay>, DbError> {
    let day: Option<(time::Date,)> = sqlx::query_as(
        "/* points.noticed_until */ SELECT noticed_until FROM points_expiry_runs \
         WHERE tenant_id = ? AND noticed_until IS NOT NULL ORDER BY id DESC LIMIT 1",
    )
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    Ok(day.map(|(day,)| BusinessDay(day)))
}

/// A position along the key of lots by day: after this day's lot of this account, or without an
/// account after all lots of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotPosition {
    pub day: BusinessDay,
    pub account: Option<AccountId>,
}

impl LotPosition {
    /// Before every lot: the first day of MySQL's `DATE`.
    pub const START: Self = Self {
        day: BusinessDay(time::macros::date!(1000 - 01 - 01)),
        account: None,
    };
}

/// A lot of a page, spent or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotRow {
    pub account: AccountId,
    pub expired_from: BusinessDay,
    pub remaining: i64,
}

/// A page of lots, and the position after it; none after the last page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LotPage {
    pub lots: Vec<LotRow>,
    pub next: Option<LotPosition>,
}

/// Returns up to `limit` lots of a tenant after a position, up to the day `to`, in the order of the
/// key. Spent lots are included, so that every page costs the same.
///
/// Two statements, one for the rest of the day of the position and one for the days after it, so
/// that each reads one range of the key.
pub async fn next_lots(
    db: &Db,
    tenant: TenantId,
    after: LotPosition,
    to: BusinessDay,
    limit: u32,
) -> Result<LotPage, DbError> {
    let mut lots = Vec::new();
    if let Some(account) = after.account {
        lots = sqlx::query(
            "/* points.lots_of_day */ SELECT account_id, expired_from, remaining FROM points_lots FORCE INDEX (points_lots_expiry) \
             WHERE tenant_id = ? AND expired_from = ? AND account_id > ? ORDER BY account_id LIMIT ?",
        )
        .bind(tenant)
        .bind(after.day.0)
        .bind(account)
        .bind(limit)
        .fetch_all(db.pool())
        .await?;
    }
    if lots.is_empty() {
        lots = sqlx::query(
            "/* points.lots_of_days */ SELECT account_id, expired_from, remaining FROM points_lots FORCE INDEX (points_lots_expiry) \
             WHERE tenant_id = ? AND expired_from > ? AND expired_from <= ? ORDER BY expired_from, account_id LIMIT ?",
        )
        .bind(tenant)
        .bind(after.day.0)
        .bind(to.0)
        .bind(limit)
        .fetch_all(db.pool())
        .await?;
    }
    let lots: Vec<LotRow> = lots
        .iter()
        .map(|row| {
            Ok(LotRow {
                account: row.try_get(0)?,
                expired_from: BusinessDay(row.try_get(1)?),
                remaining: row.try_get(2)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    let next = lots.last().map(|last| LotPosition {
        day: last.expired_from,
        account: Some(last.account),
    });
    Ok(LotPage { lots, next })
}

/// Deletes up to `limit` of a tenant's lots that are spent, have been expired for [`FORGET_DAYS`]
/// on `today`, and are not needed by refunds ([`REFUND_DAYS`]). Replies with the number deleted.
#[derive(Debug)]
pub struct ForgetSpentLots {
    pub tenant: TenantId,
    pub today: BusinessDay,
    pub limit: u32,
}

impl Work for ForgetSpentLots {
    const NAME: &'static str = "points.forget_lots";
    type Reply = u64;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<u64, DbError> {
        let since = |days: u16| {
            let age = time::Duration::days(i64::from(days));
            BusinessDay(self.today.0.saturating_sub(age))
        };
        let (expired, granted) = (since(FORGET_DAYS), since(REFUND_DAYS));
        ledger::forget_spent_lots(tx, self.tenant, expired, granted, self.limit).await
    }
}
