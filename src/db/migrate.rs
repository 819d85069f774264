//! The schema, and what the service's account may do with it.
//!
//! `migrations/` has one file for each table and each view. Its header says what the table is, who
//! writes it and why it has its key, which slice owns it, and what the service may do with it:
//!
//! ```sql
//! -- owner: payments
//! -- rights: select, insert
//! CREATE TABLE refund_history (
//! ```
//!
//! So a right is given where the table is made, and a table without its rights cannot be added: a
//! test reads every header. What is history, or evidence, or a version that others name may be
//! written once and never changed (`select, insert`); few tables have rows that are taken away when
//! they have served (`delete`). A file is one statement, since MySQL commits each DDL statement by
//! itself: a file of two could be done by half. The files are forward only once they are released.

use std::time::Duration;

use sqlx::{
    Connection as _, MySqlConnection, Row as _, migrate::Migration, mysql::MySqlConnectOptions,
};

use super::DbError;

/// Every migration, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

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

/// Gives the service's account what it needs on each table and no more, and takes away what an
/// earlier version gave beyond that. Only to accounts that are known to exist, from whatever host:
/// a `GRANT` to another would create one without a password on MariaDB, and on Galera on every node
/// even where it fails. Gives the accounts.
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
    let mut tables = vec![Relation::of_migrator()];
    for migration in MIGRATOR.iter() {
        let made = Relation::made_by(migration);
        tables.push(made.ok_or(DbError::Inconsistent(
            "a migration without a table or rights",
        ))?);
    }
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
        for Relation {
            name: table,
            rights,
        } in &tables
        {
            let held = held.as_ref().map(|held| held_on(held, &database, table));
            let target = format!("`{}`", table.replace('`', "``"));
            let more: Vec<&str> = match &held {
                Some(held) => ALL
                    .into_iter()
                    .filter(|right| held.contains(right))
                    .collect(),
                None => ALL.into(), // not known: whatever it may have
            };
            let more: Vec<&str> = more
                .into_iter()
                .filter(|right| !rights.contains(right))
                .collect();
            if !more.is_empty() {
                let statement = format!("REVOKE {} ON {target} FROM {quoted}", more.join(", "));
                revoke(&mut conn, statement).await?;
            }
            let has_all = held.is_some_and(|held| rights.iter().all(|right| held.contains(right)));
            if !has_all {
                let statement = format!("GRANT {} ON {target} TO {quoted}", rights.join(", "));
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                    .execute(&mut conn)
                    .await?;
            }
        }
    }
    Ok(accounts.iter().map(Account::quoted).collect())
}

const ALL: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// A table or a view, and what the service may do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Relation {
    name: &'static str,
    rights: Vec<&'static str>,
}

impl Relation {
    /// Where the migrator notes what it has done.
    fn of_migrator() -> Self {
        Self {
            name: "_sqlx_migrations",
            rights: vec!["SELECT"],
        }
    }

    /// What a migration makes, and the rights of its header. None unless it says both.
    fn made_by(migration: &'static Migration) -> Option<Self> {
        let mut rights = None;
        for line in migration.sql.as_str().lines() {
            if let Some(words) = line.strip_prefix("-- rights: ") {
                let right = |word| {
                    ALL.into_iter()
                        .find(|right| right.eq_ignore_ascii_case(word))
                };
                rights = words.split(", ").map(right).collect();
            } else if let Some(made) = line.strip_prefix("CREATE ") {
                let name = made.split([' ', '(']).nth(1)?;
                return rights.map(|rights| Self { name, rights });
            }
        }
        None
    }
}

/// Every account by which the service may come. An owner who may not read them is told by the
/// service, which may always ask who it is.
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

/// Asks as the service itself. Its own database may be closed to it yet; this one is open to
/// everybody.
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

/// The rights on one table, of lines like ``GRANT SELECT, INSERT ON `zhangfang`.`transfers` TO
/// ..``.
fn held_on(held: &[String], database: &str, table: &str) -> Vec<&'static str> {
    let target = format!(
        " ON `{}`.`{}` TO ",
        database.replace('`', "``"),
        table.replace('`', "``")
    );
    let lines = held.iter().filter_map(|line| line.split_once(&target));
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

    /// A table is made in one place and by one statement, beside its rights and its owner.
    #[test]
    fn a_file_makes_one_table_or_view_and_says_whose_it_is_and_what_may_be_done_with_it() {
        let mut names = std::collections::BTreeSet::new();
        for (target, migration) in MIGRATOR.iter().enumerate() {
            let file = format!("{:04}_{}", migration.version, migration.description);
            let sql = migration.sql.as_str();
            assert_eq!(
                migration.version,
                i64::try_from(target).unwrap() + 1,
                "{file}"
            );
            let (header, statement) = sql.split_once("CREATE ").expect(&file);
            let said = |word: &str| {
                let mut lines = header.lines().filter_map(|line| line.strip_prefix(word));
                let first = lines.next();
                assert!(lines.next().is_none(), "{file}: {word} twice");
                first.unwrap_or_else(|| panic!("{file} does not say {word}"))
            };
            assert!(header.lines().all(|line| line.starts_with("--")), "{file}");
            let owner = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src")
                .join(said("-- owner: "));
            assert!(owner.is_dir(), "{file}: {owner:?} is no slice");
            let made = Relation::made_by(migration).expect(&file);
            assert_eq!(made.name, file[5..].replace(' ', "_"), "{file}");
            assert!(names.insert(made.name), "{file}");
            let rights = made.rights.join(", ").to_lowercase();
            assert_eq!(rights, said("-- rights: "), "{file}");
            let is_table = statement.starts_with("TABLE ");
            let allowed: &[&str] = if is_table {
                &[
                    "select, insert",
                    "select, insert, update",
                    "select, insert, update, delete",
                ]
            } else {
                &["select"]
            };
            assert!(allowed.contains(&rights.as_str()), "{file}: {rights}");
            assert!(is_table || statement.starts_with("VIEW "), "{file}");
            assert_eq!(statement.contains("\n  PRIMARY KEY ("), is_table, "{file}");
            // One statement, in what MySQL, MariaDB and OceanBase have in common.
            let code: String = statement.split('\'').step_by(2).collect();
            for foreign in [";", "CREATE ", "ALTER ", "DROP ", " ascii", "FOREIGN KEY"] {
                assert!(!code.contains(foreign), "{file}: {foreign}");
            }
        }
    }

    #[test]
    fn without_rights_nothing_is_made() {
        let made = |sql: &'static str| {
            let sql = sqlx::SqlStr::from_static(sql);
            let kind = sqlx::migrate::MigrationType::Simple;
            let migration = Migration::new(1, "x".into(), kind, sql, false);
            Relation::made_by(Box::leak(Box::new(migration)))
        };
        let known = Relation {
            name: "x",
            rights: vec!["SELECT", "INSERT"],
        };
        assert_eq!(
            made("-- rights: select, insert\nCREATE TABLE x (id INT)"),
            Some(known)
        );
        for sql in [
            "CREATE TABLE x (id INT)",
            "CREATE TABLE x (id INT)\n-- rights: select",
            "-- rights: select, drop\nCREATE TABLE x (id INT)",
            "-- rights: \nCREATE TABLE x (id INT)",
            "-- rights: select\nDROP TABLE x",
        ] {
            assert_eq!(made(sql), None, "{sql}");
        }
    }

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
