//! Orders and refunds of which WeChat has said nothing for too long: asks.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{ROUND_MAX, guarded, pause};
use crate::{
    db::DbError,
    payments::{
        Payments, claim_refunds, claim_watches, reconcile_order, reconcile_refund,
        watch_open_orders,
    },
};

/// Questions to WeChat that are under way at once.
pub(super) const AT_ONCE: usize = 8;
/// How often the jobs look for what is due.
const REST: Duration = Duration::from_secs(1);

/// Looks for orders that nobody has paid, asks about them and closes them at the end of their time.
pub(super) async fn orders(payments: Payments, stop: CancellationToken) {
    run_rounds("orders", &stop, || orders_round(&payments)).await;
}

/// Tells WeChat of refunds and asks what became of them.
pub(super) async fn refunds(payments: Payments, stop: CancellationToken) {
    run_rounds("refunds", &stop, || refunds_round(&payments)).await;
}

/// Runs rounds until it is told to stop; rests when a round found nothing more to do.
pub(super) async fn run_rounds<F>(
    name: &'static str,
    stop: &CancellationToken,
    mut round: impl FnMut() -> F,
) where
    F: Future<Output = Result<bool, DbError>>,
{
    let mut failing = false;
    while !stop.is_cancelled() {
        // However long its calls may take; only what waits for ever takes longer.
        let round = tokio::time::timeout(ROUND_MAX, round())
            .await
            .unwrap_or(Err(DbError::Timeout("a round of a job")));
        let more = match round {
            Ok(more) => {
                failing = false;
                more
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(job = name, reason = %error, "a job cannot work");
                }
                failing = true;
                metrics::counter!("job_failures_total", "job" => name).increment(1);
                false
            }
        };
        if !more {
            pause(stop, REST).await;
        }
    }
}

/// True when more orders are to be looked through. Of those that are due, one claim is asked about
/// per round: a crowd that does not pay must not slow down those who do.
pub async fn orders_round(payments: &Payments) -> Result<bool, DbError> {
    let more = watch_open_orders(payments).await?;
    let due = claim_watches(payments).await?;
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |watch| {
            let reconciled = guarded("orders", reconcile_order(payments, watch)).await;
            if let Some(Err(error)) = reconciled {
                tracing::warn!(order.id = %watch.order_id, reason = %error, "an order was not reconciled");
            }
        })
        .await;
    Ok(more)
}

/// True when there is more to do at once.
pub async fn refunds_round(payments: &Payments) -> Result<bool, DbError> {
    let due = claim_refunds(payments).await?;
    let busy = !due.is_empty();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |claimed| {
            let reconciled = guarded("refunds", reconcile_refund(payments, claimed)).await;
            if let Some(Err(error)) = reconciled {
                tracing::warn!(refund.id = %claimed.id, reason = %error, "a refund was not reconciled");
            }
        })
        .await;
    Ok(busy)
}
