//! Callbacks as received, and the alarms of what was authentic but mismatched.

use std::borrow::Cow;

use bytes::Bytes;
use sqlx::{Row as _, mysql::MySqlRow};

use super::read_id;
use crate::{
    db::{Blob, Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql},
    payments::{CallbackOutcome, PaidNotice, RefundNotice},
    primitives::{Id, Money, TenantId, Timestamp},
};

/// `callback_events`: callbacks as received.
#[derive(Debug)]
pub(crate) struct Callbacks;

#[derive(Debug, Clone)]
pub(crate) struct CallbackRow {
    pub(crate) tenant: TenantId,
    pub(crate) outcome: CallbackOutcome,
    pub(crate) received_at: Timestamp,
    pub(crate) body: Bytes,
    /// Why it was not taken, as a stable code.
    pub(crate) reason: Option<Cow<'static, str>>,
    /// JSON of the signature's headers, kept of unverified callbacks.
    pub(crate) headers: Option<Vec<u8>>,
}

impl CallbackRow {
    /// Whether it has led to what it says already: nothing is left to judge.
    pub(crate) fn was_taken(&self) -> bool {
        match self.outcome {
            CallbackOutcome::Settled | CallbackOutcome::Refund | CallbackOutcome::Duplicate => true,
            CallbackOutcome::Rejected
            | CallbackOutcome::Ignored
            | CallbackOutcome::Failed
            | CallbackOutcome::Unverified => false,
        }
    }

    /// Whether it was rejected for this reason before, so that whoever must know was told.
    pub(crate) fn was_rejected_for(&self, reason: &str) -> bool {
        self.outcome == CallbackOutcome::Rejected && self.reason.as_deref() == Some(reason)
    }
}

impl RowSet for Callbacks {
    type Key = Id;
    type Row = CallbackRow;
    const LOCK_ORDER: u8 = 20;
}

impl LoadRows for Callbacks {
    /// Without the body: nobody decides on it.
    fn load(keys: &[Id], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_callbacks */ id, tenant_id, outcome, received_at, reason FROM callback_events WHERE id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Id, CallbackRow), sqlx::Error> {
        let outcome: i8 = row.try_get(2)?;
        let outcome = u8::try_from(outcome)
            .ok()
            .and_then(CallbackOutcome::from_code)
            .ok_or(sqlx::Error::Decode("callback_events.outcome".into()))?;
        let callback = CallbackRow {
            tenant: TenantId(row.try_get(1)?),
            outcome,
            received_at: row.try_get(3)?,
            body: Bytes::new(),
            reason: row.try_get::<Option<String>, _>(4)?.map(Cow::Owned),
            headers: None,
        };
        Ok((read_id(row, 0)?, callback))
    }
}

impl RecordRows for Callbacks {
    /// What became of a callback is decided on what is kept of it, so it is written only if that is
    /// still so: a callback that was not there is inserted, one that was there must have the
    /// outcome and the reason that were loaded. Of two processes that are told of one callback the
    /// slower runs again and sees what the faster did, so that a person is told once.
    ///
    /// A settlement alone does not look for its callback, which is nearly always new: it decides on
    /// the order, whose version it writes, and is true whatever was thought of the callback before.
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        let (settled, other): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|change| change.after.outcome == CallbackOutcome::Settled);
        let head = "INSERT /* payments.insert_callbacks */ INTO callback_events";
        let replace = " ON DUPLICATE KEY UPDATE outcome = VALUES(outcome), reason = VALUES(reason)";
        let columns = |row: &mut Columns<'_>, change: &Change<'_, Self>| {
            let callback = change.after;
            row.set("id", change.key).set("tenant_id", callback.tenant);
            row.set("outcome", callback.outcome.code());
            row.set("received_at", callback.received_at);
            row.set("body", Blob(&callback.body));
            row.set("reason", callback.reason.as_deref());
            row.set("headers", callback.headers.as_deref().map(Blob));
        };
        out.upsert(head, settled, replace, columns);
        out.insert(head, other, columns);
        for change in known {
            if let Some(before) = change.before {
                let update = update_callback(change.key, before, change.after);
                out.statement(&update, Some(1));
            }
        }
    }
}

/// Rare: one that failed, or was rejected, comes again.
fn update_callback(key: Id, before: &CallbackRow, after: &CallbackRow) -> Sql {
    let head = "UPDATE /* payments.update_callback */ callback_events SET ";
    let mut sql = Sql::update(head, |row| {
        row.set("outcome", after.outcome.code());
        row.set("reason", after.reason.as_deref());
    });
    sql.push(" WHERE id = ").value(key);
    sql.push(" AND outcome = ").value(before.outcome.code());
    sql.push(" AND reason <=> ").value(before.reason.as_deref());
    sql
}

/// `callback_alarms`: what was authentic but mismatched.
#[derive(Debug)]
pub(crate) struct Alarms;

#[derive(Debug, Clone)]
pub(crate) struct AlarmRow {
    /// What it says could be read.
    understood: bool,
    tenant: TenantId,
    reason: String,
    out_trade_no: String,
    out_refund_no: String,
    wechat_transaction_id: String,
    amount: Money,
    at: Timestamp,
}

impl AlarmRow {
    pub(crate) fn of_payment(
        tenant: TenantId,
        reason: &str,
        notice: &PaidNotice,
        at: Timestamp,
    ) -> Self {
        Self {
            understood: true,
            tenant,
            reason: reason.to_owned(),
            out_trade_no: short(&notice.out_trade_no),
            out_refund_no: String::new(),
            wechat_transaction_id: short(&notice.wechat_transaction_id),
            amount: notice.amount,
            at,
        }
    }

    pub(crate) fn of_refund(
        tenant: TenantId,
        reason: &str,
        notice: &RefundNotice,
        at: Timestamp,
    ) -> Self {
        Self {
            understood: true,
            tenant,
            reason: reason.to_owned(),
            out_trade_no: short(&notice.refund.out_trade_no),
            out_refund_no: short(&notice.refund.out_refund_no),
            wechat_transaction_id: short(&notice.wechat_transaction_id),
            amount: notice.refund.amount,
            at,
        }
    }
}

impl AlarmRow {
    /// Of a callback that is authentic and says nothing that we understand.
    pub(crate) fn of_unreadable(tenant: TenantId, reason: &str, at: Timestamp) -> Self {
        Self {
            understood: false,
            tenant,
            reason: reason.to_owned(),
            out_trade_no: String::new(),
            out_refund_no: String::new(),
            wechat_transaction_id: String::new(),
            amount: Money::ZERO,
            at,
        }
    }

    /// Whether a callback with the alarm `kept`, or none, gets this one. An alarm is raised once; of
    /// a callback that could not be read there is another, once it is read.
    pub(crate) fn says_more_than(&self, kept: Option<&Self>) -> bool {
        kept.is_none_or(|kept| self.understood && !kept.understood)
    }

    /// Why it was raised, if it does not say what about.
    pub(crate) fn unread_reason(&self) -> Option<&str> {
        (!self.understood).then_some(&self.reason)
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

impl RowSet for Alarms {
    type Key = Id;
    type Row = AlarmRow;
    const LOCK_ORDER: u8 = 21;
}

impl LoadRows for Alarms {
    fn load(keys: &[Id], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_alarms */ event_id, tenant_id, reason, out_trade_no, wechat_transaction_id, amount_fen, created_at, out_refund_no, understood FROM callback_alarms WHERE event_id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Id, AlarmRow), sqlx::Error> {
        let alarm = AlarmRow {
            understood: row.try_get::<i8, _>(8)? != 0,
            tenant: TenantId(row.try_get(1)?),
            reason: row.try_get(2)?,
            out_trade_no: row.try_get(3)?,
            wechat_transaction_id: row.try_get(4)?,
            amount: Money::parse(row.try_get(5)?)
                .map_err(|_| sqlx::Error::Decode("callback_alarms.amount_fen".into()))?,
            at: row.try_get(6)?,
            out_refund_no: row.try_get(7)?,
        };
        Ok((read_id(row, 0)?, alarm))
    }

    fn merge(base: &mut Option<AlarmRow>, row: AlarmRow) {
        if row.says_more_than(base.as_ref()) {
            *base = Some(row);
        }
    }
}

impl RecordRows for Alarms {
    /// Always another row: what was raised is never changed.
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let head = "INSERT /* payments.insert_alarms */ INTO callback_alarms";
        out.insert(head, changes, |row, change| {
            let alarm = change.after;
            row.set("event_id", change.key);
            row.set("understood", u8::from(alarm.understood));
            row.set("tenant_id", alarm.tenant);
            row.set("reason", &alarm.reason);
            row.set("out_trade_no", &alarm.out_trade_no);
            row.set("wechat_transaction_id", &alarm.wechat_transaction_id);
            row.set("amount_fen", alarm.amount);
            row.set("created_at", alarm.at);
            row.set("out_refund_no", &alarm.out_refund_no);
        });
    }
}
