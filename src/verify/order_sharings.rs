//! What orders say of their sharings, against the sharings: invariants 5 and 9.

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    pages::Cursor,
    sharing_pages::{ShareItem, SharesByOrder},
};
use crate::{
    db::DbError,
    payments::{Order, OrderSharing},
    sharing::ShareStateKind,
};

/// The sharing of each order, read beside the orders.
#[derive(Default)]
pub(super) struct SharedPass {
    shares: Cursor<SharesByOrder>,
}

impl SharedPass {
    /// Takes the next order, in the order of their ids.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let mut share = None;
        while let Some(next) = self.shares.peek(conn, report).await?
            && next.order <= order.id
        {
            self.shares.next(conn, report).await?;
            if next.order == order.id {
                share = Some(next);
            } else {
                without_order(&next, report);
            }
        }
        let due = match share.map(|share| share.state) {
            None => matches!(order.sharing, OrderSharing::No | OrderSharing::Wanted),
            Some(Some(ShareStateKind::Done)) => order.sharing == OrderSharing::Done,
            Some(
                Some(
                    ShareStateKind::Asked | ShareStateKind::Processing | ShareStateKind::Releasing,
                )
                | None,
            ) => order.sharing == OrderSharing::InProgress,
        };
        report.expect(Invariant::HistoryIsAllowed, due, || {
            let state = share.map(|share| share.state);
            format!(
                "{} is {:?} of being shared, and its sharing is {state:?}",
                order.id, order.sharing
            )
        });
        if let Some(share) = share {
            terms(order, &share, report);
        }
        Ok(())
    }

    /// After the last order.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<(), DbError> {
        while let Some(next) = self.shares.next(conn, report).await? {
            without_order(&next, report);
        }
        progress.advance(self.shares.rows_since_last());
        Ok(())
    }
}

fn without_order(share: &ShareItem, report: &mut Report) {
    report.violated(
        Invariant::PaidOrdersAreSettledOnce,
        format!("{} shares {}, which does not exist", share.id, share.order),
    );
}

fn terms(order: &Order, share: &ShareItem, report: &mut Report) {
    let same_merchant = share.merchant == order.merchant && share.tenant == order.tenant;
    let paid = order.state.kind().is_paid();
    report.expect(
        Invariant::PaidOrdersAreSettledOnce,
        same_merchant && paid,
        || {
            format!(
                "{} is of another merchant than {}, or shares what nobody paid",
                share.id, order.id
            )
        },
    );
    let whole = share.base.saturating_add(share.asked_before) == order.amount.get();
    report.expect(Invariant::PaidOrdersAreSettledOnce, whole, || {
        format!(
            "{} shares {} fen, and {} were asked back before: that is not {:?}",
            share.id, share.base, share.asked_before, order.amount
        )
    });
}
