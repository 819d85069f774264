//! Looking at payments. Reads that decide nothing, each filtered by tenant and by who may see it.

use sqlx::{FromRow, Row as _, mysql::MySqlRow};

use super::{
    ChangeReason, Order, OrderStateKind, PaymentError, Search,
    search::IdRange,
    store::{ORDER_COLUMNS, ORDER_WIDTH, read_order},
};
use crate::{
    audit::Actor,
    db::{Db, DbError, Sql},
    primitives::{
        BusinessDay, CustomerId, Id, MerchantId, Money, OrderId, OrderNo, PageLimit, Points,
        TenantId, Timestamp,
    },
};

/// An order with the name of its merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderWithMerchant {
    pub order: Order,
    pub merchant_name: String,
}

/// Whose orders.
#[derive(Debug, Clone, Copy)]
pub enum OrderScope {
    Customer(CustomerId),
    Merchant(MerchantId),
    /// What one customer paid to one merchant.
    CustomerAt(CustomerId, MerchantId),
    /// Every order of the tenant.
    Tenant,
}

fn read_view(row: &MySqlRow) -> Result<OrderWithMerchant, sqlx::Error> {
    Ok(OrderWithMerchant {
        order: read_order(row)?,
        merchant_name: row.try_get(ORDER_WIDTH)?,
    })
}

/// One order of a tenant. Whose it is, is for the caller to check.
pub async fn find_order(
    db: &Db,
    tenant: TenantId,
    id: OrderId,
) -> Result<Option<OrderWithMerchant>, DbError> {
    let statement = format!(
        "SELECT /* payments.find_order */ {ORDER_COLUMNS}, m.name FROM payment_orders o JOIN merchants m ON m.id = o.merchant_id \
         WHERE o.id = ? AND o.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    Ok(row.as_ref().map(read_view).transpose()?)
}

/// One order of a tenant, as [`find_order`] finds it, without its merchant.
pub(super) async fn get_order(
    db: &Db,
    tenant: TenantId,
    id: OrderId,
) -> Result<Order, PaymentError> {
    let found = find_order(db, tenant, id).await?;
    Ok(found.ok_or(PaymentError::OrderNotFound)?.order)
}

/// By what an operator looks for a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentNumber {
    /// The order's, or that of one of its refunds: they look alike.
    Ours(OrderNo),
    /// WeChat's (`transaction_id`), as it stands in its bills.
    Wechat(String),
}

/// An order and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct OrderOfTenant {
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
    #[sqlx(rename = "id")]
    pub order: OrderId,
}

/// Returns the order that a number leads to, whichever tenant's it is: for the operators' commands,
/// which are told a number and nothing else and may see every tenant.
pub async fn find_order_of_any_tenant(
    db: &Db,
    number: &PaymentNumber,
) -> Result<Option<OrderOfTenant>, DbError> {
    let found = match number {
        PaymentNumber::Ours(number) => sqlx::query_as(
            "/* payments.find_order_of_any_tenant */ SELECT tenant_id, id FROM payment_orders WHERE id = ? \
             UNION ALL SELECT tenant_id, order_id FROM refunds WHERE id = ? LIMIT 1",
        )
        .bind(number.id())
        .bind(number.id()),
        PaymentNumber::Wechat(number) => sqlx::query_as(
            "/* payments.find_paid_order_of_any_tenant */ SELECT tenant_id, id FROM payment_orders WHERE wechat_transaction_id = ?",
        )
        .bind(number),
    };
    Ok(found.fetch_optional(db.pool()).await?)
}

/// Up to `limit.probe()` orders, newest first, older than `before`.
pub async fn list_orders(
    db: &Db,
    tenant: TenantId,
    by: OrderScope,
    state: Option<OrderStateKind>,
    search: &Search,
    before: Option<OrderId>,
    limit: PageLimit,
) -> Result<Vec<OrderWithMerchant>, DbError> {
    let (customer, merchant) = match by {
        OrderScope::Customer(customer) => (Some(customer), None),
        OrderScope::Merchant(merchant) => (None, Some(merchant)),
        OrderScope::CustomerAt(customer, merchant) => (Some(customer), Some(merchant)),
        OrderScope::Tenant => (None, None),
    };
    let IdRange { from, end } = search.range(before.map(|id| id.id()));
    let mut sql = Sql::new("SELECT /* payments.list_orders */ ");
    sql.push(ORDER_COLUMNS).push(
        ", m.name FROM payment_orders o JOIN merchants m ON m.id = o.merchant_id WHERE o.tenant_id = ",
    );
    sql.int(tenant.0);
    if let Some(customer) = customer {
        sql.push(" AND o.customer_id = ").bytes(customer.bytes());
    }
    if let Some(merchant) = merchant {
        sql.push(" AND o.merchant_id = ").bytes(merchant.bytes());
    }
    sql.push(" AND o.id >= ").bytes(from.bytes());
    sql.push(" AND o.id < ").bytes(end.bytes());
    if let Some(state) = state {
        sql.push(" AND o.state = ").int(state.code());
    }
    search.of_orders(&mut sql);
    sql.push(" ORDER BY o.id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter()
        .map(read_view)
        .map(|view| view.map_err(DbError::from))
        .collect()
}

/// One change of an order's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub version: u32,
    pub state: OrderStateKind,
    pub at: Timestamp,
    pub why: ChangeReason,
    /// When a person did it.
    pub actor: Option<Actor>,
}

/// An order's states in order, as far as they are projected.
pub async fn history(
    db: &Db,
    tenant: TenantId,
    order: OrderId,
) -> Result<Vec<HistoryRow>, DbError> {
    let rows: Vec<(u32, i8, Timestamp, i8, Option<Actor>)> = sqlx::query_as(
        "/* payments.history */ SELECT version, state, at, why, actor FROM payment_order_history WHERE order_id = ? AND tenant_id = ? ORDER BY version",
    )
    .bind(order)
    .bind(tenant)
    .fetch_all(db.pool())
    .await?;
    rows.into_iter()
        .map(|(version, state, at, why, actor)| {
            let state = u8::try_from(state).ok().and_then(OrderStateKind::from_code);
            let state = state.ok_or(DbError::Inconsistent(
                "an unknown state in an order's history",
            ))?;
            let why = u8::try_from(why).ok().and_then(ChangeReason::from_code);
            let why = why.ok_or(DbError::Inconsistent(
                "an unknown reason in an order's history",
            ))?;
            Ok(HistoryRow {
                version,
                state,
                at,
                why,
                actor,
            })
        })
        .collect()
}

/// A merchant's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTotals {
    pub day: BusinessDay,
    pub orders: i64,
    pub paid: Money,
    pub points: Points,
    pub refunds: i64,
    /// Refunds that arrived on that day, whenever the payment was.
    pub refunded: Money,
    pub points_back: Points,
}

/// A merchant's days from `from` to `to`, both included, as far as they are projected. Days without
/// payments are absent.
pub async fn merchant_totals(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
    from: BusinessDay,
    to: BusinessDay,
) -> Result<Vec<DayTotals>, DbError> {
    let rows: Vec<(time::Date, i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "/* payments.merchant_totals */ SELECT day, orders, paid_fen, points, refunds, refunded_fen, points_back FROM merchant_days \
         WHERE merchant_id = ? AND tenant_id = ? AND day BETWEEN ? AND ? ORDER BY day",
    )
    .bind(merchant)
    .bind(tenant)
    .bind(from.0)
    .bind(to.0)
    .fetch_all(db.pool())
    .await?;
    let negative = |_| DbError::Inconsistent("a total below zero");
    rows.into_iter()
        .map(
            |(day, orders, paid, points, refunds, refunded, points_back)| {
                Ok(DayTotals {
                    day: BusinessDay(day),
                    orders,
                    paid: Money::parse(paid).map_err(negative)?,
                    points: Points::parse(points).map_err(negative)?,
                    refunds,
                    refunded: Money::parse(refunded).map_err(negative)?,
                    points_back: Points::parse(points_back).map_err(negative)?,
                })
            },
        )
        .collect()
}

/// A callback that was authentic and not acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub event: Id,
    /// Why the callback is not taken. An alarm is never changed, and a callback that comes again
    /// may be judged anew: then its last reason; the first one if it was taken in the end.
    pub reason: String,
    /// Empty of a callback that could not be read, until it is read.
    pub out_trade_no: String,
    /// Empty unless it is about a refund.
    pub out_refund_no: String,
    pub wechat_transaction_id: String,
    pub amount: Money,
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct AlarmRow {
    event_id: Vec<u8>,
    reason: String,
    out_trade_no: String,
    out_refund_no: String,
    wechat_transaction_id: String,
    amount_fen: i64,
    created_at: Timestamp,
}

impl TryFrom<AlarmRow> for Alarm {
    type Error = DbError;

    fn try_from(row: AlarmRow) -> Result<Self, DbError> {
        Ok(Self {
            event: row
                .event_id
                .as_slice()
                .try_into()
                .map(Id::from_bytes)
                .map_err(|_| DbError::Inconsistent("an id of a strange length"))?,
            reason: row.reason,
            out_trade_no: row.out_trade_no,
            out_refund_no: row.out_refund_no,
            wechat_transaction_id: row.wechat_transaction_id,
            amount: Money::parse(row.amount_fen)
                .map_err(|_| DbError::Inconsistent("an amount below zero"))?,
            created_at: row.created_at,
        })
    }
}

/// Of a callback that could not be read and was read later, the alarm that says what about.
const LAST_ALARM: &str = "(a.understood = 1 OR NOT EXISTS (SELECT 1 FROM callback_alarms b WHERE b.event_id = a.event_id AND b.understood = 1))";

/// Every alarm that names an order, or is of the callback that settled it.
pub(super) async fn alarms_of(
    db: &Db,
    tenant: TenantId,
    order: &Order,
) -> Result<Vec<Alarm>, DbError> {
    let settled_by = order.state.payment().and_then(|payment| payment.settled_by);
    let statement = format!(
        "/* payments.alarms_of */ SELECT a.event_id, COALESCE(c.reason, a.reason) AS reason, a.out_trade_no, a.out_refund_no, a.wechat_transaction_id, a.amount_fen, a.created_at \
         FROM callback_alarms a LEFT JOIN callback_events c ON c.id = a.event_id WHERE (a.out_trade_no = ? OR a.event_id = ?) AND a.tenant_id = ? AND {LAST_ALARM} ORDER BY a.event_id",
    );
    let rows: Vec<AlarmRow> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(order.no().to_string())
        .bind(settled_by.map(|id| id.bytes().to_vec()))
        .bind(tenant)
        .fetch_all(db.pool())
        .await?;
    rows.into_iter().map(Alarm::try_from).collect()
}

/// Up to `limit.probe()` alarms, newest first, older than `before`.
pub async fn list_alarms(
    db: &Db,
    tenant: TenantId,
    before: Option<Id>,
    limit: PageLimit,
) -> Result<Vec<Alarm>, DbError> {
    let before = before.map_or([0xff; 16], |id| *id.bytes());
    let statement = format!(
        "/* payments.list_alarms */ SELECT a.event_id, COALESCE(c.reason, a.reason) AS reason, a.out_trade_no, a.out_refund_no, a.wechat_transaction_id, a.amount_fen, a.created_at \
         FROM callback_alarms a LEFT JOIN callback_events c ON c.id = a.event_id WHERE a.tenant_id = ? AND a.event_id < ? \
         AND {LAST_ALARM} ORDER BY a.event_id DESC LIMIT ?",
    );
    let rows: Vec<AlarmRow> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(tenant)
        .bind(before.as_slice())
        .bind(limit.probe())
        .fetch_all(db.pool())
        .await?;
    rows.into_iter().map(Alarm::try_from).collect()
}
