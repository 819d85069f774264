//! The totals of merchants per day, which the relay projects, against the orders and refunds
//! themselves. Part of invariant 10.

use sqlx::{FromRow, MySqlConnection};

use super::{
    Invariant, Report, codes,
    readable::{RowKey, readable_as},
};
use crate::{db::DbError, primitives::MerchantId};

/// By how much a day is off: what orders and refunds say, less what the totals say.
#[derive(Debug, FromRow)]
struct Difference {
    merchant_id: MerchantId,
    day: time::Date,
    orders: i64,
    paid_fen: i64,
    points: i64,
    refunds: i64,
    refunded_fen: i64,
    points_back: i64,
}

/// Only when the relay has read everything. The database adds, per merchant and day, and answers
/// with what differs.
pub(super) async fn check(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let (days,): (i64,) =
        sqlx::query_as("/* verify.day_count */ SELECT CAST(COUNT(*) AS SIGNED) FROM merchant_days")
            .fetch_one(&mut *conn)
            .await?;
    report.looked_at(
        Invariant::EventsMatchChanges,
        u64::try_from(days).unwrap_or(0),
    );
    let rows = sqlx::raw_sql(codes::statement(
        "/* verify.days */ SELECT merchant_id, day, CAST(SUM(orders) AS SIGNED) AS orders, CAST(SUM(paid_fen) AS SIGNED) AS paid_fen, \
         CAST(SUM(points) AS SIGNED) AS points, CAST(SUM(refunds) AS SIGNED) AS refunds, CAST(SUM(refunded_fen) AS SIGNED) AS refunded_fen, \
         CAST(SUM(points_back) AS SIGNED) AS points_back FROM ( \
           SELECT merchant_id, COALESCE(DATE(paid_at + INTERVAL 8 HOUR), DATE('9999-12-31')) AS day, COUNT(*) AS orders, SUM(amount_fen) AS paid_fen, SUM(points) AS points, \
             0 AS refunds, 0 AS refunded_fen, 0 AS points_back FROM payment_orders WHERE state IN ($order.paid, $order.partly_refunded, $order.refunded) GROUP BY merchant_id, COALESCE(DATE(paid_at + INTERVAL 8 HOUR), DATE('9999-12-31')) \
           UNION ALL \
           SELECT merchant_id, COALESCE(DATE(finished_at + INTERVAL 8 HOUR), DATE('9999-12-31')), 0, 0, 0, COUNT(*), SUM(amount_fen), SUM(points_due) \
             FROM refunds WHERE state = $refund.succeeded GROUP BY merchant_id, COALESCE(DATE(finished_at + INTERVAL 8 HOUR), DATE('9999-12-31')) \
           UNION ALL \
           SELECT merchant_id, day, -orders, -paid_fen, -points, -refunds, -refunded_fen, -points_back FROM merchant_days) sums \
         GROUP BY merchant_id, day \
         HAVING SUM(orders) <> 0 OR SUM(paid_fen) <> 0 OR SUM(points) <> 0 OR SUM(refunds) <> 0 OR SUM(refunded_fen) <> 0 OR SUM(points_back) <> 0 LIMIT 1000",
    ))
    .fetch_all(conn)
    .await?;
    let of = RowKey("a day of merchant", 1);
    for off in readable_as::<Difference>(&rows, of, report) {
        report.violated(
            Invariant::EventsMatchChanges,
            format!(
                "the totals of {} on {} lack {} orders, {} fen and {} points; {} refunds, {} fen and {} points back",
                off.merchant_id, off.day, off.orders, off.paid_fen, off.points, off.refunds, off.refunded_fen, off.points_back
            ),
        );
    }
    Ok(())
}
