//! Orders against their history, and keys against their effects: invariants 9 and 12.

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    pages::{Cursor, History, Orders},
};
use crate::{db::DbError, payments::OrderStateKind, primitives::OrderId};

pub(super) async fn check(
    conn: &mut MySqlConnection,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), DbError> {
    let behind: i64 = sqlx::query_scalar(
        "/* verify.relay_behind */ SELECT CAST(COUNT(*) AS SIGNED) FROM committers c LEFT JOIN relay_positions p ON p.relay = 'orders' AND p.committer = c.id \
         WHERE EXISTS (SELECT 1 FROM commits m WHERE m.committer = c.id AND m.seq > COALESCE(p.seq, 0))",
    )
    .fetch_one(&mut *conn)
    .await?;
    history(conn, behind == 0, report, progress).await?;
    keys(conn, report).await
}

/// Every history begins with `created`, has no gaps, moves only as orders may, and (once the relay has read everything) ends where the order is.
async fn history(
    conn: &mut MySqlConnection,
    complete: bool,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), DbError> {
    let mut items = Cursor::<History>::default();
    let mut orders = Cursor::<Orders>::default();
    while let Some(order) = orders.next(conn).await? {
        progress.advance(orders.news());
        let mut at: Option<(u32, OrderStateKind)> = None;
        while let Some(item) = items.peek(conn).await?
            && item.order <= order.id
        {
            items.next(conn).await?;
            if item.order < order.id {
                report.violated(
                    Invariant::HistoryIsAllowed,
                    format!("history of {}, which does not exist", item.order),
                );
                continue;
            }
            let Some(state) = u8::try_from(item.state)
                .ok()
                .and_then(OrderStateKind::from_code)
            else {
                report.violated(
                    Invariant::HistoryIsAllowed,
                    format!("{}: unknown state {}", order.id, item.state),
                );
                continue;
            };
            let follows = match at {
                None => item.version == 1 && state == OrderStateKind::Created,
                Some((version, before)) => item.version == version + 1 && before.may_become(state),
            };
            // While the relay is behind, a committer's news may be there before another's.
            if complete || at.is_some_and(|(version, _)| item.version == version + 1) {
                report.expect(Invariant::HistoryIsAllowed, follows, || {
                    format!(
                        "{}: version {} is {} after {at:?}",
                        order.id,
                        item.version,
                        state.name()
                    )
                });
            }
            at = Some((item.version, state));
        }
        progress.advance(items.news());
        if complete {
            let ends = at == Some((order.version, order.state.kind()));
            report.expect(Invariant::HistoryIsAllowed, ends, || {
                format!(
                    "{} is {} at version {}, its history ends at {at:?}",
                    order.id,
                    order.state.name(),
                    order.version
                )
            });
        }
    }
    while let Some(item) = items.next(conn).await? {
        report.violated(
            Invariant::HistoryIsAllowed,
            format!("history of {}, which does not exist", item.order),
        );
    }
    Ok(())
}

/// A key that was claimed for an order names one that exists; an order exists with its key or its key was purged, never the other way round.
async fn keys(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let (claimed,): (i64,) = sqlx::query_as(
        "/* verify.key_count */ SELECT CAST(COUNT(*) AS SIGNED) FROM idempotency_keys",
    )
    .fetch_one(&mut *conn)
    .await?;
    report.looked_at(
        Invariant::NothingAnsweredIsLost,
        u64::try_from(claimed).unwrap_or(0),
    );
    let lost: Vec<(Option<OrderId>,)> = sqlx::query_as(
        "/* verify.keys */ SELECT k.effect_id FROM idempotency_keys k LEFT JOIN payment_orders o ON o.id = k.effect_id \
         LEFT JOIN refunds r ON r.id = k.effect_id WHERE k.answer_status IS NULL AND o.id IS NULL AND r.id IS NULL LIMIT 1000",
    )
    .fetch_all(&mut *conn)
    .await?;
    for (order,) in lost {
        report.violated(
            Invariant::NothingAnsweredIsLost,
            format!("{order:?} was answered for and is gone"),
        );
    }
    // A callback that was acknowledged as settling is in the books: there are as many paid orders as settling callbacks at least.
    let (settling,): (i64,) =
        sqlx::query_as("/* verify.settling */ SELECT CAST(COUNT(*) AS SIGNED) FROM callback_events WHERE outcome = 1").fetch_one(&mut *conn).await?;
    let (paid,): (i64,) = sqlx::query_as(
        "/* verify.paid */ SELECT CAST(COUNT(*) AS SIGNED) FROM payment_orders WHERE state IN (3, 5, 6)",
    )
    .fetch_one(conn)
    .await?;
    report.looked_at(
        Invariant::NothingAnsweredIsLost,
        u64::try_from(settling).unwrap_or(0),
    );
    if settling > paid {
        report.violated(
            Invariant::NothingAnsweredIsLost,
            format!("{settling} callbacks settled an order and {paid} orders are paid"),
        );
    }
    Ok(())
}
