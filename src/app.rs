//! The composition root: pools, clock, ids and adapters, built once. Edges are given an [`App`];
//! slices never see it.

use std::{ops::Deref, sync::Arc};

use crate::{
    auth::{SessionLifetime, Tokens, WechatLogin},
    cache::{Cache, CacheError},
    config::{AuthSettings, DatabaseSettings, HttpSettings, LimitSettings, Settings},
    db::{Db, DbError, DbOptions},
    deliveries::{Deliveries, SettingsCache},
    limits::Limits,
    merchants::{MerchantCache, MiniProgramCodes},
    payments::{PaymentChannels, Payments, PointsParties, PolicyCache, RecentOrders, TimeScale},
    points::{PointsService, RulesCache},
    primitives::{Clock, IdSource, RandomIds, SystemClock, TenantId, Timestamp},
    risk::{self, Risk},
    sharing::Sharing,
    tenants::{self, TenantIdCache},
    wechat::{MiniProgram, WechatAccounts, WechatError},
};

/// Everything that an edge works with, cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Assembled>);

/// The parts, and what is made of them alone.
#[derive(Debug)]
struct Assembled {
    parts: Parts,
    tenants: TenantIdCache,
}

impl Deref for Assembled {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// What an [`App`] is made of. Tests make their own: a clock that stands still, seeded ids, a
/// simulator in WeChat's place.
#[derive(Debug)]
pub struct Parts {
    /// Database, channel and rules; and the channel's profit sharing.
    pub sharing: Sharing,
    /// WeChat's accounts behind the channels, to look after; none when something else is there.
    pub accounts: Option<WechatAccounts>,
    pub login: Arc<dyn WechatLogin>,
    pub deliveries: Deliveries,
    pub mini_program_codes: Arc<dyn MiniProgramCodes>,
    pub tokens: Tokens,
    pub sessions: SessionLifetime,
    pub cache: Cache,
    pub limits: Limits,
    /// Which proxies are trusted, and in which header.
    pub limit_settings: LimitSettings,
    pub http: HttpSettings,
    /// Per cent of the time in which the expiry of points works, 1 to 100.
    pub expiry_share: u32,
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
    #[error(transparent)]
    Risk(#[from] risk::StartError),
}

impl App {
    /// The service as it runs. Needs the database; Redis and WeChat may be away.
    pub async fn build(settings: &Settings) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn IdSource> = Arc::new(RandomIds);
        // What can be wrong with the settings is found before anything is opened.
        let accounts = WechatAccounts::new(&settings.wechat, Arc::clone(&clock), Arc::clone(&ids))?;
        let mini_program = MiniProgram::new(&settings.wechat)?;
        let cache = Cache::start(&settings.redis).await?;
        let mini_program = Arc::new(mini_program.sharing(cache.clone(), Arc::clone(&clock)));
        let options = db_options(&settings.database);
        let db = Db::connect(options, Arc::clone(&clock), ids).await?;
        accounts.assign(&codes(&db).await?);
        let risk = Risk::start(&settings.risk, db.clone(), &cache).await?;
        accounts.refresh().await;
        Ok(Self::assemble(Parts {
            deliveries: Deliveries {
                notifier: mini_program.clone(),
                settings: SettingsCache::start(db.clone()),
            },
            mini_program_codes: mini_program.clone(),
            sharing: Sharing {
                payments: Payments {
                    channels: Arc::new(accounts.clone()),
                    rules: RulesCache::start(db.clone()),
                    policies: PolicyCache::start(db.clone()),
                    risk,
                    merchants: MerchantCache::start(db.clone()),
                    recent: RecentOrders::default(),
                    time_scale: TimeScale::new(settings.jobs.time_scale).unwrap_or_default(),
                    db,
                },
                channels: Arc::new(accounts.clone()),
            },
            accounts: Some(accounts),
            login: mini_program,
            tokens: tokens(&settings.auth),
            sessions: sessions(&settings.auth),
            limits: Limits::start(&settings.limits, &cache),
            limit_settings: settings.limits.clone(),
            cache,
            http: settings.http.clone(),
            expiry_share: settings.jobs.expiry_share,
            clock,
        }))
    }

    /// From parts that are there already.
    pub fn assemble(parts: Parts) -> Self {
        Self(Arc::new(Assembled {
            parts,
            tenants: TenantIdCache::default(),
        }))
    }

    pub fn db(&self) -> &Db {
        &self.payments().db
    }

    /// What the use cases of payments work with.
    pub fn payments(&self) -> &Payments {
        &self.0.sharing.payments
    }

    /// What the use cases of profit sharing work with.
    pub fn sharing(&self) -> &Sharing {
        &self.0.sharing
    }

    /// Which tenants there are.
    pub fn tenants(&self) -> &TenantIdCache {
        &self.0.tenants
    }

    pub fn channels(&self) -> &Arc<dyn PaymentChannels> {
        &self.payments().channels
    }

    /// Looks after the merchant accounts: which tenant has which, whether keys have changed. For a
    /// job, every few seconds. What cannot be read is logged and leaves everything as it was.
    pub async fn refresh_accounts(&self) {
        let Some(accounts) = &self.0.accounts else {
            return;
        };
        match codes(self.db()).await {
            Ok(codes) => accounts.assign(&codes),
            Err(error) => tracing::debug!(%error, "tenants were not read; their accounts stay"),
        }
        accounts.refresh().await;
    }

    pub fn login(&self) -> &Arc<dyn WechatLogin> {
        &self.0.login
    }

    /// What is told to others after a payment.
    pub fn deliveries(&self) -> &Deliveries {
        &self.0.deliveries
    }

    pub fn mini_program_codes(&self) -> &dyn MiniProgramCodes {
        &*self.0.mini_program_codes
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

    /// Who may ask how often.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub fn limit_settings(&self) -> &LimitSettings {
        &self.0.limit_settings
    }

    pub fn risk(&self) -> &Risk {
        &self.payments().risk
    }

    /// What back ends do with points is asked here.
    pub fn points_service(&self) -> PointsService {
        let payments = self.payments();
        PointsService {
            db: payments.db.clone(),
            rules: payments.rules.clone(),
            risk: payments.risk.clone(),
            parties: Arc::new(PointsParties),
        }
    }

    pub fn rules(&self) -> &RulesCache {
        &self.payments().rules
    }

    pub fn http(&self) -> &HttpSettings {
        &self.0.http
    }

    /// Per cent of the time in which the expiry of points works, 1 to 100.
    pub fn expiry_share(&self) -> u32 {
        self.0.expiry_share
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// What each tenant is called.
async fn codes(db: &Db) -> Result<Vec<(TenantId, String)>, DbError> {
    let tenants = tenants::list(db).await?;
    Ok(tenants.into_iter().map(|one| (one.id, one.code)).collect())
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
