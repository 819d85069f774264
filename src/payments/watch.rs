//! Orders that got no callback: asked about on a growing interval, and closed when their time is over (§12.8).
//!
//! Nearly every order is paid within seconds, so nothing is written for it here. Each order is looked at twice by a scan in time order, once when it is
//! [`YOUNG_SECONDS`] old and once, as a net for rows that became visible late, when it is [`OLD_SECONDS`] old; what is still open then gets a row in
//! `order_watches`, and the row's `due_at` says when WeChat is asked next. Where a scan stands is a row too, locked by whoever scans, so two processes share the
//! work; a claimed watch is moved a minute ahead, so one that was dropped by a dying process comes back.

use sqlx::FromRow;

use super::{
    CloseBy, ExceptionKind, Order, Pace, PaymentError, Payments,
    booking::put_exception,
    close::{Found, ask, get_order, give_up, is_open},
    close_payment,
    exception::exceptions_of,
    policy::ORDER_MINUTES_MAX,
    why::Why,
};
use crate::{
    db::{Cx, Db, DbError, DueList, Operation, SubmitError, Tx, Wanted, Work, WorkingSet},
    merchants,
    primitives::{Lane, MerchantId, OrderId, TenantId, Timestamp},
};

/// WeChat wants the first query within a minute of the order.
const YOUNG_SECONDS: i64 = 20;
/// Older than any transaction that may still hold back a row.
const OLD_SECONDS: i64 = 600;
/// Orders that one transaction looks through.
const SCAN: u32 = 5_000;
/// Watches that one process takes at a time.
const CLAIM: u32 = 64;
/// How long a claimed watch is left to whoever claimed it.
const LEASE_SECONDS: i64 = 60;
/// How long to leave an order alone whose answer was wrong.
const WRONG_SECONDS: i64 = 3_600;
/// Seconds between queries; the last again and again until the order's time is over.
const PAUSES: [i64; 6] = [20, 30, 60, 120, 300, 600];

/// An order to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Watch {
    pub order_id: OrderId,
    pub tenant_id: TenantId,
    pub queries: u32,
}

/// Looks through the orders that have come of age. True when there are more.
pub async fn watch_open_orders(payments: &Payments) -> Result<bool, DbError> {
    let (db, pace) = (&payments.db, payments.pace);
    let young = db
        .run(Scan {
            name: "young",
            age: YOUNG_SECONDS,
            pace,
        })
        .await?;
    let old = db
        .run(Scan {
            name: "old",
            age: OLD_SECONDS,
            pace: Pace::default(),
        })
        .await?;
    Ok(young || old)
}

#[derive(Debug)]
struct Scan {
    name: &'static str,
    age: i64,
    pace: Pace,
}

impl Work for Scan {
    const NAME: &'static str = "payments.watch";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let Some(from) = self.lock_position(tx).await? else {
            return Ok(false);
        };
        // The largest id of that instant.
        let millis = self.pace.after(tx.now(), -self.age).millis();
        let mut until = [0xff; 16];
        until[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
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
             SELECT id, tenant_id, ?, 0 FROM payment_orders WHERE id > ? AND id <= ? AND state IN (1, 2)",
        )
        .bind(now)
        .bind(from.as_slice())
        .bind(until.as_slice())
        .execute(tx.conn())
        .await?;
        metrics::counter!("order_watches_total").increment(added.rows_affected());
        sqlx::query(
            "/* payments.move_scan */ UPDATE scan_positions SET position = ? WHERE scan = ?",
        )
        .bind(until)
        .bind(self.name)
        .execute(tx.conn())
        .await?;
        Ok(more)
    }
}

impl Scan {
    /// None while another process is at it.
    async fn lock_position(&self, tx: &mut Tx) -> Result<Option<Vec<u8>>, DbError> {
        let position: Option<Vec<u8>> = sqlx::query_scalar(
            "/* payments.lock_scan */ SELECT position FROM scan_positions WHERE scan = ? FOR UPDATE SKIP LOCKED",
        )
        .bind(self.name)
        .fetch_optional(tx.conn())
        .await?;
        if position.is_some() {
            return Ok(position);
        }
        let zero = [0_u8; 16];
        let made = sqlx::query(
            "/* payments.start_scan */ INSERT IGNORE INTO scan_positions (scan, position) VALUES (?, ?)",
        )
        .bind(self.name)
        .bind(zero.as_slice())
        .execute(tx.conn())
        .await?;
        Ok((made.rows_affected() == 1).then(|| zero.to_vec()))
    }
}

const DUE: DueList = DueList {
    list: "/* payments.due_watches */ SELECT order_id, tenant_id, queries FROM order_watches WHERE due_at <= ? ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
    set: "UPDATE /* payments.claim_watches */ order_watches SET due_at = ",
    of: " WHERE order_id IN (",
};

/// Has the open orders of a shop looked at now, and not when their turn comes: it was suspended, and each of them is closed.
///
/// Only a spur. Whoever dies before it leaves them to their watches, which come round within ten minutes.
pub async fn hurry_open_orders(
    payments: &Payments,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<(), DbError> {
    payments.db.run(Hurry { tenant, merchant }).await
}

#[derive(Debug)]
struct Hurry {
    tenant: TenantId,
    merchant: MerchantId,
}

impl Work for Hurry {
    const NAME: &'static str = "payments.hurry_open_orders";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        // Ids are in time order, so that the shop's old orders need not be read.
        let longest = i64::from(ORDER_MINUTES_MAX) * 60;
        let millis = now.plus_seconds(-longest - OLD_SECONDS).millis();
        let mut oldest = [0_u8; 16];
        oldest[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        sqlx::query(
            "/* payments.hurry_open_orders */ INSERT INTO order_watches (order_id, tenant_id, due_at, queries) \
             SELECT id, tenant_id, ?, 0 FROM payment_orders WHERE merchant_id = ? AND tenant_id = ? AND id > ? AND state IN (1, 2) \
             ON DUPLICATE KEY UPDATE due_at = LEAST(order_watches.due_at, VALUES(due_at))",
        )
        .bind(now)
        .bind(self.merchant)
        .bind(self.tenant)
        .bind(oldest.as_slice())
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// Takes the watches that are due, for a minute.
pub async fn claim_watches(payments: &Payments) -> Result<Vec<Watch>, DbError> {
    let pace = payments.pace;
    payments.db.run(Claim { pace }).await
}

#[derive(Debug)]
struct Claim {
    pace: Pace,
}

impl Work for Claim {
    const NAME: &'static str = "payments.claim_watches";
    type Reply = Vec<Watch>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Watch>, DbError> {
        let now = tx.now();
        let until = self.pace.after(now, LEASE_SECONDS);
        DUE.claim(tx, (now, until), CLAIM, |watch: &Watch| {
            *watch.order_id.bytes()
        })
        .await
    }
}

/// Asks WeChat about a claimed order, settles or closes it, and says when to ask next.
pub async fn pursue_order(payments: &Payments, watch: Watch) -> Result<(), DbError> {
    let next = match pursue(payments, watch).await {
        Ok(next) => next,
        Err(PaymentError::AnswerWrong(reason)) => {
            raise(payments, watch, reason).await?;
            // It stays open until somebody has looked: it might be paid.
            Some(payments.pace.after(payments.db.now(), WRONG_SECONDS))
        }
        Err(error) => {
            tracing::info!(order.id = %watch.order_id, reason = %error, "an order cannot be asked about now");
            Some(payments.pace.after(payments.db.now(), LEASE_SECONDS / 2))
        }
    };
    payments.db.run(Move { watch, next }).await
}

/// When to ask again; none when nothing is left to ask.
async fn pursue(payments: &Payments, watch: Watch) -> Result<Option<Timestamp>, PaymentError> {
    let order = get_order(payments, watch.tenant_id, watch.order_id).await?;
    if !is_open(&order) {
        return Ok(None);
    }
    let now = payments.db.now();
    if now >= order.expires_at {
        close_payment(payments, watch.tenant_id, watch.order_id, CloseBy::Time).await?;
        return Ok(None);
    }
    if !merchants::is_open(&payments.db, order.tenant, order.merchant).await? {
        let by = CloseBy::Suspension;
        close_payment(payments, watch.tenant_id, watch.order_id, by).await?;
        return Ok(None);
    }
    match ask(payments, &order).await? {
        Found::Settled => Ok(None),
        Found::Closed => {
            give_up(payments, &order, Why::ClosedAtWechat, None).await?;
            Ok(None)
        }
        Found::Open => {
            let place = usize::try_from(watch.queries).unwrap_or(usize::MAX);
            let pause = PAUSES[place.min(PAUSES.len() - 1)];
            Ok(Some(payments.pace.after(now, pause).min(order.expires_at)))
        }
    }
}

/// Moves the watch ahead, or takes it away.
#[derive(Debug)]
struct Move {
    watch: Watch,
    next: Option<Timestamp>,
}

impl Work for Move {
    const NAME: &'static str = "payments.move_watch";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        match self.next {
            Some(due_at) => {
                sqlx::query("/* payments.move_watch */ UPDATE order_watches SET due_at = ?, queries = queries + 1 WHERE order_id = ?")
                    .bind(due_at)
                    .bind(self.watch.order_id)
                    .execute(tx.conn())
                    .await?;
            }
            None => {
                sqlx::query(
                    "/* payments.drop_watch */ DELETE FROM order_watches WHERE order_id = ?",
                )
                .bind(self.watch.order_id)
                .execute(tx.conn())
                .await?;
            }
        }
        Ok(())
    }
}

/// WeChat's answer does not fit the order: a person must look. They are told once until they have.
async fn raise(payments: &Payments, watch: Watch, reason: &'static str) -> Result<(), DbError> {
    let told = exceptions_of(&payments.db, watch.order_id).await?;
    if told
        .iter()
        .any(|told| told.kind == ExceptionKind::WrongAnswer.name() && told.resolved_at.is_none())
    {
        return Ok(());
    }
    let order = get_order(payments, watch.tenant_id, watch.order_id).await;
    let Ok(order) = order else { return Ok(()) };
    match payments.db.submit(Raise { order, reason }).await {
        Ok(()) => Ok(()),
        Err(SubmitError::Db(error)) => Err(error),
        Err(SubmitError::Refused(never)) => match never {},
    }
}

#[derive(Debug)]
struct Raise {
    order: Order,
    reason: &'static str,
}

impl Operation for Raise {
    type Reply = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "payments.raise";

    fn lane(&self) -> Lane {
        self.order.id.lane()
    }

    fn rows(&self, _want: &mut Wanted, _set: &WorkingSet) {}

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Self::Refusal> {
        let about = (Some(&self.order), None);
        let detail = self.reason.to_owned();
        put_exception(
            set,
            cx,
            self.order.tenant,
            ExceptionKind::WrongAnswer,
            about,
            detail,
            None,
        );
        Ok(())
    }
}

/// When an order that is watched is asked about next.
pub(super) async fn next_query(
    db: &Db,
    order: OrderId,
) -> Result<Option<(Timestamp, u32)>, DbError> {
    Ok(sqlx::query_as(
        "/* payments.find_watch */ SELECT due_at, queries FROM order_watches WHERE order_id = ?",
    )
    .bind(order)
    .fetch_optional(db.pool())
    .await?)
}
