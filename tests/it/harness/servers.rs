//! The servers that `./dev test` has started, and databases on them.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::Mutex,
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, MySqlConnection, mysql::MySqlConnectOptions};
use zhangfang::db;

fn variable(name: &str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no settings of their own"
    )]
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with ./dev test"))
}

/// The account that may do anything, without a database.
pub(crate) fn root() -> MySqlConnectOptions {
    variable("ZHANGFANG_TEST_DATABASE_URL").parse().unwrap()
}

pub(crate) fn redis_url() -> String {
    variable("ZHANGFANG_TEST_REDIS_URL")
}

/// `mysql` or `mariadb`.
pub(crate) fn engine() -> String {
    variable("ZHANGFANG_TEST_ENGINE")
}

/// `./dev` with arguments, whatever comes of it.
pub(super) fn try_dev(arguments: &[&str]) -> std::io::Result<Output> {
    let dev = PathBuf::from(variable("ZHANGFANG_TEST_DEV"));
    Command::new(&dev).args(arguments).output()
}

/// `./dev` with arguments; what it printed.
pub(crate) fn dev(arguments: &[&str]) -> String {
    let done = try_dev(arguments).unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "./dev {arguments:?}: {said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    said
}

/// Databases that tests have given back, as empty as they were when new. To migrate one means fifty
/// DDL statements, each on disk before the next: seconds.
static EMPTY: Mutex<Vec<Scratch>> = Mutex::new(Vec::new());

/// A database of one test.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    name: String,
    /// What the migrations made: whoever changes it is the last to use the database.
    schema: Vec<String>,
    on: MySqlConnectOptions,
    /// May do anything in it.
    pub(crate) owner: MySqlConnectOptions,
    /// Has the rights that the service has in production.
    pub(crate) service: MySqlConnectOptions,
}

impl Scratch {
    pub(crate) async fn make() -> Self {
        let empty = EMPTY.lock().unwrap().pop();
        match empty {
            Some(empty) => empty,
            None => Self::make_on(root()).await,
        }
    }

    /// On a server of its own.
    pub(crate) async fn make_on(on: MySqlConnectOptions) -> Self {
        let name = format!("zhangfang_t{:016x}", rand::random::<u64>());
        let mut conn = on.clone().connect().await.unwrap();
        execute(&mut conn, format!("CREATE DATABASE {name}")).await;
        let owner = on.clone().database(&name);
        db::migrate(&owner).await.unwrap();
        let service = owner.clone().username("zhangfang");
        db::grant(&owner, &service).await.unwrap();
        let schema = schema(&mut conn, &name).await;
        Self {
            name,
            schema,
            on,
            owner,
            service,
        }
    }

    /// The service's account, as `DATABASE_URL` has it.
    pub(crate) fn service_url(&self) -> String {
        let socket = self.on.get_socket().unwrap().display().to_string();
        format!("mysql://zhangfang@localhost/{}?socket={socket}", self.name)
    }

    /// Empties it for the next test, which finds what the first one found. A database that is still
    /// in use or has other tables by now is dropped.
    pub(crate) async fn give_back(self) {
        let mut conn = self.on.clone().connect().await.unwrap();
        if !self.is_left(&mut conn).await || schema(&mut conn, &self.name).await != self.schema {
            return self.drop().await;
        }
        execute(&mut conn, format!("USE {}", self.name)).await;
        let tables = tables(&mut conn, &self.name).await;
        let emptied: Vec<_> = tables
            .iter()
            .filter(|table| *table != "_sqlx_migrations")
            .map(|table| format!("DELETE FROM {table}"))
            .collect();
        let emptied = format!("START TRANSACTION; {}; COMMIT", emptied.join("; "));
        execute(&mut conn, emptied).await;
        for counted in ["tenants", "committers", "risk_rule_sets"] {
            execute(
                &mut conn,
                format!("ALTER TABLE {counted} AUTO_INCREMENT = 1"),
            )
            .await;
        }
        conn.close().await.unwrap();
        EMPTY.lock().unwrap().push(self);
    }

    /// Whether all sessions have ended, as those of a closed pool do in a moment.
    async fn is_left(&self, conn: &mut MySqlConnection) -> bool {
        for _ in 0..200 {
            let sessions = sessions(conn, &format!("db = '{}'", self.name)).await;
            if sessions.is_some_and(|sessions| sessions.is_empty()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    pub(crate) async fn drop(self) {
        let mut conn = self.on.connect().await.unwrap();
        execute(&mut conn, format!("DROP DATABASE {}", self.name)).await;
    }
}

async fn execute(conn: &mut MySqlConnection, statement: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(conn)
        .await
        .unwrap();
}

async fn tables(conn: &mut MySqlConnection, database: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' ORDER BY 1",
    )
    .bind(database)
    .fetch_all(conn)
    .await
    .unwrap()
}

/// The statement that makes each table, but for what the next number of a row is.
async fn schema(conn: &mut MySqlConnection, database: &str) -> Vec<String> {
    let mut schema = Vec::new();
    for table in tables(conn, database).await {
        let statement = format!("SHOW CREATE TABLE {database}.{table}");
        let (_, made): (String, String) = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        let (columns, options) = made.rsplit_once('\n').unwrap();
        let options: Vec<_> = options
            .split(' ')
            .filter(|option| !option.starts_with("AUTO_INCREMENT="))
            .collect();
        schema.push(format!("{columns}\n{}", options.join(" ")));
    }
    schema
}

/// The sessions on the server for which `condition` holds of a row of `processlist`. `None` while
/// MySQL cannot say: it fails as long as somebody sends bytes that are no text (error 3854).
pub(crate) async fn sessions(conn: &mut MySqlConnection, condition: &str) -> Option<Vec<u64>> {
    let statement = format!(
        "SELECT CAST(id AS UNSIGNED) FROM information_schema.processlist \
         WHERE id <> CONNECTION_ID() AND {condition}"
    );
    let found = sqlx::query_scalar(sqlx::AssertSqlSafe(statement));
    match found.fetch_all(conn).await {
        Ok(sessions) => Some(sessions),
        Err(sqlx::Error::Database(error))
            if error
                .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
                .is_some_and(|error| error.number() == 3854) =>
        {
            None
        }
        Err(error) => panic!("{error}"),
    }
}
