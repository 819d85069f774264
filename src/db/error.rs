//! What the database can answer, sorted by what the caller can do about it.

use sqlx::mysql::MySqlDatabaseError;

/// A failure of the database or of our use of it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Too much waits already; nothing was done. Come back later.
    #[error("the queue is full")]
    Overloaded,
    /// Others kept changing the same rows; nothing was done. Try again.
    #[error("stopped retrying after {0} conflicts with other writers")]
    Contention(u32),
    /// Not reachable, or lost in the middle: **the outcome is unknown**, the id decides. Repeat
    /// with the same key.
    #[error("the database is unavailable")]
    Unavailable(#[source] Option<sqlx::Error>),
    /// The server that was reached may not be written to: it was demoted, or is not promoted yet.
    /// Nothing was done.
    #[error("the database is read-only")]
    ReadOnly,
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// The process is stopping; nothing was done.
    #[error("the service is stopping")]
    Stopping,
    /// This machine's clock is too far from the database's: nothing was done, and nothing will be
    /// until they agree.
    #[error("this machine's clock is not the database's")]
    ClockOff,
    /// A row says what this program never writes, or a use case read what it did not ask for.
    /// Someone must look.
    #[error("inconsistency: {0}")]
    Inconsistent(&'static str),
    /// A row has a code, a name or a value that there is not, as no program writes it. Someone must
    /// look.
    #[error("a row cannot be read")]
    Unreadable(#[source] sqlx::Error),
    /// An operation's rows ran into this constraint again on fresh rows, which is no race: they can
    /// never be written. Nothing was done. Someone must look.
    #[error("the rows violate {0}, and did so again on fresh rows")]
    Violation(String),
    #[error("the database refused a statement")]
    Sql(#[source] sqlx::Error),
    #[error("a migration failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// What a server says that is not, or is no longer, the one to write to: shutting down (1053),
/// killed the connection (1927, 3169), waited too long for us (4031), read-only since a switch-over
/// (1290, 1792, 1836), not part of the cluster (1047), a hook of group replication refused (3100),
/// changing its part in the group (3796), offline (3032, 6400). A connection that heard one of
/// these is not used again.
const AWAY: [u16; 12] = [
    1053, 1927, 3169, 4031, 1290, 1792, 1836, 1047, 3100, 3796, 3032, 6400,
];

/// A hook of group replication refused the commit and rolled it back: among others because the
/// transaction was too large.
const REFUSED_BY_GROUP: u16 = 3100;

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match number(&error) {
            Some(number) if AWAY.contains(&number) => Self::Unavailable(Some(error)),
            Some(_) => Self::Sql(error),
            None if is_unreadable(&error) => Self::Unreadable(error),
            None if is_row_trouble(&error) => Self::Sql(error),
            None => Self::Unavailable(Some(error)),
        }
    }
}

impl DbError {
    /// Lost a race that running again can win: deadlock, lock wait, certification failure, and
    /// under a version check the row that moved.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Sql(error) if is_conflict(error))
    }

    /// Nothing was done and nothing will be, for certain. Where this says no, nobody knows.
    pub const fn is_certainly_undone(&self) -> bool {
        match self {
            Self::Overloaded
            | Self::Contention(_)
            | Self::ReadOnly
            | Self::Violation(_)
            | Self::Stopping
            | Self::ClockOff
            | Self::Inconsistent(_) => true,
            Self::Unavailable(_)
            | Self::Timeout(_)
            | Self::Unreadable(_)
            | Self::Sql(_)
            | Self::Migrate(_) => false,
        }
    }

    /// Met because of what a row says, the connection being sound and the others readable.
    pub(crate) const fn is_of_row(&self) -> bool {
        matches!(self, Self::Inconsistent(_) | Self::Unreadable(_))
    }

    /// The connection on which this was met, or waited for in vain, must not be used again.
    pub(crate) const fn invalidates_connection(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::ReadOnly | Self::Timeout(_)
        )
    }

    /// Met because of what rows say, one by one or added up: also a number that is out of range.
    pub(crate) fn is_of_data(&self) -> bool {
        let is_data = |error: &sqlx::Error| {
            let error = error.as_database_error();
            let code = error.and_then(sqlx::error::DatabaseError::code);
            code.is_some_and(|code| code.starts_with("22"))
        };
        self.is_of_row() || matches!(self, Self::Sql(error) if is_data(error))
    }

    /// The name of the unique key that an insert ran into. For what an operation ran into again and
    /// again, of whatever constraint it was.
    pub fn unique_key(&self) -> Option<String> {
        match self {
            Self::Sql(error) if number(error) == Some(DUPLICATE) => {
                violated(error).map(|violated| violated.constraint)
            }
            Self::Violation(constraint) => Some(constraint.clone()),
            Self::Overloaded
            | Self::Contention(_)
            | Self::Unavailable(_)
            | Self::ReadOnly
            | Self::Timeout(_)
            | Self::Stopping
            | Self::ClockOff
            | Self::Inconsistent(_)
            | Self::Unreadable(_)
            | Self::Sql(_)
            | Self::Migrate(_) => None,
        }
    }
}

const DUPLICATE: u16 = 1062;
/// `CHECK`: MySQL's number and MariaDB's.
const CHECKED: [u16; 2] = [3819, 4025];

/// The constraint that a row ran into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintViolation {
    /// Its name; of a primary key with the table in front, where the database tells it.
    pub(crate) constraint: String,
    /// The database's own words, with the value that exists: the same twice means that nothing has
    /// changed. Not for logs.
    words: String,
}

/// The unique key or `CHECK` that a statement ran into.
pub(crate) fn violated(error: &sqlx::Error) -> Option<ConstraintViolation> {
    let number = number(error)?;
    let words = error.as_database_error()?.message();
    let constraint = if number == DUPLICATE {
        duplicate_key(words)
    } else if CHECKED.contains(&number) {
        check_name(words)
    } else {
        return None;
    };
    Some(ConstraintViolation {
        constraint: constraint
            .unwrap_or("a constraint without a name")
            .to_owned(),
        words: words.to_owned(),
    })
}

/// True for a statement that ran into a unique key or a `CHECK`.
pub(crate) fn is_constraint(error: &sqlx::Error) -> bool {
    violated(error).is_some()
}

/// `Duplicate entry '..' for key 'orders.orders_no'` (MySQL), `.. for key 'orders_no'` (MariaDB).
/// The value may contain anything.
fn duplicate_key(words: &str) -> Option<&str> {
    let key = words.rsplit('\'').nth(1)?;
    Some(match key.rsplit_once('.') {
        Some((_, name)) if name != "PRIMARY" => name,
        _ => key,
    })
}

/// `Check constraint 'orders_amount' is violated.` (MySQL), ``CONSTRAINT `orders_amount` failed for
/// `db`.`orders` `` (MariaDB).
fn check_name(words: &str) -> Option<&str> {
    words.split(['\'', '`']).nth(1)
}

/// A transaction that may have been too large for the group, and was undone.
pub(crate) fn is_refused_by_group(error: &sqlx::Error) -> bool {
    number(error) == Some(REFUSED_BY_GROUP)
}

/// `SET` of a variable that the server does not have.
pub(super) fn is_unknown_variable(error: &sqlx::Error) -> bool {
    number(error) == Some(1193)
}

pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number)
}

/// Deadlock, lock wait, snapshot too old (MariaDB), certification failure, a table altered since
/// the snapshot began, a statement that somebody interrupted: undone, and worth another try.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1213 | 1205 | 1020 | 3101 | 1412 | 1317))
}

fn is_unreadable(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
    )
}

/// Asked for wrongly: of this program, not of the row.
fn is_row_trouble(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::RowNotFound
            | sqlx::Error::Encode(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_named_alike_by_both_databases() {
        for (words, key) in [
            (
                "Duplicate entry '4200' for key 'payment_orders.payment_orders_transaction'",
                "payment_orders_transaction",
            ),
            (
                "Duplicate entry '4200' for key 'payment_orders_transaction'",
                "payment_orders_transaction",
            ),
            (
                "Duplicate entry 'it's for key 'x'' for key 'PRIMARY'",
                "PRIMARY",
            ),
            (
                "Duplicate entry '1-2' for key 'commits.PRIMARY'",
                "commits.PRIMARY",
            ),
        ] {
            assert_eq!(duplicate_key(words), Some(key), "{words}");
        }
        for words in [
            "Check constraint 'orders_amount' is violated.",
            "CONSTRAINT `orders_amount` failed for `zhangfang`.`orders`",
        ] {
            assert_eq!(check_name(words), Some("orders_amount"), "{words}");
        }
        assert_eq!(duplicate_key("something else"), None);
    }
}
