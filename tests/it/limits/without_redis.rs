//! A Redis that is killed under load, and one that hangs.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use wechat_pay_simulator::{Simulator, SimulatorSettings};
use zhangfang::{
    config::LimitSettings,
    limits::{Limit, Limits},
};

use super::{cache, somebody};
use crate::harness::{
    Caller, Scratch, Server, Service, Site, demo_tenant, dev, environment, eventually,
    free_address, ready,
};

fn start(server: &Server) -> String {
    let said = dev(&["server", "start", "redis", &server.dir]);
    said.trim().lines().last().unwrap().to_owned()
}

/// How many scripts this Redis has run.
async fn calls(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let said: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(connection)
        .await
        .unwrap();
    said.lines()
        .filter(|line| line.starts_with("cmdstat_eval"))
        .filter_map(|line| {
            line.split_once("calls=")?
                .1
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum()
}

async fn me(customer: &Caller) -> (u16, Duration) {
    let began = Instant::now();
    let answer = customer.get("/api/v1/customer/me").await;
    (answer.status, began.elapsed())
}

async fn gauge(site: &Site) -> Option<String> {
    let answer = site.anyone().get("/metrics").await;
    let text = String::from_utf8(answer.bytes).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("limits_redis_up"))?;
    Some(line.split(' ').next_back()?.to_owned())
}

/// The service is a process of its own, so that its log is what an operator reads.
#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_under_load_costs_nobody_time_and_is_logged_once() {
    let redis = Server::in_folder("limits-kill");
    let url = start(&redis);
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    let address = free_address();
    let base = format!("http://{address}");
    let dir = PathBuf::from(&redis.dir);
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(dir.join("wechat")),
        notify_base: Some(base.parse().unwrap()),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let mut environment = environment(
        &scratch,
        &dir.join("wechat/wechat.env"),
        &address.to_string(),
    );
    environment.extend(
        [
            ("REDIS_URL", url.as_str()),
            ("ZHANGFANG_LIMITS__ENABLED", "true"),
            ("ZHANGFANG_LIMITS__CUSTOMER_READ", "1000000/60s"),
            ("ZHANGFANG_LIMITS__CREATE_PAYMENT", "5/6000s"),
            ("ZHANGFANG_LOG__FORMAT", "json"),
            (
                "ZHANGFANG_LOG__FILTER",
                "warn,zhangfang::cache::availability=info",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let log = dir.join("service.log");
    let file = std::fs::File::create(&log).unwrap();
    let _service = Service::start_logging(&environment, Stdio::from(file));
    let site = Site::new(&base, tenant.id);
    ready(&site).await;
    let merchant = site.merchant("茶里巷", "1900000203").await;
    let customer = site.customer("patient").await;
    eventually("Redis is seen", || async {
        (gauge(&site).await? == "1").then_some(())
    })
    .await;

    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (customer, done) = (customer.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    seen.push(me(&customer).await);
                }
                seen
            })
        })
        .collect();
    tokio::task::block_in_place(|| dev(&["server", "kill", &redis.dir]));
    eventually("the absence is told", || async {
        (gauge(&site).await? == "0").then_some(())
    })
    .await;

    // Meanwhile limits go on.
    let lonely = site.customer("lonely").await;
    let mut passed = 0;
    for number in 0..8 {
        let body = json!({ "code": merchant.code, "amount_fen": 100 });
        let caller = lonely.keyed(&format!("alone-{number}"));
        let answer = caller.post("/api/v1/customer/payments", &body).await;
        match answer.status {
            201 => passed += 1,
            status => assert_eq!(status, 429),
        }
        assert_eq!(answer.headers["ratelimit-policy"], "5;w=6000");
    }
    assert_eq!(passed, 5);

    tokio::task::block_in_place(|| start(&redis));
    eventually("the return is told", || async {
        (gauge(&site).await? == "1").then_some(())
    })
    .await;
    done.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for task in load {
        for (status, elapsed) in task.await.unwrap() {
            assert_eq!(status, 200);
            took.push(elapsed);
        }
    }
    took.sort_unstable();
    // Waiting for Redis to connect or to answer would be a second each time; single ones may have
    // waited for a busy machine.
    let middle = took[took.len() / 2];
    assert!(middle < Duration::from_millis(500), "{middle:?}");

    let written = std::fs::read_to_string(&log).unwrap();
    let lines = |what: &str| written.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines("\"ERROR\""), 1, "{written}");
    assert_eq!(lines("Redis is away: each process"), 1, "{written}");
    assert_eq!(lines("Redis is back"), 1, "{written}");
    simulator.stop().await;
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_waited_for_once_and_found_when_it_goes_on() {
    let redis = Server::in_folder("limits-hang");
    let url = start(&redis);
    let cache = cache(&url).await;
    // As it is set when nothing is set, but for the bound: what waits is to be seen.
    let settings = LimitSettings {
        redis_timeout: Duration::from_millis(500),
        ..LimitSettings::default()
    };
    let limits = Limits::start(&settings, &cache);
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .unwrap();
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"))
        .unwrap();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, pid.trim()]).status();
        assert!(sent.unwrap().success());
    };
    // On a busy machine an answer can come too late, and then Redis is left alone for a while.
    eventually("Redis is asked", || async {
        let calls = || async { calls(&mut connection.clone()).await };
        let before = calls().await;
        limits.measure(Limit::Points, &somebody(201)).await;
        (calls().await > before).then_some(())
    })
    .await;
    signal("-STOP");
    let began = Instant::now();
    for number in 0..200 {
        limits.measure(Limit::Points, &somebody(number)).await;
    }
    let took = began.elapsed();
    signal("-CONT");
    // One waits half a second; if everybody did it would be a hundred.
    assert!(took < Duration::from_secs(50), "{took:?}");
    assert!(took >= Duration::from_millis(500), "it did not hang");
    eventually("Redis is found again", || async {
        cache.is_up().then_some(())
    })
    .await;
}
