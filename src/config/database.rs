//! The database and its connections.

use sqlx::mysql::MySqlConnectOptions;

use super::read::{Section, SettingsGroup};
use crate::primitives::Secret;

#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`, required: `mysql://user:password@host/database`, the account with few rights
    /// that the service works under.
    /// `?socket=/path` for a Unix socket.
    pub connect: Secret<MySqlConnectOptions>,
    /// `DATABASE_MIGRATION_URL`, default `DATABASE_URL`: the same database as its owner, for
    /// `migrate`.
    pub migrate: Secret<MySqlConnectOptions>,
    /// `ZHANGFANG_DATABASE__CONNECTIONS_MAX`, default 24: for reads. Ordinary transactions have
    /// half as many of their own, each committer one.
    pub connections_max: u32,
    /// `ZHANGFANG_DATABASE__COMMITTERS`, default 2: group committers of this process.
    pub committers: usize,
    /// `ZHANGFANG_DATABASE__QUEUE_MAX`, default 4096: operations that may wait at one committer.
    pub queue_max: usize,
    /// `ZHANGFANG_DATABASE__BATCH_MAX`, default 1000: operations that one commit takes at most.
    pub batch_max: usize,
}

impl SettingsGroup for DatabaseSettings {
    const SECTION: &'static str = "database";
    const KEYS: &'static [&'static str] = &[
        "url",
        "migration_url",
        "connections_max",
        "committers",
        "queue_max",
        "batch_max",
    ];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let url = from.required("url", "the database, mysql://user:password@host/database");
        let connect = url.and_then(|url| parse(from, "url", &url));
        let migrate = match from.given("migration_url") {
            Some(url) => parse(from, "migration_url", &url),
            None => connect.clone(),
        };
        let connections_max = from.number("connections_max", 24, 1..=1_000);
        let committers = from.number("committers", 2, 1..=16);
        let queue_max = from.number("queue_max", 4_096, 16..=1_000_000);
        let batch_max = from.number("batch_max", 1_000, 1..=10_000);
        Some(Self {
            connect: Secret::new(connect?),
            migrate: Secret::new(migrate?),
            connections_max,
            committers,
            queue_max,
            batch_max,
        })
    }
}

/// The URL holds a password, so what is wrong with it is said without it.
fn parse(from: &mut Section<'_>, key: &str, url: &str) -> Option<MySqlConnectOptions> {
    let known = url.starts_with("mysql://") || url.starts_with("mariadb://");
    match url.parse::<MySqlConnectOptions>() {
        Ok(options) if known && options.get_database().is_some_and(|name| !name.is_empty()) => {
            Some(options)
        }
        Ok(_) if known => {
            from.mistake(
                key,
                "names no database: mysql://user:password@host/database",
            );
            None
        }
        Ok(_) | Err(_) => {
            from.mistake(
                key,
                "is not of the form mysql://user:password@host/database",
            );
            None
        }
    }
}
