//! Rate limits: who may ask how often.
//!
//! A request is measured against one [`Limit`], the class of its route, and for one [`Subject`],
//! whose requests are counted together. The limits and their defaults are one table in
//! `config/limits.rs`; `http/limit.rs` says which route is in which class. This slice knows neither
//! routes nor payments.
//!
//! # The algorithm
//!
//! GCRA, the leaky bucket as one number: a subject's *backlog*, the time in which all it has used
//! comes back. `5/60s` is an interval of 12 seconds and room for five: five requests at once, and
//! then one more for every twelve seconds. It was chosen over a sliding window counter because
//!
//! - a customer who has mistyped five times waits twelve seconds and not the rest of a minute, at a
//!   counter with a queue behind;
//! - it is one integer for each subject, which expires by itself, and needs no guess about how the
//!   last window was spread;
//! - `governor` computes the same, so what people meet does not change with Redis.
//!
//! The price: from rest, `n` at once and `n` more in the first period can pass. Over any longer
//! time it is `n` in a period, exactly. Refused requests use nothing up. Repeating a request with
//! the same `Idempotency-Key` is a request.
//!
//! # Two places
//!
//! `LocalLimiter`, in this process (`governor`): microseconds, and asked first. What it refuses
//! does not reach Redis, so a flood costs Redis nothing. It counts a part of what Redis counts, so
//! Redis would refuse it too. (One exception: a request that it allowed and Redis refused is
//! counted here. A subject that insists against two processes gets a little less than its quota
//! until it waits.)
//!
//! `SharedLimiter`, one script on one key in Redis, one round trip: what all processes let pass
//! together. One key, because in a cluster a script runs where its key is; that is why a request
//! has one subject.
//!
//! # What is exact
//!
//! With Redis there, however many processes: the limit, exactly. Without it each process keeps the
//! limit by itself, so that `k` processes let through up to `k` times as much. Failing open in this
//! measured way is a decision: nothing of the books depends on limits, and refusing every customer
//! because a cache is gone would be the worse accident.
//!
//! | Redis is | what happens |
//! |---|---|
//! | slow | a request waits `ZHANGFANG_LIMITS__REDIS_TIMEOUT_MS` (20) at most, once; then this process decides alone until a ping is answered |
//! | killed | those under way are decided here at once, the rest does not ask; the ping finds it when it is back |
//! | back and empty | everybody's bucket is fresh there; the local limiters still remember what passed through them |
//! | behind after a failover | what was not replicated is forgotten: a subject gains at most its quota, once |
//! | of another clock after it | a backlog is never taken for more than the whole quota, so nobody waits longer than one interval for it |
//! | full or read-only | as if it were away, again and again, without the alarm: the cache's warning, once a minute, names the error |
//!
//! Time in Redis is Redis's own (`TIME` in the script), never ours; in the process it is the
//! monotonic clock. Nothing compares the two.
//!
//! One alarm, risk's and ours together (`cache/availability.rs`): an error line and
//! `limits_redis_up` 0 when two pings in a row have failed, an info line and 1 when one succeeds
//! again.
//! `limits_total{limit,outcome}` counts `allowed` and `refused` (Redis said so), `refused_locally`
//! (the local limiter did) and `allowed_locally` (the guard did, since Redis was away).

mod decision;
mod limiter;
mod local;
mod shared;

pub use crate::config::{Limit, Per, Quota};
pub use crate::facts::Subject;
pub use decision::LimitDecision;
pub use limiter::Limits;
pub use shared::DECIDE;
