//! Taking what is due, for a while: how jobs share their work.

use sqlx::{FromRow, mysql::MySqlRow};

use super::{DbError, Sql, Tx};
use crate::primitives::Timestamp;

/// Things that fall due at an instant in a column. `select` finds those that are due at its first parameter, at most its last many, and passes over what others
/// are taking (`FOR UPDATE SKIP LOCKED`); `codes` are its parameters between them, such as states; `update` is an `UPDATE` up to the new instant, and `where_id` goes on up to the list of ids.
#[derive(Debug, Clone, Copy)]
pub struct DueClaim {
    pub select: &'static str,
    pub codes: &'static [u8],
    pub update: &'static str,
    pub where_id: &'static str,
}

impl DueClaim {
    /// Takes up to `limit` of what was due at `now` and leaves it to the caller until `until`. A process that dies meanwhile loses nothing: it falls due again.
    pub async fn claim<T, I>(
        self,
        tx: &mut Tx,
        (now, until): (Timestamp, Timestamp),
        limit: u32,
        id: I,
    ) -> Result<Vec<T>, DbError>
    where
        T: for<'r> FromRow<'r, MySqlRow> + Send + Unpin,
        I: Fn(&T) -> [u8; 16],
    {
        let list = sqlx::query_as(self.select).bind(now);
        let list = self.codes.iter().fold(list, |list, code| list.bind(*code));
        let due: Vec<T> = list.bind(limit).fetch_all(tx.conn()).await?;
        if due.is_empty() {
            return Ok(due);
        }
        let mut sql = Sql::new(self.update);
        sql.time(until).push(self.where_id);
        sql.list(&due, |sql, thing| {
            sql.bytes(&id(thing));
        })
        .push(")");
        sqlx::raw_sql(sql.into_statement())
            .execute(tx.conn())
            .await?;
        Ok(due)
    }
}
