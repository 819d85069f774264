//! Rate limits through HTTP: what is held, what is told, and whom it does not touch.

use rand::RngExt as _;
use serde_json::json;
use wechat_pay_simulator::Payment;
use zhangfang::{
    config::LimitSettings,
    limits::{DECIDE, Limit, Quota},
};

use crate::harness::{ApiAnswer, Caller, TestApp, redis_url};

/// Slow to come back, so that a test on a busy machine meets no refill; and patient with Redis, for
/// the same reason.
fn strict(settings: &mut LimitSettings, limit: Limit, count: u32) {
    settings.redis_timeout = std::time::Duration::from_secs(1);
    settings
        .quotas
        .insert(limit, Quota::new(count, 6_000).unwrap());
}

async fn try_to_pay(customer: &Caller, code: &str, key: &str) -> ApiAnswer {
    let body = json!({ "code": code, "amount_fen": 100 });
    customer
        .keyed(key)
        .post("/api/v1/customer/payments", &body)
        .await
}

fn header(answer: &ApiAnswer, name: &str) -> Option<String> {
    let value = answer.headers.get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

fn number(answer: &ApiAnswer, name: &str) -> u64 {
    header(answer, name).unwrap().parse().unwrap()
}

/// A network that nobody else has.
fn network() -> String {
    let bits: u32 = rand::rng().random();
    format!("2001:db8:{:x}:{:x}::7", bits >> 16, bits & 0xffff)
}

#[tokio::test]
async fn five_payments_are_five_over_two_processes_and_the_sixth_gets_retry_after() {
    let change = |settings: &mut LimitSettings| strict(settings, Limit::CreatePayment, 5);
    let app = TestApp::limited(&redis_url(), change).await;
    let merchant = app.merchant("茶里巷", "1900000201").await;
    let customer = app.customer("busy").await;
    let elsewhere = app.second_process(&redis_url(), change).await;
    let token = customer.token().unwrap();
    let same_elsewhere = elsewhere.anyone().with_token(&token);

    for number_made in 0..5_u64 {
        let caller = [&customer, &same_elsewhere][usize::from(number_made % 2 == 1)];
        let answer = try_to_pay(caller, &merchant.code, &format!("made-{number_made}")).await;
        answer.expect(201);
        assert_eq!(header(&answer, "ratelimit-limit").unwrap(), "5");
        assert_eq!(header(&answer, "ratelimit-policy").unwrap(), "5;w=6000");
        assert_eq!(number(&answer, "ratelimit-remaining"), 4 - number_made);
        let reset = number(&answer, "ratelimit-reset");
        let full = 1_200 * (number_made + 1);
        assert!((full - 60..=full).contains(&reset), "{reset} of {full}");
        assert_eq!(header(&answer, "retry-after"), None);
    }
    for caller in [&customer, &same_elsewhere] {
        let answer = try_to_pay(caller, &merchant.code, "one-too-many").await;
        answer.refused(429, "rate_limited");
        assert_eq!(answer.expect(429)["detail"], "操作过于频繁，请稍后再试");
        assert_eq!(number(&answer, "ratelimit-remaining"), 0);
        assert_eq!(number(&answer, "ratelimit-limit"), 5);
        let wait = number(&answer, "retry-after");
        assert!((1_100..=1_200).contains(&wait), "{wait}");
    }
    // The refused is refused this alone, and nobody else is.
    customer.get("/api/v1/customer/me").await.expect(200);
    let other = app.customer("calm").await;
    try_to_pay(&other, &merchant.code, "mine").await.expect(201);
    let made = "SELECT COUNT(*) FROM payment_orders";
    assert_eq!(app.count(made).await, 6);
    app.finish().await;
}

#[tokio::test]
async fn points_are_asked_for_under_one_limit_and_only_by_those_who_are_somebody() {
    let app = TestApp::limited(&redis_url(), |settings| strict(settings, Limit::Points, 3)).await;
    let customer = app.customer("curious").await;
    for path in ["points", "points/records", "points"] {
        let answer = customer.get(&format!("/api/v1/customer/{path}")).await;
        answer.expect(200);
        assert_eq!(header(&answer, "ratelimit-policy").unwrap(), "3;w=6000");
    }
    let answer = customer.get("/api/v1/customer/points").await;
    answer.refused(429, "rate_limited");

    let stranger = app.anyone().with_token("not.a.token");
    for _ in 0..5 {
        let answer = stranger.get("/api/v1/customer/points").await;
        assert_eq!(answer.status, 401);
        assert_eq!(header(&answer, "ratelimit-limit"), None);
    }
    // A problem of a limited route says how things stand as well.
    let answer = app
        .customer("lost")
        .await
        .get("/api/v1/customer/payments/none")
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(header(&answer, "ratelimit-limit").unwrap(), "120");
    app.finish().await;
}

#[tokio::test]
async fn callbacks_have_a_lane_of_their_own() {
    let everything = |settings: &mut LimitSettings| {
        // What the test itself needs to get there keeps its default.
        strict(settings, Limit::CreatePayment, 1);
        strict(settings, Limit::Public, 1);
        strict(settings, Limit::Refresh, 1);
    };
    let app = TestApp::limited(&redis_url(), everything).await;
    let merchant = app.merchant("老张面馆", "1900000202").await;
    let customer = app.customer("flooding").await;
    let order_no = app.create(&customer, &merchant.code, 1_280, "only").await;
    for _ in 0..3 {
        try_to_pay(&customer, &merchant.code, "more")
            .await
            .refused(429, "rate_limited");
    }
    let notify = "/api/v1/wechat/notify/demo/payments";
    for _ in 0..50 {
        let answer = app.anyone().raw(notify, &[], b"{}".to_vec()).await;
        assert_eq!(answer.status, 401);
        assert_eq!(header(&answer, "ratelimit-limit"), None);
    }
    app.simulator
        .pay(&order_no, Payment::clean())
        .await
        .unwrap();
    app.settled(&customer, &order_no).await;
    let probe = app.anyone().get("/healthz").await;
    assert_eq!(header(&probe, "ratelimit-limit"), None);
    app.finish().await;
}

#[tokio::test]
async fn an_address_is_what_a_trusted_proxy_says_and_nothing_else() {
    let proxied = |settings: &mut LimitSettings| {
        strict(settings, Limit::Public, 2);
        settings.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    };
    let app = TestApp::limited(&redis_url(), proxied).await;
    let from = async |chain: &str| {
        let headers = [("x-forwarded-for", chain)];
        let path = "/api/v1/codes/7ZK3M9Q2W8XA";
        app.anyone().get_with(path, &headers).await.status
    };
    let (one, two) = (network(), network());
    assert_eq!(from(&one).await, 404);
    assert_eq!(from(&format!("{}, {one}", network())).await, 404);
    assert_eq!(from(&one).await, 429);
    assert_eq!(from(&format!("[{one}]:4711")).await, 429);
    assert_eq!(from(&format!("{two}, {one}, 127.0.0.9")).await, 429);
    assert_eq!(from(&two).await, 404);

    // What makes no sense is the proxy itself, whatever it looks like: two of these pass at most,
    // and nothing breaks.
    let long = "a,".repeat(2_000);
    let hostile = [
        "",
        ",",
        "unknown",
        "1.2.3.4.5",
        "' OR 1=1 --",
        "zf:limit:*",
        "[::",
        "%0d%0a",
        &long,
        "127.0.0.1,x",
    ];
    let mut passed = 0;
    for chain in hostile {
        match from(chain).await {
            404 => passed += 1,
            429 => {}
            status => panic!("{status} for {chain:?}"),
        }
    }
    assert!(passed <= 2, "{passed} passed");
    app.finish().await;
}

#[tokio::test]
async fn a_stranger_writes_no_address() {
    let app = TestApp::limited(&redis_url(), |settings| {
        strict(settings, Limit::Public, 2);
    })
    .await;
    let mut passed = 0;
    for _ in 0..4 {
        let chain = network();
        let headers = [("x-forwarded-for", chain.as_str())];
        let path = "/api/v1/codes/7ZK3M9Q2W8XA";
        let answer = app.anyone().get_with(path, &headers).await;
        passed += u32::from(answer.status == 404);
    }
    assert!(passed <= 2, "{passed} passed");
    app.finish().await;
}

#[tokio::test]
async fn logins_are_counted_before_anybody_is_somebody() {
    let app = TestApp::limited(&redis_url(), |settings| {
        strict(settings, Limit::Login, 3);
        settings.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    })
    .await;
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-forwarded-for", network()),
    ];
    let login = async || {
        let body = br#"{"tenant":"nowhere","code":"guess","as":"customer"}"#.to_vec();
        let path = "/api/v1/auth/wechat/login";
        app.anyone().raw(path, &headers, body).await
    };
    for _ in 0..3 {
        login().await.refused(404, "tenant_not_found");
    }
    login().await.refused(429, "rate_limited");
    app.finish().await;
}

/// The leaky bucket as one would explain it: it remembers when it runs dry, and holds no more than
/// it can.
struct Bucket {
    quota: Quota,
    dry_at_us: u64,
}

impl Bucket {
    fn ask(&mut self, now_us: u64) -> (u64, u64) {
        let level = self
            .dry_at_us
            .saturating_sub(now_us)
            .min(self.quota.capacity_us());
        let fits = level + self.quota.interval_us() <= self.quota.capacity_us();
        let level = if fits {
            level + self.quota.interval_us()
        } else {
            level
        };
        self.dry_at_us = now_us + level;
        (u64::from(fits), level)
    }
}

#[tokio::test]
async fn the_script_decides_as_a_leaky_bucket_does_whatever_the_clock_does() {
    let client = redis::Client::open(redis_url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let script = redis::Script::new(&format!("local now = tonumber(ARGV[3])\n{DECIDE}"));
    let seed: u64 = rand::random();
    let mut random: rand::rngs::SmallRng = rand::SeedableRng::seed_from_u64(seed);
    for round in 0..40 {
        let count = random.random_range(1..30_u32);
        let quota = Quota::new(count, random.random_range(3_000..80_000)).unwrap();
        let mut bucket = Bucket {
            quota,
            dry_at_us: 0,
        };
        let key = format!("zf:limit:test:{seed:x}:{round}");
        let mut now_us = 1_800_000_000_000_000_u64;
        for _ in 0..60 {
            let step = random.random_range(0..quota.interval_us() * 3);
            if random.random_ratio(1, 20) {
                now_us -= step;
            } else if random.random_ratio(1, 2) {
                now_us += step;
            }
            let reply: (u64, u64) = script
                .key(&key)
                .arg(quota.interval_us())
                .arg(quota.capacity_us())
                .arg(now_us)
                .invoke_async(&mut redis)
                .await
                .unwrap();
            assert_eq!(
                reply,
                bucket.ask(now_us),
                "seed {seed}, round {round}, {quota}"
            );
            let rest: i64 = redis::cmd("PTTL")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .unwrap();
            // None when the bucket ran dry while the clock stood at another time.
            let Ok(rest) = u64::try_from(rest) else {
                continue;
            };
            assert!(rest <= quota.capacity_us().div_ceil(1_000), "kept too long");
        }
        redis::cmd("DEL")
            .arg(&key)
            .query_async::<()>(&mut redis)
            .await
            .unwrap();
    }
}
