//! Rate limits, and the trusted proxies that say who asks.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Quota, TrustedProxies,
    read::{Section, SettingsGroup},
};

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The network address: for those who have not said yet who they are.
    Address,
    /// The person behind the token: customer, one of a merchant's staff, or operator.
    Person,
    /// All of a merchant's staff together.
    Merchant,
}

/// A class of routes that share one limit. `limit_of` in `http/limit.rs` says which route is in
/// which class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    Login,
    Refresh,
    Public,
    CreatePayment,
    Points,
    CustomerRead,
    CustomerWrite,
    Collect,
    Picture,
    MerchantRead,
    MerchantWrite,
    OpenRead,
    OpenWrite,
    OperatorRead,
    OperatorWrite,
}

const fn per_minute(count: u32) -> Quota {
    match Quota::new(count, 60) {
        Some(quota) => quota,
        None => panic!("found when compiling: no quota of the table is like this"),
    }
}

/// Each limit: its name in settings and metrics, how many unless the settings say otherwise, whose,
/// and why so many.
///
/// Addresses are generous, since a mobile network puts thousands of customers behind one of them:
/// they stop a flood, not a queue.
#[rustfmt::skip]
const TABLE: [(Limit, &str, Quota, Per); 15] = [
    (Limit::Login,         "login",          per_minute(300), Per::Address),
    (Limit::Refresh,       "refresh",        per_minute(300), Per::Address),
    (Limit::Public,        "public",         per_minute(600), Per::Address),
    (Limit::CreatePayment, "create_payment", per_minute(5),   Per::Person),  // makes orders here and at WeChat
    (Limit::Points,        "points",         per_minute(100), Per::Person),
    (Limit::CustomerRead,  "customer_read",  per_minute(120), Per::Person),  // an app that waits asks every second
    (Limit::CustomerWrite, "customer_write", per_minute(30),  Per::Person),  // each asks WeChat
    (Limit::Collect,       "collect",        per_minute(60),  Per::Merchant), // several counters, a customer a second
    (Limit::Picture,       "picture",        per_minute(60),  Per::Person),  // drawn on our processors
    (Limit::MerchantRead,  "merchant_read",  per_minute(300), Per::Person),
    (Limit::MerchantWrite, "merchant_write", per_minute(60),  Per::Merchant),
    (Limit::OpenRead,      "open_read",      per_minute(3000), Per::Person), // a program that serves many customers
    (Limit::OpenWrite,     "open_write",     per_minute(3000), Per::Person),
    (Limit::OperatorRead,  "operator_read",  per_minute(600), Per::Person),
    (Limit::OperatorWrite, "operator_write", per_minute(120), Per::Person),
];

impl Limit {
    /// Every limit.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(limit, ..)| *limit)
    }

    fn row(self) -> &'static (Self, &'static str, Quota, Per) {
        TABLE
            .iter()
            .find(|(limit, ..)| *limit == self)
            .expect("every limit has its row, as a test says")
    }

    /// Its name in settings, metrics and Redis.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Unless the settings say otherwise.
    pub fn default_quota(self) -> Quota {
        self.row().2
    }

    /// Whose requests it counts together.
    pub fn per(self) -> Per {
        self.row().3
    }
}

/// How often one may ask.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// `ZHANGFANG_LIMITS__ENABLED`, default `true`: `false` for load tests.
    pub enabled: bool,
    /// `ZHANGFANG_LIMITS__CREATE_PAYMENT` and the like, `5/60s`; `off` leaves that one out. The
    /// defaults are in the table above. A limit that is not in here is off.
    pub quotas: BTreeMap<Limit, Quota>,
    /// `ZHANGFANG_LIMITS__REDIS_TIMEOUT_MS`, 1 to 1000, default 20: how long a request waits for
    /// Redis before this process decides alone.
    pub redis_timeout: Duration,
    /// `ZHANGFANG_LIMITS__TRUSTED_PROXIES`, default nobody: addresses and networks of the proxies
    /// in front of us, separated by commas. The address of a caller who comes through one of them
    /// is what the proxy says it is.
    pub trusted_proxies: TrustedProxies,
    /// `ZHANGFANG_LIMITS__ADDRESS_HEADER`, default `x-forwarded-for`: the header in which the
    /// trusted proxies say it.
    pub address_header: String,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            quotas: Limit::all()
                .map(|limit| (limit, limit.default_quota()))
                .collect(),
            redis_timeout: Duration::from_millis(20),
            trusted_proxies: TrustedProxies::default(),
            address_header: "x-forwarded-for".to_owned(),
        }
    }
}

impl LimitSettings {
    /// Nobody is limited.
    pub fn off() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }
}

impl SettingsGroup for LimitSettings {
    const SECTION: &'static str = "limits";
    const KEYS: &'static [&'static str] = &[
        "enabled",
        "login",
        "refresh",
        "public",
        "create_payment",
        "points",
        "customer_read",
        "customer_write",
        "collect",
        "picture",
        "merchant_read",
        "merchant_write",
        "open_read",
        "open_write",
        "operator_read",
        "operator_write",
        "redis_timeout_ms",
        "trusted_proxies",
        "address_header",
    ];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let usual = Self::default();
        let enabled = from.or("enabled", usual.enabled, "`true` or `false`");
        let mut quotas = BTreeMap::new();
        for limit in Limit::all() {
            if from
                .given(limit.name())
                .is_some_and(|text| text.trim() == "off")
            {
                continue;
            }
            let quota = from.or(
                limit.name(),
                limit.default_quota(),
                "a quota such as `5/60s` (at most 1000000, within a day at most), or `off`",
            );
            quotas.insert(limit, quota);
        }
        let redis_timeout = from.number("redis_timeout_ms", 20, 1..=1_000);
        let trusted_proxies = from.or(
            "trusted_proxies",
            usual.trusted_proxies,
            "a list of addresses and networks such as `10.0.0.0/8,192.0.2.7`",
        );
        let address_header = match from.given("address_header") {
            Some(name) if is_header_name(name.trim()) => name.trim().to_ascii_lowercase(),
            Some(name) => {
                from.mistake(
                    "address_header",
                    format_args!("is `{name}`, which is not a header's name"),
                );
                usual.address_header
            }
            None => usual.address_header,
        };
        Some(Self {
            enabled,
            quotas,
            redis_timeout: Duration::from_millis(redis_timeout),
            trusted_proxies,
            address_header,
        })
    }
}

fn is_header_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, read::Reader};

    fn read(given: &[(&str, &str)]) -> Result<LimitSettings, String> {
        let mut from = Reader::open(&Source::of(given.iter().copied()));
        let limits = from.read();
        from.finish(|| limits).map_err(|error| error.to_string())
    }

    #[test]
    fn every_limit_has_one_row_and_one_key() {
        let names: Vec<_> = Limit::all().map(Limit::name).collect();
        assert_eq!(&LimitSettings::KEYS[1..=names.len()], names);
        for limit in Limit::all() {
            assert_eq!(limit.row().0, limit);
            assert_eq!(TABLE.iter().filter(|row| row.0 == limit).count(), 1);
            assert!(limit.default_quota().count().get() > 0);
        }
        assert_eq!(Limit::CreatePayment.default_quota().to_string(), "5/60s");
        assert_eq!(Limit::Points.default_quota().to_string(), "100/60s");
        // The last of the enum: one that is added behind it and has no row is found here.
        assert_eq!(Limit::all().last(), Some(Limit::OperatorWrite));
    }

    #[test]
    fn limits_are_on_unless_switched_off_one_by_one_or_all() {
        let usual = read(&[]).unwrap();
        assert!(usual.enabled && usual.quotas.len() == TABLE.len());
        assert_eq!(usual.redis_timeout, Duration::from_millis(20));

        let changed = read(&[
            ("ZHANGFANG_LIMITS__CREATE_PAYMENT", "7/90s"),
            ("ZHANGFANG_LIMITS__PICTURE", "off"),
            ("ZHANGFANG_LIMITS__TRUSTED_PROXIES", "10.0.0.0/8"),
            ("ZHANGFANG_LIMITS__ADDRESS_HEADER", "X-Real-IP"),
        ])
        .unwrap();
        assert_eq!(changed.quotas[&Limit::CreatePayment].to_string(), "7/90s");
        assert!(!changed.quotas.contains_key(&Limit::Picture));
        assert!(changed.trusted_proxies.contain("10.9.9.9".parse().unwrap()));
        assert_eq!(changed.address_header, "x-real-ip");
        assert!(
            !read(&[("ZHANGFANG_LIMITS__ENABLED", "false")])
                .unwrap()
                .enabled
        );
    }

    #[test]
    fn a_wrong_limit_is_reported_by_name() {
        for (name, value) in [
            ("ZHANGFANG_LIMITS__POINTS", "100"),
            ("ZHANGFANG_LIMITS__ENABLED", "maybe"),
            ("ZHANGFANG_LIMITS__REDIS_TIMEOUT_MS", "0"),
            ("ZHANGFANG_LIMITS__TRUSTED_PROXIES", "my-proxy"),
            ("ZHANGFANG_LIMITS__ADDRESS_HEADER", "x forwarded"),
        ] {
            let told = read(&[(name, value)]).unwrap_err();
            assert!(told.starts_with(&format!("{name} is `{value}`")), "{told}");
        }
    }
}
