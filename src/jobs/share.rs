//! Shares payments: starts what is due, tells WeChat, asks what became of it, and brings shares
//! back before refunds.

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    guarded,
    reconcile::{AT_ONCE, run_rounds},
};
use crate::{
    db::DbError,
    sharing::{
        Sharing, claim_dues, claim_returns, claim_sharings, reconcile_return, reconcile_sharing,
        start_sharing,
    },
};

/// WeChat wants a minute between payment and share (`docs/wechat-pay.md` §8); the clocks need not
/// agree to the second.
const PAUSE_SECONDS: i64 = 70;

pub(super) async fn sharings(sharing: Sharing, stop: CancellationToken) {
    run_rounds("sharings", &stop, || {
        sharings_round(&sharing, PAUSE_SECONDS)
    })
    .await;
}

/// True when there is more to do at once. `pause_seconds` is how long an order must be known to be
/// paid before it is shared, as the time scale counts.
pub async fn sharings_round(sharing: &Sharing, pause_seconds: i64) -> Result<bool, DbError> {
    let payments = &sharing.payments;
    let started = claim_dues(payments, pause_seconds).await?;
    let mut busy = !started.is_empty();
    stream::iter(started)
        .for_each_concurrent(AT_ONCE, async |due| {
            let done = guarded("sharings", start_sharing(sharing, due)).await;
            if let Some(Err(error)) = done {
                tracing::warn!(order.id = %due.order, reason = %error, "a payment was not shared");
            }
        })
        .await;
    let due = claim_sharings(payments).await?;
    busy |= !due.is_empty();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |order| {
            let done = guarded("sharings", reconcile_sharing(sharing, order)).await;
            if let Some(Err(error)) = done {
                tracing::warn!(order.id = %order, reason = %error, "a sharing was not reconciled");
            }
        })
        .await;
    let returns = claim_returns(payments).await?;
    busy |= !returns.is_empty();
    stream::iter(returns)
        .for_each_concurrent(AT_ONCE, async |refund| {
            let done = guarded("sharings", reconcile_return(sharing, refund)).await;
            if let Some(Err(error)) = done {
                tracing::warn!(refund.id = %refund, reason = %error, "shares were not brought back");
            }
        })
        .await;
    Ok(busy)
}
