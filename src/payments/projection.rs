//! What events say of orders and merchants, written down for those who ask: the history of orders
//! (`payment_order_history`) and the totals of merchants by day (`merchant_days`). Both can be made
//! again from the commits.

use std::collections::BTreeMap;

use crate::{
    db::{DbError, Sql, Tx},
    outbox::{CommittedEvent, Event, OrderStep},
    primitives::{BusinessDay, MerchantId, TenantId, Timestamp},
};

/// Lines of history that one statement writes.
const LINES: usize = 1_000;

/// Writes the history and adds to the totals of which `events` tell. For the relay, in the
/// transaction in which it notes how far it read: what is added twice counts twice.
pub async fn project_payments(tx: &mut Tx, events: &[CommittedEvent]) -> Result<(), DbError> {
    write_history(tx, events).await?;
    add_to_days(tx, events).await
}

async fn write_history(tx: &mut Tx, events: &[CommittedEvent]) -> Result<(), DbError> {
    let mut lines: Vec<(OrderStep<'_>, Timestamp)> = events
        .iter()
        .filter_map(|committed| Some((committed.event.step()?, committed.at)))
        .collect();
    lines.sort_unstable_by_key(|(step, _)| (step.order, step.version));
    for rows in lines.chunks(LINES) {
        let head = "INSERT /* payments.project_history */ INTO payment_order_history";
        let sql = Sql::insert(head, rows, |row, (step, at)| {
            row.set("order_id", step.order);
            row.set("version", step.version);
            row.set("tenant_id", step.tenant);
            row.set("state", step.state).set("at", at);
            row.set("why", step.why).set("actor", step.actor);
        });
        sqlx::raw_sql(sql.into_statement())
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct DaySums {
    orders: i64,
    paid: i64,
    points: i64,
    refunds: i64,
    refunded: i64,
    points_back: i64,
}

/// Sums by merchant and day, in the order of the table's key, so that two relays take the rows in
/// one order.
type Days = BTreeMap<(MerchantId, BusinessDay), (TenantId, DaySums)>;

fn sums_of(days: &mut Days, merchant: MerchantId, at: Timestamp, tenant: TenantId) -> &mut DaySums {
    let day = days.entry((merchant, at.business_day()));
    &mut day.or_insert_with(|| (tenant, DaySums::default())).1
}

fn days_of(events: &[CommittedEvent]) -> Days {
    let mut days = Days::new();
    for committed in events {
        if let Some(settled) = committed.event.settled() {
            let sums = sums_of(&mut days, settled.merchant, settled.paid_at, settled.tenant);
            sums.orders += 1;
            sums.paid = sums.paid.saturating_add(settled.amount.get());
            sums.points = sums.points.saturating_add(settled.points.get());
        }
        if let Event::RefundSettled {
            tenant,
            merchant,
            amount,
            points,
            at,
            ..
        } = &committed.event
        {
            let sums = sums_of(&mut days, *merchant, *at, *tenant);
            sums.refunds += 1;
            sums.refunded = sums.refunded.saturating_add(amount.get());
            sums.points_back = sums.points_back.saturating_add(points.get());
        }
    }
    days
}

async fn add_to_days(tx: &mut Tx, events: &[CommittedEvent]) -> Result<(), DbError> {
    let days = days_of(events);
    if days.is_empty() {
        return Ok(());
    }
    let head = "INSERT /* payments.project_days */ INTO merchant_days";
    let mut sql = Sql::insert(head, &days, |row, ((merchant, day), (tenant, sums))| {
        row.set("merchant_id", merchant).set("day", day);
        row.set("tenant_id", tenant);
        row.set("orders", sums.orders);
        row.set("paid_fen", sums.paid);
        row.set("points", sums.points);
        row.set("refunds", sums.refunds);
        row.set("refunded_fen", sums.refunded);
        row.set("points_back", sums.points_back);
    });
    sql.push(
        " ON DUPLICATE KEY UPDATE orders = orders + VALUES(orders), paid_fen = paid_fen + VALUES(paid_fen), points = points + VALUES(points), \
         refunds = refunds + VALUES(refunds), refunded_fen = refunded_fen + VALUES(refunded_fen), points_back = points_back + VALUES(points_back)",
    );
    sqlx::raw_sql(sql.into_statement())
        .execute(tx.conn())
        .await?;
    Ok(())
}
