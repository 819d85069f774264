//! What the database can answer, sorted by what the caller can do about it.

use sqlx::mysql::MySqlDatabaseError;

/// A failure of the database or of our use of it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Too much waits already; nothing was done. Come back later.
    #[error("the queue is full")]
    Overloaded,
    /// Others kept changing the same rows; nothing was done. Try again.
    #[error("gave up after {0} conflicts with other writers")]
    Contention(u32),
    /// Not reachable, or lost in the middle: **the outcome is unknown**, the id decides. Repeat with the same key.
    #[error("the database is unavailable")]
    Unavailable(#[source] Option<sqlx::Error>),
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// The process is stopping; nothing was done.
    #[error("the service is stopping")]
    Stopping,
    /// A row says what this program never writes, or a use case read what it did not ask for. Someone must look.
    #[error("inconsistency: {0}")]
    Inconsistent(&'static str),
    #[error("the database refused a statement")]
    Sql(#[source] sqlx::Error),
    #[error("a migration failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match number(&error) {
            // Server shutting down, killed connection, read-only after a failover, not part of the cluster.
            Some(1053 | 1927 | 1290 | 1792 | 1836 | 1047 | 3100 | 3796) => {
                Self::Unavailable(Some(error))
            }
            Some(_) => Self::Sql(error),
            None if is_row_trouble(&error) => Self::Sql(error),
            None => Self::Unavailable(Some(error)),
        }
    }
}

impl DbError {
    /// Lost a race that running again can win: deadlock, lock wait, certification failure, and under a version check the row that moved.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Sql(error) if is_conflict(error))
    }

    /// The name of the unique key that an insert ran into, as `table.key`.
    pub fn unique_key(&self) -> Option<String> {
        let Self::Sql(error) = self else { return None };
        if number(error) != Some(1062) {
            return None;
        }
        let message = error.as_database_error()?.message();
        let key = message.rsplit('\'').nth(1)?;
        Some(key.rsplit('.').next().unwrap_or(key).to_owned())
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number)
}

/// Deadlock, lock wait, snapshot too old (MariaDB), certification failure.
fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1213 | 1205 | 1020 | 3101))
}

/// For a batch, whose every write is guarded, a duplicate key and a broken version check are lost races too.
pub(crate) fn is_batch_conflict(error: &sqlx::Error) -> bool {
    is_conflict(error) || matches!(number(error), Some(1062 | 3819 | 4025))
}

fn is_row_trouble(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. }
    )
}
