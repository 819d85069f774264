//! The servers that `./dev test` has started, and databases on them.

use std::{path::PathBuf, process::Command};

use sqlx::{ConnectOptions as _, mysql::MySqlConnectOptions};
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

/// `./dev` with arguments; what it printed.
pub(crate) fn dev(arguments: &[&str]) -> String {
    let dev = PathBuf::from(variable("ZHANGFANG_TEST_DEV"));
    let done = Command::new(&dev).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "./dev {arguments:?}: {said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    said
}

/// A database of one test.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    name: String,
    on: MySqlConnectOptions,
    /// May do anything in it.
    pub(crate) owner: MySqlConnectOptions,
    /// Has the rights that the service has in production.
    pub(crate) service: MySqlConnectOptions,
}

impl Scratch {
    pub(crate) async fn make() -> Self {
        Self::make_on(root()).await
    }

    pub(crate) async fn make_on(on: MySqlConnectOptions) -> Self {
        let name = format!("zhangfang_t{:016x}", rand::random::<u64>());
        let mut conn = on.clone().connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut conn)
            .await
            .unwrap();
        let owner = on.clone().database(&name);
        db::migrate(&owner).await.unwrap();
        let service = owner.clone().username("zhangfang");
        db::grant(&owner, &service).await.unwrap();
        Self {
            name,
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

    pub(crate) async fn drop(self) {
        let mut conn = self.on.connect().await.unwrap();
        let statement = format!("DROP DATABASE {}", self.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut conn)
            .await
            .unwrap();
    }
}
