//! The rule sets that were ever in force, by number.
//!
//! `risk_rule_sets` is keyed by the hash of the text, so a text has one number, however often and
//! by whichever process it is loaded: processes with the same file agree without coordination, and
//! a file that is restored gets its old number. Rows are inserted and read, never changed.
//! `risk_rules_in_force` says which set a process put in force last.

use sqlx::{FromRow, MySqlConnection};

use super::RuleSet;
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Db, DbError, Tx, Work},
    primitives::{PageLimit, TenantId, Timestamp},
};

/// Who put a rule set in force by hand, for the audit log.
#[derive(Debug, Clone)]
pub struct ReloadedBy {
    pub tenant: TenantId,
    pub actor: Actor,
}

/// Gives a text its number.
#[derive(Debug)]
pub(super) struct StoreRuleSet {
    pub(super) text: String,
    pub(super) by: Option<ReloadedBy>,
}

impl Work for StoreRuleSet {
    const NAME: &'static str = "risk.store_rule_set";
    type Reply = u32;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<u32, DbError> {
        let hash = RuleSet::hash_of(&self.text);
        // Looked for first, because an insert that is ignored uses up a number too.
        let mut number = find_number(tx, &hash).await?;
        if number.is_none() {
            insert(tx, &hash, &self.text).await?;
            number = find_number(tx, &hash).await?;
        }
        let number = number.ok_or(DbError::Inconsistent("a rule set that was not stored"))?;
        note_in_force(tx, number).await?;
        if let Some(by) = &self.by {
            let action = AuditAction::RiskRulesReloaded { number };
            audit::record(tx, by.tenant, &by.actor, action, "risk_rules").await?;
        }
        Ok(number)
    }
}

async fn find_number(tx: &mut Tx, hash: &[u8; 32]) -> Result<Option<u32>, DbError> {
    Ok(sqlx::query_scalar(
        "/* risk.find_number */ SELECT number FROM risk_rule_sets WHERE hash = ?",
    )
    .bind(hash.as_slice())
    .fetch_optional(tx.conn())
    .await?)
}

/// Does nothing when another process was faster.
async fn insert(tx: &mut Tx, hash: &[u8; 32], text: &str) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* risk.insert_rule_set */ INSERT IGNORE INTO risk_rule_sets (hash, text, loaded_at) VALUES (?, ?, ?)",
    )
    .bind(hash.as_slice())
    .bind(text)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn note_in_force(tx: &mut Tx, number: u32) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* risk.note_in_force */ INSERT INTO risk_rules_in_force (id, rule_set, since) VALUES (1, ?, ?) \
         ON DUPLICATE KEY UPDATE rule_set = VALUES(rule_set), since = VALUES(since)",
    )
    .bind(number)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The rule set that a process put in force last, with its number.
pub(super) async fn find_last_in_force(db: &Db) -> Result<Option<(u32, RuleSet)>, DbError> {
    let mut conn = db.pool().acquire().await?;
    let number: Option<u32> = sqlx::query_scalar(
        "/* risk.find_last_in_force */ SELECT rule_set FROM risk_rules_in_force WHERE id = 1",
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(number) = number else {
        return Ok(None);
    };
    let set = find_rule_set(&mut conn, number).await?;
    Ok(set.map(|set| (number, set)))
}

/// The rule set by which decisions with this number were made; for making one of them again.
///
/// Fails with [`DbError::Inconsistent`] if its text is not the one that was stored, or is one that
/// this program cannot read.
pub async fn find_rule_set(
    conn: &mut MySqlConnection,
    number: u32,
) -> Result<Option<RuleSet>, DbError> {
    let found: Option<(String, Vec<u8>)> = sqlx::query_as(
        "/* risk.find_rule_set */ SELECT text, hash FROM risk_rule_sets WHERE number = ?",
    )
    .bind(number)
    .fetch_optional(conn)
    .await?;
    let Some((text, hash)) = found else {
        return Ok(None);
    };
    if RuleSet::hash_of(&text).as_slice() != hash {
        return Err(DbError::Inconsistent(
            "a stored rule set that was changed afterwards",
        ));
    }
    // Compiling takes milliseconds, which belong to nobody who waits for I/O.
    let parsing = tokio::task::spawn_blocking(move || RuleSet::parse(&text));
    match parsing.await {
        Ok(Ok(set)) => Ok(Some(set)),
        Ok(Err(_)) | Err(_) => Err(DbError::Inconsistent(
            "a stored rule set that can no longer be read",
        )),
    }
}

/// A stored rule set, without being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRuleSet {
    pub number: u32,
    /// SHA-256 of the text.
    pub hash: Vec<u8>,
    /// When it was loaded for the first time.
    pub loaded_at: Timestamp,
    /// In bytes.
    pub length: u64,
}

#[derive(FromRow)]
struct Row {
    number: u32,
    hash: Vec<u8>,
    loaded_at: Timestamp,
    length: i64,
}

impl From<Row> for StoredRuleSet {
    fn from(row: Row) -> Self {
        Self {
            number: row.number,
            hash: row.hash,
            loaded_at: row.loaded_at,
            length: u64::try_from(row.length).unwrap_or_default(),
        }
    }
}

/// Up to `limit.probe()` rule sets, newest first, with a number below `before`.
pub async fn list_rule_sets(
    db: &Db,
    before: Option<u32>,
    limit: PageLimit,
) -> Result<Vec<StoredRuleSet>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(
        "/* risk.list_rule_sets */ SELECT number, hash, loaded_at, CAST(LENGTH(text) AS SIGNED) AS length FROM risk_rule_sets \
         WHERE number < ? ORDER BY number DESC LIMIT ?",
    )
    .bind(before.unwrap_or(u32::MAX))
    .bind(limit.probe())
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(StoredRuleSet::from).collect())
}

/// A stored rule set and its text.
pub async fn find_rule_set_text(
    db: &Db,
    number: u32,
) -> Result<Option<(StoredRuleSet, String)>, DbError> {
    let found: Option<(u32, Vec<u8>, Timestamp, i64, String)> = sqlx::query_as(
        "/* risk.find_rule_set_text */ SELECT number, hash, loaded_at, CAST(LENGTH(text) AS SIGNED), text FROM risk_rule_sets WHERE number = ?",
    )
    .bind(number)
    .fetch_optional(db.pool())
    .await?;
    Ok(found.map(|(number, hash, loaded_at, length, text)| {
        let row = Row {
            number,
            hash,
            loaded_at,
            length,
        };
        (row.into(), text)
    }))
}
