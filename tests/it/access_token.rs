//! One access token for many processes: shared through Redis, and asked for by each when that does
//! not help.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, routing::post};
use redis::AsyncCommands as _;
use serde_json::json;
use zhangfang::{
    cache::Cache,
    config::WechatSettings,
    deliveries::{Handover, Notifier as _, ShippingReport},
    payments::ChannelOutcome,
    primitives::{Secret, SystemClock, Timestamp},
    wechat::MiniProgram,
};

use crate::harness::{TestApp, patient_redis, redis_url, wechat_settings};

/// Gives another token to everybody who asks, counts, and takes every report.
async fn wechat(asked: Arc<AtomicUsize>) -> String {
    let token = move || async move {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        Json(json!({ "access_token": format!("TOKEN-{number}"), "expires_in": 7200 }))
    };
    let report = async || Json(json!({ "errcode": 0, "errmsg": "ok" }));
    let router = Router::new()
        .route("/cgi-bin/stable_token", post(token))
        .route("/wxa/sec/order/upload_shipping_info", post(report));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

async fn settings(app: &TestApp, asked: &Arc<AtomicUsize>) -> WechatSettings {
    let mut settings = wechat_settings(&app.simulator, "http://127.0.0.1:9");
    settings.mini_program_url = wechat(Arc::clone(asked)).await.parse().unwrap();
    settings
}

async fn process(settings: &WechatSettings, redis: String) -> MiniProgram {
    let cache = Cache::start(&patient_redis(redis)).await.unwrap();
    let program = MiniProgram::new(settings).unwrap();
    program.sharing(cache, Arc::new(SystemClock))
}

fn report() -> ShippingReport {
    ShippingReport {
        wechat_transaction_id: "4200001234".to_owned(),
        openid: Secret::new("oA".to_owned()),
        handover: Handover::Virtual,
        item: "茶".to_owned(),
        at: Timestamp::from_micros(0),
    }
}

async fn all_call(processes: &[MiniProgram]) {
    let calls = processes
        .iter()
        .flat_map(|program| [(); 5].map(|()| program.report_shipping(report())));
    for outcome in futures_util::future::join_all(calls).await {
        assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_share_a_cache_ask_for_one_token() {
    let app = TestApp::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let settings = settings(&app, &asked).await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(process(&settings, redis_url()).await);
    }
    all_call(&processes).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // One that comes later finds it there.
    all_call(&[process(&settings, redis_url()).await]).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_process_asks_for_itself() {
    let app = TestApp::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let settings = settings(&app, &asked).await;
    let nobody = || "redis://127.0.0.1:9".to_owned();
    let processes = [
        process(&settings, nobody()).await,
        process(&settings, nobody()).await,
    ];
    all_call(&processes).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_killed_while_asking_holds_nobody_up_for_long() {
    let app = TestApp::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let settings = settings(&app, &asked).await;
    let url = &settings.mini_program_url;
    let lease = format!(
        "zf:access_token_lease:{}@{}",
        settings.app_id,
        url.authority()
    );
    let redis = redis::Client::open(redis_url()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    // Longer than the caller's patience, so that it is the patience that ends.
    redis.set_ex::<_, _, ()>(&lease, "1", 60).await.unwrap();
    let began = std::time::Instant::now();
    all_call(&[process(&settings, redis_url()).await]).await;
    assert!(
        began.elapsed().as_secs() >= 2,
        "the lease was not respected"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let left: bool = redis.exists(&lease).await.unwrap();
    assert!(!left);
    app.finish().await;
}
