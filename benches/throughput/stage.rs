//! The service as a process of its own, with a tenant, ten merchants, customers, and orders that
//! wait to be paid.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions as _, mysql::MySqlConnectOptions};
use tokio::runtime::Runtime;
use wechat_pay_simulator::{CallbackFactory, ENV_PREFIX, KeyKind, Simulator, SimulatorSettings};
use zhangfang::{
    auth::{Principal, Tokens},
    db::{self, Db, DbOptions},
    facts::Origin,
    merchants::MerchantCache,
    payments::{
        self, AbnormalRefund, Bill, BillKind, ChannelMode, ChannelOrder, ChannelOutcome,
        ChannelRefund, CreatePayment, Notice, NoticeError, NoticeHeaders, OneChannel, Order,
        OurAccount, PayParameters, PaymentChannel, Payments, PolicyCache, PrepayRequest,
        RecentOrders, RefundCall, TimeScale,
    },
    points::RulesCache,
    primitives::{
        BusinessDay, Clock as _, CustomerId, MerchantId, Money, OrderNo, RandomIds, RefundNo,
        Secret, SystemClock, TenantId, Timestamp,
    },
    risk::Risk,
    verify,
};

use super::{
    bytes::Footprint,
    cpu::{Cpu, Parties, SIMULATOR},
    load,
    report::Measured,
    rules,
};

pub(crate) const SECRET: &str = "the secret of a benchmark, forty characters";
const CUSTOMERS: usize = 50_000;
pub(crate) const SUB_MCHID: &str = "1900000109";

pub(crate) struct Stage {
    pub(crate) scratch: Scratch,
    service: Child,
    /// There until the stage is struck.
    simulator: Option<Simulator>,
    /// The simulator's own, so that its processor time can be told from the generator's.
    threads: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) tenant: TenantId,
    pub(crate) customers: Vec<CustomerId>,
    orders: Vec<Order>,
    codes: Vec<String>,
}

/// A database of this run.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    pub(crate) owner: MySqlConnectOptions,
    pub(crate) service: MySqlConnectOptions,
    pub(crate) service_url: String,
    name: String,
}

impl Scratch {
    pub(crate) async fn make(kind: &str) -> Self {
        let name = format!("zhangfang_bench_{kind}_{}", std::process::id());
        let owner_url = std::env::var("DATABASE_MIGRATION_URL").expect("run this with ./dev bench");
        let service_url = std::env::var("DATABASE_URL").expect("run this with ./dev bench");
        let owner: MySqlConnectOptions = owner_url.parse().unwrap();
        let mut conn = owner.clone().connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut conn)
            .await
            .unwrap();
        let owner = owner.database(&name);
        db::migrate(&owner).await.unwrap();
        let service: MySqlConnectOptions = service_url.parse().unwrap();
        db::grant(&owner, &service).await.unwrap();
        let mut url: url::Url = service_url.parse().unwrap();
        url.set_path(&name);
        Self {
            owner,
            service: service.database(&name),
            service_url: url.to_string(),
            name,
        }
    }

    pub(crate) async fn drop(self) {
        let mut conn = self.owner.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP DATABASE {}", self.name)))
            .execute(&mut conn)
            .await
            .unwrap();
    }
}

/// A channel that gives prepay ids at once: orders are made ready before anything is measured.
#[derive(Debug)]
struct PrepayChannel;

/// What the benchmark does not need of a channel.
fn not_here<T: Send + 'static>() -> BoxFuture<'static, ChannelOutcome<T>> {
    Box::pin(async { ChannelOutcome::Unknown("not here".into()) })
}

impl PaymentChannel for PrepayChannel {
    fn account(&self) -> &OurAccount {
        static NOBODY: OurAccount = OurAccount {
            mode: ChannelMode::Partner,
            mchid: String::new(),
            app_id: String::new(),
        };
        &NOBODY
    }

    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        Box::pin(async move { ChannelOutcome::Done(format!("wx{}", request.order_no)) })
    }

    fn prepay_native(&self, _request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        not_here()
    }

    fn pay_parameters(&self, _prepay_id: &str, _now: Timestamp) -> PayParameters {
        PayParameters {
            time_stamp: String::new(),
            nonce_str: String::new(),
            package: String::new(),
            sign_type: String::new(),
            pay_sign: String::new(),
        }
    }

    fn query<'a>(
        &'a self,
        _no: OrderNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        not_here()
    }

    fn query_by_transaction<'a>(
        &'a self,
        _wechat_transaction_id: &'a str,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        not_here()
    }

    fn close<'a>(&'a self, _no: OrderNo, _sub_mchid: &'a str) -> BoxFuture<'a, ChannelOutcome<()>> {
        not_here()
    }

    fn refund(&self, _call: RefundCall) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        not_here()
    }

    fn query_refund<'a>(
        &'a self,
        _no: RefundNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        not_here()
    }

    fn redirect_refund(
        &self,
        _call: AbnormalRefund,
    ) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        not_here()
    }

    fn bill(
        &self,
        _kind: BillKind,
        _day: BusinessDay,
    ) -> BoxFuture<'_, ChannelOutcome<Option<Bill>>> {
        not_here()
    }

    fn read_notice(
        &self,
        _headers: NoticeHeaders<'_>,
        _body: &[u8],
        _now: Timestamp,
    ) -> Result<Notice, NoticeError> {
        Err(NoticeError::Malformed)
    }

    fn reread_notice(&self, _body: &[u8]) -> Result<Notice, NoticeError> {
        Err(NoticeError::Malformed)
    }
}

/// A tenant with ten merchants and a code each, and many customers, written straight into the
/// tables.
pub(crate) async fn populate(db: &Db) -> (TenantId, Vec<String>, Vec<CustomerId>) {
    let tenant = zhangfang::points::create_tenant(db, "bench", "bench")
        .await
        .unwrap()
        .id;
    let now = db.now();
    let mut codes = Vec::new();
    for number in 0..10 {
        let merchant = MerchantId::new(db.new_id(db.new_lane()));
        let code = format!("{number:012}");
        sqlx::query("INSERT INTO merchants (id, tenant_id, name, contact_name, contact_phone, business_license, address, sub_mchid, state, created_at, updated_at) VALUES (?, ?, '店', '', '', '', '', ?, 'approved', ?, ?)")
            .bind(merchant).bind(tenant).bind(SUB_MCHID).bind(now).bind(now)
            .execute(db.pool()).await.unwrap();
        sqlx::query("INSERT INTO qr_codes (code, tenant_id, merchant_id, label, state, created_at) VALUES (?, ?, ?, 'x', 'active', ?)")
            .bind(&code).bind(tenant).bind(merchant).bind(now)
            .execute(db.pool()).await.unwrap();
        codes.push(code);
    }
    let customers: Vec<CustomerId> = (0..CUSTOMERS)
        .map(|_| CustomerId::new(db.new_id(db.new_lane())))
        .collect();
    for chunk in customers.chunks(1_000) {
        let mut sql = String::from(
            "INSERT INTO customers (id, tenant_id, openid, status, created_at) VALUES ",
        );
        for (index, customer) in chunk.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                sql,
                "{comma}(x'{}', {tenant}, 'o{}', 'active', NOW(6))",
                customer.id(),
                &customer.id().to_string()[..27]
            )
            .unwrap();
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(db.pool())
            .await
            .unwrap();
    }
    (tenant, codes, customers)
}

/// Orders with prepay ids, of all ten merchants; of the first merchant from `one_merchant_from` on.
pub(crate) async fn orders(
    db: &Db,
    tenant: TenantId,
    codes: &[String],
    customers: &[CustomerId],
    count: usize,
    one_merchant_from: usize,
) -> Vec<Order> {
    let payments = Payments {
        db: db.clone(),
        channels: Arc::new(OneChannel(Arc::new(PrepayChannel))),
        rules: RulesCache::start(db.clone()),
        policies: PolicyCache::start(db.clone()),
        risk: Risk::off(),
        merchants: MerchantCache::start(db.clone()),
        recent: RecentOrders::default(),
        time_scale: TimeScale::default(),
    };
    let next = Arc::new(AtomicUsize::new(0));
    let makers: Vec<_> = (0..256)
        .map(|_| {
            let (payments, next, codes, customers) = (
                payments.clone(),
                Arc::clone(&next),
                codes.to_vec(),
                customers.to_vec(),
            );
            tokio::spawn(async move {
                let mut made = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return made;
                    }
                    let command = CreatePayment {
                        tenant,
                        customer: customers[index % customers.len()],
                        payer_openid: Secret::new("o".into()),
                        code: codes[if index < one_merchant_from {
                            index % codes.len()
                        } else {
                            0
                        }]
                        .clone(),
                        amount: Some(Money::parse(1_288).unwrap()),
                        key: format!("o{index}"),
                        origin: Origin::default(),
                    };
                    made.push((
                        index,
                        payments::create_payment(&payments, command)
                            .await
                            .unwrap()
                            .order,
                    ));
                }
            })
        })
        .collect();
    let mut made = Vec::new();
    for maker in makers {
        made.extend(maker.await.unwrap());
    }
    made.sort_unstable_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, order)| order).collect()
}

pub(crate) async fn open(options: &MySqlConnectOptions) -> Db {
    let db = Db::connect(
        DbOptions::new(options.clone()),
        Arc::new(SystemClock),
        Arc::new(RandomIds),
    )
    .await
    .unwrap();
    while !db.is_ready().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    db
}

impl Stage {
    /// With so many orders, of all merchants.
    pub(crate) async fn set(count: usize) -> Self {
        Self::prepare((count, 0), false).await.0
    }

    /// The last `hot` of the orders are of one merchant.
    pub(crate) async fn set_hot(count: usize, hot: usize) -> Self {
        Self::prepare((count, hot), false).await.0
    }

    /// With what was in the database before the orders were made and after it.
    pub(crate) async fn set_weighed(count: usize) -> (Self, Footprint, Footprint) {
        let (stage, weighed) = Self::prepare((count, 0), true).await;
        let [before, after] = weighed.try_into().unwrap();
        (stage, before, after)
    }

    async fn prepare((count, hot): (usize, usize), weigh: bool) -> (Self, Vec<Footprint>) {
        eprintln!("→ making a tenant, {CUSTOMERS} customers and {count} orders");
        let mut weighed = Vec::new();
        let scratch = Scratch::make("http").await;
        let db = open(&scratch.service).await;
        let (tenant, codes, customers) = populate(&db).await;
        if weigh {
            weighed.push(Footprint::read(&scratch).await);
        }
        let orders = orders(&db, tenant, &codes, &customers, count, count - hot).await;
        // What the relay owes for making them is not what is measured.
        zhangfang::jobs::drain(&db).await.unwrap();
        if weigh {
            weighed.push(Footprint::read(&scratch).await);
        }
        // Nor are questions about tens of thousands of orders that nobody pays for minutes: as if
        // the job had looked past them.
        sqlx::query("INSERT INTO scan_positions (scan, position) VALUES ('young', REPEAT(x'ff', 16)), ('old', REPEAT(x'ff', 16))")
            .execute(db.pool())
            .await
            .unwrap();
        db.close().await;

        let address = std::net::TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap();
        let base = format!("http://{address}");
        let dir = dir();
        let threads = tokio::runtime::Builder::new_multi_thread()
            .thread_name(SIMULATOR)
            .enable_all()
            .build()
            .unwrap();
        let starting = Simulator::start(SimulatorSettings {
            dir: Some(dir.clone()),
            notify_base: Some(base.parse().unwrap()),
            ..SimulatorSettings::default()
        });
        let simulator = threads.spawn(starting).await.unwrap().unwrap();
        let service = serve(&scratch, address, &dir, Rules::OfTheProject).await;
        let stage = Self {
            scratch,
            service,
            simulator: Some(simulator),
            threads,
            address,
            tenant,
            customers,
            orders,
            codes,
        };
        (stage, weighed)
    }

    pub(crate) fn service_pid(&self) -> u32 {
        self.service.id()
    }

    /// What everybody has used of the processors until now.
    pub(crate) async fn used(&self) -> Cpu {
        let parties = Parties::find(Some(self.service_pid()), &self.scratch.service).await;
        parties.used()
    }

    /// The service again, with these rules.
    pub(crate) async fn restart(&mut self, rules: Rules) {
        self.service.kill().unwrap();
        self.service.wait().unwrap();
        self.service = serve(&self.scratch, self.address, &dir(), rules).await;
    }

    /// Signed callbacks for these orders, sent over as many connections.
    pub(crate) async fn settle(&self, orders: Range<usize>, connections: usize) -> Measured {
        self.send(self.callbacks(orders).await, connections).await
    }

    /// Sends what [`Self::callbacks`] made ready.
    pub(crate) async fn send(&self, callbacks: Vec<Vec<u8>>, connections: usize) -> Measured {
        self.load(callbacks, connections, 204).await
    }

    async fn load(&self, requests: Vec<Vec<u8>>, connections: usize, status: u16) -> Measured {
        let parties = Parties::find(Some(self.service_pid()), &self.scratch.service).await;
        let before = parties.used();
        let mut measured = load::run(self.address, Arc::new(requests), connections, status).await;
        measured.cpu = Some(parties.used() - before);
        measured
    }

    /// Signed callbacks for these orders.
    pub(crate) async fn callbacks(&self, orders: Range<usize>) -> Vec<Vec<u8>> {
        let factory = Arc::clone(self.simulator.as_ref().unwrap().callbacks());
        let orders: Vec<(String, i64)> = self.orders[orders]
            .iter()
            .map(|order| (order.no().to_string(), order.amount.get()))
            .collect();
        let path = format!("/api/v1/wechat/notify/{}/payments", self.tenant);
        eprintln!("→ signing {} callbacks", orders.len());
        let half = orders.len() / 2;
        let signing = [orders[..half].to_vec(), orders[half..].to_vec()].map(|part| {
            let (factory, path) = (Arc::clone(&factory), path.clone());
            tokio::task::spawn_blocking(move || {
                part.iter()
                    .map(|(no, amount)| callback(&factory, &path, no, *amount))
                    .collect::<Vec<_>>()
            })
        });
        let mut requests = Vec::new();
        for part in signing {
            requests.extend(part.await.unwrap());
        }
        requests
    }

    pub(crate) async fn balance(&self, count: usize, connections: usize) -> Measured {
        let tokens = self.tokens(2_000);
        let requests = (0..count)
            .map(|index| {
                request(
                    "GET",
                    "/api/v1/customer/points",
                    &[("Authorization", &tokens[index % tokens.len()])],
                    b"",
                )
            })
            .collect();
        self.load(requests, connections, 200).await
    }

    pub(crate) async fn create(&self, round: usize, count: usize, connections: usize) -> Measured {
        let tokens = self.tokens(2_000);
        let requests = (0..count)
            .map(|index| {
                let body = format!(
                    r#"{{"code":"{}","amount_fen":1288}}"#,
                    self.codes[index % self.codes.len()]
                );
                let key = format!("b{round}-{index}");
                let headers = [
                    ("Authorization", tokens[index % tokens.len()].as_str()),
                    ("Idempotency-Key", &key),
                    ("Content-Type", "application/json"),
                ];
                request(
                    "POST",
                    "/api/v1/customer/payments",
                    &headers,
                    body.as_bytes(),
                )
            })
            .collect();
        self.load(requests, connections, 201).await
    }

    fn tokens(&self, count: usize) -> Vec<String> {
        let tokens = Tokens::new(SECRET.as_bytes(), 3_600);
        let bearer = |customer: &CustomerId| {
            let principal = Principal::Customer {
                tenant: self.tenant,
                id: *customer,
            };
            format!(
                "Bearer {}",
                tokens.issue(&principal, SystemClock.now()).text
            )
        };
        self.customers.iter().take(count).map(bearer).collect()
    }

    /// Stops everything and audits what was measured.
    pub(crate) async fn strike(mut self) {
        Box::pin(self.stop()).await;
        Box::pin(self.audit()).await;
    }

    /// With what is in the database when all is done that the orders gave to do.
    pub(crate) async fn strike_weighed(mut self) -> Footprint {
        Box::pin(self.stop()).await;
        let weighed = Footprint::read(&self.scratch).await;
        Box::pin(self.audit()).await;
        weighed
    }

    async fn stop(&mut self) {
        self.service.kill().unwrap();
        self.service.wait().unwrap();
        if let Some(simulator) = self.simulator.take() {
            simulator.stop().await;
        }
        let db = open(&self.scratch.service).await;
        zhangfang::jobs::drain(&db).await.unwrap();
        db.close().await;
        // What nobody paid is still to be asked about: the job was only told to look past it.
        let mut conn = self.scratch.owner.clone().connect().await.unwrap();
        sqlx::query("DELETE FROM scan_positions WHERE scan IN ('young', 'old')")
            .execute(&mut conn)
            .await
            .unwrap();
    }

    async fn audit(self) {
        self.threads.shutdown_background();
        eprintln!("→ verifying the books");
        let report = verify::verify(&self.scratch.owner, &mut ()).await.unwrap();
        assert!(report.is_clean(), "the books are not clean:\n{report}");
        self.scratch.drop().await;
        let _ = std::fs::remove_dir_all(dir());
    }
}

/// Where the simulator and the service of this run keep their files.
fn dir() -> PathBuf {
    std::env::temp_dir().join(format!("zhangfang-bench-{}", std::process::id()))
}

/// What risk decides by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rules {
    /// Risk is off.
    None,
    /// The file at the top level.
    OfTheProject,
    /// Thirty rules of the stage, each of which asks for a number of its own, and none of which
    /// stops anybody.
    Thirty,
}

/// Starts the service and waits until it is ready.
async fn serve(scratch: &Scratch, address: SocketAddr, dir: &Path, rules: Rules) -> Child {
    let mut service = Command::new(env!("CARGO_BIN_EXE_zhangfang"));
    service
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for line in std::fs::read_to_string(dir.join("wechat.env"))
        .unwrap()
        .lines()
    {
        let setting = line.strip_prefix(ENV_PREFIX);
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            service.env(format!("ZHANGFANG_WECHAT__{name}"), value);
        }
    }
    service
        .env("DATABASE_URL", &scratch.service_url)
        .env("ZHANGFANG_HTTP__LISTEN", address.to_string())
        .env("ZHANGFANG_AUTH__JWT_SECRET", SECRET)
        .env("ZHANGFANG_LIMITS__ENABLED", "false")
        // Everybody comes from one address here, as behind a proxy.
        .env("ZHANGFANG_LIMITS__TRUSTED_PROXIES", "127.0.0.1")
        .env("ZHANGFANG_LOG__FILTER", "warn");
    match rules {
        Rules::None => {
            service.env("ZHANGFANG_RISK__ENABLED", "false");
        }
        Rules::OfTheProject => {}
        Rules::Thirty => {
            let file = dir.join("thirty-rules.yaml");
            std::fs::write(&file, rules::thirty()).unwrap();
            service.env("ZHANGFANG_RISK__RULES", file);
        }
    }
    let service = service.spawn().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        if http
            .get(format!("http://{address}/readyz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    service
}

fn callback(factory: &CallbackFactory, path: &str, out_trade_no: &str, amount: i64) -> Vec<u8> {
    let notice = factory.notice(
        out_trade_no,
        factory.transaction_id(),
        amount,
        SUB_MCHID,
        "oBench000000000000000000000",
    );
    let signed = factory.sign(&notice, KeyKind::PublicKey);
    let headers: Vec<(&str, &str)> = signed
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    request("POST", path, &headers, &signed.body)
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    text.push_str("\r\n");
    let mut request = text.into_bytes();
    request.extend_from_slice(body);
    request
}
