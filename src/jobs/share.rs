//! Shares payments: starts what is due, tells WeChat, asks what became of it, and brings shares
//! back before refunds.

use tokio_util::sync::CancellationToken;

use super::runner::{Job, work_on_each};
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

pub(super) struct Sharings(pub(super) Sharing);

impl Job for Sharings {
    const NAME: &'static str = "sharings";

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        sharings_round(&self.0, PAUSE_SECONDS).await
    }
}

/// True when there is more to do at once. `pause_seconds` is how long an order must be known to be
/// paid before it is shared, as the time scale counts.
pub async fn sharings_round(sharing: &Sharing, pause_seconds: i64) -> Result<bool, DbError> {
    let payments = &sharing.payments;
    let started = claim_dues(payments, pause_seconds).await?;
    let mut busy = !started.is_empty();
    work_on_each(Sharings::NAME, started, |due| async move {
        if let Err(error) = start_sharing(sharing, due).await {
            tracing::warn!(order.id = %due.order, reason = %error, "a payment was not shared");
        }
    })
    .await;
    let due = claim_sharings(payments).await?;
    busy |= !due.is_empty();
    work_on_each(Sharings::NAME, due, |due| async move {
        if let Err(error) = reconcile_sharing(sharing, due.tenant, due.order).await {
            tracing::warn!(order.id = %due.order, reason = %error, "a sharing was not reconciled");
        }
    })
    .await;
    let returns = claim_returns(payments).await?;
    busy |= !returns.is_empty();
    work_on_each(Sharings::NAME, returns, |refund| async move {
        if let Err(error) = reconcile_return(sharing, refund.tenant, refund.id).await {
            tracing::warn!(refund.id = %refund.id, reason = %error, "shares were not brought back");
        }
    })
    .await;
    Ok(busy)
}
