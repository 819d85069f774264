//! What connections may cost: callers that say nothing, callers that say it slowly, callers that
//! are too many, and bytes that are no request.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use wechat_pay_simulator::{Payment, Simulator, SimulatorSettings};

use crate::harness::{
    Folder, Scratch, Service, Site, TestApp, demo_tenant, environment, eventually, free_address,
    ready,
};

const HALF: &str = "GET /api/v1/customer/me HTTP/1.1\r\nhost: x\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// From another address of this machine.
async fn say_from(client: [u8; 4], address: SocketAddr, text: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the other side hangs up: status, headers, body.
async fn read_answer(mut stream: TcpStream) -> (u16, String, Value) {
    let mut bytes = Vec::new();
    // It may hang up while we still talk.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("it hangs up");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_default();
    (status, head.to_ascii_lowercase(), body)
}

/// A problem of ours with this code, after which the connection ends.
async fn refused(stream: TcpStream, status: u16, code: &str) {
    let (got, head, body) = read_answer(stream).await;
    assert_eq!((got, &body["code"]), (status, &code.into()), "{head}");
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    assert!(head.contains("connection: close"), "{head}");
    let trace_id = body["trace_id"].as_str().unwrap();
    assert!(
        head.contains(&format!("x-request-id: {trace_id}")),
        "{head}"
    );
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
}

/// A connection that is being served: its request's body is awaited.
async fn busy(client: [u8; 4], address: SocketAddr) -> TcpStream {
    let head = request(
        "POST",
        "/api/v1/auth/wechat/login",
        "content-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n",
    );
    let mut stream = say_from(client, address, &head).await;
    let mut answer = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

async fn status_from(client: [u8; 4], address: SocketAddr, request: &str) -> u16 {
    read_answer(say_from(client, address, request).await)
        .await
        .0
}

const LOCAL: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

/// Twice as many half requests as the process has descriptors, and still a customer pays and WeChat
/// tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_keeps_nobody_out() {
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    let address = free_address();
    let base = format!("http://{address}");
    let folder = Folder::new("half");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(folder.to_path_buf()),
        notify_base: Some(base.parse().unwrap()),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let environment = environment(&scratch, &folder.join("wechat.env"), &address.to_string());
    let mut service = Service::start_with_files(&environment, 150);
    let site = Site::new(&base, tenant.id);
    ready(&site).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(say(address, HALF).await);
    }
    // For a moment they are new, and somebody may be asked to come again.
    let me = request("GET", "/api/v1/customer/me", "");
    eventually("somebody is served", || async {
        (status_from(LOCAL, address, &me).await == 401).then_some(())
    })
    .await;
    let merchant = site.merchant("老张面馆", "1900000142").await;
    let li = site.customer("li").await;
    let order_no = site.create(&li, &merchant.code, 1000, "k").await;
    simulator.pay(&order_no, Payment::clean()).await.unwrap();
    site.settled(&li, &order_no).await;
    simulator.idle().await;
    service.kill();
    simulator.stop().await;
    drop(silent);
    scratch.drop().await;
}

#[tokio::test]
async fn slow_requests_are_refused_in_time_and_too_large_ones_at_once() {
    let app = TestApp::with_connections("", |bounds| {
        bounds.head_timeout = Duration::from_secs(1);
        bounds.body_timeout = Duration::from_secs(1);
        bounds.idle_timeout = Duration::from_secs(1);
    })
    .await;
    let address = app.address();
    refused(say(address, HALF).await, 408, "request_too_slow").await;
    refused(say(address, "").await, 408, "request_too_slow").await;
    for path in [
        "/api/v1/auth/wechat/login",
        "/api/v1/wechat/notify/demo/payments",
    ] {
        let kind = "content-type: application/json\r\n";
        let slow = request("POST", path, &format!("{kind}content-length: 9\r\n"));
        let slow = say(address, &format!("{slow}{{")).await;
        refused(slow, 408, "request_too_slow").await;
        let slow = request(
            "POST",
            path,
            &format!("{kind}transfer-encoding: chunked\r\n"),
        );
        let slow = say(address, &format!("{slow}2\r\n{{}}\r\n")).await;
        refused(slow, 408, "request_too_slow").await;
        // Nothing of the body is ever sent.
        let large = request("POST", path, &format!("{kind}content-length: 99999999\r\n"));
        refused(say(address, &large).await, 413, "body_too_large").await;
    }
    // A connection rests, and is closed without a word.
    let rests = say(address, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (status, head, _) = read_answer(rests).await;
    assert_eq!(status, 200);
    assert!(!head.contains("connection: close"), "{head}");
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_request_is_a_problem_as_everything_is() {
    let app = TestApp::start().await;
    let address = app.address();
    let garbage = say(address, "\u{1}\u{2} nonsense\r\n\r\n").await;
    refused(garbage, 400, "request_invalid").await;
    let twice = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
    refused(say(address, twice).await, 400, "request_invalid").await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    refused(say(address, &large).await, 431, "headers_too_large").await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(66_000));
    refused(say(address, &long).await, 414, "uri_too_long").await;
    let http_2 = say(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    refused(http_2, 505, "http_version_unsupported").await;
    // A second request on a connection that had a good one.
    let both = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n{}",
        "nonsense\r\n\r\n"
    );
    let mut text = String::new();
    let mut stream = say(address, &both).await;
    timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(text.contains("request_invalid"), "{text}");
    app.finish().await;
}

#[tokio::test]
async fn callbacks_have_a_reserve_when_all_connections_are_in_use() {
    let app = TestApp::with_connections("", |bounds| {
        (bounds.max, bounds.reserved) = (2, 1);
        bounds.body_timeout = PATIENCE;
    })
    .await;
    let address = app.address();
    let held = [busy(LOCAL, address).await, busy(OTHER, address).await];
    let me = request("GET", "/api/v1/customer/me", "");
    refused(say(address, &me).await, 503, "too_many_connections").await;
    let callback = request(
        "POST",
        "/api/v1/wechat/notify/demo/payments",
        "content-length: 2\r\n",
    ) + "{}";
    assert_eq!(status_from(LOCAL, address, &callback).await, 401);
    let probe = request("GET", "/healthz", "");
    assert_eq!(status_from(LOCAL, address, &probe).await, 200);
    drop(held);
    // That caller succeeds once there is room.
    eventually("there is room", || async {
        (status_from(LOCAL, address, &me).await == 401).then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn whoever_has_waited_longest_makes_room() {
    let app = TestApp::with_connections("", |bounds| (bounds.max, bounds.reserved) = (2, 1)).await;
    let address = app.address();
    let silent = [say(address, HALF).await, say(address, "").await];
    let me = request("GET", "/api/v1/customer/me", "");
    // As soon as they are not new any more, and long before their time is over.
    eventually("somebody is served", || async {
        (status_from(LOCAL, address, &me).await == 401).then_some(())
    })
    .await;
    drop(silent);
    app.finish().await;
}

#[tokio::test]
async fn one_address_is_bounded_and_a_proxy_is_not() {
    for (proxies, third) in [("", 503), ("127.0.0.1", 401)] {
        let app = TestApp::with_connections(proxies, |bounds| {
            (bounds.per_address_max, bounds.reserved) = (2, 1);
            bounds.body_timeout = PATIENCE;
        })
        .await;
        let address = app.address();
        let held = [busy(LOCAL, address).await, busy(LOCAL, address).await];
        let me = request("GET", "/api/v1/customer/me", "");
        assert_eq!(status_from(LOCAL, address, &me).await, third, "{proxies}");
        assert_eq!(status_from(OTHER, address, &me).await, 401);
        drop(held);
        app.finish().await;
    }
}
