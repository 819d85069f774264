//! Rate limits: through HTTP, on a Redis that fails, on a cluster and behind sentinels.

mod http;
mod topology;
mod without_redis;

use std::time::Duration;

use zhangfang::{
    cache::Cache,
    config::{LimitSettings, RedisSettings},
    limits::{Limit, Limits, Quota, Subject},
};

async fn cache(url: &str) -> Cache {
    Cache::start(&RedisSettings::at(url.to_owned()))
        .await
        .unwrap()
}

/// Five, and they come back too slowly for a test to see.
fn five(cache: &Cache) -> Limits {
    let mut settings = LimitSettings {
        redis_timeout: Duration::from_secs(1),
        ..LimitSettings::default()
    };
    let quota = Quota::new(5, 80_000).unwrap();
    settings.quotas.insert(Limit::CreatePayment, quota);
    Limits::start(&settings, cache)
}

fn somebody(number: u8) -> Subject {
    Subject::address([203, 0, 113, number].into())
}

async fn allowed(limits: &Limits, subject: &Subject) -> bool {
    let decision = limits.measure(Limit::CreatePayment, subject).await;
    decision.unwrap().allowed()
}

/// Two processes' worth of limits on one Redis let five through together.
async fn five_together(one: &Limits, two: &Limits, subject: &Subject) -> usize {
    let mut passed = 0;
    for _ in 0..5 {
        passed += usize::from(allowed(one, subject).await);
        passed += usize::from(allowed(two, subject).await);
    }
    passed
}
