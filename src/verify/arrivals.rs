//! Refunds that arrived: told once each, as they are. Part of invariant 10.

use std::collections::{HashMap, HashSet};

use sqlx::{MySqlConnection, Row as _};

use super::{
    Invariant, Report,
    readable::{RowKey, readable},
};
use crate::{
    db::{DbError, Sql},
    outbox::{self, Event},
    payments::RefundStateKind,
    primitives::{MerchantId, OrderId, RefundId, Timestamp},
};

/// Which refunds arrived, as two numbers that do not depend on the order: two sets that differ have
/// different ones, but for a chance in 2^56.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    count: u64,
    /// The sum of the random parts of the ids.
    prints: u64,
}

impl Arrivals {
    pub(super) fn add(&mut self, refund: RefundId) {
        let bytes = refund.bytes();
        let mut print = [0; 8];
        print.copy_from_slice(&bytes[6..14]);
        self.count += 1;
        self.prints = self.prints.wrapping_add(u64::from_be_bytes(print));
    }

    pub(super) fn join(&mut self, other: Self) {
        self.count += other.count;
        self.prints = self.prints.wrapping_add(other.prints);
    }
}

/// A refund as its row has it: order, merchant, fen, points, when it arrived if it did.
type Row = (OrderId, MerchantId, i64, i64, Option<Timestamp>);

/// Every refund that these events say arrived did, with that amount and those points. Returns which
/// they are.
pub(super) async fn check_events<'a>(
    conn: &mut MySqlConnection,
    events: impl Iterator<Item = &'a Event>,
    report: &mut Report,
) -> Result<Arrivals, DbError> {
    let mut reported: Vec<(RefundId, Row)> = Vec::new();
    for event in events {
        if let Event::RefundSettled {
            refund,
            order,
            merchant,
            amount,
            points,
            at,
            ..
        } = event
        {
            let row = (*order, *merchant, amount.get(), points.get(), Some(*at));
            reported.push((*refund, row));
        }
    }
    let mut arrivals = Arrivals::default();
    for chunk in reported.chunks(2_000) {
        let rows = rows(conn, chunk, report).await?;
        for (refund, said) in chunk {
            arrivals.add(*refund);
            let row = rows.get(refund);
            report.expect(Invariant::EventsMatchChanges, row == Some(said), || {
                format!("{refund} is told to have arrived as {said:?} and is {row:?}")
            });
        }
    }
    Ok(arrivals)
}

async fn rows(
    conn: &mut MySqlConnection,
    reported: &[(RefundId, Row)],
    report: &mut Report,
) -> Result<HashMap<RefundId, Row>, DbError> {
    let mut sql = Sql::new(
        "SELECT /* verify.arrived */ id, order_id, merchant_id, amount_fen, points_due, finished_at FROM refunds WHERE id IN (",
    );
    let refunds = reported.iter().map(|(refund, _)| refund);
    sql.values(refunds).push(")");
    let rows = sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await?;
    let arrived = readable(&rows, RowKey("refunds", 1), report, |row| {
        let said = (
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
        );
        Ok((row.try_get(0)?, said))
    });
    Ok(arrived.into_iter().collect())
}

/// Every refund that arrived was told, once. The two numbers tell; only when they differ is the odd
/// one looked for.
pub(super) async fn compare(
    conn: &mut MySqlConnection,
    reported: Arrivals,
    arrived: Arrivals,
    report: &mut Report,
) -> Result<(), DbError> {
    report.looked_at(Invariant::EventsMatchChanges, arrived.count);
    if reported == arrived {
        return Ok(());
    }
    let commits: Vec<(Vec<u8>,)> =
        sqlx::query_as("/* verify.all_events */ SELECT events FROM commits")
            .fetch_all(&mut *conn)
            .await?;
    let mut known: HashSet<RefundId> = HashSet::new();
    for (events,) in commits {
        for event in outbox::unpack(&events).unwrap_or_default() {
            if let Event::RefundSettled { refund, .. } = event
                && !known.insert(refund)
            {
                report.violated(
                    Invariant::EventsMatchChanges,
                    format!("{refund} is told to have arrived more than once"),
                );
            }
        }
    }
    let there: Vec<(RefundId,)> =
        sqlx::query_as("/* verify.all_arrived */ SELECT id FROM refunds WHERE state = ?")
            .bind(RefundStateKind::Succeeded.code())
            .fetch_all(conn)
            .await?;
    for (refund,) in there {
        if !known.contains(&refund) {
            report.violated(
                Invariant::EventsMatchChanges,
                format!("{refund} has arrived and was not told"),
            );
        }
    }
    report.violated(
        Invariant::EventsMatchChanges,
        format!(
            "{} refunds arrived and {} were told",
            arrived.count, reported.count
        ),
    );
    Ok(())
}
