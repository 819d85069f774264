//! What may vanish at any time: JSON values in Redis under typed keys.
//!
//! Nothing is decided on a cached value, and nothing waits for Redis: a command gets 50 ms, and
//! after one that failed the cache is left alone (every `get` a miss, every `put` nothing) until a
//! ping in the background succeeds again. So a service without Redis is a service without a cache,
//! from its first second on. The ping follows the failure at once, so that one lost answer costs a
//! moment; only when two pings in a row have failed does [`Cache::availability`] say that Redis is
//! away.
//!
//! Redis may be one server, a cluster, or a master behind sentinels: `link.rs` has the forms of
//! `REDIS_URL`.

use std::{
    fmt::{self, Display},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::{AsyncCommands, FromRedisValue, RedisError, ToRedisArgs};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::config::RedisSettings;

mod availability;
mod link;
mod script;
mod throttled_warning;

pub use script::CacheScript;

use link::{Connection, Link};
use throttled_warning::ThrottledWarning;

/// Names one cached value and knows its type.
pub trait CacheKey: Sync {
    type Value: Serialize + DeserializeOwned + Send + Sync;

    /// First part of the name in Redis, and a metric's label: `merchant`, `rule`.
    const KIND: &'static str;
    /// How long a value is kept.
    const TTL: Duration;

    /// The rest of the name.
    fn name(&self) -> impl Display + Send;
}

/// The address of Redis is not one.
#[derive(Debug, thiserror::Error)]
#[error("REDIS_URL cannot be used")]
pub struct CacheError(#[from] RedisError);

/// A handle on the cache, cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    redis: Link,
    /// How long a command may take that says nothing else.
    timeout: Duration,
    up: AtomicBool,
    /// The result of the pings, without single failures.
    availability: watch::Sender<bool>,
    pings_failed: AtomicU32,
    /// Wakes the task that pings.
    ask: Notify,
    warning: ThrottledWarning,
    /// Outages are being logged.
    reporting: AtomicBool,
}

/// The connection itself times out after this, or after a command's bound if that is longer.
const LINK_TIMEOUT: Duration = Duration::from_secs(1);
const PING_EVERY: Duration = Duration::from_secs(1);
/// Between a failure and the ping that looks into it, so that a server that fails at everything but
/// pings is not asked without end.
const PING_AFTER_FAILURE: Duration = Duration::from_millis(20);

impl Cache {
    /// Starts connecting. Fails only when the address makes no sense; waits at most a second for a
    /// Redis that is there.
    pub async fn start(settings: &RedisSettings) -> Result<Self, CacheError> {
        let inner = Inner {
            redis: Link::new(settings.url.expose(), settings.timeout.max(LINK_TIMEOUT))?,
            timeout: settings.timeout,
            up: AtomicBool::new(false),
            availability: watch::Sender::new(false),
            pings_failed: AtomicU32::new(0),
            ask: Notify::new(),
            warning: ThrottledWarning::default(),
            reporting: AtomicBool::new(false),
        };
        let inner = Arc::new(inner);
        inner.ping().await;
        tokio::spawn(keep_asking(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// Whether Redis answered lately.
    pub fn is_up(&self) -> bool {
        self.0.up.load(Ordering::Relaxed)
    }

    /// Whether Redis is reachable; one lost answer that is followed by a successful ping does not
    /// count.
    pub fn availability(&self) -> watch::Receiver<bool> {
        self.0.availability.subscribe()
    }

    /// Runs a script and waits for `max_wait` at most. `None` when Redis is away, too slow, or
    /// answers something else. In a cluster ([`Self::is_cluster`]) several keys must share a hash
    /// tag.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &CacheScript,
        keys: &[impl ToRedisArgs],
        arguments: &[impl ToRedisArgs],
        max_wait: Duration,
    ) -> Option<T> {
        self.0
            .attempt_within(max_wait, "script", async |redis: Connection| {
                script.run(redis, keys, arguments).await
            })
            .await
    }

    /// Whether keys live on different servers, unless they share a hash tag (`{..}` in their
    /// names).
    pub fn is_cluster(&self) -> bool {
        self.0.redis.is_cluster()
    }

    /// From now on logs when Redis becomes unreachable and when it is back; further calls change
    /// nothing. Needs a runtime.
    pub fn report_availability(&self) {
        if !self.0.reporting.swap(true, Ordering::Relaxed) {
            tokio::spawn(availability::report_availability(self.availability()));
        }
    }

    /// The value, if it is there, can be had at once, and still has its type's shape.
    pub async fn get<K: CacheKey>(&self, key: &K) -> Option<K::Value> {
        let text: Option<Vec<u8>> = self
            .0
            .attempt("get", async |mut redis: Connection| {
                redis.get(name_of(key)).await
            })
            .await
            .flatten();
        let found = text.and_then(|text| serde_json::from_slice(&text).ok());
        let outcome = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!("cache_reads_total", "kind" => K::KIND, "outcome" => outcome)
            .increment(1);
        found
    }

    /// Keeps the value for [`CacheKey::TTL`], or not.
    pub async fn put<K: CacheKey>(&self, key: &K, value: &K::Value) {
        let Ok(text) = serde_json::to_vec(value) else {
            return;
        };
        let seconds = K::TTL.as_secs().max(1);
        self.0
            .attempt("put", async |mut redis: Connection| {
                redis.set_ex::<_, _, ()>(name_of(key), text, seconds).await
            })
            .await;
    }

    /// Keeps the value for [`CacheKey::TTL`] unless there is one: true when it was kept. `None`
    /// when Redis is away and nobody can tell.
    ///
    /// A courtesy between processes, so that they do not all do the same at once; never what keeps
    /// two of them from doing it.
    pub async fn claim<K: CacheKey>(&self, key: &K, value: &K::Value) -> Option<bool> {
        let text = serde_json::to_vec(value).ok()?;
        let seconds = K::TTL.as_secs().max(1);
        let kept: Option<String> = self
            .0
            .attempt("claim", async |mut redis: Connection| {
                redis::cmd("SET")
                    .arg(name_of(key))
                    .arg(text)
                    .arg("NX")
                    .arg("EX")
                    .arg(seconds)
                    .query_async(&mut redis)
                    .await
            })
            .await?;
        Some(kept.is_some())
    }

    /// Forgets the value. When Redis is away it may come back with the value and keep it for
    /// [`CacheKey::TTL`].
    pub async fn forget<K: CacheKey>(&self, key: &K) {
        self.0
            .attempt("forget", async |mut redis: Connection| {
                redis.del::<_, ()>(name_of(key)).await
            })
            .await;
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

fn name_of<K: CacheKey>(key: &K) -> String {
    format!("zf:{}:{}", K::KIND, key.name())
}

impl Inner {
    async fn attempt<T>(
        &self,
        command: &'static str,
        run: impl AsyncFnOnce(Connection) -> Result<T, RedisError>,
    ) -> Option<T> {
        self.attempt_within(self.timeout, command, run).await
    }

    /// Runs a command unless Redis is known to be away. The time-out covers waiting for a
    /// connection too, which redis's own does not.
    async fn attempt_within<T>(
        &self,
        max_wait: Duration,
        command: &'static str,
        run: impl AsyncFnOnce(Connection) -> Result<T, RedisError>,
    ) -> Option<T> {
        let up = self.up.load(Ordering::Relaxed);
        let Some(redis) = up.then(|| self.redis.connection()).flatten() else {
            metrics::counter!("cache_failures_total", "command" => command).increment(1);
            return None;
        };
        let error = match timeout(max_wait, run(redis)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {max_wait:?}"),
        };
        metrics::counter!("cache_failures_total", "command" => command).increment(1);
        self.up.store(false, Ordering::Relaxed);
        self.redis.suspect();
        self.ask.notify_one();
        self.warning
            .log(|| tracing::warn!(command, error, "cache is away; going on without it"));
        None
    }

    async fn ping(&self) {
        let up = self.redis.ping().await;
        let was_up = self.up.swap(up, Ordering::Relaxed);
        let failed = if up {
            self.pings_failed.store(0, Ordering::Relaxed);
            0
        } else {
            self.pings_failed.fetch_add(1, Ordering::Relaxed)
        };
        if up || failed > 0 {
            self.availability
                .send_if_modified(|said| std::mem::replace(said, up) != up);
        }
        metrics::gauge!("cache_up").set(if up { 1.0 } else { 0.0 });
        match (was_up, up) {
            (false, true) => tracing::info!("cache is up"),
            (_, false) => {
                self.warning
                    .log(|| tracing::warn!("cache is away; going on without it"));
            }
            (true, true) => {}
        }
    }
}

/// Until the last handle is gone.
async fn keep_asking(cache: Weak<Inner>) {
    loop {
        let Some(inner) = cache.upgrade() else { return };
        let asked = timeout(PING_EVERY, inner.ask.notified()).await.is_ok();
        drop(inner);
        if asked {
            tokio::time::sleep(PING_AFTER_FAILURE).await;
        }
        let Some(cache) = cache.upgrade() else { return };
        cache.ping().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Merchant(u32);

    impl CacheKey for Merchant {
        type Value = String;
        const KIND: &'static str = "merchant";
        const TTL: Duration = Duration::from_mins(1);

        fn name(&self) -> impl Display + Send {
            self.0
        }
    }

    #[tokio::test]
    async fn without_redis_everything_is_a_miss_and_nothing_waits() {
        // A port that nobody listens on, taken and given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let url = format!("redis://127.0.0.1:{port}");
        let cache = Cache::start(&RedisSettings::at(url)).await.unwrap();
        assert!(!cache.is_up());
        let began = std::time::Instant::now();
        for _ in 0..1000 {
            cache.put(&Merchant(1), &"tea".to_owned()).await;
            assert_eq!(cache.get(&Merchant(1)).await, None);
            assert_eq!(cache.claim(&Merchant(1), &"tea".to_owned()).await, None);
            cache.forget(&Merchant(1)).await;
        }
        // Four thousand that each waited would need minutes.
        assert!(began.elapsed() < Duration::from_mins(1));
    }

    #[tokio::test]
    async fn an_address_that_makes_no_sense_is_refused() {
        let settings = RedisSettings::at("http://localhost".to_owned());
        assert!(Cache::start(&settings).await.is_err());
    }

    #[test]
    fn names_carry_their_kind() {
        assert_eq!(name_of(&Merchant(7)), "zf:merchant:7");
    }
}
