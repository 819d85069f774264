//! What every test starts from: [`TestApp`].

mod channel;
mod document;
mod folder;
mod galera;
mod http;
mod process;
mod redis;
mod servers;
mod silent_proxy;

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, MySqlConnection};
use tokio_util::sync::CancellationToken;
use wechat_pay_simulator::{KeySet, Payment, Simulator, SimulatorSettings};
use zhangfang::{
    app::{App, Parts},
    audit::Actor,
    auth::{SessionLifetime, Tokens},
    cache::Cache,
    config::{
        ConnectionSettings, HttpSettings, LimitSettings, RedisSettings, WechatFiles, WechatMode,
        WechatPublicKey, WechatSettings,
    },
    db::{Db, DbOptions},
    deliveries::{Deliveries, Notifier, SettingsCache},
    jobs::{self, Jobs},
    limits::Limits,
    merchants::MerchantCache,
    payments::{
        OneChannel, PaymentChannel, Payments, PolicyCache, PolicyTerms, RecentOrders, SetPolicy,
        TimeScale,
    },
    points::{RuleTerms, RulesCache, SetRule},
    primitives::{Clock, MockClock, RandomIds, Secret, SystemClock, TenantId},
    risk::Risk,
    sharing::{Sharing, SharingChannels},
    tenants::Tenant,
    verify,
    wechat::{MiniProgram, WechatAccounts},
};

pub(crate) use channel::{Channel, ChannelReply};
pub(crate) use document::document;
pub(crate) use folder::Folder;
pub(crate) use galera::Galera;
pub(crate) use http::{ApiAnswer, Caller};
pub(crate) use process::{
    Server, Service, demo_tenant, environment, free_address, per_mille, ready,
};
pub(crate) use redis::{ask, cluster, replicated, sentinels};
pub(crate) use servers::{Scratch, dev, engine, redis_url, sessions};
pub(crate) use silent_proxy::SilentProxy;

pub(crate) const JWT_SECRET: &str = "a secret of the tests, of forty characters";

/// A service with everything around it, and a tenant with a merchant in it.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) tenant: Tenant,
    pub(crate) simulator: Simulator,
    pub(crate) scratch: Scratch,
    site: Site,
    /// None: the test does what they would do, one step at a time.
    jobs: Option<Jobs>,
}

/// A running service with the tenant `demo`, wherever it runs: what people do with it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    http: reqwest::Client,
    base: String,
    admin_token: String,
    tenant: TenantId,
}

impl Deref for TestApp {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// What a test wants other than usual.
#[derive(Default)]
struct TestOptions {
    notifier: Option<Arc<dyn Notifier>>,
    mode: WechatMode,
    sharing: Option<Arc<dyn SharingChannels>>,
    without_jobs: bool,
    /// Off unless a test asks: most tests make many payments of few customers.
    limits: Option<LimitSettings>,
    redis_url: Option<String>,
    /// The text of risk's rules. Off unless a test asks.
    rules: Option<String>,
    /// Off unless a test asks.
    risk: Risk,
    /// The machine's unless a test turns it.
    clock: Option<Arc<dyn Clock>>,
    connections: ConnectionSettings,
}

/// A merchant that takes payments.
#[derive(Debug, Clone)]
pub(crate) struct Merchant {
    pub(crate) owner: Caller,
    /// Leaves the amount to the customer.
    pub(crate) code: String,
}

/// Making RSA keys takes a while: once for all tests.
fn keys() -> Arc<KeySet> {
    static KEYS: OnceLock<Arc<KeySet>> = OnceLock::new();
    Arc::clone(KEYS.get_or_init(|| Arc::new(KeySet::generate().unwrap())))
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings of the database.
    pub(crate) async fn with(change: impl FnOnce(&mut DbOptions)) -> Self {
        Self::build(change, TestOptions::default()).await
    }

    /// With somebody else than WeChat who is told of payments.
    pub(crate) async fn with_notifier(notifier: Arc<dyn Notifier>) -> Self {
        let test_options = TestOptions {
            notifier: Some(notifier),
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// A tenant that collects for itself: 直连.
    pub(crate) async fn direct() -> Self {
        let test_options = TestOptions {
            mode: WechatMode::Direct,
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// Without jobs, and with this channel for profit sharing.
    pub(crate) async fn with_sharing_without_jobs(
        sharing: Arc<dyn SharingChannels>,
        change: impl FnOnce(&mut DbOptions),
    ) -> Self {
        let test_options = TestOptions {
            sharing: Some(sharing),
            without_jobs: true,
            ..TestOptions::default()
        };
        Self::build(change, test_options).await
    }

    /// With rate limits, changed as the test likes, and shared through this Redis.
    pub(crate) async fn limited(redis_url: &str, change: impl FnOnce(&mut LimitSettings)) -> Self {
        Self::build(|_| {}, TestOptions::limited(redis_url, change)).await
    }

    /// A second service process on the same database, for people to go to.
    pub(crate) async fn second_process(
        &self,
        redis_url: &str,
        change: impl FnOnce(&mut LimitSettings),
    ) -> Site {
        let db = self.another_db().await;
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let test_options = TestOptions::limited(redis_url, change);
        let app = assemble(db, &self.simulator, &base, test_options).await;
        tokio::spawn(serve(listener, app));
        Site::new(&base, self.tenant.id)
    }

    /// With these rules of risk.
    pub(crate) async fn with_rules(rules: &str) -> Self {
        let test_options = TestOptions {
            rules: Some(rules.to_owned()),
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// With these rules of risk, while nobody is at the address of Redis.
    pub(crate) async fn with_rules_without_redis(rules: &str) -> Self {
        let test_options = TestOptions {
            rules: Some(rules.to_owned()),
            redis_url: Some("redis://127.0.0.1:1/".to_owned()),
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// With other bounds of its connections, and with these proxies in front.
    pub(crate) async fn with_connections(
        proxies: &str,
        change: impl FnOnce(&mut ConnectionSettings),
    ) -> Self {
        let mut test_options = TestOptions {
            limits: Some(LimitSettings {
                trusted_proxies: proxies.parse().unwrap_or_default(),
                ..LimitSettings::off()
            }),
            ..TestOptions::default()
        };
        change(&mut test_options.connections);
        Self::build(|_| {}, test_options).await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let base = self.site.base.strip_prefix("http://").unwrap();
        base.parse().unwrap()
    }

    async fn build(change: impl FnOnce(&mut DbOptions), test_options: TestOptions) -> Self {
        let scratch = Scratch::make().await;
        let mut options = DbOptions::new(scratch.service.clone());
        options.connections_max = 10;
        change(&mut options);
        let clock = test_options.clock.clone().unwrap_or(Arc::new(SystemClock));
        let db = db_on(options, clock).await;
        let tenant = zhangfang::points::create_tenant(&db, "demo", "演示平台")
            .await
            .unwrap();

        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}");
        let simulator = Simulator::start(SimulatorSettings {
            keys: Some(keys()),
            notify_base: Some(base.parse().unwrap()),
            resend_compression: 100,
            ..SimulatorSettings::default()
        })
        .await
        .unwrap();
        let without_jobs = test_options.without_jobs;
        let app = assemble(db, &simulator, &base, test_options).await;
        tokio::spawn(serve(listener, app.clone()));
        let jobs = (!without_jobs).then(|| jobs::start(&app));
        let site = Site::new(&base, tenant.id);
        Self {
            app,
            tenant,
            simulator,
            scratch,
            site,
            jobs,
        }
    }

    /// With jobs, on a clock that is the world's and goes wrong as the test says.
    pub(crate) async fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let test_options = TestOptions {
            clock: Some(clock),
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// With risk that decides as the test says.
    pub(crate) async fn with_risk(risk: Risk) -> Self {
        let test_options = TestOptions {
            risk,
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// Without jobs: what is due happens when the test says so.
    pub(crate) async fn without_jobs() -> Self {
        let test_options = TestOptions {
            without_jobs: true,
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// Without jobs, and with this risk.
    pub(crate) async fn with_risk_without_jobs(risk: Risk) -> Self {
        let test_options = TestOptions {
            without_jobs: true,
            risk,
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// Without jobs, on a clock that the test turns, and perhaps with somebody else than WeChat who
    /// is told.
    pub(crate) async fn on_clock(
        clock: Arc<MockClock>,
        notifier: Option<Arc<dyn Notifier>>,
    ) -> Self {
        let test_options = TestOptions {
            without_jobs: true,
            notifier,
            clock: Some(clock),
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// Without jobs, with this risk, on a clock that the test turns.
    pub(crate) async fn with_risk_on_clock(clock: Arc<MockClock>, risk: Risk) -> Self {
        let test_options = TestOptions {
            without_jobs: true,
            risk,
            clock: Some(clock),
            ..TestOptions::default()
        };
        Self::build(|_| {}, test_options).await
    }

    /// The use cases of payments, through a channel that says what the test wants.
    pub(crate) fn through(&self, channel: &Arc<Channel>) -> Payments {
        let channel: Arc<dyn PaymentChannel> = Arc::<Channel>::clone(channel);
        Payments {
            channels: Arc::new(OneChannel(channel)),
            time_scale: TimeScale::default(),
            ..self.app.payments().clone()
        }
    }

    pub(crate) async fn set_policy(&self, change: impl FnOnce(&mut PolicyTerms)) {
        let mut terms = PolicyTerms::default();
        change(&mut terms);
        let tenant = self.tenant.id;
        let by = Actor::operator("test");
        self.db()
            .run(SetPolicy { tenant, terms, by })
            .await
            .unwrap();
        self.app.payments().policies.forget(tenant);
    }

    pub(crate) fn db(&self) -> &Db {
        self.app.db()
    }

    /// A second service process on the same database, without HTTP.
    pub(crate) async fn another_db(&self) -> Db {
        db_of(DbOptions::new(self.scratch.service.clone())).await
    }

    /// Creates a payment, pays it cleanly and waits until the books have it.
    pub(crate) async fn pay(
        &self,
        customer: &Caller,
        code: &str,
        amount_fen: i64,
        key: &str,
    ) -> String {
        let order_no = self.create(customer, code, amount_fen, key).await;
        self.simulator
            .pay(&order_no, Payment::clean())
            .await
            .unwrap();
        self.settled(customer, &order_no).await;
        order_no
    }

    pub(crate) async fn set_rule(&self, change: impl FnOnce(&mut RuleTerms)) {
        let mut terms = RuleTerms::default();
        change(&mut terms);
        self.db()
            .run(SetRule {
                tenant: self.tenant.id,
                merchant: None,
                terms,
                effective_from: None,
                by: Actor::operator("test"),
            })
            .await
            .unwrap();
        self.app.rules().forget(self.tenant.id);
    }

    /// As the owner of the database, for looking and for vandalism.
    pub(crate) async fn sql(&self) -> MySqlConnection {
        self.scratch.owner.clone().connect().await.unwrap()
    }

    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement)
            .fetch_one(self.db().pool())
            .await
            .unwrap()
    }

    /// Changes rows behind the service's back, as an owner of the database could.
    pub(crate) async fn execute(&self, statement: &'static str) {
        let mut conn = self.scratch.owner.clone().connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
    }

    /// The books as they stand, with everything projected.
    pub(crate) async fn verify(&self) -> verify::Report {
        jobs::drain(self.db()).await.unwrap();
        let books = &self.scratch.owner;
        if self.jobs.is_some() {
            verify::verify(books, &mut ()).await.unwrap()
        } else {
            verify::verify_at_rest(books, &mut ()).await.unwrap()
        }
    }

    /// Everything has come to rest and the books are clean.
    pub(crate) async fn finish(self) {
        self.simulator.idle().await;
        assert_eq!(
            self.simulator.stats().forgeries_acknowledged,
            0,
            "a forged callback was accepted"
        );
        let report = self.verify().await;
        assert!(report.is_clean(), "the books are not clean:\n{report}");
        if let Some(jobs) = self.jobs {
            jobs.stop().await;
        }
        self.app.db().close().await;
        self.simulator.stop().await;
        self.scratch.give_back().await;
    }
}

/// For clients of services on this machine. They speak no TLS, and need not read the machine's
/// certificates, of which there are more than a hundred.
fn plain_http() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(30))
}

impl Site {
    pub(crate) fn new(base: &str, tenant: TenantId) -> Self {
        let http = plain_http().build().unwrap();
        let tokens = Tokens::new(JWT_SECRET.as_bytes(), 900);
        let admin = tokens.issue_operator(
            tenant,
            zhangfang::auth::OperatorRole::Admin,
            60,
            SystemClock.now(),
        );
        Self {
            http,
            base: base.to_owned(),
            admin_token: admin.text,
            tenant,
        }
    }

    /// Another person of the tenant.
    pub(crate) fn operator(&self, name: &str) -> Caller {
        self.role(name, zhangfang::auth::OperatorRole::Admin)
    }

    /// Another person or program of the tenant, in this role.
    pub(crate) fn role(&self, name: &str, role: zhangfang::auth::OperatorRole) -> Caller {
        let tokens = Tokens::new(JWT_SECRET.as_bytes(), 900);
        let principal = zhangfang::auth::Principal::Operator {
            tenant: self.tenant,
            name: name.to_owned(),
            role,
        };
        let token = tokens.issue(&principal, SystemClock.now());
        self.anyone().with_token(&token.text)
    }

    /// The same service for people whose requests come from this address.
    pub(crate) fn as_from(&self, address: std::net::IpAddr) -> Self {
        let http = plain_http().local_address(address);
        Self {
            http: http.build().unwrap(),
            ..self.clone()
        }
    }

    /// Nobody in particular.
    pub(crate) fn anyone(&self) -> Caller {
        Caller::new(self.http.clone(), &self.base)
    }

    pub(crate) async fn customer(&self, name: &str) -> Caller {
        self.login(name, "customer").await
    }

    pub(crate) async fn login(&self, name: &str, who: &str) -> Caller {
        let body = json!({ "tenant": "demo", "code": format!("sim-{name}"), "as": who });
        let answer = self.anyone().post("/api/v1/auth/wechat/login", &body).await;
        let token = answer.expect(200)["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        self.anyone().with_token(&token)
    }

    pub(crate) fn admin(&self) -> Caller {
        self.anyone().with_token(&self.admin_token)
    }

    /// A merchant from registration to its first code, as merchants come to be.
    pub(crate) async fn merchant(&self, name: &str, sub_mchid: &str) -> Merchant {
        let person = self.customer(&format!("owner-of-{sub_mchid}")).await;
        let body = json!({
            "name": name, "contact_name": "王小二", "contact_phone": "13800001234",
            "business_license": "91310000MA1K00000X", "address": "茶里巷 1 号",
        });
        let made = person
            .keyed(&format!("register-{sub_mchid}"))
            .post("/api/v1/merchant/registrations", &body)
            .await;
        let merchant_id = made.expect(201)["merchant"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        self.admin()
            .keyed(&format!("approve-{sub_mchid}"))
            .post(
                &format!("/api/v1/admin/merchants/{merchant_id}/approve"),
                &json!({ "sub_mchid": sub_mchid }),
            )
            .await
            .expect(200);
        let owner = self
            .login(&format!("owner-of-{sub_mchid}"), "merchant")
            .await;
        let made = owner
            .keyed(&format!("code-{sub_mchid}"))
            .post("/api/v1/merchant/codes", &json!({ "label": "前台" }))
            .await;
        let code = made.expect(201)["code"].as_str().unwrap().to_owned();
        Merchant { owner, code }
    }

    /// Creates a payment; its order number.
    pub(crate) async fn create(
        &self,
        customer: &Caller,
        code: &str,
        amount_fen: i64,
        key: &str,
    ) -> String {
        let body = json!({ "code": code, "amount_fen": amount_fen });
        let made = customer
            .keyed(key)
            .post("/api/v1/customer/payments", &body)
            .await;
        made.expect(201)["order_no"].as_str().unwrap().to_owned()
    }

    /// Waits until the order is paid; its answer.
    pub(crate) async fn settled(&self, customer: &Caller, order_no: &str) -> Value {
        let path = format!("/api/v1/customer/payments/{order_no}");
        eventually("the order is paid", || async {
            let order = customer.get(&path).await.expect(200);
            (order["state"] == "paid").then_some(order)
        })
        .await
    }
}

impl TestOptions {
    fn limited(redis_url: &str, change: impl FnOnce(&mut LimitSettings)) -> Self {
        let mut limits = LimitSettings::default();
        change(&mut limits);
        Self {
            limits: Some(limits),
            redis_url: Some(redis_url.to_owned()),
            ..Self::default()
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, app: App) {
    zhangfang::http::serve(listener, app, CancellationToken::new()).await;
}

/// A database handle with the real clock and real ids.
pub(crate) async fn db_of(options: DbOptions) -> Db {
    db_on(options, Arc::new(SystemClock)).await
}

/// A database handle with this clock and real ids.
pub(crate) async fn db_on(options: DbOptions, clock: Arc<dyn Clock>) -> Db {
    let db = Db::connect(options, clock, Arc::new(RandomIds))
        .await
        .unwrap();
    eventually("the committers are ready", || async {
        db.is_ready().await.then_some(())
    })
    .await;
    db
}

/// A Redis that is waited for: the machine may be busy, and the verdict is not to hang on that.
pub(crate) fn patient_redis(url: String) -> RedisSettings {
    RedisSettings {
        timeout: Duration::from_secs(10),
        ..RedisSettings::at(url)
    }
}

async fn assemble(db: Db, simulator: &Simulator, base: &str, test_options: TestOptions) -> App {
    let clock = test_options.clock.unwrap_or(Arc::new(SystemClock));
    let wechat = WechatSettings {
        mode: test_options.mode,
        ..wechat_settings(simulator, base)
    };
    let accounts = WechatAccounts::new(&wechat, Arc::clone(&clock), Arc::new(RandomIds)).unwrap();
    let limit_settings = test_options.limits.unwrap_or_else(LimitSettings::off);
    let redis = match test_options.redis_url {
        Some(url) => RedisSettings::at(url),
        None => patient_redis(redis_url()),
    };
    let cache = Cache::start(&redis).await.unwrap();
    let risk = match &test_options.rules {
        // Patient with Redis, since the machine may be busy.
        Some(rules) => Risk::with_rules(rules, Duration::from_secs(1), db.clone(), &cache)
            .await
            .unwrap(),
        None => test_options.risk,
    };
    let mini_program = MiniProgram::new(&wechat).unwrap();
    let mini_program = Arc::new(mini_program.sharing(cache.clone(), Arc::clone(&clock)));
    App::assemble(Parts {
        deliveries: Deliveries {
            notifier: test_options
                .notifier
                .unwrap_or_else(|| mini_program.clone()),
            settings: SettingsCache::start(db.clone()),
        },
        mini_program_codes: mini_program.clone(),
        sharing: Sharing {
            payments: Payments {
                rules: RulesCache::start(db.clone()),
                policies: PolicyCache::start(db.clone()),
                risk,
                merchants: MerchantCache::start(db.clone()),
                recent: RecentOrders::default(),
                time_scale: if test_options.without_jobs {
                    TimeScale::default()
                } else {
                    TimeScale::new(100).unwrap()
                },
                channels: Arc::new(accounts.clone()),
                db,
            },
            channels: test_options
                .sharing
                .unwrap_or_else(|| Arc::new(accounts.clone())),
        },
        accounts: Some(accounts),
        login: mini_program,
        tokens: Tokens::new(JWT_SECRET.as_bytes(), 900),
        sessions: SessionLifetime { seconds: 86_400 },
        limits: Limits::start(&limit_settings, &cache),
        limit_settings,
        cache,
        http: HttpSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: base.parse().unwrap(),
            body_max_bytes: 65_536,
            request_timeout: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(5),
            connections: test_options.connections,
        },
        expiry_share: 100,
        clock,
    })
}

pub(crate) fn wechat_settings(simulator: &Simulator, base: &str) -> WechatSettings {
    use secrecy::ExposeSecret as _;
    let us = simulator.credentials();
    WechatSettings {
        mode: WechatMode::Partner,
        pay_url: simulator.base_url().clone(),
        backup_url: None,
        fetch_certificates: false,
        tenants_dir: None,
        files: WechatFiles::default(),
        mini_program_url: simulator.base_url().clone(),
        app_id: us.app_id.clone(),
        app_secret: Secret::new(us.app_secret.expose_secret().to_owned()),
        sp_mchid: us.sp_mchid.clone(),
        merchant_serial: us.merchant_serial.clone(),
        private_key_pem: Secret::new(us.private_key_pem.expose_secret().to_owned()),
        apiv3_key: Secret::new(us.apiv3_key.expose_secret().to_owned()),
        apiv3_key_old: None,
        public_key: Some(WechatPublicKey {
            id: us.public_key_id.clone(),
            pem: us.public_key_pem.clone(),
        }),
        platform_certificates_pem: Some(us.platform_certificate_pem.clone()),
        notify_base: base.parse().unwrap(),
        allow_loopback_http: true,
    }
}

/// Asks until there is an answer; fails after twenty seconds, naming what was waited for.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    ask: impl FnMut() -> F,
) -> T {
    eventually_within(20, what, ask).await
}

/// Asks until there is an answer; fails after `seconds`, naming what was waited for.
pub(crate) async fn eventually_within<T, F: Future<Output = Option<T>>>(
    seconds: u64,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let patience = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            tokio::time::Instant::now() < patience,
            "waited in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
