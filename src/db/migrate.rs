//! The schema: forward only, one DDL statement a file, since MySQL commits each by itself.

use sqlx::{MySqlConnection, mysql::MySqlConnectOptions};

use super::DbError;

/// Every migration, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Tables that the service may write once and never change: what is in them is history.
const APPEND_ONLY: [&str; 7] = [
    "transfers",
    "commits",
    "payment_order_history",
    "refund_history",
    "audit_logs",
    "risk_rule_sets",
    "risk_decisions",
];

/// Brings the schema up to date. Two callers at once wait for each other.
pub async fn migrate(options: &MySqlConnectOptions) -> Result<(), DbError> {
    let mut conn = super::dedicated(options).await?;
    MIGRATOR.run(&mut conn).await?;
    Ok(())
}

/// Gives the service's account what it needs on each table and no more: transfers and commits it may neither change nor delete.
pub async fn grant(options: &MySqlConnectOptions, user: &str) -> Result<(), DbError> {
    let mut conn = super::dedicated(options).await?;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "/* db.tables */ SELECT CAST(table_name AS CHAR), CAST(table_type AS CHAR) \
         FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await?;
    for (table, kind) in tables {
        let rights = if APPEND_ONLY.contains(&table.as_str()) {
            "SELECT, INSERT"
        } else if kind.contains("VIEW") || table == "_sqlx_migrations" {
            "SELECT"
        } else {
            "SELECT, INSERT, UPDATE, DELETE"
        };
        grant_one(&mut conn, rights, &table, user).await?;
    }
    Ok(())
}

async fn grant_one(
    conn: &mut MySqlConnection,
    rights: &str,
    table: &str,
    user: &str,
) -> Result<(), DbError> {
    let quote = |name: &str| name.replace('`', "``");
    let account = user.replace(['\'', '\\'], "");
    for host in ["localhost", "%"] {
        let known: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM mysql.user WHERE user = ? AND host = ?")
                .bind(&account)
                .bind(host)
                .fetch_optional(&mut *conn)
                .await
                .unwrap_or(Some((1,))); // not allowed to look: try both
        if known.is_none() {
            continue;
        }
        let statement = format!(
            "GRANT {rights} ON `{}` TO '{account}'@'{host}'",
            quote(table)
        );
        let granted = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *conn)
            .await;
        match granted {
            Ok(_) => {}
            // No such account at this host.
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(|e| e.code().as_deref() == Some("42000")) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
