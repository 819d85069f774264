//! What may be lost.

use url::Url;

use super::read::{Concern, Section};
use crate::primitives::Secret;

#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `REDIS_URL`, default `redis://127.0.0.1:6379`. Redis may be away: the service starts and works without it.
    pub url: Secret<String>,
}

impl Concern for RedisSettings {
    const SECTION: &'static str = "redis";
    const KEYS: &'static [&'static str] = &["url"];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let url = from
            .given("url")
            .unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
        let scheme = Url::parse(&url)
            .map(|url| url.scheme().to_owned())
            .unwrap_or_default();
        if !["redis", "redis+unix", "unix"].contains(&scheme.as_str()) {
            from.mistake(
                "url",
                "is not of the form redis://user:password@host:port/number",
            );
        }
        Some(Self {
            url: Secret::new(url),
        })
    }
}
