//! Paid orders that wait to be shared.

use sqlx::FromRow;

use crate::{
    db::{ClaimTime, Db, DbError, DueClaim, Sql, Tx, Work},
    payments::{OrderSharing, Payments, TimeScale},
    primitives::{OrderId, TenantId},
};

/// Most orders that one claim takes.
const CLAIM: u32 = 32;
/// Seconds for which a claimed order is left to its claimer.
const LEASE_SECONDS: i64 = 60;
/// Most orders of one insert.
const NOTE: usize = 1_000;

/// A paid order that is to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Due {
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
}

/// Stores which of these orders, which were just paid, are to be shared. Called by the relay in its
/// own transaction; repeats change nothing.
///
/// The pause counts from now, and not from WeChat's time of the payment, which has whole seconds
/// and is of another clock: a share that comes too early is refused like one that will never be
/// taken, and is then undone.
pub async fn note_paid(tx: &mut Tx, orders: &[OrderId]) -> Result<(), DbError> {
    let now = tx.now();
    for orders in orders.chunks(NOTE) {
        let mut sql = Sql::new(
            "INSERT IGNORE /* sharing.note_paid */ INTO sharing_dues (order_id, tenant_id, due_at) \
             SELECT id, tenant_id, ",
        );
        sql.time(now)
            .push(" FROM payment_orders WHERE sharing = ")
            .int(OrderSharing::Wanted.code())
            .push(" AND paid_at IS NOT NULL AND id IN (");
        sql.values(orders).push(")");
        sqlx::raw_sql(sql.into_statement())
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

const DUE: DueClaim = DueClaim {
    select: "/* sharing.dues */ SELECT order_id, tenant_id FROM sharing_dues WHERE due_at <= ? ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* sharing.claim_dues */ sharing_dues SET due_at = ",
    where_id: " WHERE order_id IN (",
};

/// Claims for a minute orders that have been known to be paid for `pause_seconds`, divided by the
/// time scale. WeChat requires a minute between payment and share (`docs/wechat-pay.md` §8).
pub async fn claim_dues(payments: &Payments, pause_seconds: i64) -> Result<Vec<Due>, DbError> {
    let time_scale = payments.time_scale;
    payments
        .db
        .run(Claim {
            pause_seconds,
            time_scale,
        })
        .await
}

#[derive(Debug)]
struct Claim {
    pause_seconds: i64,
    time_scale: TimeScale,
}

impl Work for Claim {
    const NAME: &'static str = "sharing.claim_dues";
    type Reply = Vec<Due>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Due>, DbError> {
        let paid_before = self
            .time_scale
            .after(tx.now(), self.pause_seconds.saturating_neg());
        let until = self.time_scale.after(paid_before, LEASE_SECONDS);
        let time = ClaimTime {
            now: paid_before,
            until,
        };
        DUE.claim(tx, time, CLAIM, |due: &Due| *due.order.bytes())
            .await
    }
}

/// Deletes the due row of an order that is being shared, or is not to be.
pub(super) async fn drop_due(db: &Db, order: OrderId) -> Result<(), DbError> {
    db.run(Drop { order }).await
}

#[derive(Debug)]
struct Drop {
    order: OrderId,
}

impl Work for Drop {
    const NAME: &'static str = "sharing.drop_due";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        sqlx::query("/* sharing.drop_due */ DELETE FROM sharing_dues WHERE order_id = ?")
            .bind(self.order)
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}

/// Postpones the order by so many seconds.
pub(super) async fn postpone_due(
    payments: &Payments,
    order: OrderId,
    seconds: i64,
) -> Result<(), DbError> {
    let time_scale = payments.time_scale;
    let postpone = Postpone {
        order,
        seconds,
        time_scale,
    };
    payments.db.run(postpone).await
}

#[derive(Debug)]
struct Postpone {
    order: OrderId,
    seconds: i64,
    time_scale: TimeScale,
}

impl Work for Postpone {
    const NAME: &'static str = "sharing.postpone_due";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let next = self.time_scale.after(tx.now(), self.seconds);
        sqlx::query(
            "/* sharing.postpone_due */ UPDATE sharing_dues SET due_at = ? WHERE order_id = ?",
        )
        .bind(next)
        .bind(self.order)
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
