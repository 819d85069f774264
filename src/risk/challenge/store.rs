//! Every statement on `risk_challenges`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::{Challenge, ChallengeState, state::ChallengeStateKind};
use crate::{
    db::{Change, Columns, Db, DbError, LoadRows, RecordRows, Recorder, RowSet, Sql, Tx},
    facts::Stage,
    primitives::{ChallengeId, CustomerId, TenantId, Timestamp},
};

/// `risk_challenges`: the open one of a customer at a stage. Loaded, and replaced by another when
/// its time is over.
#[derive(Debug)]
pub(super) struct Challenges;

const COLUMNS: &str = "id, tenant_id, customer_id, stage, decision_id, state, attempts, created_at, expires_at, answered_at";

/// What the key of open challenges holds.
fn open_for((customer, stage): (CustomerId, Stage)) -> [u8; 17] {
    let mut bytes = [stage.code(); 17];
    bytes[..16].copy_from_slice(customer.bytes());
    bytes
}

impl RowSet for Challenges {
    type Key = (CustomerId, Stage);
    type Row = Challenge;
    const LOCK_ORDER: u8 = 23;
}

impl LoadRows for Challenges {
    fn load(keys: &[(CustomerId, Stage)], sql: &mut Sql) {
        sql.push("SELECT /* risk.load_challenges */ ")
            .push(COLUMNS)
            .push(" FROM risk_challenges WHERE open_for IN (");
        let open = keys.iter().map(|key| open_for(*key));
        sql.values(open).push(")");
    }

    fn read(row: &MySqlRow) -> Result<((CustomerId, Stage), Challenge), sqlx::Error> {
        let challenge = read(row)?;
        Ok(((challenge.customer, challenge.stage), challenge))
    }
}

impl RecordRows for Challenges {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        // An answer that came in the meantime has changed the row: then the batch begins again.
        for before in changes.iter().filter_map(|change| change.before) {
            let head = "UPDATE /* risk.expire_challenge */ risk_challenges SET ";
            let mut sql = Sql::update(head, |row| {
                row.set("open_for", None::<&[u8]>);
                row.set("state", ChallengeStateKind::Expired.code());
            });
            sql.push(" WHERE id = ").value(before.id);
            sql.push(" AND state = ")
                .value(ChallengeStateKind::Open.code());
            out.statement(&sql, Some(1));
        }
        out.insert(INSERT, changes, |row, change| columns(row, change.after));
    }
}

const INSERT: &str = "INSERT /* risk.insert_challenges */ INTO risk_challenges";

fn columns(row: &mut Columns<'_>, challenge: &Challenge) {
    let key = (challenge.customer, challenge.stage);
    row.set("id", challenge.id);
    row.set("tenant_id", challenge.tenant);
    row.set("customer_id", challenge.customer);
    row.set("stage", challenge.stage.code());
    row.set("decision_id", challenge.decision);
    row.set("state", challenge.state.kind().code());
    row.set("attempts", challenge.attempts);
    row.set("created_at", challenge.created_at);
    row.set("expires_at", challenge.expires_at);
    row.set("open_for", open_for(key));
}

fn read(row: &MySqlRow) -> Result<Challenge, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let small = |column: usize| -> Result<u8, sqlx::Error> {
        u8::try_from(row.try_get::<i8, _>(column)?).map_err(|_| broken("a number below zero"))
    };
    Ok(Challenge {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        customer: row.try_get(2)?,
        stage: Stage::from_code(small(3)?).ok_or(broken("risk_challenges.stage"))?,
        decision: row.try_get(4)?,
        state: ChallengeState::read(small(5)?, row.try_get(9)?)
            .ok_or(broken("risk_challenges.state"))?,
        attempts: small(6)?,
        created_at: row.try_get(7)?,
        expires_at: row.try_get(8)?,
    })
}

fn read_one(row: Option<&MySqlRow>) -> Result<Option<Challenge>, DbError> {
    Ok(row.map(read).transpose()?)
}

pub(super) async fn find(
    db: &Db,
    tenant: TenantId,
    id: ChallengeId,
) -> Result<Option<Challenge>, DbError> {
    let row = sqlx::query(
        "/* risk.find_challenge */ SELECT id, tenant_id, customer_id, stage, decision_id, state, attempts, created_at, expires_at, answered_at \
         FROM risk_challenges WHERE id = ? AND tenant_id = ?",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    read_one(row.as_ref())
}

pub(super) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    id: ChallengeId,
) -> Result<Option<Challenge>, DbError> {
    let row = sqlx::query(
        "/* risk.lock_challenge */ SELECT id, tenant_id, customer_id, stage, decision_id, state, attempts, created_at, expires_at, answered_at \
         FROM risk_challenges WHERE id = ? AND tenant_id = ? FOR UPDATE",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(tx.conn())
    .await?;
    read_one(row.as_ref())
}

/// The open one, locked.
pub(super) async fn lock_open(
    tx: &mut Tx,
    tenant: TenantId,
    customer: CustomerId,
    stage: Stage,
) -> Result<Option<Challenge>, DbError> {
    let row = sqlx::query(
        "/* risk.lock_open_challenge */ SELECT id, tenant_id, customer_id, stage, decision_id, state, attempts, created_at, expires_at, answered_at \
         FROM risk_challenges WHERE open_for = ? AND tenant_id = ? FOR UPDATE",
    )
    .bind(open_for((customer, stage)).as_slice())
    .bind(tenant)
    .fetch_optional(tx.conn())
    .await?;
    read_one(row.as_ref())
}

/// The latest of the customer's answers at this stage that is not older than `since`.
pub(super) async fn find_answered(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    stage: Stage,
    since: Timestamp,
) -> Result<Option<ChallengeId>, DbError> {
    let id = sqlx::query_scalar(
        "/* risk.find_answered */ SELECT id FROM risk_challenges \
         WHERE customer_id = ? AND tenant_id = ? AND stage = ? AND answered_at > ? ORDER BY answered_at DESC LIMIT 1",
    )
    .bind(customer)
    .bind(tenant)
    .bind(stage.code())
    .bind(since)
    .fetch_optional(db.pool())
    .await?;
    Ok(id)
}

/// Two transactions at once: the key of open challenges lets one of them in.
pub(super) async fn insert(tx: &mut Tx, challenge: &Challenge) -> Result<(), DbError> {
    let sql = Sql::insert(INSERT, [challenge], columns);
    sqlx::raw_sql(sql.into_statement())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Writes where a locked challenge stands now.
pub(super) async fn update(tx: &mut Tx, challenge: &Challenge) -> Result<(), DbError> {
    let key = open_for((challenge.customer, challenge.stage));
    let open = (challenge.state == ChallengeState::Open).then_some(key.as_slice());
    let updated = sqlx::query(
        "/* risk.update_challenge */ UPDATE risk_challenges SET state = ?, attempts = ?, answered_at = ?, open_for = ? WHERE id = ? AND state = ?",
    )
    .bind(challenge.state.kind().code())
    .bind(challenge.attempts)
    .bind(challenge.state.answered_at())
    .bind(open)
    .bind(challenge.id)
    .bind(ChallengeStateKind::Open.code())
    .execute(tx.conn())
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(DbError::Inconsistent("a locked challenge changed")),
    }
}
