//! Orders against their history, and keys against their effects: invariants 9 and 12.

use sqlx::{MySqlConnection, Row as _};

use super::{
    Invariant, Progress, Report, codes,
    pages::{Cursor, History, HistoryItem, Orders},
};
use crate::{
    db::{DbError, Sql},
    payments::{ChangeReason, Late, Order, OrderStateKind},
    primitives::Id,
};

/// Returns whether the relay has read everything.
pub(super) async fn check(
    conn: &mut MySqlConnection,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<bool, DbError> {
    let behind: i64 = sqlx::query_scalar(
        "/* verify.relay_behind */ SELECT CAST(COUNT(*) AS SIGNED) FROM committers c LEFT JOIN relay_positions p ON p.relay = 'orders' AND p.committer = c.id \
         WHERE EXISTS (SELECT 1 FROM commits m WHERE m.committer = c.id AND m.seq > COALESCE(p.seq, 0))",
    )
    .fetch_one(&mut *conn)
    .await?;
    history(conn, behind == 0, report, progress).await?;
    keys(conn, report).await?;
    callbacks(conn, report).await?;
    Ok(behind == 0)
}

/// Every history begins with `created`, has no gaps, moves only as orders may, each time for a
/// known reason, and (once the relay has read everything) ends where the order is.
async fn history(
    conn: &mut MySqlConnection,
    complete: bool,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), DbError> {
    let mut items = Cursor::<History>::default();
    let mut orders = Cursor::<Orders>::default();
    while let Some(order) = orders.next(conn, report).await? {
        progress.advance(orders.rows_since_last());
        let mut at: Option<(u32, OrderStateKind)> = None;
        let mut late = Late::No;
        while let Some(item) = items.peek(conn, report).await?
            && item.order <= order.id
        {
            items.next(conn, report).await?;
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
            let why = known_why(&order, &item, report);
            let was_closed = at.is_some_and(|(_, before)| {
                matches!(before, OrderStateKind::Closed | OrderStateKind::Expired)
            });
            if let Some(step) = why.and_then(late_step) {
                late = step;
            }
            // Nothing else brings an order back that was closed.
            if complete && why.is_some() {
                let is_late = why.and_then(late_step).is_some();
                report.expect(Invariant::HistoryIsAllowed, is_late == was_closed, || {
                    format!(
                        "{}: version {} is {} for {why:?}",
                        order.id,
                        item.version,
                        state.name()
                    )
                });
            }
            at = Some((item.version, state));
        }
        progress.advance(items.rows_since_last());
        if complete {
            let said = order
                .state
                .payment()
                .map_or(Late::No, |payment| payment.late);
            report.expect(Invariant::HistoryIsAllowed, said == late, || {
                format!(
                    "{} is {said:?} of being late, its history {late:?}",
                    order.id
                )
            });
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
    while let Some(item) = items.next(conn, report).await? {
        report.violated(
            Invariant::HistoryIsAllowed,
            format!("history of {}, which does not exist", item.order),
        );
    }
    Ok(())
}

/// The reason of a step, if one was told; a number that means nothing is a violation.
fn known_why(order: &Order, item: &HistoryItem, report: &mut Report) -> Option<ChangeReason> {
    let code = u8::try_from(item.why).ok();
    let why = code.and_then(ChangeReason::from_code);
    report.expect(Invariant::HistoryIsAllowed, why.is_some(), || {
        format!(
            "{}: version {} for an unknown reason {}",
            order.id, item.version, item.why
        )
    });
    why
}

/// What a step with this reason makes of the order, if it is paid late by it.
const fn late_step(why: ChangeReason) -> Option<Late> {
    match why {
        ChangeReason::LateRefunded => Some(Late::Refunded),
        ChangeReason::LateReopened => Some(Late::Reopened),
        ChangeReason::Customer
        | ChangeReason::Merchant
        | ChangeReason::Prepay
        | ChangeReason::Callback
        | ChangeReason::Query
        | ChangeReason::Expiry
        | ChangeReason::ClosedAtWechat
        | ChangeReason::Operator
        | ChangeReason::RefundArrived
        | ChangeReason::RefundAsked
        | ChangeReason::RefundDropped
        | ChangeReason::RefundedElsewhere
        | ChangeReason::Sharing
        | ChangeReason::Reviewed
        | ChangeReason::MerchantSuspended => None,
    }
}

/// What a caller's key may have made, each table with `id` and `tenant_id`. A slice whose things
/// answer to a key adds its table here: without it, its keys are called lost, so it cannot be
/// forgotten.
const EFFECTS: [&str; 4] = [
    "payment_orders",
    "refunds",
    "risk_reviews",
    "points_transactions",
];

/// A key whose answer is made again from its effect names one that exists, of its tenant. The
/// effect may outlive the key, never the other way round.
async fn keys(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let (claimed,): (i64,) = sqlx::query_as(
        "/* verify.key_count */ SELECT CAST(COUNT(*) AS SIGNED) FROM idempotency_keys",
    )
    .fetch_one(&mut *conn)
    .await?;
    report.looked_at(
        Invariant::AnswersAreDurable,
        u64::try_from(claimed).unwrap_or(0),
    );
    let mut sql = Sql::new(
        "SELECT /* verify.keys */ k.id, k.effect_id FROM idempotency_keys k WHERE k.answer_status IS NULL",
    );
    for table in EFFECTS {
        sql.push(" AND NOT EXISTS (SELECT 1 FROM ")
            .push(table)
            .push(" e WHERE e.id = k.effect_id AND e.tenant_id = k.tenant_id)");
    }
    sql.push(" LIMIT 1000");
    for row in sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await? {
        let key: Vec<u8> = row.try_get(0)?;
        let effect: Option<Vec<u8>> = row.try_get(1)?;
        let effect = effect
            .and_then(|effect| effect.try_into().ok())
            .map(Id::from_bytes);
        report.violated(
            Invariant::AnswersAreDurable,
            format!(
                "key {} was answered for with {effect:?}, which is gone",
                hex::encode(key)
            ),
        );
    }
    Ok(())
}

/// A callback that was acknowledged as settling is in the books: there are as many paid orders as
/// settling callbacks at least.
async fn callbacks(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let (settling,): (i64,) =
        sqlx::query_as(codes::statement("/* verify.settling */ SELECT CAST(COUNT(*) AS SIGNED) FROM callback_events WHERE outcome = $callback.settled"))
            .fetch_one(&mut *conn)
            .await?;
    let (paid,): (i64,) = sqlx::query_as(codes::statement(
        "/* verify.paid */ SELECT CAST(COUNT(*) AS SIGNED) FROM payment_orders WHERE state IN ($order.paid, $order.partly_refunded, $order.refunded)",
    ))
    .fetch_one(conn)
    .await?;
    report.looked_at(
        Invariant::AnswersAreDurable,
        u64::try_from(settling).unwrap_or(0),
    );
    if settling > paid {
        report.violated(
            Invariant::AnswersAreDurable,
            format!("{settling} callbacks settled an order and {paid} orders are paid"),
        );
    }
    Ok(())
}
