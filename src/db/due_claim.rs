//! Claiming rows that are due: how jobs of several processes share their work.

use sqlx::{FromRow, mysql::MySqlRow};

use super::{DbError, Sql, Tx};
use crate::primitives::Timestamp;

/// The statements that claim rows with a due time. `select` finds those that are due at its first
/// parameter, at most its last many, and skips rows that others are claiming
/// (`FOR UPDATE SKIP LOCKED`); `codes` are its parameters between them, such as states; `update` is
/// an `UPDATE` up to the new due time, and `where_id` continues it up to the list of ids.
#[derive(Debug, Clone, Copy)]
pub struct DueClaim {
    pub select: &'static str,
    pub codes: &'static [u8],
    pub update: &'static str,
    pub where_id: &'static str,
}

/// When a claim is made, and how long it holds.
#[derive(Debug, Clone, Copy)]
pub struct ClaimTime {
    /// What is due at this instant is claimed.
    pub now: Timestamp,
    /// It is the caller's alone until this instant.
    pub until: Timestamp,
}

impl DueClaim {
    /// Claims up to `limit` rows that are due. If the process dies meanwhile, they fall due again.
    pub async fn claim<T, I>(
        self,
        tx: &mut Tx,
        time: ClaimTime,
        limit: u32,
        id: I,
    ) -> Result<Vec<T>, DbError>
    where
        T: for<'r> FromRow<'r, MySqlRow> + Send + Unpin,
        I: Fn(&T) -> [u8; 16],
    {
        let list = sqlx::query_as(self.select).bind(time.now);
        let list = self.codes.iter().fold(list, |list, code| list.bind(*code));
        let due: Vec<T> = list.bind(limit).fetch_all(tx.conn()).await?;
        if due.is_empty() {
            return Ok(due);
        }
        let mut sql = Sql::new(self.update);
        sql.time(time.until).push(self.where_id);
        sql.values(due.iter().map(id)).push(")");
        sqlx::raw_sql(sql.into_statement())
            .execute(tx.conn())
            .await?;
        Ok(due)
    }
}
