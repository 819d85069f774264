//! Orders and refunds of which WeChat has said nothing for too long: asks.

use tokio_util::sync::CancellationToken;

use super::runner::{Job, work_on_each};
use crate::{
    db::DbError,
    payments::{
        Payments, claim_refunds, claim_watches, reconcile_order, reconcile_refund,
        watch_open_orders,
    },
};

/// Looks for orders that nobody has paid, asks about them and closes them at the end of their time.
pub(super) struct Orders(pub(super) Payments);

impl Job for Orders {
    const NAME: &'static str = "orders";

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        orders_round(&self.0).await
    }
}

/// Tells WeChat of refunds and asks what became of them.
pub(super) struct Refunds(pub(super) Payments);

impl Job for Refunds {
    const NAME: &'static str = "refunds";

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        refunds_round(&self.0).await
    }
}

/// True when more orders are to be looked through. Of those that are due, one claim is asked about
/// per round: a crowd that does not pay must not slow down those who do.
pub async fn orders_round(payments: &Payments) -> Result<bool, DbError> {
    let more = watch_open_orders(payments).await?;
    let due = claim_watches(payments).await?;
    work_on_each(Orders::NAME, due, |watch| async move {
        if let Err(error) = reconcile_order(payments, watch).await {
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
    work_on_each(Refunds::NAME, due, |claimed| async move {
        if let Err(error) = reconcile_refund(payments, claimed).await {
            tracing::warn!(refund.id = %claimed.id, reason = %error, "a refund was not reconciled");
        }
    })
    .await;
    Ok(busy)
}
