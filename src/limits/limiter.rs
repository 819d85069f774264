//! All limits, local and shared.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Limit, LimitDecision, Subject, local::LocalLimiter, shared::SharedLimiter};
use crate::{
    cache::Cache,
    config::{LimitSettings, Quota},
};

/// How often subjects are dropped whose quota is full again.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// All limits; cheap to clone.
#[derive(Clone)]
pub struct Limits(Option<Arc<Inner>>);

struct Inner {
    rules: BTreeMap<Limit, (Quota, LocalLimiter)>,
    shared: SharedLimiter,
}

impl Limits {
    /// Begins to count, unless the settings say not to. Needs a runtime, for the alarm and the
    /// sweeping.
    pub fn start(settings: &LimitSettings, cache: &Cache) -> Self {
        if !settings.enabled || settings.quotas.is_empty() {
            return Self(None);
        }
        let rules = settings
            .quotas
            .iter()
            .map(|(limit, quota)| (*limit, (*quota, LocalLimiter::new(*quota))))
            .collect();
        let shared = SharedLimiter::new(cache.clone(), settings.redis_timeout);
        let inner = Arc::new(Inner { rules, shared });
        cache.report_availability();
        tokio::spawn(keep_sweeping(Arc::downgrade(&inner)));
        Self(Some(inner))
    }

    /// Whether there is such a limit.
    pub fn has(&self, limit: Limit) -> bool {
        self.0
            .as_ref()
            .is_some_and(|inner| inner.rules.contains_key(&limit))
    }

    /// Counts one request and says whether it may go on; `None` without such a limit. Waits for
    /// Redis for [`LimitSettings::redis_timeout`] at most.
    pub async fn measure(&self, limit: Limit, subject: &Subject) -> Option<LimitDecision> {
        let inner = self.0.as_ref()?;
        let (quota, local) = inner.rules.get(&limit)?;
        let here = local.check(subject);
        let (decision, outcome) = if here.allowed() {
            match inner.shared.check(limit, *quota, subject).await {
                Some(shared) if shared.allowed() => (shared, "allowed"),
                Some(shared) => (shared, "refused"),
                None => (here, "allowed_locally"),
            }
        } else {
            (here, "refused_locally")
        };
        metrics::counter!("limits_total", "limit" => limit.name(), "outcome" => outcome)
            .increment(1);
        Some(decision)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quotas = self.0.iter().flat_map(|inner| &inner.rules);
        f.debug_map()
            .entries(quotas.map(|(limit, (quota, _))| (limit, quota)))
            .finish()
    }
}

/// Runs until the last handle is dropped.
async fn keep_sweeping(limits: Weak<Inner>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(inner) = limits.upgrade() else {
            return;
        };
        // A pass over what may be many: not on a thread that answers requests.
        let sweeping = tokio::task::spawn_blocking(move || {
            for (_, local) in inner.rules.values() {
                local.sweep();
            }
        });
        if sweeping.await.is_err() {
            tracing::error!("the subjects of local limits are not swept any more");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisSettings;

    #[tokio::test]
    async fn without_redis_the_process_keeps_its_limits_and_nobody_waits() {
        // A port that nobody listens on, taken and given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let url = format!("redis://127.0.0.1:{port}");
        let cache = Cache::start(&RedisSettings::at(url)).await.unwrap();
        let limits = Limits::start(&LimitSettings::default(), &cache);
        let somebody = Subject::address([203, 0, 113, 1].into());
        let began = std::time::Instant::now();
        let mut allowed = 0;
        for _ in 0..1_000 {
            let decision = limits.measure(Limit::CreatePayment, &somebody).await;
            allowed += u32::from(decision.unwrap().allowed());
        }
        assert_eq!(allowed, 5);
        // A thousand that each waited 20 ms would need twice as long.
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn what_is_off_is_off() {
        let url = "redis://127.0.0.1:1".to_owned();
        let cache = Cache::start(&RedisSettings::at(url)).await.unwrap();
        let mut settings = LimitSettings::default();
        settings.quotas.remove(&Limit::Points);
        let limits = Limits::start(&settings, &cache);
        let somebody = Subject::address([203, 0, 113, 1].into());
        assert!(limits.has(Limit::Login) && !limits.has(Limit::Points));
        assert_eq!(limits.measure(Limit::Points, &somebody).await, None);
        let off = Limits::start(&LimitSettings::off(), &cache);
        assert!(!off.has(Limit::Login));
        assert_eq!(off.measure(Limit::Login, &somebody).await, None);
    }
}
