//! Tables read page by page in the order of a key, all from one snapshot over one connection.

use std::collections::VecDeque;

use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::{
    db::{DbError, Sql},
    ledger::{ACCOUNT_COLUMNS, Account, TRANSFER_COLUMNS, Transfer, read_account, read_transfer},
    payments::{ORDER_COLUMNS, Order, read_order},
    primitives::{AccountId, OrderId},
};

const PAGE: usize = 4_000;

/// How one table is paged: what follows `last`, and how to read a row.
pub(super) trait Paged {
    type Item;
    fn after(last: Option<&Self::Item>, sql: &mut Sql);
    fn read(row: &MySqlRow) -> Result<Self::Item, sqlx::Error>;
}

/// A table with one item looked ahead.
#[derive(Debug)]
pub(super) struct Pages<P: Paged> {
    page: VecDeque<P::Item>,
    /// The last item of the page that was read last.
    done: bool,
    pub(super) read: u64,
}

impl<P: Paged> Default for Pages<P> {
    fn default() -> Self {
        Self {
            page: VecDeque::new(),
            done: false,
            read: 0,
        }
    }
}

impl<P: Paged> Pages<P>
where
    P::Item: Clone,
{
    /// The next item without taking it. `last` is the item that was taken last.
    pub(super) async fn peek(
        &mut self,
        conn: &mut MySqlConnection,
        last: Option<&P::Item>,
    ) -> Result<Option<&P::Item>, DbError> {
        if self.page.is_empty() && !self.done {
            let mut sql = Sql::default();
            P::after(last, &mut sql);
            sql.push(" LIMIT ").int(i64::try_from(PAGE).unwrap_or(1));
            let rows = sqlx::raw_sql(sql.into_statement())
                .fetch_all(&mut *conn)
                .await?;
            self.done = rows.len() < PAGE;
            self.read += u64::try_from(rows.len()).unwrap_or(0);
            for row in &rows {
                self.page.push_back(P::read(row)?);
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
    told: u64,
}

impl<P: Paged> Default for Cursor<P> {
    fn default() -> Self {
        Self {
            pages: Pages::default(),
            last: None,
            told: 0,
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
    ) -> Result<Option<P::Item>, DbError> {
        Ok(self.pages.peek(conn, self.last.as_ref()).await?.cloned())
    }

    pub(super) async fn next(
        &mut self,
        conn: &mut MySqlConnection,
    ) -> Result<Option<P::Item>, DbError> {
        self.pages.peek(conn, self.last.as_ref()).await?;
        let item = self.pages.take();
        if item.is_some() {
            self.last.clone_from(&item);
        }
        Ok(item)
    }

    /// Rows read since this was asked last.
    pub(super) fn news(&mut self) -> u64 {
        let news = self.pages.read - self.told;
        self.told = self.pages.read;
        news
    }
}

/// `transfers` by entry and leg.
pub(super) struct ByEntry;

impl Paged for ByEntry {
    type Item = Transfer;

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

/// `transfers` of checked accounts, by account and version.
pub(super) struct ByAccount;

impl Paged for ByAccount {
    type Item = Transfer;

    fn after(last: Option<&Transfer>, sql: &mut Sql) {
        sql.push("SELECT /* verify.postings */ ")
            .push(TRANSFER_COLUMNS)
            .push(" FROM transfers FORCE INDEX (transfers_checked_account) WHERE ");
        match last.and_then(|last| Some((last.checked_account()?, last.account_version?))) {
            Some((account, version)) => {
                sql.push("checked_account >= ").bytes(account.bytes());
                sql.push(" AND (checked_account > ").bytes(account.bytes());
                sql.push(" OR account_version > ").int(version).push(")");
            }
            None => {
                sql.push("checked_account IS NOT NULL");
            }
        }
        sql.push(" ORDER BY checked_account, account_version");
    }

    fn read(row: &MySqlRow) -> Result<Transfer, sqlx::Error> {
        read_transfer(row)
    }
}

/// `payment_orders` by id.
pub(super) struct Orders;

impl Paged for Orders {
    type Item = Order;

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

/// `accounts` by id.
pub(super) struct Accounts;

impl Paged for Accounts {
    type Item = (AccountId, Account);

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
}

impl Paged for History {
    type Item = HistoryItem;

    fn after(last: Option<&HistoryItem>, sql: &mut Sql) {
        sql.push("SELECT /* verify.history */ order_id, version, state FROM payment_order_history");
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
        })
    }
}
