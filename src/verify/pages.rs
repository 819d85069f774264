//! Tables read page by page in the order of a key, all from one snapshot over one connection.

use std::collections::VecDeque;

use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use super::{
    Invariant, Report,
    readable::{RowKey, reason},
};
use crate::{
    db::{DbError, Sql},
    ledger::{
        ACCOUNT_COLUMNS, Account, ConstrainedSide, Phase, TRANSFER_COLUMNS, Transfer, read_account,
        read_transfer,
    },
    payments::{
        ORDER_COLUMNS, Order, PointsReview, REFUND_COLUMNS, REFUND_WIDTH, Refund, RefundStateKind,
        read_order, read_refund,
    },
    points::{POINTS_TRANSACTION_COLUMNS, PointsTransaction, read_points_transaction},
    primitives::{
        AccountId, BusinessDay, CustomerId, EntryKind, MerchantId, Money, OrderId,
        PointsTransactionId, RefundId, TenantId, Timestamp,
    },
};

const PAGE: usize = 4_000;

/// How one table is paged: what follows `last`, and how to read a row.
pub(super) trait Paged {
    type Item;
    /// What it is called when it cannot be read.
    const ROW: RowKey;
    fn after(last: Option<&Self::Item>, sql: &mut Sql);
    fn read(row: &MySqlRow) -> Result<Self::Item, sqlx::Error>;
}

/// A table with one item looked ahead.
#[derive(Debug)]
pub(super) struct Pages<P: Paged> {
    page: VecDeque<P::Item>,
    done: bool,
    /// Rows behind the last item that could not be read.
    skipped: usize,
    pub(super) read: u64,
}

impl<P: Paged> Default for Pages<P> {
    fn default() -> Self {
        Self {
            page: VecDeque::new(),
            done: false,
            skipped: 0,
            read: 0,
        }
    }
}

impl<P: Paged> Pages<P>
where
    P::Item: Clone,
{
    /// The next item without taking it. `last` is the item that was taken last. A row that cannot
    /// be read is a finding, and the next one is taken for it.
    pub(super) async fn peek(
        &mut self,
        conn: &mut MySqlConnection,
        last: Option<&P::Item>,
        report: &mut Report,
    ) -> Result<Option<&P::Item>, DbError> {
        while self.page.is_empty() && !self.done {
            let mut sql = Sql::default();
            P::after(last, &mut sql);
            sql.push(" LIMIT ").int(i64::try_from(PAGE).unwrap_or(1));
            sql.push(" OFFSET ")
                .int(i64::try_from(self.skipped).unwrap_or(i64::MAX));
            let rows = sqlx::raw_sql(sql.into_statement())
                .fetch_all(&mut *conn)
                .await?;
            self.done = rows.len() < PAGE;
            let count = u64::try_from(rows.len()).unwrap_or(0);
            self.read += count;
            report.looked_at(Invariant::RowsAreReadable, count);
            for row in &rows {
                match P::read(row) {
                    Ok(item) => {
                        self.page.push_back(item);
                        self.skipped = 0;
                    }
                    Err(error) => {
                        report.unreadable(P::ROW.name(row), reason(row, &error));
                        self.skipped += 1;
                    }
                }
            }
        }
        Ok(self.page.front())
    }

    pub(super) fn take(&mut self) -> Option<P::Item> {
        self.page.pop_front()
    }
}

/// A cursor over a table: [`Pages`] that remembers what it gave last.
pub(super) struct Cursor<P: Paged> {
    pages: Pages<P>,
    last: Option<P::Item>,
    counted: u64,
}

impl<P: Paged> Default for Cursor<P> {
    fn default() -> Self {
        Self {
            pages: Pages::default(),
            last: None,
            counted: 0,
        }
    }
}

impl<P: Paged> Cursor<P>
where
    P::Item: Clone,
{
    pub(super) async fn peek(
        &mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<Option<P::Item>, DbError> {
        let next = self.pages.peek(conn, self.last.as_ref(), report).await?;
        Ok(next.cloned())
    }

    pub(super) async fn next(
        &mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<Option<P::Item>, DbError> {
        self.pages.peek(conn, self.last.as_ref(), report).await?;
        let item = self.pages.take();
        if item.is_some() {
            self.last.clone_from(&item);
        }
        Ok(item)
    }

    /// Rows read since this was asked last.
    pub(super) fn rows_since_last(&mut self) -> u64 {
        let rows_since_last = self.pages.read - self.counted;
        self.counted = self.pages.read;
        rows_since_last
    }
}

/// `transfers` by entry and leg.
pub(super) struct ByEntry;

impl Paged for ByEntry {
    type Item = Transfer;
    const ROW: RowKey = RowKey("transfers", 2);

    fn after(last: Option<&Transfer>, sql: &mut Sql) {
        sql.push("SELECT /* verify.transfers */ ")
            .push(TRANSFER_COLUMNS)
            .push(" FROM transfers");
        if let Some(last) = last {
            sql.push(" WHERE entry_id >= ").bytes(last.id.entry.bytes());
            sql.push(" AND (entry_id > ").bytes(last.id.entry.bytes());
            sql.push(" OR leg > ").int(last.id.leg).push(")");
        }
        sql.push(" ORDER BY entry_id, leg");
    }

    fn read(row: &MySqlRow) -> Result<Transfer, sqlx::Error> {
        read_transfer(row)
    }
}

/// `transfers` of constrained accounts, by account and version, each with the order that it credits
/// points for.
pub(super) struct ByAccount;

/// A transfer seen from its constrained account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting {
    pub(super) transfer: Transfer,
    /// Of points that a payment earns, at once or held for a review.
    pub(super) earned: Option<EarnedBy>,
    /// Of points that a return gives back: the points transaction that took them.
    pub(super) returns_of: Option<PointsTransactionId>,
}

/// What an order says of the points that it earned.
#[derive(Debug, Clone, Copy)]
pub(super) struct EarnedBy {
    pub(super) amount: Money,
    /// None while the order is not paid, which is wrong by itself.
    pub(super) rule_version: Option<u32>,
    pub(super) paid_at: Option<Timestamp>,
}

/// Columns of `transfers` before those of the order.
const TRANSFER_WIDTH: usize = 12;

impl Paged for ByAccount {
    type Item = Posting;
    const ROW: RowKey = RowKey("transfers", 2);

    fn after(last: Option<&Posting>, sql: &mut Sql) {
        sql.push("SELECT /* verify.postings */ ");
        for column in TRANSFER_COLUMNS.split(", ") {
            sql.push("t.").push(column).push(", ");
        }
        sql.push("o.amount_fen, o.rule_version, o.paid_at, p.returns_of FROM transfers t FORCE INDEX (transfers_constrained_account) LEFT JOIN payment_orders o ON t.constrained_side = ")
            .int(ConstrainedSide::Credit.code())
            .push(" AND t.phase IN (")
            .int(Phase::Posted.code())
            .push(", ")
            .int(Phase::Pending.code())
            .push(") AND t.entry_kind IN (")
            .int(EntryKind::Settlement.code())
            .push(", ")
            .int(EntryKind::PointsHeld.code())
            .push(") AND o.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') LEFT JOIN points_transactions p ON t.entry_kind = ")
            .int(EntryKind::PointsReturned.code())
            .push(" AND p.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') WHERE ");
        let last = last.map(|last| &last.transfer);
        match last.and_then(|last| Some((last.constrained_account()?, last.account_version?))) {
            Some((account, version)) => {
                sql.push("t.constrained_account >= ").bytes(account.bytes());
                sql.push(" AND (t.constrained_account > ")
                    .bytes(account.bytes());
                sql.push(" OR t.account_version > ").int(version).push(")");
            }
            None => {
                sql.push("t.constrained_account IS NOT NULL");
            }
        }
        sql.push(" ORDER BY t.constrained_account, t.account_version");
    }

    fn read(row: &MySqlRow) -> Result<Posting, sqlx::Error> {
        let amount: Option<i64> = row.try_get(TRANSFER_WIDTH)?;
        let rule_version: Option<u32> = row.try_get(TRANSFER_WIDTH + 1)?;
        let paid_at: Option<Timestamp> = row.try_get(TRANSFER_WIDTH + 2)?;
        let amount = amount.and_then(|fen| Money::parse(fen).ok());
        Ok(Posting {
            transfer: read_transfer(row)?,
            earned: amount.map(|amount| EarnedBy {
                amount,
                rule_version,
                paid_at,
            }),
            returns_of: row.try_get(TRANSFER_WIDTH + 3)?,
        })
    }
}

/// `payment_orders` by id.
pub(super) struct Orders;

impl Paged for Orders {
    type Item = Order;
    const ROW: RowKey = RowKey("payment_orders", 1);

    fn after(last: Option<&Order>, sql: &mut Sql) {
        sql.push("SELECT /* verify.orders */ ")
            .push(ORDER_COLUMNS)
            .push(" FROM payment_orders o");
        if let Some(last) = last {
            sql.push(" WHERE o.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY o.id");
    }

    fn read(row: &MySqlRow) -> Result<Order, sqlx::Error> {
        read_order(row)
    }
}

/// `points_transactions` by id.
pub(super) struct PointsTransactions;

impl Paged for PointsTransactions {
    type Item = PointsTransaction;
    const ROW: RowKey = RowKey("points_transactions", 1);

    fn after(last: Option<&PointsTransaction>, sql: &mut Sql) {
        sql.push("SELECT /* verify.points_transactions */ ")
            .push(POINTS_TRANSACTION_COLUMNS)
            .push(" FROM points_transactions p");
        if let Some(last) = last {
            sql.push(" WHERE p.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY p.id");
    }

    fn read(row: &MySqlRow) -> Result<PointsTransaction, sqlx::Error> {
        read_points_transaction(row)
    }
}

/// `accounts` by id.
pub(super) struct Accounts;

impl Paged for Accounts {
    type Item = (AccountId, Account);
    const ROW: RowKey = RowKey("accounts", 1);

    fn after(last: Option<&Self::Item>, sql: &mut Sql) {
        sql.push("SELECT /* verify.accounts */ ")
            .push(ACCOUNT_COLUMNS)
            .push(" FROM accounts");
        if let Some((last, _)) = last {
            sql.push(" WHERE id > ").bytes(last.bytes());
        }
        sql.push(" ORDER BY id");
    }

    fn read(row: &MySqlRow) -> Result<Self::Item, sqlx::Error> {
        read_account(row)
    }
}

/// `payment_order_history` by order and version.
pub(super) struct History;

#[derive(Debug, Clone, Copy)]
pub(super) struct HistoryItem {
    pub(super) order: OrderId,
    pub(super) version: u32,
    pub(super) state: i8,
    pub(super) why: i8,
}

impl Paged for History {
    type Item = HistoryItem;
    const ROW: RowKey = RowKey("payment_order_history", 2);

    fn after(last: Option<&HistoryItem>, sql: &mut Sql) {
        sql.push(
            "SELECT /* verify.history */ order_id, version, state, why FROM payment_order_history",
        );
        if let Some(last) = last {
            sql.push(" WHERE order_id >= ").bytes(last.order.bytes());
            sql.push(" AND (order_id > ").bytes(last.order.bytes());
            sql.push(" OR version > ").int(last.version).push(")");
        }
        sql.push(" ORDER BY order_id, version");
    }

    fn read(row: &MySqlRow) -> Result<HistoryItem, sqlx::Error> {
        Ok(HistoryItem {
            order: row.try_get(0)?,
            version: row.try_get(1)?,
            state: row.try_get(2)?,
            why: row.try_get(3)?,
        })
    }
}

/// `refunds` by id, each with what its journal needs to know of its order.
pub(super) struct Refunds;

#[derive(Debug, Clone)]
pub(super) struct RefundItem {
    pub(super) refund: Refund,
    /// None when there is no such order.
    pub(super) order: Option<OrderOfRefund>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct OrderOfRefund {
    pub(super) tenant: TenantId,
    pub(super) merchant: MerchantId,
    pub(super) customer: Option<CustomerId>,
    /// None for a number that means nothing.
    pub(super) review: Option<PointsReview>,
    pub(super) points_expired_from: Option<BusinessDay>,
}

impl Paged for Refunds {
    type Item = RefundItem;
    const ROW: RowKey = RowKey("refunds", 1);

    fn after(last: Option<&RefundItem>, sql: &mut Sql) {
        sql.push("SELECT /* verify.refunds */ ")
            .push(REFUND_COLUMNS)
            .push(", o.tenant_id, o.merchant_id, o.customer_id, o.review, o.points_expired_from FROM refunds r LEFT JOIN payment_orders o ON o.id = r.order_id");
        if let Some(last) = last {
            sql.push(" WHERE r.id > ").bytes(last.refund.id.bytes());
        }
        sql.push(" ORDER BY r.id");
    }

    fn read(row: &MySqlRow) -> Result<RefundItem, sqlx::Error> {
        let tenant: Option<u32> = row.try_get(REFUND_WIDTH)?;
        let merchant: Option<MerchantId> = row.try_get(REFUND_WIDTH + 1)?;
        let customer: Option<CustomerId> = row.try_get(REFUND_WIDTH + 2)?;
        let review: Option<i8> = row.try_get(REFUND_WIDTH + 3)?;
        let lot: Option<time::Date> = row.try_get(REFUND_WIDTH + 4)?;
        let order = tenant
            .zip(merchant)
            .map(|(tenant, merchant)| OrderOfRefund {
                tenant: TenantId(tenant),
                merchant,
                customer,
                review: review
                    .and_then(|code| u8::try_from(code).ok())
                    .and_then(PointsReview::from_code),
                points_expired_from: lot.map(BusinessDay),
            });
        Ok(RefundItem {
            refund: read_refund(row)?,
            order,
        })
    }
}

/// `refund_history` by refund and version.
pub(super) struct RefundSteps;

#[derive(Debug, Clone, Copy)]
pub(super) struct RefundStepItem {
    pub(super) refund: RefundId,
    pub(super) version: u32,
    pub(super) state: i8,
}

impl Paged for RefundSteps {
    type Item = RefundStepItem;
    const ROW: RowKey = RowKey("refund_history", 2);

    fn after(last: Option<&RefundStepItem>, sql: &mut Sql) {
        sql.push("SELECT /* verify.refund_steps */ refund_id, version, state FROM refund_history");
        if let Some(last) = last {
            sql.push(" WHERE refund_id >= ").bytes(last.refund.bytes());
            sql.push(" AND (refund_id > ").bytes(last.refund.bytes());
            sql.push(" OR version > ").int(last.version).push(")");
        }
        sql.push(" ORDER BY refund_id, version");
    }

    fn read(row: &MySqlRow) -> Result<RefundStepItem, sqlx::Error> {
        Ok(RefundStepItem {
            refund: row.try_get(0)?,
            version: row.try_get(1)?,
            state: row.try_get(2)?,
        })
    }
}

/// `refunds` summed up per order, by order. The database adds, along the index of orders.
pub(super) struct RefundsByOrder;

/// What the refunds of one order come to; amounts in fen, points in points.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefundsOfOrder {
    pub(super) order: OrderId,
    /// Asked for and not rejected.
    pub(super) count: i64,
    /// With those that were.
    pub(super) ever: i64,
    /// On the table.
    pub(super) asked: i64,
    pub(super) done: i64,
    /// Due by those that count against the order.
    pub(super) points: i64,
    /// Made by the tenant, because the payment was late.
    pub(super) late: i64,
    /// Waiting for shares to come back.
    pub(super) waiting: i64,
    /// Points withheld from a review, by those that count against the order, and by those that were
    /// ever initiated.
    pub(super) withheld: i64,
    pub(super) withheld_ever: i64,
    /// Withheld by those that arrived.
    pub(super) withheld_done: i64,
    /// Taken or to be taken from the customer by those that were initiated and count against the
    /// order.
    pub(super) taken: i64,
    /// What those that arrived took from the customer or from the review: not what expired.
    pub(super) returned: i64,
    /// Of what counts against the order, what others made.
    pub(super) elsewhere: i64,
}

impl Paged for RefundsByOrder {
    type Item = RefundsOfOrder;
    const ROW: RowKey = RowKey("refunds of order", 1);

    fn after(last: Option<&RefundsOfOrder>, sql: &mut Sql) {
        let states = |sql: &mut Sql, which: fn(RefundStateKind) -> bool| {
            let which = RefundStateKind::ALL.into_iter().filter(|kind| which(*kind));
            sql.values(which.map(RefundStateKind::code));
        };
        sql.push("SELECT /* verify.refunds_by_order */ order_id, CAST(SUM(IF(state IN (");
        states(sql, |kind| kind == RefundStateKind::Rejected);
        sql.push("), 0, 1)) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, RefundStateKind::counts_against_order);
        sql.push("), amount_fen, 0)) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, |kind| kind == RefundStateKind::Succeeded);
        sql.push("), amount_fen, 0)) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, RefundStateKind::counts_against_order);
        sql.push("), points_due, 0)) AS SIGNED), CAST(SUM(late <> 0) AS SIGNED), CAST(COUNT(*) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, |kind| kind == RefundStateKind::Returning);
        sql.push("), 1, 0)) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, RefundStateKind::counts_against_order);
        sql.push("), points_withheld, 0)) AS SIGNED), CAST(SUM(points_withheld) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, |kind| kind == RefundStateKind::Succeeded);
        sql.push("), points_withheld, 0)) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, |kind| kind.is_booked() && kind.counts_against_order());
        sql.push("), points_due - points_expired - points_withheld, 0)) AS SIGNED), CAST(SUM(IF(state IN (");
        states(sql, |kind| kind == RefundStateKind::Succeeded);
        sql.push("), points_due - points_expired, 0)) AS SIGNED), CAST(SUM(IF(origin <> 0 AND state IN (");
        states(sql, RefundStateKind::counts_against_order);
        sql.push("), amount_fen, 0)) AS SIGNED) FROM refunds FORCE INDEX (refunds_order)");
        if let Some(last) = last {
            sql.push(" WHERE order_id > ").bytes(last.order.bytes());
        }
        sql.push(" GROUP BY order_id ORDER BY order_id");
    }

    fn read(row: &MySqlRow) -> Result<RefundsOfOrder, sqlx::Error> {
        Ok(RefundsOfOrder {
            order: row.try_get(0)?,
            count: row.try_get(1)?,
            asked: row.try_get(2)?,
            done: row.try_get(3)?,
            points: row.try_get(4)?,
            late: row.try_get(5)?,
            ever: row.try_get(6)?,
            waiting: row.try_get(7)?,
            withheld: row.try_get(8)?,
            withheld_ever: row.try_get(9)?,
            withheld_done: row.try_get(10)?,
            taken: row.try_get(11)?,
            returned: row.try_get(12)?,
            elsewhere: row.try_get(13)?,
        })
    }
}

/// `points_lots` by account and day.
pub(super) struct Lots;

/// One lot of one account, in points.
#[derive(Debug, Clone, Copy)]
pub(super) struct LotRow {
    pub(super) account: AccountId,
    pub(super) expired_from: BusinessDay,
    pub(super) granted: i64,
    pub(super) remaining: i64,
    pub(super) expired: i64,
}

impl Paged for Lots {
    type Item = LotRow;
    const ROW: RowKey = RowKey("points_lots", 2);

    fn after(last: Option<&LotRow>, sql: &mut Sql) {
        sql.push(
            "SELECT /* verify.lots */ account_id, expired_from, granted, remaining, expired FROM points_lots",
        );
        if let Some(last) = last {
            sql.push(" WHERE account_id >= ")
                .bytes(last.account.bytes());
            sql.push(" AND (account_id > ").bytes(last.account.bytes());
            sql.push(" OR expired_from > ")
                .day(last.expired_from)
                .push(")");
        }
        sql.push(" ORDER BY account_id, expired_from");
    }

    fn read(row: &MySqlRow) -> Result<LotRow, sqlx::Error> {
        Ok(LotRow {
            account: row.try_get(0)?,
            expired_from: BusinessDay(row.try_get(1)?),
            granted: row.try_get(2)?,
            remaining: row.try_get(3)?,
            expired: row.try_get(4)?,
        })
    }
}

/// `points_holds` by account and day.
pub(super) struct Holds;

/// What one account holds since one day, in points.
#[derive(Debug, Clone, Copy)]
pub(super) struct HoldRow {
    pub(super) account: AccountId,
    pub(super) held_on: BusinessDay,
    pub(super) held: i64,
}

impl Paged for Holds {
    type Item = HoldRow;
    const ROW: RowKey = RowKey("points_holds", 2);

    fn after(last: Option<&HoldRow>, sql: &mut Sql) {
        sql.push("SELECT /* verify.holds */ account_id, held_on, held FROM points_holds");
        if let Some(last) = last {
            sql.push(" WHERE account_id >= ")
                .bytes(last.account.bytes());
            sql.push(" AND (account_id > ").bytes(last.account.bytes());
            sql.push(" OR held_on > ").day(last.held_on).push(")");
        }
        sql.push(" ORDER BY account_id, held_on");
    }

    fn read(row: &MySqlRow) -> Result<HoldRow, sqlx::Error> {
        Ok(HoldRow {
            account: row.try_get(0)?,
            held_on: BusinessDay(row.try_get(1)?),
            held: row.try_get(2)?,
        })
    }
}
