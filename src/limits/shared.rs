//! One limit, as all processes count it together: a script in Redis.

use std::time::Duration;

use super::{Limit, LimitDecision, Subject};
use crate::{
    cache::{Cache, CacheScript},
    config::Quota,
};

/// Redis's clock, in microseconds; doubles hold it exactly until the year 2255.
const CLOCK: &str = "
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
";

/// The decision, once `now` is known: the key holds when the subject's backlog will be gone, in
/// microseconds of Redis's clock. The arguments are the quota's interval and capacity; the answer
/// is 1 or 0 and the backlog, all in microseconds.
///
/// Without its clock, so that a test can give it any.
pub const DECIDE: &str = "
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local backlog = math.max(stored - now, 0)
local changed, allowed = false, 0
-- More than everything: the clock was set back, or the quota made smaller.
if backlog > capacity then
    backlog, changed = capacity, true
end
if backlog + interval <= capacity then
    backlog, changed, allowed = backlog + interval, true, 1
end
if changed then
    redis.call('SET', KEYS[1], string.format('%.0f', now + backlog), 'PX', string.format('%.0f', math.ceil(backlog / 1000)))
end
return {allowed, backlog}
";

/// Counts what passed through all processes.
pub(super) struct SharedLimiter {
    cache: Cache,
    script: CacheScript,
    timeout: Duration,
}

impl SharedLimiter {
    pub(super) fn new(cache: Cache, timeout: Duration) -> Self {
        Self {
            cache,
            script: CacheScript::new(format!("{CLOCK}{DECIDE}")),
            timeout,
        }
    }

    /// Decides for all processes; `None` when Redis does not reply in time.
    pub(super) async fn check(
        &self,
        limit: Limit,
        quota: Quota,
        subject: &Subject,
    ) -> Option<LimitDecision> {
        let key = format!("zf:limit:{}:{}", limit.name(), subject.key());
        let arguments = [quota.interval_us(), quota.capacity_us()];
        let (allowed, backlog_us): (u8, u64) = self
            .cache
            .run(&self.script, &[key], &arguments, self.timeout)
            .await?;
        Some(LimitDecision::new(quota, allowed == 1, backlog_us))
    }
}
