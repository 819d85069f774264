//! The day itself: everybody logs in, then everybody pays, so many at a time.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    measure::Latencies, patience::ApiError, payment::visit, plan::Intent, progress::bar,
    visit::Visit, world::World,
};

/// What happened, and how long it took.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) visits: Vec<Visit>,
    /// From the first payment to the end of the last, without what takes its time afterwards.
    pub(super) elapsed: Duration,
    /// False when it was ended before everything was done and waited for.
    pub(super) complete: bool,
}

/// Logs every customer in.
pub(super) async fn log_in(world: World<'_>, at_once: usize) -> Result<Latencies, ApiError> {
    let bar = bar("logging in", world.customers.len());
    let mut latencies = Latencies::default();
    let mut logins = stream::iter(world.customers)
        .map(|customer| world.service.log_in(customer))
        .buffer_unordered(at_once);
    while let Some(login) = logins.next().await {
        latencies.add(login?.1.took);
        world.go_on()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(latencies)
}

/// Lets everybody pay. Asked to end, it takes no new payment and finishes those that it has begun.
pub(super) async fn pay(world: World<'_>, intents: Vec<Intent>, at_once: usize) -> Day {
    let count = intents.len();
    let bar = bar("paying", count);
    let begun = Instant::now();
    let mut visits = Vec::with_capacity(intents.len());
    let going_on = stream::iter(intents)
        .take_until(world.ending.cancelled())
        .map(|intent| visit(world, intent))
        .buffer_unordered(at_once);
    let mut going_on = std::pin::pin!(going_on);
    while let Some(visit) = going_on.next().await {
        visits.push(visit);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Day {
        complete: visits.len() == count,
        visits,
        elapsed: begun.elapsed(),
    }
}
