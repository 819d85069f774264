//! The hot tables of payments: how to load and write many rows at once.

use std::fmt;

use bytes::Bytes;
use sqlx::{Row as _, mysql::MySqlRow};

use super::{Order, OrderState, OrderStateKind, PaidNotice};
use crate::{
    db::{Change, Recorder, RowSet, Sql},
    primitives::{Id, MerchantId, Money, OrderId, Points, Secret, TenantId, Timestamp},
};

/// `payment_orders`: loaded, inserted, and changed only if the version is still the one that was loaded.
#[derive(Debug)]
pub(super) struct Orders;

pub(crate) const ORDER_COLUMNS: &str = "o.id, o.tenant_id, o.customer_id, o.merchant_id, o.code, o.sub_mchid, o.amount_fen, o.expires_at, o.state, o.version, \
     o.prepay_id, o.wechat_transaction_id, o.paid_at, o.closed_at, o.points, o.rule_version";

/// Columns as in [`ORDER_COLUMNS`].
pub(crate) fn read_order(row: &MySqlRow) -> Result<Order, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let state: i8 = row.try_get(8)?;
    let kind = u8::try_from(state).ok().and_then(OrderStateKind::from_code);
    let state = match kind.ok_or(broken("payment_orders.state"))? {
        OrderStateKind::Created => OrderState::Created,
        OrderStateKind::Prepaid => OrderState::Prepaid {
            prepay_id: Secret::new(row.try_get(10)?),
        },
        OrderStateKind::Paid => OrderState::Paid {
            wechat_transaction_id: row.try_get(11)?,
            paid_at: row.try_get(12)?,
            points: Points::parse(row.try_get(14)?).map_err(|_| broken("payment_orders.points"))?,
            rule_version: row.try_get(15)?,
        },
        OrderStateKind::Closed => OrderState::Closed {
            closed_at: row.try_get(13)?,
        },
    };
    Ok(Order {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        customer: row.try_get(2)?,
        merchant: row.try_get(3)?,
        code: row.try_get(4)?,
        sub_mchid: row.try_get(5)?,
        amount: Money::parse(row.try_get(6)?).map_err(|_| broken("payment_orders.amount_fen"))?,
        expires_at: row.try_get(7)?,
        version: row.try_get(9)?,
        state,
    })
}

impl RowSet for Orders {
    type Key = OrderId;
    type Row = Order;
    const PLACE: u8 = 30;

    fn load(keys: &[OrderId], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_orders */ ")
            .push(ORDER_COLUMNS)
            .push(" FROM payment_orders o WHERE o.id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(OrderId, Order), sqlx::Error> {
        let order = read_order(row)?;
        Ok((order.id, order))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        insert_orders(&new, out);
        if known.len() <= Recorder::FEW {
            for change in known {
                out.statement(&update_order(change), Some(1));
            }
            return;
        }
        out.rows(
            "UPDATE /* payments.update_orders */ JSON_TABLE('[",
            known,
            "]', '$[*]' COLUMNS (id CHAR(32) PATH '$[0]', expected INT UNSIGNED PATH '$[1]', version INT UNSIGNED PATH '$[2]', \
             state TINYINT PATH '$[3]', prepay VARCHAR(64) PATH '$[4]', txn VARCHAR(32) PATH '$[5]', paid_at DATETIME(6) PATH '$[6]', \
             closed_at DATETIME(6) PATH '$[7]', points BIGINT PATH '$[8]', rule INT UNSIGNED PATH '$[9]')) j \
             STRAIGHT_JOIN payment_orders o ON o.id = UNHEX(j.id) AND o.version = j.expected \
             SET o.version = j.version, o.state = j.state, o.prepay_id = COALESCE(j.prepay, o.prepay_id), o.wechat_transaction_id = j.txn, \
             o.paid_at = j.paid_at, o.closed_at = j.closed_at, o.points = j.points, o.rule_version = j.rule",
            true,
            |sql, change| {
                let order = change.after;
                let (prepay, txn, paid_at, closed_at, points, rule) = columns(&order.state);
                sql.push("[\"").hex(order.id.bytes()).push("\",");
                sql.int(change.before.map_or(0, |before| before.version)).push(",").int(order.version);
                sql.push(",").int(order.state.kind().code());
                for text in [prepay, txn] {
                    sql.push(",");
                    json_text(sql, text);
                }
                for at in [paid_at, closed_at] {
                    match at {
                        Some(at) => sql.push(",\"").bare_time(at).push("\""),
                        None => sql.push(",null"),
                    };
                }
                sql.push(",");
                match points {
                    Some(points) => sql.int(points.get()),
                    None => sql.push("null"),
                };
                sql.push(",");
                match rule {
                    Some(rule) => sql.int(rule),
                    None => sql.push("null"),
                };
                sql.push("]");
            },
        );
    }
}

/// Text from WeChat inside JSON inside SQL: its numbers are plain.
fn json_text(sql: &mut Sql, text: Option<&str>) {
    match text {
        Some(text) => sql.push("\"").plain(text).push("\""),
        None => sql.push("null"),
    };
}

fn update_order(change: &Change<'_, Orders>) -> Sql {
    let order = change.after;
    let (prepay, txn, paid_at, closed_at, points, rule) = columns(&order.state);
    let mut sql = Sql::new("UPDATE /* payments.update_order */ payment_orders SET version = ");
    sql.int(order.version)
        .push(", state = ")
        .int(order.state.kind().code());
    if let Some(prepay) = prepay {
        sql.push(", prepay_id = ").text(prepay);
    }
    sql.push(", wechat_transaction_id = ")
        .option(txn, |sql, txn| {
            sql.text(txn);
        });
    for (column, at) in [(", paid_at = ", paid_at), (", closed_at = ", closed_at)] {
        sql.push(column).option(at, |sql, at| {
            sql.time(at);
        });
    }
    sql.push(", points = ").option(points, |sql, points| {
        sql.int(points.get());
    });
    sql.push(", rule_version = ").option(rule, |sql, rule| {
        sql.int(rule);
    });
    sql.push(" WHERE id = ").bytes(order.id.bytes());
    sql.push(" AND version = ")
        .int(change.before.map_or(0, |before| before.version));
    sql
}

type StateColumns<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Points>,
    Option<u32>,
);

fn columns(state: &OrderState) -> StateColumns<'_> {
    match state {
        OrderState::Created => (None, None, None, None, None, None),
        OrderState::Prepaid { prepay_id } => {
            (Some(prepay_id.expose()), None, None, None, None, None)
        }
        OrderState::Paid {
            paid_at,
            wechat_transaction_id,
            points,
            rule_version,
        } => (
            None,
            Some(wechat_transaction_id),
            Some(*paid_at),
            None,
            Some(*points),
            Some(*rule_version),
        ),
        OrderState::Closed { closed_at } => (None, None, None, Some(*closed_at), None, None),
    }
}

fn insert_orders(new: &[&Change<'_, Orders>], out: &mut Recorder) {
    out.rows(
        "INSERT /* payments.insert_orders */ INTO payment_orders (id, tenant_id, customer_id, merchant_id, code, sub_mchid, amount_fen, expires_at, \
         state, version, prepay_id, wechat_transaction_id, paid_at, closed_at, points, rule_version) VALUES ",
        new,
        "",
        true,
        |sql, change| {
            let order = change.after;
            let (prepay, txn, paid_at, closed_at, points, rule) = columns(&order.state);
            sql.push("(").bytes(order.id.bytes()).push(",").int(order.tenant.0);
            sql.push(",").bytes(order.customer.bytes()).push(",").bytes(order.merchant.bytes());
            sql.push(",").text(&order.code).push(",").text(&order.sub_mchid);
            sql.push(",").int(order.amount.get()).push(",").time(order.expires_at);
            sql.push(",").int(order.state.kind().code()).push(",").int(order.version);
            for text in [prepay, txn] {
                sql.push(",").option(text, |sql, text| { sql.text(text); });
            }
            for at in [paid_at, closed_at] {
                sql.push(",").option(at, |sql, at| { sql.time(at); });
            }
            sql.push(",").option(points, |sql, points| { sql.int(points.get()); });
            sql.push(",").option(rule, |sql, rule| { sql.int(rule); }).push(")");
        },
    );
}

/// A collection code as a key: what was scanned, cut or filled to twelve characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CodeKey([u8; 12]);

impl CodeKey {
    /// Anything that is not a code becomes one that does not exist.
    pub(super) fn of(text: &str) -> Self {
        let valid = text
            .bytes()
            .all(|letter| letter.is_ascii_digit() || letter.is_ascii_uppercase());
        text.as_bytes()
            .try_into()
            .ok()
            .filter(|_| valid)
            .map_or(Self(*b"------------"), Self)
    }
}

impl fmt::Display for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `qr_codes` with the shop behind it. Only read here.
#[derive(Debug)]
pub(super) struct Codes;

#[derive(Debug, Clone)]
pub(super) struct CodeRow {
    pub(super) tenant: TenantId,
    pub(super) merchant: MerchantId,
    pub(super) merchant_name: String,
    pub(super) amount: Option<Money>,
    pub(super) active: bool,
    /// Present when the shop is approved.
    pub(super) sub_mchid: Option<String>,
}

impl RowSet for Codes {
    type Key = CodeKey;
    type Row = CodeRow;
    const PLACE: u8 = 31;

    fn load(keys: &[CodeKey], sql: &mut Sql) {
        sql.push(
            "SELECT /* payments.load_codes */ q.code, q.tenant_id, q.merchant_id, m.name, q.amount_fen, q.state = 'active', \
             CASE m.state WHEN 'approved' THEN m.sub_mchid END FROM qr_codes q JOIN merchants m ON m.id = q.merchant_id WHERE q.code IN (",
        );
        sql.list(keys, |sql, key| {
            sql.text(&key.to_string());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(CodeKey, CodeRow), sqlx::Error> {
        let code: String = row.try_get(0)?;
        let amount: Option<i64> = row.try_get(4)?;
        let code_row = CodeRow {
            tenant: TenantId(row.try_get(1)?),
            merchant: row.try_get(2)?,
            merchant_name: row.try_get(3)?,
            amount: amount
                .map(Money::parse)
                .transpose()
                .map_err(|_| sqlx::Error::Decode("qr_codes.amount_fen".into()))?,
            active: row.try_get::<i64, _>(5)? != 0,
            sub_mchid: row.try_get(6)?,
        };
        Ok((CodeKey::of(&code), code_row))
    }

    fn record(_changes: &[Change<'_, Self>], _out: &mut Recorder) {}
}

/// `idempotency_keys`: the claim of a key, written with what it made.
#[derive(Debug)]
pub(super) struct Keys;

#[derive(Debug, Clone, Copy)]
pub(super) struct KeyRow {
    pub(super) tenant: TenantId,
    pub(super) request_hash: [u8; 16],
    pub(super) effect: OrderId,
    pub(super) at: Timestamp,
}

impl RowSet for Keys {
    type Key = [u8; 16];
    type Row = KeyRow;
    const PLACE: u8 = 10;

    fn load(keys: &[[u8; 16]], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_keys */ id, tenant_id, request_hash, effect_id, created_at FROM idempotency_keys WHERE id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key);
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<([u8; 16], KeyRow), sqlx::Error> {
        let bytes = |place: usize| -> Result<[u8; 16], sqlx::Error> {
            row.try_get::<&[u8], _>(place)?
                .try_into()
                .map_err(|_| sqlx::Error::Decode("idempotency_keys".into()))
        };
        let key = KeyRow {
            tenant: TenantId(row.try_get(1)?),
            request_hash: bytes(2)?,
            effect: OrderId::new(Id::from_bytes(bytes(3)?)),
            at: row.try_get(4)?,
        };
        Ok((bytes(0)?, key))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.rows(
            "INSERT /* payments.insert_keys */ INTO idempotency_keys (id, tenant_id, request_hash, effect_id, created_at) VALUES ",
            changes,
            "",
            true,
            |sql, change| {
                let key = change.after;
                sql.push("(").bytes(&change.key).push(",").int(key.tenant.0);
                sql.push(",").bytes(&key.request_hash).push(",").bytes(key.effect.bytes());
                sql.push(",").time(key.at).push(")");
            },
        );
    }
}

/// `callback_events`: callbacks as received.
#[derive(Debug)]
pub(super) struct Callbacks;

#[derive(Debug, Clone)]
pub(super) struct CallbackRow {
    pub(super) tenant: TenantId,
    pub(super) outcome: u8,
    pub(super) received_at: Timestamp,
    pub(super) body: Bytes,
}

impl RowSet for Callbacks {
    type Key = Id;
    type Row = CallbackRow;
    const PLACE: u8 = 20;

    /// Only whether it is there: nobody decides on the body.
    fn load(keys: &[Id], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_callbacks */ id, tenant_id, outcome, received_at FROM callback_events WHERE id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Id, CallbackRow), sqlx::Error> {
        let outcome: i8 = row.try_get(2)?;
        let callback = CallbackRow {
            tenant: TenantId(row.try_get(1)?),
            outcome: u8::try_from(outcome).unwrap_or_default(),
            received_at: row.try_get(3)?,
            body: Bytes::new(),
        };
        Ok((read_id(row, 0)?, callback))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.rows(
            "INSERT /* payments.insert_callbacks */ INTO callback_events (id, tenant_id, outcome, received_at, body) VALUES ",
            changes,
            "",
            true,
            |sql, change| {
                let callback = change.after;
                sql.push("(").bytes(change.key.bytes()).push(",").int(callback.tenant.0);
                sql.push(",").int(callback.outcome).push(",").time(callback.received_at);
                sql.push(",").blob(&callback.body).push(")");
            },
        );
    }
}

fn read_id(row: &MySqlRow, place: usize) -> Result<Id, sqlx::Error> {
    let bytes: &[u8] = row.try_get(place)?;
    bytes
        .try_into()
        .map(Id::from_bytes)
        .map_err(|_| sqlx::Error::Decode("an id of a strange length".into()))
}

/// `callback_alarms`: what was soundly signed and still wrong.
#[derive(Debug)]
pub(super) struct Alarms;

#[derive(Debug, Clone)]
pub(super) struct AlarmRow {
    tenant: TenantId,
    reason: String,
    out_trade_no: String,
    wechat_transaction_id: String,
    amount: Money,
    at: Timestamp,
}

impl AlarmRow {
    pub(super) fn new(tenant: TenantId, reason: &str, notice: &PaidNotice, at: Timestamp) -> Self {
        let short = |text: &str| text.chars().take(64).collect();
        Self {
            tenant,
            reason: reason.to_owned(),
            out_trade_no: short(&notice.out_trade_no),
            wechat_transaction_id: short(&notice.wechat_transaction_id),
            amount: notice.amount,
            at,
        }
    }
}

impl RowSet for Alarms {
    type Key = Id;
    type Row = AlarmRow;
    const PLACE: u8 = 21;

    fn load(keys: &[Id], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_alarms */ event_id, tenant_id, reason, out_trade_no, wechat_transaction_id, amount_fen, created_at FROM callback_alarms WHERE event_id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Id, AlarmRow), sqlx::Error> {
        let alarm = AlarmRow {
            tenant: TenantId(row.try_get(1)?),
            reason: row.try_get(2)?,
            out_trade_no: row.try_get(3)?,
            wechat_transaction_id: row.try_get(4)?,
            amount: Money::parse(row.try_get(5)?)
                .map_err(|_| sqlx::Error::Decode("callback_alarms.amount_fen".into()))?,
            at: row.try_get(6)?,
        };
        Ok((read_id(row, 0)?, alarm))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.rows(
            "INSERT /* payments.insert_alarms */ INTO callback_alarms (event_id, tenant_id, reason, out_trade_no, wechat_transaction_id, amount_fen, created_at) VALUES ",
            changes,
            "",
            true,
            |sql, change| {
                let alarm = change.after;
                sql.push("(").bytes(change.key.bytes()).push(",").int(alarm.tenant.0).push(",").text(&alarm.reason);
                sql.push(",").text(&alarm.out_trade_no).push(",").text(&alarm.wechat_transaction_id);
                sql.push(",").int(alarm.amount.get()).push(",").time(alarm.at).push(")");
            },
        );
    }
}
