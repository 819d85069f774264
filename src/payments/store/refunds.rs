//! `refunds`, `refund_history` and `foreign_refunds`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::{optional_id, read_id};
use crate::{
    audit::Actor,
    db::{Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql},
    idempotency::first_half,
    payments::{
        Attempts, PointsBack, Progress, Refund, RefundOrigin, RefundState, RefundStateKind,
        WithdrawalRequest,
    },
    primitives::{Id, Money, Points, RefundId, TenantId, Timestamp},
};

/// `refunds`: loaded, inserted, and changed only if the version is still the one that was loaded.
#[derive(Debug)]
pub(crate) struct Refunds;

pub(crate) const REFUND_COLUMNS: &str = "r.id, r.tenant_id, r.order_id, r.merchant_id, r.amount_fen, r.state, r.version, r.reason, r.requested_by, r.approved_by, \
     r.points_due, r.clawback_shortfall, r.late, r.wechat_refund_id, r.received_account, r.finished_at, r.attempts, r.unsure, r.problem, r.next_attempt_at, \
     r.points_expired, r.points_withheld, r.calls, r.called_at, r.since, r.stuck, r.withdraw_by, r.withdraw_why, r.origin, r.foreign_no, r.problem_detail";
/// How many columns that are.
pub(crate) const REFUND_WIDTH: usize = 31;

/// Columns as in [`REFUND_COLUMNS`].
pub(crate) fn read_refund(row: &MySqlRow) -> Result<Refund, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let points = |units: i64| Points::parse(units).map_err(|_| broken("points below zero"));
    let state: i8 = row.try_get(5)?;
    let kind = u8::try_from(state)
        .ok()
        .and_then(RefundStateKind::from_code)
        .ok_or(broken("refunds.state"))?;
    let state = match kind {
        RefundStateKind::AwaitingApproval => RefundState::AwaitingApproval,
        RefundStateKind::Rejected => RefundState::Rejected,
        RefundStateKind::Returning => RefundState::Returning,
        RefundStateKind::Accepted => RefundState::Accepted,
        RefundStateKind::Processing => RefundState::Processing,
        RefundStateKind::Succeeded => RefundState::Succeeded {
            at: row.try_get(15)?,
        },
        RefundStateKind::Abnormal => RefundState::Abnormal,
        RefundStateKind::Closed => RefundState::Closed,
        RefundStateKind::Failed => RefundState::Failed,
        RefundStateKind::Withdrawn => RefundState::Withdrawn,
    };
    Ok(Refund {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        order: row.try_get(2)?,
        merchant: row.try_get(3)?,
        amount: Money::parse(row.try_get(4)?).map_err(|_| broken("refunds.amount_fen"))?,
        state,
        version: row.try_get(6)?,
        reason: row.try_get(7)?,
        requested_by: row.try_get(8)?,
        approved_by: row.try_get(9)?,
        points: PointsBack {
            due: points(row.try_get(10)?)?,
            shortfall: points(row.try_get(11)?)?,
            expired: points(row.try_get(20)?)?,
            withheld: points(row.try_get(21)?)?,
        },
        late: row.try_get::<i8, _>(12)? != 0,
        origin: u8::try_from(row.try_get::<i8, _>(28)?)
            .ok()
            .and_then(|code| RefundOrigin::from_columns(code, row.try_get(29).ok()?))
            .ok_or(broken("refunds.origin"))?,
        wechat_refund_id: row.try_get(13)?,
        received_account: row.try_get(14)?,
        attempts: Attempts {
            count: row.try_get(16)?,
            unsure: row.try_get::<i8, _>(17)? != 0,
            problem: row.try_get(18)?,
            detail: row.try_get(30)?,
            next_at: row.try_get(19)?,
        },
        progress: Progress {
            calls: row.try_get(22)?,
            called_at: row.try_get(23)?,
            since: row.try_get(24)?,
            stuck: row.try_get::<i8, _>(25)? != 0,
            withdrawal: withdrawal(row.try_get(26)?, row.try_get(27)?),
        },
    })
}

fn withdrawal(by: Option<Actor>, reason: Option<String>) -> Option<WithdrawalRequest> {
    let (by, reason) = by.zip(reason)?;
    Some(WithdrawalRequest { by, reason })
}

impl RowSet for Refunds {
    type Key = RefundId;
    type Row = Refund;
    const LOCK_ORDER: u8 = 32;
}

impl LoadRows for Refunds {
    fn load(keys: &[RefundId], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_refunds */ ")
            .push(REFUND_COLUMNS)
            .push(" FROM refunds r WHERE r.id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(RefundId, Refund), sqlx::Error> {
        let refund = read_refund(row)?;
        Ok((refund.id, refund))
    }
}

impl RecordRows for Refunds {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        out.insert(
            "INSERT /* payments.insert_refunds */ INTO refunds",
            new,
            |row, change| {
                let refund = change.after;
                row.set("id", refund.id).set("tenant_id", refund.tenant);
                row.set("order_id", refund.order);
                row.set("merchant_id", refund.merchant);
                row.set("amount_fen", refund.amount);
                row.set("reason", &refund.reason);
                row.set("requested_by", &refund.requested_by);
                row.set("late", refund.late);
                row.set("origin", refund.origin.kind().code());
                row.set("foreign_no", refund.origin.foreign_no());
                mutable_columns(row, refund);
                due_columns(row, refund);
            },
        );
        for change in known {
            let refund = change.after;
            // Whoever is at it stays so while only somebody's request is noted: claims are made
            // outside of operations.
            let untouched = change.before.is_some_and(|before| {
                before.state == refund.state && before.attempts == refund.attempts
            });
            let mut sql = Sql::update("UPDATE /* payments.update_refund */ refunds SET ", |row| {
                mutable_columns(row, refund);
                if !untouched {
                    due_columns(row, refund);
                }
            });
            sql.push(" WHERE id = ").value(refund.id);
            sql.push(" AND version = ")
                .value(change.before.map_or(0, |before| before.version));
            // Calls begin outside of operations. One that began since the row was read may be taken
            // by WeChat.
            if refund.state == RefundState::Withdrawn {
                sql.push(" AND calls = ")
                    .value(change.before.map_or(0, |before| before.progress.calls));
            }
            out.statement(&sql, Some(1));
        }
    }
}

/// Whoever initiates a refund tells WeChat of it, and has until a job would take over. Once
/// something was learnt, nobody is at it.
pub(crate) fn calling_until(refund: &Refund) -> Option<Timestamp> {
    let initiated = refund.state == RefundState::Accepted && refund.attempts.count == 0;
    refund.attempts.next_at.filter(|_| initiated)
}

/// What an update writes every time.
fn mutable_columns(row: &mut Columns<'_>, refund: &Refund) {
    let Attempts {
        count,
        unsure,
        problem,
        detail,
        next_at: _,
    } = &refund.attempts;
    let progress = &refund.progress;
    let withdrawal = progress.withdrawal.as_ref();
    row.set("state", refund.state.kind().code());
    row.set("version", refund.version);
    row.set("approved_by", &refund.approved_by);
    row.set("points_due", refund.points.due);
    row.set("clawback_shortfall", refund.points.shortfall);
    row.set("points_expired", refund.points.expired);
    row.set("points_withheld", refund.points.withheld);
    row.set("wechat_refund_id", &refund.wechat_refund_id);
    row.set("received_account", &refund.received_account);
    row.set("finished_at", refund.succeeded_at());
    row.set("attempts", count).set("unsure", unsure);
    row.set("problem", problem).set("problem_detail", detail);
    row.set("since", progress.since);
    row.set("stuck", progress.stuck);
    row.set("withdraw_by", withdrawal.map(|request| &request.by));
    row.set("withdraw_why", withdrawal.map(|request| &request.reason));
}

/// What an update leaves to whoever is at the refund, unless something was learnt.
fn due_columns(row: &mut Columns<'_>, refund: &Refund) {
    row.set("next_attempt_at", refund.attempts.next_at);
    row.set("calling_until", calling_until(refund));
}

/// `refund_history`: only ever written.
#[derive(Debug)]
pub(crate) struct RefundSteps;

#[derive(Debug, Clone)]
pub(crate) struct StepRow {
    pub(crate) tenant: TenantId,
    pub(crate) state: RefundStateKind,
    pub(crate) actor: Actor,
    pub(crate) why: String,
    pub(crate) at: Timestamp,
}

impl RowSet for RefundSteps {
    type Key = (RefundId, u32);
    type Row = StepRow;
    const LOCK_ORDER: u8 = 33;
}

impl RecordRows for RefundSteps {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let head = "INSERT /* payments.insert_refund_steps */ INTO refund_history";
        out.insert(head, changes, |row, change| {
            let (refund, version) = change.key;
            let step = change.after;
            row.set("refund_id", refund).set("version", version);
            row.set("tenant_id", step.tenant);
            row.set("state", step.state.code());
            row.set("actor", &step.actor).set("why", &step.why);
            row.set("at", step.at);
        });
    }
}

/// `foreign_refunds`: which row a refund has that was not made under a number of ours. Loaded, and
/// written once: the key makes two of one number impossible.
#[derive(Debug)]
pub(crate) struct ForeignRefunds;

/// `reported_by` and `at` are evidence: nothing is decided by them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForeignRow {
    pub(crate) tenant: TenantId,
    pub(crate) refund: RefundId,
    /// The callback that told of it first; none: a query.
    pub(crate) reported_by: Option<Id>,
    pub(crate) at: Timestamp,
}

impl ForeignRefunds {
    /// The key of a number: the first half of a hash over the tenant and it.
    pub(crate) fn key_of(tenant: TenantId, out_refund_no: &str) -> [u8; 16] {
        first_half(&[&tenant.0.to_be_bytes(), out_refund_no.as_bytes()])
    }
}

impl RowSet for ForeignRefunds {
    /// See [`ForeignRefunds::key_of`].
    type Key = [u8; 16];
    type Row = ForeignRow;
    const LOCK_ORDER: u8 = 26;
}

impl LoadRows for ForeignRefunds {
    fn load(keys: &[[u8; 16]], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_foreign_refunds */ number_hash, tenant_id, refund_id, reported_by, created_at FROM foreign_refunds WHERE number_hash IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<([u8; 16], ForeignRow), sqlx::Error> {
        let foreign = ForeignRow {
            tenant: TenantId(row.try_get(1)?),
            refund: row.try_get(2)?,
            reported_by: optional_id(row, 3)?,
            at: row.try_get(4)?,
        };
        Ok((*read_id(row, 0)?.bytes(), foreign))
    }
}

impl RecordRows for ForeignRefunds {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let head = "INSERT /* payments.insert_foreign_refunds */ INTO foreign_refunds";
        out.insert(head, changes, |row, change| {
            let foreign = change.after;
            row.set("number_hash", change.key);
            row.set("tenant_id", foreign.tenant);
            row.set("refund_id", foreign.refund);
            row.set("reported_by", foreign.reported_by);
            row.set("created_at", foreign.at);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_key_in_each_tenant() {
        let key = |tenant, number| ForeignRefunds::key_of(TenantId(tenant), number);
        assert_eq!(key(1, "R1"), key(1, "R1"));
        assert_ne!(key(1, "R1"), key(2, "R1"));
        assert_ne!(key(1, "R1"), key(1, "r1"));
    }
}
