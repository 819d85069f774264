//! `payment_orders`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::optional_id;
use crate::{
    db::{Change, LoadRows, RecordRows, Recorder, RowSet, Sql},
    payments::{
        Late, Order, OrderSharing, OrderState, OrderStateKind, PayMethod, Payment, PointsReview,
        PrepayId, RefundSums,
    },
    primitives::{BusinessDay, Id, Money, OrderId, Points, Secret, TenantId, Timestamp},
};

/// `payment_orders`: loaded, inserted, and changed only if the version is still the one that was
/// loaded.
#[derive(Debug)]
pub(crate) struct Orders;

pub(crate) const ORDER_COLUMNS: &str = "o.id, o.tenant_id, o.customer_id, o.merchant_id, o.code, o.sub_mchid, o.amount_fen, o.expires_at, o.state, o.version, \
     o.prepay_id, o.wechat_transaction_id, o.paid_at, o.closed_at, o.points, o.rule_version, o.method, o.description, o.sharing, o.prepaid_at, o.settled_by, o.late, \
     o.refund_asked_fen, o.refund_done_fen, o.refund_points, o.refund_count, o.points_expired_from, o.review, o.refund_withheld, o.refund_unknown";

/// How many columns that is: what is selected after them begins here.
pub(crate) const ORDER_WIDTH: usize = 30;

/// Columns as in [`ORDER_COLUMNS`].
pub(crate) fn read_order(row: &MySqlRow) -> Result<Order, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let code = |column: usize| -> Result<u8, sqlx::Error> {
        u8::try_from(row.try_get::<i8, _>(column)?).map_err(|_| broken("a negative code"))
    };
    let points = |units: i64| Points::parse(units).map_err(|_| broken("points below zero"));
    let money = |units: i64| Money::parse(units).map_err(|_| broken("an amount below zero"));
    let kind = OrderStateKind::from_code(code(8)?).ok_or(broken("payment_orders.state"))?;
    let payment = || -> Result<Payment, sqlx::Error> {
        Ok(Payment {
            wechat_transaction_id: row.try_get(11)?,
            paid_at: row.try_get(12)?,
            points: points(row.try_get(14)?)?,
            rule_version: row.try_get(15)?,
            points_expired_from: BusinessDay(row.try_get(26)?),
            settled_by: optional_id(row, 20)?,
            late: Late::from_code(code(21)?).ok_or(broken("payment_orders.late"))?,
        })
    };
    let state = match kind {
        OrderStateKind::Created => OrderState::Created,
        OrderStateKind::Prepaid => OrderState::Prepaid(PrepayId {
            id: Secret::new(row.try_get(10)?),
            at: row.try_get(19)?,
        }),
        OrderStateKind::Paid => OrderState::Paid(payment()?),
        OrderStateKind::PartlyRefunded => OrderState::PartlyRefunded(payment()?),
        OrderStateKind::Refunded => OrderState::Refunded(payment()?),
        OrderStateKind::Closed => OrderState::Closed {
            closed_at: row.try_get(13)?,
        },
        OrderStateKind::Expired => OrderState::Expired {
            closed_at: row.try_get(13)?,
        },
    };
    Ok(Order {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        customer: row.try_get(2)?,
        merchant: row.try_get(3)?,
        code: row.try_get(4)?,
        method: PayMethod::from_code(code(16)?).ok_or(broken("payment_orders.method"))?,
        sub_mchid: row.try_get(5)?,
        description: row.try_get(17)?,
        amount: money(row.try_get(6)?)?,
        sharing: OrderSharing::from_code(code(18)?).ok_or(broken("payment_orders.sharing"))?,
        review: PointsReview::from_code(code(27)?).ok_or(broken("payment_orders.review"))?,
        expires_at: row.try_get(7)?,
        version: row.try_get(9)?,
        state,
        refunds: RefundSums {
            asked: money(row.try_get(22)?)?,
            done: money(row.try_get(23)?)?,
            points: points(row.try_get(24)?)?,
            withheld: points(row.try_get(28)?)?,
            count: u16::try_from(row.try_get::<i16, _>(25)?)
                .map_err(|_| broken("payment_orders.refund_count"))?,
            unknown: code(29)? != 0,
        },
    })
}

impl RowSet for Orders {
    type Key = OrderId;
    type Row = Order;
    const LOCK_ORDER: u8 = 30;
}

impl LoadRows for Orders {
    fn load(keys: &[OrderId], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_orders */ ")
            .push(ORDER_COLUMNS)
            .push(" FROM payment_orders o WHERE o.id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(OrderId, Order), sqlx::Error> {
        let order = read_order(row)?;
        Ok((order.id, order))
    }
}

impl RecordRows for Orders {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        insert_orders(&new, out);
        let (common, rare): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|change| is_common(change.before, change.after));
        let one_by_one = common.len() <= Recorder::FEW;
        for change in rare
            .into_iter()
            .chain(common.iter().filter(|_| one_by_one).copied())
        {
            out.statement(&update_order(change), Some(1));
        }
        if !one_by_one {
            update_orders(&common, out);
        }
    }
}

/// A prepay id, a payment in time, or the end of the time: what happens to nearly every order.
fn is_common(before: Option<&Order>, after: &Order) -> bool {
    let late = after
        .state
        .payment()
        .is_some_and(|payment| payment.late != Late::No);
    before.is_some_and(|before| {
        before.refunds == after.refunds
            && before.sharing == after.sharing
            && before.review == after.review
            && before.customer == after.customer
            // A Native prepay id is an address, which is not plain text.
            && after.method == PayMethod::MiniProgram
            && !late
    })
}

/// Set-wise. What is null in the JSON is null in the row, except the prepay id, which stays.
fn update_orders(changes: &[&Change<'_, Orders>], out: &mut Recorder) {
    out.update(
        "UPDATE /* payments.update_orders */ JSON_TABLE('[",
        changes,
        "]', '$[*]' COLUMNS (id CHAR(32) PATH '$[0]', expected INT UNSIGNED PATH '$[1]', version INT UNSIGNED PATH '$[2]', \
         state TINYINT PATH '$[3]', prepay VARCHAR(128) PATH '$[4]', txn VARCHAR(32) PATH '$[5]', prepaid_at DATETIME(6) PATH '$[6]', \
         paid_at DATETIME(6) PATH '$[7]', closed_at DATETIME(6) PATH '$[8]', points BIGINT PATH '$[9]', rule INT UNSIGNED PATH '$[10]', \
         settled_by CHAR(32) PATH '$[11]', expire_on DATE PATH '$[12]')) j \
         STRAIGHT_JOIN payment_orders o ON o.id = UNHEX(j.id) AND o.version = j.expected \
         SET o.version = j.version, o.state = j.state, o.prepay_id = COALESCE(j.prepay, o.prepay_id), o.prepaid_at = COALESCE(j.prepaid_at, o.prepaid_at), \
         o.wechat_transaction_id = j.txn, o.paid_at = j.paid_at, o.closed_at = j.closed_at, o.points = j.points, o.rule_version = j.rule, \
         o.settled_by = UNHEX(j.settled_by), o.points_expired_from = j.expire_on",
        |sql, change| {
            let order = change.after;
            let columns = Columns::of(&order.state);
            sql.push("[\"").hex(order.id.bytes()).push("\",");
            sql.int(change.before.map_or(0, |before| before.version)).push(",").int(order.version);
            sql.push(",").int(order.state.kind().code());
            for text in [columns.prepay, columns.transaction] {
                match text {
                    Some(text) => sql.push(",\"").plain(text).push("\""),
                    None => sql.push(",null"),
                };
            }
            for at in [columns.prepaid_at, columns.paid_at, columns.closed_at] {
                match at {
                    Some(at) => sql.push(",\"").bare_time(at).push("\""),
                    None => sql.push(",null"),
                };
            }
            for number in [columns.points.map(Points::get), columns.rule_version.map(i64::from)] {
                match number {
                    Some(number) => sql.push(",").int(number),
                    None => sql.push(",null"),
                };
            }
            match columns.settled_by {
                Some(id) => sql.push(",\"").hex(id.bytes()).push("\""),
                None => sql.push(",null"),
            };
            match columns.points_expired_from {
                Some(day) => sql.push(",\"").bare_day(day).push("\"]"),
                None => sql.push(",null]"),
            };
        },
    );
}

/// Every column that may change.
fn update_order(change: &Change<'_, Orders>) -> Sql {
    let order = change.after;
    let columns = Columns::of(&order.state);
    let head = "UPDATE /* payments.update_order */ payment_orders SET ";
    let mut sql = Sql::update(head, |row| {
        row.set("version", order.version);
        row.set("state", order.state.kind().code());
        if let Some(prepay) = columns.prepay {
            row.set("prepay_id", prepay);
        }
        if let Some(at) = columns.prepaid_at {
            row.set("prepaid_at", at);
        }
        row.set("customer_id", order.customer);
        row.set("wechat_transaction_id", columns.transaction);
        row.set("paid_at", columns.paid_at);
        row.set("closed_at", columns.closed_at);
        row.set("points", columns.points);
        row.set("rule_version", columns.rule_version);
        row.set("settled_by", columns.settled_by);
        row.set("points_expired_from", columns.points_expired_from);
        row.set("late", columns.late.code());
        row.set("sharing", order.sharing.code());
        row.set("review", order.review.code());
        let RefundSums {
            asked,
            done,
            points,
            withheld,
            count,
            unknown,
        } = order.refunds;
        row.set("refund_asked_fen", asked);
        row.set("refund_done_fen", done);
        row.set("refund_points", points);
        row.set("refund_withheld", withheld);
        row.set("refund_count", count);
        row.set("refund_unknown", unknown);
    });
    sql.push(" WHERE id = ").value(order.id);
    sql.push(" AND version = ")
        .value(change.before.map_or(0, |before| before.version));
    sql
}

fn insert_orders(new: &[&Change<'_, Orders>], out: &mut Recorder) {
    let head = "INSERT /* payments.insert_orders */ INTO payment_orders";
    out.insert(head, new, |row, change| {
        let order = change.after;
        row.set("id", order.id).set("tenant_id", order.tenant);
        row.set("customer_id", order.customer);
        row.set("merchant_id", order.merchant);
        row.set("code", order.code.as_deref());
        row.set("sub_mchid", &order.sub_mchid);
        row.set("amount_fen", order.amount);
        row.set("expires_at", order.expires_at);
        row.set("state", order.state.kind().code());
        row.set("version", order.version);
        row.set("method", order.method.code());
        row.set("description", &order.description);
        row.set("sharing", order.sharing.code());
        row.set("review", order.review.code());
    });
}

/// What the state puts into the row.
struct Columns<'a> {
    prepay: Option<&'a str>,
    prepaid_at: Option<Timestamp>,
    transaction: Option<&'a str>,
    paid_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    points: Option<Points>,
    rule_version: Option<u32>,
    settled_by: Option<Id>,
    points_expired_from: Option<BusinessDay>,
    late: Late,
}

impl<'a> Columns<'a> {
    fn of(state: &'a OrderState) -> Self {
        let prepay_id = match state {
            OrderState::Prepaid(prepay_id) => Some(prepay_id),
            OrderState::Created
            | OrderState::Paid(_)
            | OrderState::PartlyRefunded(_)
            | OrderState::Refunded(_)
            | OrderState::Closed { .. }
            | OrderState::Expired { .. } => None,
        };
        let payment = state.payment();
        Self {
            prepay: prepay_id.map(|prepay_id| prepay_id.id.expose().as_str()),
            prepaid_at: prepay_id.map(|prepay_id| prepay_id.at),
            transaction: payment.map(|payment| payment.wechat_transaction_id.as_str()),
            paid_at: payment.map(|payment| payment.paid_at),
            closed_at: state.closed_at(),
            points: payment.map(|payment| payment.points),
            rule_version: payment.map(|payment| payment.rule_version),
            settled_by: payment.and_then(|payment| payment.settled_by),
            points_expired_from: payment.map(|payment| payment.points_expired_from),
            late: payment.map_or(Late::No, |payment| payment.late),
        }
    }
}
