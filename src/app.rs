//! The composition root: pools, clock, ids and adapters, built once. Edges are given an [`App`]; slices never see it.

use std::sync::Arc;

use crate::{
    auth::{SessionLifetime, Tokens, WechatLogin},
    cache::{Cache, CacheError},
    config::{AuthSettings, DatabaseSettings, HttpSettings, Settings},
    db::{Db, DbError, DbOptions},
    payments::{Gateway, Payments},
    points::RuleBook,
    primitives::{Clock, IdSource, RandomIds, SystemClock, Timestamp},
    wechat::{MiniProgram, WechatError, WechatGateway},
};

/// Everything that an edge works with, cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] is made of. Tests make their own: a clock that stands still, seeded ids, a simulator behind the gateway.
#[derive(Debug)]
pub struct Parts {
    /// Database, channel and rules.
    pub payments: Payments,
    pub login: Arc<dyn WechatLogin>,
    pub tokens: Tokens,
    pub sessions: SessionLifetime,
    pub cache: Cache,
    pub http: HttpSettings,
    pub clock: Arc<dyn Clock>,
}

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the database of DATABASE_URL cannot be used")]
    Database(#[from] DbError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Wechat(#[from] WechatError),
}

impl App {
    /// The service as it runs. Needs the database; Redis and WeChat may be away.
    pub async fn build(settings: &Settings) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn IdSource> = Arc::new(RandomIds);
        // What can be wrong with the settings is found before anything is opened.
        let gateway = WechatGateway::new(&settings.wechat, Arc::clone(&clock), Arc::clone(&ids))?;
        let login = MiniProgram::new(&settings.wechat)?;
        let cache = Cache::start(&settings.redis).await?;
        let options = db_options(&settings.database);
        let db = Db::connect(options, Arc::clone(&clock), ids).await?;
        Ok(Self::assemble(Parts {
            payments: Payments {
                gateway: Arc::new(gateway),
                rules: RuleBook::start(db.clone()),
                db,
            },
            login: Arc::new(login),
            tokens: tokens(&settings.auth),
            sessions: sessions(&settings.auth),
            cache,
            http: settings.http.clone(),
            clock,
        }))
    }

    /// From parts that are there already.
    pub fn assemble(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub fn db(&self) -> &Db {
        &self.0.payments.db
    }

    /// What the use cases of payments work with.
    pub fn payments(&self) -> &Payments {
        &self.0.payments
    }

    pub fn gateway(&self) -> &Arc<dyn Gateway> {
        &self.0.payments.gateway
    }

    pub fn login(&self) -> &Arc<dyn WechatLogin> {
        &self.0.login
    }

    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// How long a login lasts after its last refresh.
    pub fn sessions(&self) -> SessionLifetime {
        self.0.sessions
    }

    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub fn rules(&self) -> &RuleBook {
        &self.0.payments.rules
    }

    pub fn http(&self) -> &HttpSettings {
        &self.0.http
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// For the service and for commands that open the database without the rest.
pub fn db_options(settings: &DatabaseSettings) -> DbOptions {
    DbOptions {
        connections_max: settings.connections_max,
        committers: settings.committers,
        queue_max: settings.queue_max,
        batch_max: settings.batch_max,
        ..DbOptions::new(settings.connect.expose().clone())
    }
}

pub fn tokens(settings: &AuthSettings) -> Tokens {
    let seconds = i64::try_from(settings.access.as_secs()).unwrap_or(i64::MAX);
    Tokens::new(settings.jwt_secret.expose().as_bytes(), seconds)
}

pub fn sessions(settings: &AuthSettings) -> SessionLifetime {
    let seconds = i64::try_from(settings.refresh.as_secs()).unwrap_or(i64::MAX);
    SessionLifetime { seconds }
}
