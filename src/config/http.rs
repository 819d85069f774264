//! The side that callers see.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use url::Url;

use super::read::{Section, SettingsGroup};

#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// `ZHANGFANG_HTTP__LISTEN`, default `127.0.0.1:8080`: address and port.
    pub listen: SocketAddr,
    /// `ZHANGFANG_HTTP__PUBLIC_URL`, default `http://` and the address listened on: how customers
    /// reach us. It is printed in the codes on the counters, so it must be https outside this
    /// machine and should never change.
    pub public_url: Url,
    /// `ZHANGFANG_HTTP__BODY_MAX_BYTES`, default 65536: larger requests are refused.
    pub body_max_bytes: usize,
    /// `ZHANGFANG_HTTP__REQUEST_TIMEOUT_SECONDS`, default 15: after this the caller is answered
    /// 504.
    pub request_timeout: Duration,
    /// `ZHANGFANG_HTTP__SHUTDOWN_TIMEOUT_SECONDS`, default 20: how long a stopping process goes on
    /// answering what it took.
    pub shutdown_timeout: Duration,
    pub connections: ConnectionSettings,
}

/// How many connections, and how long one may keep its place without using it.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// `ZHANGFANG_HTTP__CONNECTIONS_MAX`, default 2048: connections in all. Fewer where the process
    /// may not open so many files.
    pub max: usize,
    /// `ZHANGFANG_HTTP__CONNECTIONS_PER_ADDRESS_MAX`, default 256: connections of one address.
    /// Trusted proxies are not bound by it.
    pub per_address_max: usize,
    /// `ZHANGFANG_HTTP__CONNECTIONS_RESERVED`, default 64: connections beyond these bounds, good
    /// for WeChat's callbacks and probes alone.
    pub reserved: usize,
    /// `ZHANGFANG_HTTP__HEAD_TIMEOUT_SECONDS`, default 10: how long a request's head may take.
    pub head_timeout: Duration,
    /// `ZHANGFANG_HTTP__BODY_TIMEOUT_SECONDS`, default 10: how long a request's body may take.
    pub body_timeout: Duration,
    /// `ZHANGFANG_HTTP__IDLE_TIMEOUT_SECONDS`, default 75: how long a connection may rest between
    /// requests. Longer than proxies keep theirs, so that none sends a request to a connection that
    /// is just being closed.
    pub idle_timeout: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max: 2_048,
            per_address_max: 256,
            reserved: 64,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

impl ConnectionSettings {
    /// These settings with no more than so many connections in all, the reserve with them: it is at
    /// most a quarter then.
    #[must_use]
    pub fn within(mut self, most: Option<usize>) -> Self {
        let Some(most) = most.filter(|most| *most < self.max.saturating_add(self.reserved)) else {
            return self;
        };
        self.reserved = self.reserved.min(most / 4);
        self.max = most.saturating_sub(self.reserved).max(1);
        self
    }
}

impl SettingsGroup for HttpSettings {
    const SECTION: &'static str = "http";
    const KEYS: &'static [&'static str] = &[
        "listen",
        "public_url",
        "body_max_bytes",
        "request_timeout_seconds",
        "shutdown_timeout_seconds",
        "connections_max",
        "connections_per_address_max",
        "connections_reserved",
        "head_timeout_seconds",
        "body_timeout_seconds",
        "idle_timeout_seconds",
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
        let usual = ConnectionSettings::default();
        let connections = ConnectionSettings {
            max: from.number("connections_max", usual.max, 4..=100_000),
            per_address_max: from.number(
                "connections_per_address_max",
                usual.per_address_max,
                1..=100_000,
            ),
            reserved: from.number("connections_reserved", usual.reserved, 1..=10_000),
            head_timeout: Duration::from_secs(from.number("head_timeout_seconds", 10, 1..=120)),
            body_timeout: Duration::from_secs(from.number("body_timeout_seconds", 10, 1..=120)),
            idle_timeout: Duration::from_secs(from.number("idle_timeout_seconds", 75, 1..=3_600)),
        };
        Some(Self {
            listen,
            public_url: public_url?,
            body_max_bytes,
            request_timeout: Duration::from_secs(request_timeout),
            shutdown_timeout: Duration::from_secs(shutdown_timeout),
            connections,
        })
    }
}
