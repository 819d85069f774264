//! The schema: forward only, one DDL statement a file, since MySQL commits each by itself.

use std::time::Duration;

use sqlx::{Connection as _, MySqlConnection, Row as _, mysql::MySqlConnectOptions};

use super::DbError;

/// Every migration, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Tables that the service may write once and never change: what is in them is history, or evidence, or
/// a version that others name; or who somebody is (`customers`: nothing changes one so far).
const APPEND_ONLY: [&str; 14] = [
    "transfers",
    "commits",
    "payment_order_history",
    "refund_history",
    "foreign_refunds",
    "audit_logs",
    "risk_rule_sets",
    "risk_decisions",
    "callback_alarms",
    "customers",
    "payment_policies",
    "points_rules",
    "sharing_rules",
    "sharing_rule_parts",
];

/// Tables whose rows the service takes away when they have served: what is due, spent lots, ended holds, what is parked.
const PASSING: [&str; 5] = [
    "order_watches",
    "point_holds",
    "point_lots",
    "relay_parked",
    "sharing_dues",
];

/// Brings the schema up to date. Two callers at once wait for each other.
pub async fn migrate(options: &MySqlConnectOptions) -> Result<(), DbError> {
    let mut conn = super::dedicated(options).await?;
    MIGRATOR.run(&mut conn).await?;
    Ok(())
}

/// Why the service's account was not given its rights.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("there is no account {0}: create it first, rights are given to nobody else")]
    NoAccount(String),
    #[error(
        "it is not known from which hosts {user} may come: the owner may not read mysql.user, and logging in as {user} failed ({why}). Let the owner read mysql.user, or give the rights by hand"
    )]
    UnknownAccount { user: String, why: String },
    #[error("logging in as {user} leads to the account {account}, which is another one")]
    OtherAccount { user: String, account: String },
    #[error("database failure")]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for GrantError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// A user from a host, as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Account {
    user: String,
    host: String,
}

impl Account {
    /// For a statement.
    fn quoted(&self) -> String {
        let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        format!("'{}'@'{}'", quote(&self.user), quote(&self.host))
    }
}

/// Gives the service's account what it needs on each table and no more, and takes away what an earlier version gave beyond that. Only to accounts that are known to exist, from whatever host: a
/// `GRANT` to another would create one without a password on MariaDB, and on Galera on every node even where it fails. Gives the accounts.
pub async fn grant(
    owner: &MySqlConnectOptions,
    service: &MySqlConnectOptions,
) -> Result<Vec<String>, GrantError> {
    let mut conn = super::dedicated(owner).await?;
    let accounts = accounts(&mut conn, service).await?;
    let (database, version): (String, String) =
        sqlx::query_as("/* db.server */ SELECT CAST(DATABASE() AS CHAR), VERSION()")
            .fetch_one(&mut conn)
            .await?;
    if version.contains("MariaDB") {
        // MySQL 8 has no such mode, and never creates an account by a GRANT.
        sqlx::raw_sql("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_CREATE_USER')")
            .execute(&mut conn)
            .await?;
    }
    let tables: Vec<(String, String)> = sqlx::query_as(
        "/* db.tables */ SELECT CAST(table_name AS CHAR), CAST(table_type AS CHAR) \
         FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await?;
    for account in &accounts {
        let held = grants_of(&mut conn, service, account).await;
        let quoted = account.quoted();
        if let Some(held) = &held
            && has_more_than_tables(held, &database)
        {
            tracing::warn!(
                account = quoted,
                "the account has rights on the whole database, or all of them; `migrate` does not take these away"
            );
        }
        for (table, kind) in &tables {
            let wanted = rights(table, kind.contains("VIEW"));
            let held = held.as_ref().map(|held| held_on(held, &database, table));
            let place = format!("`{}`", table.replace('`', "``"));
            let more: Vec<&str> = match &held {
                Some(held) => ALL
                    .into_iter()
                    .filter(|right| held.contains(right))
                    .collect(),
                None => ALL.into(), // not known: whatever it may have
            };
            let more: Vec<&str> = more
                .into_iter()
                .filter(|right| !wanted.contains(right))
                .collect();
            if !more.is_empty() {
                let statement = format!("REVOKE {} ON {place} FROM {quoted}", more.join(", "));
                revoke(&mut conn, statement).await?;
            }
            let has_all = held.is_some_and(|held| wanted.iter().all(|right| held.contains(right)));
            if !has_all {
                let statement = format!("GRANT {} ON {place} TO {quoted}", wanted.join(", "));
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                    .execute(&mut conn)
                    .await?;
            }
        }
    }
    Ok(accounts.iter().map(Account::quoted).collect())
}

const ALL: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// What the service needs on a table.
fn rights(table: &str, is_view: bool) -> &'static [&'static str] {
    if is_view || table == "_sqlx_migrations" {
        &["SELECT"]
    } else if APPEND_ONLY.contains(&table) {
        &["SELECT", "INSERT"]
    } else if PASSING.contains(&table) {
        &ALL
    } else {
        &["SELECT", "INSERT", "UPDATE"]
    }
}

/// Every account by which the service may come. An owner who may not read them is told by the service, which may always ask who it is.
async fn accounts(
    conn: &mut MySqlConnection,
    service: &MySqlConnectOptions,
) -> Result<Vec<Account>, GrantError> {
    let user = service.get_username();
    let known: Result<Vec<(String,)>, _> = sqlx::query_as(
        "/* db.accounts */ SELECT CAST(host AS CHAR) FROM mysql.user WHERE user = ? AND host <> '' ORDER BY 1",
    )
    .bind(user)
    .fetch_all(&mut *conn)
    .await;
    if let Ok(hosts) = known {
        if hosts.is_empty() {
            return Err(GrantError::NoAccount(user.to_owned()));
        }
        let account = |(host,)| Account {
            user: user.to_owned(),
            host,
        };
        return Ok(hosts.into_iter().map(account).collect());
    }
    let says = as_service(service, "SELECT CURRENT_USER()").await;
    let account = match says.as_deref() {
        Ok([account]) => account.clone(),
        Ok(_) => String::new(),
        Err(error) => {
            return Err(GrantError::UnknownAccount {
                user: user.to_owned(),
                why: error.to_string(),
            });
        }
    };
    match account.rsplit_once('@') {
        Some((name, host)) if name == user => Ok(vec![Account {
            user: name.to_owned(),
            host: host.to_owned(),
        }]),
        Some(_) | None => Err(GrantError::OtherAccount {
            user: user.to_owned(),
            account,
        }),
    }
}

/// What the account holds, a line each; nothing when nobody may see it.
async fn grants_of(
    conn: &mut MySqlConnection,
    service: &MySqlConnectOptions,
    account: &Account,
) -> Option<Vec<String>> {
    let statement = format!("SHOW GRANTS FOR {}", account.quoted());
    let shown = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .fetch_all(conn)
        .await;
    let rows = match shown {
        Ok(rows) => rows.iter().map(|row| row.try_get(0)).collect(),
        Err(_) => as_service(service, "SHOW GRANTS").await,
    };
    rows.ok()
}

/// Asks as the service itself. Its own database may be closed to it yet; this one is open to everybody.
async fn as_service(
    service: &MySqlConnectOptions,
    statement: &'static str,
) -> Result<Vec<String>, sqlx::Error> {
    let asking = async {
        let options = service.clone().database("information_schema");
        let mut conn = MySqlConnection::connect_with(&options).await?;
        let rows = sqlx::raw_sql(statement).fetch_all(&mut conn).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    };
    tokio::time::timeout(Duration::from_secs(5), asking)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// The rights on one table, of lines like ``GRANT SELECT, INSERT ON `zhangfang`.`transfers` TO ..``.
fn held_on(held: &[String], database: &str, table: &str) -> Vec<&'static str> {
    let place = format!(
        " ON `{}`.`{}` TO ",
        database.replace('`', "``"),
        table.replace('`', "``")
    );
    let lines = held.iter().filter_map(|line| line.split_once(&place));
    let mut rights: Vec<&'static str> = Vec::new();
    for (given, _) in lines {
        let given = given.strip_prefix("GRANT ").unwrap_or(given);
        let all = given.starts_with("ALL PRIVILEGES");
        let given: Vec<&str> = given.split(", ").collect();
        rights.extend(ALL.into_iter().filter(|right| all || given.contains(right)));
    }
    rights
}

/// Rights that do not belong to a table: on the database, or on everything.
fn has_more_than_tables(held: &[String], database: &str) -> bool {
    let names = [database.to_owned(), database.replace('_', "\\_")];
    held.iter().any(|line| {
        let on_database = names
            .iter()
            .any(|name| line.contains(&format!(" ON `{name}`.* TO ")));
        on_database || (line.contains(" ON *.* TO ") && !line.starts_with("GRANT USAGE ON "))
    })
}

/// Takes rights away; that it never had them is as good.
async fn revoke(conn: &mut MySqlConnection, statement: String) -> Result<(), sqlx::Error> {
    let revoked = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(conn)
        .await;
    match revoked {
        // "There is no such grant": for the account, or for it on this table.
        Err(error) if matches!(super::error::number(&error), Some(1141 | 1147)) => Ok(()),
        revoked => revoked.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_from_what_the_database_shows() {
        let held: Vec<String> = [
            "GRANT USAGE ON *.* TO `zf`@`%`",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON `zhangfang`.`refunds` TO `zf`@`%`",
            "GRANT SELECT ON `zhangfang`.`transfers` TO `zf`@`%`",
            "GRANT ALL PRIVILEGES ON `zhangfang`.`commits` TO `zf`@`%`",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(held_on(&held, "zhangfang", "refunds"), ALL);
        assert_eq!(held_on(&held, "zhangfang", "transfers"), ["SELECT"]);
        assert_eq!(held_on(&held, "zhangfang", "commits"), ALL);
        assert!(held_on(&held, "zhangfang", "orders").is_empty());
        assert!(held_on(&held, "other", "refunds").is_empty());
        assert!(!has_more_than_tables(&held, "zhangfang"));
        let all = ["GRANT ALL PRIVILEGES ON `zhangfang`.* TO `zf`@`%`".to_owned()];
        assert!(has_more_than_tables(&all, "zhangfang"));
    }

    #[test]
    fn an_account_is_quoted_whatever_its_name() {
        let account = Account {
            user: "o'brien\\".to_owned(),
            host: "10.%".to_owned(),
        };
        assert_eq!(account.quoted(), "'o\\'brien\\\\'@'10.%'");
    }
}
