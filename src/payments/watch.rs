//! Orders without a callback: queried on a growing interval, and closed when their time is over
//! (`docs/wechat-pay.md` §12.8).
//!
//! Nearly every order is paid within seconds, so nothing is written here for those. Two scans in
//! time order look at each order once, when it is [`FIRST_QUERY_SECONDS`] old and, for rows that
//! became visible late, when it is [`OLD_SECONDS`] old. An order that is open then gets a row in
//! `order_watches`, whose `due_at` says when WeChat is queried next. The position of a scan is a
//! row, locked by whoever scans, so several processes share the work. To claim a watch moves it a
//! minute ahead, so a watch whose process died falls due again.
//!
//! Ids carry the time of the process that made them, so an order of a process whose clock stepped
//! back lies behind both scans. A third scan walks through all orders, some hundred at a time, and
//! begins again at the end; it finds whatever is open and not watched (a hundred million orders in
//! about three days).
//!
//! # When WeChat does not state the order's status
//!
//! An order is closed here only after it is closed at WeChat, because it may be paid. So an order
//! whose queries fail stays watched, at intervals that grow to an hour ([`REFUSED_PAUSES`]),
//! whatever WeChat answers: no permission (403 `NO_AUTH`), an account that was closed, a
//! `sub_mchid` that is not bound any more. After [`REFUSALS_MAX`] refusals in a row, or a day after
//! the order's time, an exception is raised once (`order_stuck`). An operator who has seen at
//! WeChat that the order is not paid may then close it without WeChat's answer (`close.rs`). If it
//! is paid nevertheless, that is a late payment like any other.
//!
//! Why the last query failed is kept with the watch until one succeeds (`query_problem.rs`).

use sqlx::FromRow;

use super::{
    CloseBy, ExceptionKind, OrderStateKind, PaymentError, Payments, TimeScale,
    change_reason::ChangeReason,
    close::{close, close_locally},
    exception::resolve,
    list::get_order,
    policy::ORDER_MINUTES_MAX,
    query_order::{OrderQuery, query_order},
    query_problem::problem,
    stuck::raise_for_order,
    time_scale::FIRST_QUERY_SECONDS,
};
use crate::{
    db::{ClaimTime, Db, DbError, DueClaim, Tx, Work},
    merchants,
    primitives::{MerchantId, OrderId, TenantId, Timestamp},
};

/// Older than any transaction that may still hold back a row.
const OLD_SECONDS: i64 = 600;
/// Orders that one transaction looks through.
const SCAN: u32 = 5_000;
/// Orders that the third scan looks at in one transaction; one in each round of the job.
const SWEEP_PAGE: u32 = 500;
/// Further ahead than clocks differ: such an order's time comes to the other scans only when it
/// comes to all.
const AHEAD_SECONDS: i64 = 120;
/// Watches that one process takes at a time.
const CLAIM: u32 = 64;
/// How long a claimed watch is left to whoever claimed it.
const LEASE_SECONDS: i64 = 60;
/// How long to leave an order alone whose answer was wrong.
const WRONG_SECONDS: i64 = 3_600;
/// Seconds until an order is asked about again of which nothing was learnt, as often as that
/// happened in a row.
const REFUSED_PAUSES: [i64; 7] = [30, 60, 120, 300, 600, 1_800, 3_600];
/// The longest pause while WeChat does not answer at all, which ends for all orders at once.
const SILENT_MAX_SECONDS: i64 = 600;
/// Refusals in a row that are no passing trouble: a quarter of an hour.
pub(super) const REFUSALS_MAX: u32 = 6;
/// How long after its time nothing may be known of an order.
const OVERDUE_SECONDS: i64 = 86_400;
/// Seconds between queries; the last again and again until the order's time is over.
const PAUSES: [i64; 6] = [20, 30, 60, 120, 300, 600];

/// An order to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Watch {
    pub order_id: OrderId,
    pub tenant_id: TenantId,
    pub queries: u32,
    /// Times in a row that nothing was learnt.
    pub refusals: u32,
}

/// Looks through the orders that have come of age. True when there are more.
pub async fn watch_open_orders(payments: &Payments) -> Result<bool, DbError> {
    let (db, time_scale) = (&payments.db, payments.time_scale);
    let young = db
        .run(Scan {
            name: "young",
            age: FIRST_QUERY_SECONDS,
            time_scale,
        })
        .await?;
    let old = db
        .run(Scan {
            name: "old",
            age: OLD_SECONDS,
            time_scale: TimeScale::default(),
        })
        .await?;
    db.run(Sweep { time_scale }).await?;
    Ok(young || old)
}

#[derive(Debug)]
struct Scan {
    name: &'static str,
    age: i64,
    time_scale: TimeScale,
}

impl Work for Scan {
    const NAME: &'static str = "payments.watch";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let Some(from) = lock_position(tx, self.name).await? else {
            return Ok(false);
        };
        // The largest id of that instant.
        let until = id_at(self.time_scale.after(tx.now(), -self.age), 0xff);
        if from.as_slice() >= until.as_slice() {
            return Ok(false);
        }
        let boundary: Option<Vec<u8>> = sqlx::query_scalar(
            "/* payments.watch_boundary */ SELECT id FROM payment_orders WHERE id > ? AND id <= ? ORDER BY id LIMIT 1 OFFSET ?",
        )
        .bind(from.as_slice())
        .bind(until.as_slice())
        .bind(SCAN)
        .fetch_optional(tx.conn())
        .await?;
        let more = boundary.is_some();
        let until = boundary.unwrap_or_else(|| until.to_vec());
        let now = tx.now();
        let added = sqlx::query(
            "/* payments.watch_open */ INSERT IGNORE INTO order_watches (order_id, tenant_id, due_at, queries) \
             SELECT id, tenant_id, ?, 0 FROM payment_orders WHERE id > ? AND id <= ? AND state IN (?, ?)",
        )
        .bind(now)
        .bind(from.as_slice())
        .bind(until.as_slice())
        .bind(OrderStateKind::Created.code())
        .bind(OrderStateKind::Prepaid.code())
        .execute(tx.conn())
        .await?;
        metrics::counter!("order_watches_total").increment(added.rows_affected());
        move_scan(tx, self.name, &until).await?;
        Ok(more)
    }
}

/// Where a scan stands; none while another process is at it.
async fn lock_position(tx: &mut Tx, name: &str) -> Result<Option<Vec<u8>>, DbError> {
    let position: Option<Vec<u8>> = sqlx::query_scalar(
        "/* payments.lock_scan */ SELECT position FROM scan_positions WHERE scan = ? FOR UPDATE SKIP LOCKED",
    )
    .bind(name)
    .fetch_optional(tx.conn())
    .await?;
    if position.is_some() {
        return Ok(position);
    }
    let zero = [0_u8; 16];
    let made = sqlx::query(
        "/* payments.start_scan */ INSERT IGNORE INTO scan_positions (scan, position) VALUES (?, ?)",
    )
    .bind(name)
    .bind(zero.as_slice())
    .execute(tx.conn())
    .await?;
    Ok((made.rows_affected() == 1).then(|| zero.to_vec()))
}

async fn move_scan(tx: &mut Tx, name: &str, to: &[u8]) -> Result<(), DbError> {
    sqlx::query("/* payments.move_scan */ UPDATE scan_positions SET position = ? WHERE scan = ?")
        .bind(to)
        .bind(name)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The smallest, or largest, id of an instant.
fn id_at(at: Timestamp, rest: u8) -> [u8; 16] {
    let mut id = [rest; 16];
    id[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
    id
}

/// The third scan: a stretch of all orders, from where it stopped.
#[derive(Debug)]
struct Sweep {
    time_scale: TimeScale,
}

impl Work for Sweep {
    const NAME: &'static str = "payments.sweep_open";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let name = "all";
        let Some(from) = lock_position(tx, name).await? else {
            return Ok(());
        };
        let now = tx.now();
        let boundary: Option<Vec<u8>> = sqlx::query_scalar(
            "/* payments.sweep_boundary */ SELECT id FROM payment_orders WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?",
        )
        .bind(from.as_slice())
        .bind(SWEEP_PAGE)
        .fetch_optional(tx.conn())
        .await?;
        let until = boundary.clone().unwrap_or_else(|| vec![0xff; 16]);
        // What lies between is young: the other scans come to it.
        let old = id_at(self.time_scale.after(now, -OLD_SECONDS), 0xff);
        let ahead = id_at(now.plus_seconds(AHEAD_SECONDS), 0);
        let added = sqlx::query(
            "/* payments.sweep_open */ INSERT IGNORE INTO order_watches (order_id, tenant_id, due_at, queries) \
             SELECT id, tenant_id, ?, 0 FROM payment_orders WHERE id > ? AND id <= ? AND state IN (?, ?) AND (id <= ? OR id > ?)",
        )
        .bind(now)
        .bind(from.as_slice())
        .bind(until)
        .bind(OrderStateKind::Created.code())
        .bind(OrderStateKind::Prepaid.code())
        .bind(old.as_slice())
        .bind(ahead.as_slice())
        .execute(tx.conn())
        .await?;
        if added.rows_affected() > 0 {
            // The other two had passed them by.
            tracing::warn!(
                orders = added.rows_affected(),
                "open orders that no scan had seen are watched now"
            );
            metrics::counter!("order_watches_late_total").increment(added.rows_affected());
        }
        let next = boundary.unwrap_or_else(|| vec![0; 16]);
        if next == from {
            return Ok(());
        }
        move_scan(tx, name, &next).await
    }
}

const DUE: DueClaim = DueClaim {
    select: "/* payments.due_watches */ SELECT order_id, tenant_id, queries, refusals FROM order_watches WHERE due_at <= ? ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* payments.claim_watches */ order_watches SET due_at = ",
    where_id: " WHERE order_id IN (",
};

/// Has the open orders of a merchant looked at now, and not when their turn comes: it was
/// suspended, and each of them is closed.
///
/// Only a spur. Whoever dies before it leaves them to their watches, which come round within ten
/// minutes.
pub async fn expedite_open_orders(
    payments: &Payments,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<(), DbError> {
    payments
        .db
        .run(ExpediteOpenOrders { tenant, merchant })
        .await
}

#[derive(Debug)]
struct ExpediteOpenOrders {
    tenant: TenantId,
    merchant: MerchantId,
}

impl Work for ExpediteOpenOrders {
    const NAME: &'static str = "payments.expedite_open_orders";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        // Ids are in time order, so that the merchant's old orders need not be read.
        let longest = i64::from(ORDER_MINUTES_MAX) * 60;
        let millis = now.plus_seconds(-longest - OLD_SECONDS).millis();
        let mut oldest = [0_u8; 16];
        oldest[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        sqlx::query(
            "/* payments.expedite_open_orders */ INSERT INTO order_watches (order_id, tenant_id, due_at, queries) \
             SELECT id, tenant_id, ?, 0 FROM payment_orders WHERE merchant_id = ? AND tenant_id = ? AND id > ? AND state IN (?, ?) \
             ON DUPLICATE KEY UPDATE due_at = LEAST(order_watches.due_at, VALUES(due_at))",
        )
        .bind(now)
        .bind(self.merchant)
        .bind(self.tenant)
        .bind(oldest.as_slice())
        .bind(OrderStateKind::Created.code())
        .bind(OrderStateKind::Prepaid.code())
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// Takes the watches that are due, for a minute.
pub async fn claim_watches(payments: &Payments) -> Result<Vec<Watch>, DbError> {
    let time_scale = payments.time_scale;
    payments.db.run(Claim { time_scale }).await
}

#[derive(Debug)]
struct Claim {
    time_scale: TimeScale,
}

impl Work for Claim {
    const NAME: &'static str = "payments.claim_watches";
    type Reply = Vec<Watch>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Watch>, DbError> {
        let now = tx.now();
        let until = self.time_scale.after(now, LEASE_SECONDS);
        DUE.claim(tx, ClaimTime { now, until }, CLAIM, |watch: &Watch| {
            *watch.order_id.bytes()
        })
        .await
    }
}

/// Asks WeChat about a claimed order, settles or closes it, and says when to ask next.
pub async fn reconcile_order(payments: &Payments, watch: Watch) -> Result<(), DbError> {
    let found = reconcile(payments, watch).await;
    let problem = found.as_ref().err().and_then(problem);
    let (next, refusals) = match found {
        Ok(next) => (next, 0),
        Err(PaymentError::AnswerMismatch(reason)) => {
            raise(payments, watch, reason).await?;
            // It stays open until somebody has looked: it might be paid.
            let next = payments.time_scale.after(payments.db.now(), WRONG_SECONDS);
            (Some(next), watch.refusals)
        }
        Err(error) => {
            tracing::info!(order.id = %watch.order_id, reason = %error, "an order cannot be asked about now");
            let refusals = watch.refusals.saturating_add(1);
            raise_if_stuck(payments, watch, refusals, &error).await?;
            let pause = pause_after(&error, refusals);
            (
                Some(payments.time_scale.after(payments.db.now(), pause)),
                refusals,
            )
        }
    };
    let it = MoveWatch {
        watch,
        next,
        refusals,
        problem,
    };
    payments.db.run(it).await
}

/// Somebody who enters a password, and trouble of our own, pass; what WeChat refuses it may refuse
/// for ever.
fn pause_after(error: &PaymentError, refusals: u32) -> i64 {
    let place = usize::try_from(refusals.saturating_sub(1)).unwrap_or(usize::MAX);
    let grown = REFUSED_PAUSES[place.min(REFUSED_PAUSES.len() - 1)];
    if matches!(error, PaymentError::ChannelRefused(_)) {
        grown
    } else if matches!(error, PaymentError::ChannelUnknown(_)) {
        grown.min(SILENT_MAX_SECONDS)
    } else {
        REFUSED_PAUSES[0]
    }
}

/// Tells people of an order of which nothing is learnt.
async fn raise_if_stuck(
    payments: &Payments,
    watch: Watch,
    refusals: u32,
    error: &PaymentError,
) -> Result<(), DbError> {
    let refused = matches!(error, PaymentError::ChannelRefused(_)) && refusals >= REFUSALS_MAX;
    let order = get_order(&payments.db, watch.tenant_id, watch.order_id).await;
    let Ok(order) = order else { return Ok(()) };
    let overdue = payments.time_scale.after(order.expires_at, OVERDUE_SECONDS) <= payments.db.now();
    if !(refused || overdue) || !order.is_open() {
        return Ok(());
    }
    let detail = format!("nothing is learnt of it, {refusals} times in a row: {error}");
    raise_for_order(payments, &order, ExceptionKind::OrderStuck, detail).await
}

/// When to ask again; none when nothing is left to ask.
async fn reconcile(payments: &Payments, watch: Watch) -> Result<Option<Timestamp>, PaymentError> {
    let order = get_order(&payments.db, watch.tenant_id, watch.order_id).await?;
    if !order.is_open() {
        return Ok(None);
    }
    let now = payments.db.now();
    if now >= order.expires_at {
        close(payments, watch.tenant_id, watch.order_id, CloseBy::Time).await?;
        return Ok(None);
    }
    if !merchants::is_open(&payments.db, order.tenant, order.merchant).await? {
        let by = CloseBy::Suspension;
        close(payments, watch.tenant_id, watch.order_id, by).await?;
        return Ok(None);
    }
    match query_order(payments, &order).await? {
        OrderQuery::Settled => Ok(None),
        OrderQuery::Closed => {
            close_locally(payments, &order, ChangeReason::ClosedAtWechat, None).await?;
            Ok(None)
        }
        OrderQuery::Open => {
            let place = usize::try_from(watch.queries).unwrap_or(usize::MAX);
            let pause = PAUSES[place.min(PAUSES.len() - 1)];
            Ok(Some(
                payments.time_scale.after(now, pause).min(order.expires_at),
            ))
        }
    }
}

/// Moves the watch ahead, or takes it away. Without refusals the query was answered.
#[derive(Debug)]
struct MoveWatch {
    watch: Watch,
    next: Option<Timestamp>,
    refusals: u32,
    /// Why nothing was learnt.
    problem: Option<String>,
}

impl Work for MoveWatch {
    const NAME: &'static str = "payments.move_watch";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        if self.watch.refusals > 0 && self.refusals == 0 {
            resolve(tx, self.watch.order_id, ExceptionKind::OrderStuck).await?;
        }
        if let Some(due_at) = self.next {
            sqlx::query("/* payments.move_watch */ UPDATE order_watches SET due_at = ?, queries = queries + 1, refusals = ?, problem = ? WHERE order_id = ?")
                .bind(due_at)
                .bind(self.refusals)
                .bind(&self.problem)
                .bind(self.watch.order_id)
                .execute(tx.conn())
                .await?;
            return Ok(());
        }
        sqlx::query("/* payments.drop_watch */ DELETE FROM order_watches WHERE order_id = ?")
            .bind(self.watch.order_id)
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}

/// WeChat's answer does not fit the order: a person must look. They are told once until they have.
async fn raise(payments: &Payments, watch: Watch, reason: &'static str) -> Result<(), DbError> {
    let order = get_order(&payments.db, watch.tenant_id, watch.order_id).await;
    let Ok(order) = order else { return Ok(()) };
    let kind = ExceptionKind::AnswerMismatch;
    raise_for_order(payments, &order, kind, reason.to_owned()).await
}

/// When an order that is watched is asked about next, and how that went so far.
#[derive(Debug, Clone, FromRow)]
pub struct NextQuery {
    #[sqlx(rename = "due_at")]
    pub at: Timestamp,
    /// How often it was asked already.
    pub queries: u32,
    /// Why nothing was learnt when WeChat was last asked.
    pub problem: Option<String>,
}

/// When WeChat is asked next about an order; none if nobody watches it.
pub(super) async fn next_query(
    db: &Db,
    tenant: TenantId,
    order: OrderId,
) -> Result<Option<NextQuery>, DbError> {
    Ok(sqlx::query_as(
        "/* payments.find_watch */ SELECT due_at, queries, problem FROM order_watches WHERE order_id = ? AND tenant_id = ?",
    )
    .bind(order)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?)
}
