//! The side that callers see.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use url::Url;

use super::read::{Concern, Section};

#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// `ZHANGFANG_HTTP__LISTEN`, default `127.0.0.1:8080`: address and port.
    pub listen: SocketAddr,
    /// `ZHANGFANG_HTTP__PUBLIC_URL`, default `http://` and the address listened on: how customers reach us. It is printed in
    /// the codes on the counters, so it must be https outside this machine and should never change.
    pub public_url: Url,
    /// `ZHANGFANG_HTTP__BODY_MAX_BYTES`, default 65536: larger requests are refused.
    pub body_max_bytes: usize,
    /// `ZHANGFANG_HTTP__REQUEST_TIMEOUT_SECONDS`, default 15: after this the caller is answered 504.
    pub request_timeout: Duration,
    /// `ZHANGFANG_HTTP__SHUTDOWN_TIMEOUT_SECONDS`, default 20: how long a stopping process goes on answering what it took.
    pub shutdown_timeout: Duration,
}

impl Concern for HttpSettings {
    const SECTION: &'static str = "http";
    const KEYS: &'static [&'static str] = &[
        "listen",
        "public_url",
        "body_max_bytes",
        "request_timeout_seconds",
        "shutdown_timeout_seconds",
    ];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let nearby = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let listen = from.or(
            "listen",
            nearby,
            "an address and a port such as `127.0.0.1:8080`",
        );
        let public_url = match from.given("public_url") {
            Some(text) => from.address("public_url", &text, true),
            None => Url::parse(&format!("http://{listen}")).ok(),
        };
        let body_max_bytes = from.number("body_max_bytes", 65_536, 4_096..=16_777_216);
        let request_timeout = from.number("request_timeout_seconds", 15, 1..=120);
        let shutdown_timeout = from.number("shutdown_timeout_seconds", 20, 1..=300);
        Some(Self {
            listen,
            public_url: public_url?,
            body_max_bytes,
            request_timeout: Duration::from_secs(request_timeout),
            shutdown_timeout: Duration::from_secs(shutdown_timeout),
        })
    }
}
