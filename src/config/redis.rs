//! Redis: what is kept there may be lost.

use std::time::Duration;

use url::Url;

use super::read::{Section, SettingsGroup};
use crate::primitives::Secret;

#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `REDIS_URL`, default `redis://127.0.0.1:6379`. Redis may be away: the service starts and
    /// works without it. A cluster is `redis+cluster://user:password@one:6379,two:6379`, a master
    /// behind sentinels `redis+sentinel://user:password@one:26379,two:26379/name/0`.
    pub url: Secret<String>,
    /// `ZHANGFANG_REDIS__TIMEOUT_MS`, 1 to 10,000, default 50: how long one command may take before
    /// the process goes on without Redis. Rate limits and risk have shorter bounds of their own.
    pub timeout: Duration,
}

impl RedisSettings {
    const TIMEOUT_MS: u64 = 50;

    /// The Redis at an address that was read elsewhere, with the usual bound.
    pub fn at(url: String) -> Self {
        Self {
            url: Secret::new(url),
            timeout: Duration::from_millis(Self::TIMEOUT_MS),
        }
    }
}

impl SettingsGroup for RedisSettings {
    const SECTION: &'static str = "redis";
    const KEYS: &'static [&'static str] = &["url", "timeout_ms"];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let url = from
            .given("url")
            .unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
        // Lists of hosts are no URLs to the parser: the cache reads them itself.
        let list = ["redis+cluster://", "redis+sentinel://"];
        let scheme = Url::parse(&url)
            .map(|url| url.scheme().to_owned())
            .unwrap_or_default();
        if !["redis", "redis+unix", "unix"].contains(&scheme.as_str())
            && !list.iter().any(|prefix| url.starts_with(prefix))
        {
            from.mistake(
                "url",
                "is not of the form redis://user:password@host:port/number, redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/name",
            );
        }
        let timeout = from.number("timeout_ms", Self::TIMEOUT_MS, 1..=10_000);
        Some(Self {
            timeout: Duration::from_millis(timeout),
            ..Self::at(url)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, read::Reader};

    #[test]
    fn one_server_a_cluster_and_sentinels_have_addresses() {
        let read = |url: &str| {
            let mut from = Reader::open(&Source::of([("REDIS_URL", url)]));
            let redis: Option<RedisSettings> = from.read();
            from.finish(|| redis)
        };
        for good in [
            "redis://:secret@localhost:6379/1",
            "redis+unix:///run/redis.sock",
            "redis+cluster://:secret@one:6379,two:6379",
            "redis+sentinel://one:26379,two:26379/mymaster/0",
        ] {
            assert_eq!(read(good).unwrap().url.expose(), good);
        }
        let told = read("http://:secret@localhost").unwrap_err().to_string();
        assert!(told.starts_with("REDIS_URL is not of the form"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }

    #[test]
    fn the_bound_of_a_command_can_be_set() {
        let read = |given: &[(&str, &str)]| {
            let mut from = Reader::open(&Source::of(given.iter().copied()));
            let redis: Option<RedisSettings> = from.read();
            from.finish(|| redis).map(|redis| redis.timeout)
        };
        assert_eq!(read(&[]).unwrap(), Duration::from_millis(50));
        let set = |ms| read(&[("ZHANGFANG_REDIS__TIMEOUT_MS", ms)]);
        assert_eq!(set("200").unwrap(), Duration::from_millis(200));
        let refused = set("0").unwrap_err().to_string();
        assert!(
            refused.starts_with("ZHANGFANG_REDIS__TIMEOUT_MS is `0`"),
            "{refused}"
        );
    }
}
