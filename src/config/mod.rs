//! Settings: read once at start, checked as a whole, a sentence per mistake.
//!
//! They come from the environment over an optional TOML file (`--config`, `ZHANGFANG_CONFIG`); the
//! environment wins. The variable `ZHANGFANG_HTTP__LISTEN` is `listen` under `[http]` in the file.
//! Three have the names by which the world knows them: `DATABASE_URL`, `DATABASE_MIGRATION_URL` and
//! `REDIS_URL`. A variable that is set to nothing counts as not set.
//!
//! What is not a setting is refused by name, so that a misspelt limit cannot be silently absent.
//! Variables under `ZHANGFANG_` without the double underscore are left alone (Kubernetes makes
//! `ZHANGFANG_PORT` and the like for a service of our name) unless they look like a setting that
//! lost an underscore.
//!
//! A secret is given by a file (`.._FILE`) or directly; files keep it out of `ps` and of crash
//! reports.

mod auth;
mod database;
mod error;
mod http;
mod jobs;
mod limits;
mod log;
mod proxies;
mod quota;
mod read;
mod redis;
mod risk;
mod source;
mod wechat;
mod wechat_files;

pub use auth::AuthSettings;
pub use database::DatabaseSettings;
pub use error::SettingsError;
pub use http::{ConnectionSettings, HttpSettings};
pub use jobs::JobSettings;
pub use limits::{Limit, LimitSettings, Per};
pub use log::{LogFormat, LogSettings};
pub use proxies::TrustedProxies;
pub use quota::Quota;
pub use redis::RedisSettings;
pub use risk::RiskSettings;
pub use source::Source;
pub use wechat::{WechatFiles, WechatMode, WechatPublicKey, WechatSettings};

use read::{Reader, SettingsGroup};

/// Every concern with its keys: what is not here is not a setting.
const GROUPS: [(&str, &[&str]); 9] = [
    (LogSettings::SECTION, LogSettings::KEYS),
    (HttpSettings::SECTION, HttpSettings::KEYS),
    (DatabaseSettings::SECTION, DatabaseSettings::KEYS),
    (RedisSettings::SECTION, RedisSettings::KEYS),
    (AuthSettings::SECTION, AuthSettings::KEYS),
    (WechatSettings::SECTION, WechatSettings::KEYS),
    (JobSettings::SECTION, JobSettings::KEYS),
    (LimitSettings::SECTION, LimitSettings::KEYS),
    (RiskSettings::SECTION, RiskSettings::KEYS),
];

/// What the service needs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub log: LogSettings,
    pub http: HttpSettings,
    pub database: DatabaseSettings,
    pub redis: RedisSettings,
    pub auth: AuthSettings,
    pub wechat: WechatSettings,
    pub jobs: JobSettings,
    pub limits: LimitSettings,
    pub risk: RiskSettings,
}

impl Settings {
    pub fn load(source: &Source) -> Result<Self, SettingsError> {
        let mut from = Reader::open(source);
        let (log, http, database) = (from.read(), from.read(), from.read());
        let (redis, auth, wechat) = (from.read(), from.read(), from.read());
        let (jobs, limits, risk) = (from.read(), from.read(), from.read());
        from.finish(|| {
            Some(Self {
                log: log?,
                http: http?,
                database: database?,
                redis: redis?,
                auth: auth?,
                wechat: wechat?,
                jobs: jobs?,
                limits: limits?,
                risk: risk?,
            })
        })
    }
}

/// What a command needs that works on the database alone: `migrate`, `tenant`, `verify-ledger`.
#[derive(Debug, Clone)]
pub struct DatabaseOnly {
    pub log: LogSettings,
    pub database: DatabaseSettings,
}

impl DatabaseOnly {
    pub fn load(source: &Source) -> Result<Self, SettingsError> {
        let mut from = Reader::open(source);
        let (log, database) = (from.read(), from.read());
        from.finish(|| {
            Some(Self {
                log: log?,
                database: database?,
            })
        })
    }
}

/// What `token` needs: the secret to sign with, and the database to find the tenant.
#[derive(Debug, Clone)]
pub struct TokenOnly {
    pub log: LogSettings,
    pub database: DatabaseSettings,
    pub auth: AuthSettings,
}

impl TokenOnly {
    pub fn load(source: &Source) -> Result<Self, SettingsError> {
        let mut from = Reader::open(source);
        let (log, database, auth) = (from.read(), from.read(), from.read());
        from.finish(|| {
            Some(Self {
                log: log?,
                database: database?,
                auth: auth?,
            })
        })
    }
}

impl LogSettings {
    /// For a command that needs nothing else.
    pub fn load(source: &Source) -> Result<Self, SettingsError> {
        let mut from = Reader::open(source);
        let log = from.read();
        from.finish(|| log)
    }
}

#[cfg(test)]
mod tests;
