//! The ledger's tables: how to load and write many rows at once.

use std::collections::BTreeMap;

use aws_lc_rs::digest::Context;
use sqlx::{Row as _, mysql::MySqlRow};

use super::{
    Account, ConstrainedSide, LedgerError, Phase, PointHoldings, Transfer, account::Effect,
};
use crate::{
    db::{Change, Columns, Db, DbError, LoadRows, RecordRows, Recorder, RowSet, Sql, Tx},
    primitives::{AccountId, BusinessDay, EntryId, Points, TenantId, Timestamp, TransferId},
};

/// Deletes up to `limit` of a tenant's lots that are spent, that expired before `expired_before`,
/// and from which nothing can be given back any more: nothing of them expired unspent, or they were
/// granted before `granted_before`. Returns how many.
pub async fn forget_spent_lots(
    tx: &mut Tx,
    tenant: TenantId,
    expired_before: BusinessDay,
    granted_before: BusinessDay,
    limit: u32,
) -> Result<u64, DbError> {
    let done = sqlx::query(
        "/* ledger.forget_lots */ DELETE FROM points_lots WHERE tenant_id = ? AND expired_from < ? AND remaining = 0 \
         AND (expired = 0 OR granted_on < ?) \
         ORDER BY expired_from, account_id LIMIT ?",
    )
    .bind(tenant)
    .bind(expired_before.0)
    .bind(granted_before.0)
    .bind(limit)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// `transfers`: loaded to learn whether an entry is there, inserted, never changed.
#[derive(Debug)]
pub struct Transfers;

pub(crate) const TRANSFER_COLUMNS: &str = "entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, account_version, balance_after, created_at, lot";

impl RowSet for Transfers {
    type Key = TransferId;
    type Row = Transfer;
    const LOCK_ORDER: u8 = 40;
}

impl LoadRows for Transfers {
    fn load(keys: &[TransferId], sql: &mut Sql) {
        sql.push("SELECT /* ledger.load_transfers */ ")
            .push(TRANSFER_COLUMNS)
            .push(" FROM transfers WHERE (entry_id, leg) IN (");
        let pairs = keys.iter().map(|key| (key.entry, key.leg));
        sql.values(pairs).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(TransferId, Transfer), sqlx::Error> {
        let transfer = read_transfer(row)?;
        Ok((transfer.id, transfer))
    }
}

impl RecordRows for Transfers {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let rows = changes.iter().map(|change| change.after);
        out.insert(
            "INSERT /* ledger.insert_transfers */ INTO transfers",
            rows,
            |row, t| {
                row.set("entry_id", t.id.entry).set("leg", t.id.leg);
                row.set("tenant_id", t.tenant);
                row.set("phase", t.phase.code());
                row.set("debit_account", t.debit);
                row.set("credit_account", t.credit);
                row.set("amount", t.amount);
                row.set("constrained_side", t.constrained_side.code());
                row.set("account_version", t.account_version);
                row.set("balance_after", t.balance_after);
                row.set("created_at", t.at);
                row.set("lot", t.lot);
            },
        );
    }

    fn seal(changes: &[Change<'_, Self>], seal: &mut Context) {
        for change in changes {
            change.after.seal(seal);
        }
    }
}

/// Columns as in [`TRANSFER_COLUMNS`].
pub(crate) fn read_transfer(row: &MySqlRow) -> Result<Transfer, sqlx::Error> {
    let undecodable = |what: &'static str| sqlx::Error::Decode(what.into());
    let phase: i8 = row.try_get(3)?;
    let side: i8 = row.try_get(7)?;
    let code = |value: i8| u8::try_from(value).ok();
    Ok(Transfer {
        id: TransferId {
            entry: row.try_get::<EntryId, _>(0)?,
            leg: row.try_get(1)?,
        },
        tenant: TenantId(row.try_get(2)?),
        phase: code(phase)
            .and_then(Phase::from_code)
            .ok_or(undecodable("transfers.phase"))?,
        debit: row.try_get(4)?,
        credit: row.try_get(5)?,
        amount: row.try_get(6)?,
        constrained_side: code(side)
            .and_then(ConstrainedSide::from_code)
            .ok_or(undecodable("transfers.constrained_side"))?,
        account_version: row.try_get(8)?,
        balance_after: row.try_get(9)?,
        at: row.try_get::<Timestamp, _>(10)?,
        lot: row.try_get::<Option<time::Date>, _>(11)?.map(BusinessDay),
    })
}

/// `accounts` that may not go below zero: loaded, and written only if the version is still the one
/// that was loaded.
#[derive(Debug)]
pub struct Accounts;

pub(crate) const ACCOUNT_COLUMNS: &str = "id, tenant_id, debits_posted, credits_posted, debits_pending, credits_pending, version, earned_on, earned_points, debt, earned_from, earned_before_on, earned_before";
/// How many columns that are.
const ACCOUNT_WIDTH: usize = 13;

impl RowSet for Accounts {
    type Key = AccountId;
    type Row = Account;
    const LOCK_ORDER: u8 = 50;
}

impl LoadRows for Accounts {
    fn load(keys: &[AccountId], sql: &mut Sql) {
        sql.push("SELECT /* ledger.load_accounts */ ")
            .push(ACCOUNT_COLUMNS)
            .push(" FROM accounts WHERE id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(AccountId, Account), sqlx::Error> {
        read_account(row)
    }
}

impl RecordRows for Accounts {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        out.insert(
            "INSERT /* ledger.insert_accounts */ INTO accounts",
            new,
            |row, change| {
                row.set("id", change.key);
                row.set("tenant_id", change.after.tenant);
                mutable_columns(row, change.after);
            },
        );
        if known.len() <= Recorder::FEW {
            for change in known {
                out.statement(&update_account(change), Some(1));
            }
            return;
        }
        out.update(
            "UPDATE /* ledger.update_accounts */ JSON_TABLE('[",
            known,
            "]', '$[*]' COLUMNS (id CHAR(32) PATH '$[0]', expected INT UNSIGNED PATH '$[1]', \
             dp BIGINT PATH '$[2]', cp BIGINT PATH '$[3]', dh BIGINT PATH '$[4]', ch BIGINT PATH '$[5]', \
             version INT UNSIGNED PATH '$[6]', earned_on DATE PATH '$[7]', earned BIGINT PATH '$[8]', debt BIGINT PATH '$[9]', \
             earned_from DATE PATH '$[10]', before_on DATE PATH '$[11]', earned_before BIGINT PATH '$[12]')) j \
             STRAIGHT_JOIN accounts a ON a.id = UNHEX(j.id) AND a.version = j.expected \
             SET a.debits_posted = j.dp, a.credits_posted = j.cp, a.debits_pending = j.dh, a.credits_pending = j.ch, \
             a.version = j.version, a.earned_on = j.earned_on, a.earned_points = j.earned, a.debt = j.debt, \
             a.earned_from = j.earned_from, a.earned_before_on = j.before_on, a.earned_before = j.earned_before",
            |sql, change| {
                let a = change.after;
                sql.push("[\"").hex(change.key.bytes()).push("\",");
                sql.int(change.before.map_or(0, |before| before.version));
                for sum in [a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending] {
                    sql.push(",").int(sum);
                }
                sql.push(",").int(a.version).push(",");
                json_day(sql, a.earned_on);
                sql.push(",").int(a.earned_points.get()).push(",").int(a.debt.get()).push(",");
                let (before_on, before) = before_gap(a);
                json_day(sql, a.earned_from);
                sql.push(",");
                json_day(sql, before_on);
                sql.push(",").int(before.get()).push("]");
            },
        );
    }
}

fn json_day(sql: &mut Sql, day: Option<BusinessDay>) {
    match day {
        Some(day) => sql.push("\"").bare_day(day).push("\""),
        None => sql.push("null"),
    };
}

/// The day before the gap, and what was earned on it.
fn before_gap(account: &Account) -> (Option<BusinessDay>, Points) {
    account
        .earned_before
        .map_or((None, Points::ZERO), |(day, points)| (Some(day), points))
}

fn update_account(change: &Change<'_, Accounts>) -> Sql {
    let mut sql = Sql::update("UPDATE /* ledger.update_account */ accounts SET ", |row| {
        mutable_columns(row, change.after);
    });
    sql.push(" WHERE id = ").value(change.key);
    sql.push(" AND version = ")
        .value(change.before.map_or(0, |before| before.version));
    sql
}

fn mutable_columns(row: &mut Columns<'_>, a: &Account) {
    let (before_on, before) = before_gap(a);
    row.set("debits_posted", a.debits_posted);
    row.set("credits_posted", a.credits_posted);
    row.set("debits_pending", a.debits_pending);
    row.set("credits_pending", a.credits_pending);
    row.set("version", a.version);
    row.set("earned_on", a.earned_on);
    row.set("earned_points", a.earned_points);
    row.set("debt", a.debt);
    row.set("earned_from", a.earned_from);
    row.set("earned_before_on", before_on);
    row.set("earned_before", before);
}

/// Columns as in [`ACCOUNT_COLUMNS`].
pub(crate) fn read_account(row: &MySqlRow) -> Result<(AccountId, Account), sqlx::Error> {
    let day = |column: usize| -> Result<Option<BusinessDay>, sqlx::Error> {
        Ok(row
            .try_get::<Option<time::Date>, _>(column)?
            .map(BusinessDay))
    };
    let before = Points::parse(row.try_get(12)?)
        .map_err(|_| sqlx::Error::Decode("accounts.earned_before".into()))?;
    let account = Account {
        tenant: TenantId(row.try_get(1)?),
        debits_posted: row.try_get(2)?,
        credits_posted: row.try_get(3)?,
        debits_pending: row.try_get(4)?,
        credits_pending: row.try_get(5)?,
        version: row.try_get(6)?,
        earned_on: row.try_get::<Option<time::Date>, _>(7)?.map(BusinessDay),
        earned_points: Points::parse(row.try_get(8)?)
            .map_err(|_| sqlx::Error::Decode("accounts.earned_points".into()))?,
        debt: Points::parse(row.try_get(9)?)
            .map_err(|_| sqlx::Error::Decode("accounts.debt".into()))?,
        earned_from: day(10)?,
        earned_before: day(11)?.map(|day| (day, before)),
    };
    Ok((row.try_get(0)?, account))
}

/// `accounts` that are unconstrained: only ever added to.
#[derive(Debug)]
pub struct UnconstrainedAccounts;

/// What a batch adds to an unconstrained account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountIncrement {
    pub tenant: TenantId,
    debits_posted: i64,
    credits_posted: i64,
    debits_pending: i64,
    credits_pending: i64,
}

impl AccountIncrement {
    pub(super) const fn none(tenant: TenantId) -> Self {
        Self {
            tenant,
            debits_posted: 0,
            credits_posted: 0,
            debits_pending: 0,
            credits_pending: 0,
        }
    }

    /// Here a sum may be less than nothing: it is a difference.
    pub(super) fn apply(mut self, effect: Effect, amount: i64) -> Result<Self, LedgerError> {
        let (posted, pending) = match effect {
            Effect::PostDebit
            | Effect::HoldDebit
            | Effect::PostHeldDebit
            | Effect::DropHeldDebit => (&mut self.debits_posted, &mut self.debits_pending),
            Effect::PostCredit
            | Effect::HoldCredit
            | Effect::PostHeldCredit
            | Effect::DropHeldCredit => (&mut self.credits_posted, &mut self.credits_pending),
        };
        let (more_posted, more_pending) = match effect {
            Effect::PostDebit | Effect::PostCredit => (amount, 0),
            Effect::HoldDebit | Effect::HoldCredit => (0, amount),
            Effect::PostHeldDebit | Effect::PostHeldCredit => {
                (amount, amount.checked_neg().ok_or(LedgerError::Overflow)?)
            }
            Effect::DropHeldDebit | Effect::DropHeldCredit => {
                (0, amount.checked_neg().ok_or(LedgerError::Overflow)?)
            }
        };
        *posted = posted
            .checked_add(more_posted)
            .ok_or(LedgerError::Overflow)?;
        *pending = pending
            .checked_add(more_pending)
            .ok_or(LedgerError::Overflow)?;
        Ok(self)
    }
}

impl RowSet for UnconstrainedAccounts {
    type Key = AccountId;
    type Row = AccountIncrement;
    const LOCK_ORDER: u8 = 90;
}

impl RecordRows for UnconstrainedAccounts {
    /// The version stays as it was: nobody checks it, and one that counted the batches of a tenant
    /// would be full in months.
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.upsert(
            "INSERT /* ledger.add_to_accounts */ INTO accounts",
            changes,
            " ON DUPLICATE KEY UPDATE debits_posted = debits_posted + VALUES(debits_posted), \
             credits_posted = credits_posted + VALUES(credits_posted), debits_pending = debits_pending + VALUES(debits_pending), \
             credits_pending = credits_pending + VALUES(credits_pending)",
            |row, change| {
                let a = change.after;
                row.set("id", change.key).set("tenant_id", a.tenant);
                row.set("debits_posted", a.debits_posted);
                row.set("credits_posted", a.credits_posted);
                row.set("debits_pending", a.debits_pending);
                row.set("credits_pending", a.credits_pending);
                row.set("version", 1_u8);
            },
        );
    }
}

/// `points_lots` as they change: granted points are added to the lot of their last day, spent ones
/// are taken from theirs. Guarded by the version of the account, which every writer of its lots
/// rewrites; therefore the changes can be sums.
#[derive(Debug)]
pub struct Lots;

/// What a batch does to a lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotChange {
    pub tenant: TenantId,
    /// Points, never less than none.
    pub granted: i64,
    /// Granted less spent: may be less than none.
    pub remaining: i64,
    /// Of what was spent: what expired.
    pub expired: i64,
    /// The last day on which points came in; none if none did.
    pub granted_on: Option<BusinessDay>,
}

impl RowSet for Lots {
    type Key = (AccountId, BusinessDay);
    type Row = LotChange;
    const LOCK_ORDER: u8 = 60;
}

impl RecordRows for Lots {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        // What spends more than it grants finds a lot that is there.
        let (less, more): (Vec<_>, Vec<_>) = changes
            .iter()
            .partition(|change| change.after.remaining < 0);
        out.upsert(
            "INSERT /* ledger.grant_lots */ INTO points_lots",
            more,
            " ON DUPLICATE KEY UPDATE granted = granted + VALUES(granted), remaining = remaining + VALUES(remaining), expired = expired + VALUES(expired), \
             granted_on = COALESCE(VALUES(granted_on), granted_on)",
            |row, change| {
                let (account, on) = change.key;
                let lot = change.after;
                row.set("account_id", account).set("expired_from", on);
                row.set("tenant_id", lot.tenant);
                row.set("granted", lot.granted);
                row.set("remaining", lot.remaining);
                row.set("expired", lot.expired);
                row.set("granted_on", lot.granted_on);
            },
        );
        out.update(
            "UPDATE /* ledger.spend_lots */ JSON_TABLE('[",
            less,
            "]', '$[*]' COLUMNS (account CHAR(32) PATH '$[0]', expired_from DATE PATH '$[1]', granted BIGINT PATH '$[2]', spent BIGINT PATH '$[3]', expired BIGINT PATH '$[4]', granted_on DATE PATH '$[5]')) j \
             STRAIGHT_JOIN points_lots l ON l.account_id = UNHEX(j.account) AND l.expired_from = j.expired_from \
             SET l.granted = l.granted + j.granted, l.remaining = l.remaining - j.spent, l.expired = l.expired + j.expired, \
             l.granted_on = COALESCE(j.granted_on, l.granted_on)",
            |sql, change| {
                let (account, on) = change.key;
                sql.push("[\"").hex(account.bytes()).push("\",\"").bare_day(on).push("\",");
                sql.int(change.after.granted).push(",").int(change.after.remaining.saturating_neg());
                sql.push(",").int(change.after.expired).push(",");
                json_day(sql, change.after.granted_on);
                sql.push("]");
            },
        );
    }
}

/// The lots of an account that have points left, by their last day. Only read: what changes them is
/// [`Lots`].
#[derive(Debug)]
pub struct LotsOf;

impl RowSet for LotsOf {
    type Key = AccountId;
    type Row = BTreeMap<BusinessDay, i64>;
    const LOCK_ORDER: u8 = 61;
}

impl LoadRows for LotsOf {
    fn load(keys: &[AccountId], sql: &mut Sql) {
        sql.push("SELECT /* ledger.load_lots */ account_id, expired_from, remaining FROM points_lots WHERE remaining > 0 AND account_id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(AccountId, Self::Row), sqlx::Error> {
        let day = BusinessDay(row.try_get(1)?);
        Ok((row.try_get(0)?, BTreeMap::from([(day, row.try_get(2)?)])))
    }

    fn merge(known: &mut Option<Self::Row>, row: Self::Row) {
        known.get_or_insert_default().extend(row);
    }
}

/// `points_holds`: what an account holds, by the day since which it does. Guarded by the version of
/// the account, as its lots are, and loaded after it; written as it shall be, and what is nothing
/// is no row.
#[derive(Debug)]
pub struct Holds;

/// The holds of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDays {
    pub tenant: TenantId,
    /// More than nothing each.
    pub by_day: BTreeMap<BusinessDay, i64>,
}

impl RowSet for Holds {
    type Key = AccountId;
    type Row = HeldDays;
    const LOCK_ORDER: u8 = 62;
}

impl LoadRows for Holds {
    fn load(keys: &[AccountId], sql: &mut Sql) {
        sql.push("SELECT /* ledger.load_holds */ account_id, tenant_id, held_on, held FROM points_holds WHERE account_id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(AccountId, HeldDays), sqlx::Error> {
        let held = HeldDays {
            tenant: TenantId(row.try_get(1)?),
            by_day: BTreeMap::from([(BusinessDay(row.try_get(2)?), row.try_get(3)?)]),
        };
        Ok((row.try_get(0)?, held))
    }

    fn merge(known: &mut Option<HeldDays>, row: HeldDays) {
        match known {
            Some(known) => known.by_day.extend(row.by_day),
            None => *known = Some(row),
        }
    }
}

impl RecordRows for Holds {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let before = |change: &Change<'_, Self>, day: &BusinessDay| {
            let days = change.before.map(|before| &before.by_day);
            days.and_then(|days| days.get(day)).copied()
        };
        let held = changes.iter().flat_map(|change| {
            let days = change.after.by_day.iter();
            let other = days.filter(|(day, held)| before(change, day) != Some(**held));
            other.map(|(day, held)| (change.key, change.after.tenant, *day, *held))
        });
        out.upsert(
            "INSERT /* ledger.hold_points */ INTO points_holds",
            held,
            " ON DUPLICATE KEY UPDATE held = VALUES(held)",
            |row, (account, tenant, day, held)| {
                row.set("account_id", account).set("held_on", day);
                row.set("tenant_id", tenant).set("held", held);
            },
        );
        let ended = changes.iter().flat_map(|change| {
            let days = change
                .before
                .into_iter()
                .flat_map(|before| before.by_day.keys());
            let gone = days.filter(|day| !change.after.by_day.contains_key(day));
            gone.map(|day| (change.key, *day))
        });
        // One by one: with a list of pairs some versions walk the whole table, and lock it.
        for (account, day) in ended {
            let mut sql =
                Sql::new("DELETE /* ledger.end_holds */ FROM points_holds WHERE account_id = ");
            sql.value(account).push(" AND held_on = ").value(day);
            out.statement(&sql, Some(1));
        }
    }
}

/// What expired of a lot, and how much of it was counted as given back. Written where the latter
/// changes, and only if it is still what was loaded; what expired changes with [`Lots`], and never
/// becomes less.
#[derive(Debug)]
pub(crate) struct LotExpiries;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LotExpiry {
    pub(crate) expired: i64,
    pub(crate) given_back: i64,
}

impl RowSet for LotExpiries {
    type Key = (AccountId, BusinessDay);
    type Row = LotExpiry;
    const LOCK_ORDER: u8 = 63;
}

impl LoadRows for LotExpiries {
    fn load(keys: &[Self::Key], sql: &mut Sql) {
        sql.push("SELECT /* ledger.load_lot_expiries */ account_id, expired_from, expired, given_back FROM points_lots WHERE (account_id, expired_from) IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Self::Key, Self::Row), sqlx::Error> {
        let key = (row.try_get(0)?, BusinessDay(row.try_get(1)?));
        let lot_expiry = LotExpiry {
            expired: row.try_get(2)?,
            given_back: row.try_get(3)?,
        };
        Ok((key, lot_expiry))
    }
}

impl RecordRows for LotExpiries {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let before = change.before.map_or(0, |before| before.given_back);
            if change.after.given_back == before {
                continue;
            }
            let (account, on) = change.key;
            let head = "UPDATE /* ledger.count_given_back */ points_lots SET ";
            let mut sql = Sql::update(head, |row| {
                row.set("given_back", change.after.given_back);
            });
            sql.push(" WHERE account_id = ").value(account);
            sql.push(" AND expired_from = ").value(on);
            sql.push(" AND given_back = ").value(before);
            out.statement(&sql, Some(1));
        }
    }
}

/// What an account has in lots and in holds as it stands; for showing, not for deciding. None for
/// an account that is not there.
pub async fn find_holdings(
    db: &Db,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<(Account, PointHoldings)>, DbError> {
    // In one statement, so that all of it is of one moment.
    let statement = format!(
        "SELECT /* ledger.find_holdings */ {ACCOUNT_COLUMNS}, \
         (SELECT CAST(JSON_OBJECTAGG(CAST(l.expired_from AS CHAR), l.remaining) AS CHAR) FROM points_lots l WHERE l.account_id = a.id AND l.remaining > 0), \
         (SELECT CAST(JSON_OBJECTAGG(CAST(h.held_on AS CHAR), h.held) AS CHAR) FROM points_holds h WHERE h.account_id = a.id) \
         FROM accounts a WHERE a.id = ? AND a.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let (_, account) = read_account(&row)?;
    let days = |column: usize| -> Result<BTreeMap<BusinessDay, i64>, DbError> {
        let text: Option<String> = row.try_get(column)?;
        let undecodable = DbError::Inconsistent("lots or holds that cannot be read");
        by_day(text.as_deref()).ok_or(undecodable)
    };
    let stock = PointHoldings {
        lots: days(ACCOUNT_WIDTH)?,
        holds: days(ACCOUNT_WIDTH + 1)?,
    };
    Ok(Some((account, stock)))
}

fn by_day(json: Option<&str>) -> Option<BTreeMap<BusinessDay, i64>> {
    let days: BTreeMap<String, i64> = serde_json::from_str(json.unwrap_or("{}")).ok()?;
    days.into_iter()
        .map(|(day, points)| Some((BusinessDay::parse(&day)?, points)))
        .collect()
}

/// An account as it stands; for showing, not for deciding.
pub async fn find_account(
    db: &Db,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<Account>, DbError> {
    let statement = format!(
        "SELECT /* ledger.find_account */ {ACCOUNT_COLUMNS} FROM accounts WHERE id = ? AND tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    Ok(row
        .as_ref()
        .map(read_account)
        .transpose()?
        .map(|(_, account)| account))
}

/// What is left in a lot as it stands; for showing, not for deciding.
pub async fn find_lot(
    db: &Db,
    tenant: TenantId,
    account: AccountId,
    expired_from: BusinessDay,
) -> Result<Points, DbError> {
    let left: Option<(i64,)> = sqlx::query_as(
        "/* ledger.find_lot */ SELECT remaining FROM points_lots WHERE account_id = ? AND expired_from = ? AND tenant_id = ?",
    )
    .bind(account)
    .bind(expired_from.0)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    Points::parse(left.map_or(0, |(left,)| left))
        .map_err(|_| DbError::Inconsistent("a lot below zero"))
}
