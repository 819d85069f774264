//! What people of merchants gave back alone, against the refunds: part of invariant 8.
//!
//! A row tells the last day on which somebody did. What was asked for then and initiated at once is
//! counted whatever came of it, so the refunds of that day come to no more than what the row says,
//! and nobody gave anything back alone on a later day, or without a row. (To no more, and not to
//! exactly as much: after a clock was set back an earlier day is counted with the later one.)
//!
//! What WeChat made after all of a refund that had ended here has a second row in the name of
//! whoever asked for the first. It was asked for once, and is counted once.

use sqlx::{FromRow, MySqlConnection};

use super::{
    Invariant, Report, codes,
    readable::{RowKey, readable_as},
};

use crate::db::DbError;

#[derive(Debug, FromRow)]
struct Difference {
    who: String,
    day: time::Date,
    fen: i64,
    counted_on: Option<time::Date>,
    counted_fen: Option<i64>,
}

/// The database adds, per person and day, and answers with what is not covered.
pub(super) async fn check(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let rows = sqlx::raw_sql(codes::statement(
        "/* verify.staff_refunds */ SELECT alone.who, alone.day, alone.fen, counted.day AS counted_on, counted.alone_fen AS counted_fen FROM ( \
           SELECT requested_by AS who, CAST(SUM(amount_fen) AS SIGNED) AS fen, \
             DATE(TIMESTAMP('1970-01-01 08:00:00') + INTERVAL (CONV(HEX(SUBSTR(id, 1, 6)), 16, 10) DIV 1000) SECOND) AS day \
           FROM refunds WHERE origin = $refund_origin.here AND approved_by IS NULL AND state <> $refund.awaiting_approval AND requested_by LIKE 'st\\_%' GROUP BY who, day) alone \
         LEFT JOIN staff_refunds counted ON counted.staff_id = UNHEX(SUBSTR(alone.who, 4)) \
         WHERE counted.staff_id IS NULL OR alone.day > counted.day OR (alone.day = counted.day AND alone.fen > counted.alone_fen) LIMIT 1000",
    ))
    .fetch_all(conn)
    .await?;
    report.looked_at(Invariant::CapsHold, 1);
    let of = RowKey("what was given back alone by", 1);
    for off in readable_as::<Difference>(&rows, of, report) {
        let counted = off.counted_on.zip(off.counted_fen);
        let counted = counted.map_or_else(
            || "nothing is counted".to_owned(),
            |(day, fen)| format!("{fen} fen of {day} are counted"),
        );
        report.violated(
            Invariant::CapsHold,
            format!(
                "{} gave back {} fen alone on {}, and {counted}",
                off.who, off.fen, off.day
            ),
        );
    }
    Ok(())
}
