//! `payment_exceptions`.

use crate::{
    audit::SystemActor,
    db::{Change, RecordRows, Recorder, RowSet, Sql},
    payments::ExceptionKind,
    primitives::{ExceptionId, OrderId, RefundId, TenantId, Timestamp},
};

/// `payment_exceptions`: written by operations, resolved by people in ordinary transactions.
#[derive(Debug)]
pub(crate) struct Exceptions;

#[derive(Debug, Clone)]
pub(crate) struct ExceptionRow {
    pub(crate) tenant: TenantId,
    pub(crate) kind: ExceptionKind,
    pub(crate) order: Option<OrderId>,
    pub(crate) refund: Option<RefundId>,
    pub(crate) detail: String,
    /// What policy did about it at once.
    pub(crate) resolution: Option<&'static str>,
    pub(crate) at: Timestamp,
}

impl RowSet for Exceptions {
    type Key = ExceptionId;
    type Row = ExceptionRow;
    const LOCK_ORDER: u8 = 34;
}

impl RecordRows for Exceptions {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.rows(
            "INSERT /* payments.insert_exceptions */ INTO payment_exceptions (id, tenant_id, kind, order_id, refund_id, detail, resolution, resolved_by, resolved_at, created_at) VALUES ",
            changes,
            "",
            true,
            |sql, change| {
                let row = change.after;
                sql.push("(").bytes(change.key.bytes()).push(",").int(row.tenant.0);
                sql.push(",").text(row.kind.name()).push(",");
                sql.option(row.order, |sql, id| { sql.bytes(id.bytes()); }).push(",");
                sql.option(row.refund, |sql, id| { sql.bytes(id.bytes()); }).push(",");
                sql.text(&row.detail.chars().take(250).collect::<String>()).push(",");
                sql.option(row.resolution, |sql, text| { sql.text(text); }).push(",");
                sql.option(row.resolution, |sql, _| { sql.text(SystemActor::Policy.name()); }).push(",");
                sql.option(row.resolution, |sql, _| { sql.time(row.at); }).push(",");
                sql.time(row.at).push(")");
            },
        );
    }
}

/// The open exception that a refund is stuck, by the refund's id: resolved, since it is not any
/// more.
///
/// Written after the exceptions of the batch: the one that it resolves may be of the same batch.
#[derive(Debug)]
pub(crate) struct StuckResolved;

const _: () = assert!(Exceptions::LOCK_ORDER < StuckResolved::LOCK_ORDER);

#[derive(Debug, Clone, Copy)]
pub(crate) struct StuckResolvedRow {
    pub(crate) order: OrderId,
    /// What became of the refund.
    pub(crate) resolution: &'static str,
    /// The exception that was raised later in the batch, when it was stuck again: that stays open.
    pub(crate) but: Option<ExceptionId>,
    pub(crate) at: Timestamp,
}

impl RowSet for StuckResolved {
    type Key = RefundId;
    type Row = StuckResolvedRow;
    const LOCK_ORDER: u8 = 35;
}

impl RecordRows for StuckResolved {
    /// By the order, which has an index; a person may have resolved it before.
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let over = change.after;
            let mut sql = Sql::new(
                "UPDATE /* payments.stuck_resolved */ payment_exceptions SET resolution = ",
            );
            sql.text(over.resolution)
                .push(", resolved_by = ")
                .text(SystemActor::Progress.name())
                .push(", resolved_at = ")
                .time(over.at);
            sql.push(" WHERE order_id = ").bytes(over.order.bytes());
            sql.push(" AND refund_id = ").bytes(change.key.bytes());
            sql.push(" AND kind = ")
                .text(ExceptionKind::RefundStuck.name());
            sql.push(" AND resolved_at IS NULL");
            if let Some(told) = over.but {
                sql.push(" AND id <> ").bytes(told.bytes());
            }
            out.statement(&sql, None);
        }
    }
}

/// That something was refunded elsewhere, and not how much, was told of an order; now a number is
/// known.
#[derive(Debug)]
pub(crate) struct ForeignNumberKnown;

const _: () = assert!(Exceptions::LOCK_ORDER < ForeignNumberKnown::LOCK_ORDER);

impl RowSet for ForeignNumberKnown {
    type Key = OrderId;
    type Row = Timestamp;
    const LOCK_ORDER: u8 = 35;
}

impl RecordRows for ForeignNumberKnown {
    /// What is told of the refund itself names it, and stays.
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let mut sql = Sql::new(
                "UPDATE /* payments.foreign_number_known */ payment_exceptions SET resolution = 'the refund is known', \
                 resolved_by = ",
            );
            sql.text(SystemActor::Progress.name())
                .push(", resolved_at = ")
                .time(*change.after);
            sql.push(" WHERE order_id = ").bytes(change.key.bytes());
            sql.push(" AND refund_id IS NULL AND kind = ")
                .text(ExceptionKind::ForeignRefund.name());
            sql.push(" AND resolved_at IS NULL");
            out.statement(&sql, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    #[test]
    fn an_exception_raised_after_progress_stays_open() {
        let id = Id::mint(1_795_000_000_000, 7, Lane(1));
        let written = |but| {
            let over = StuckResolvedRow {
                order: OrderId::new(id),
                resolution: "processing",
                but,
                at: Timestamp::from_micros(1_795_000_000_000_000),
            };
            let change: Change<'_, StuckResolved> = Change {
                key: RefundId::new(id),
                before: None,
                after: &over,
            };
            let mut out = Recorder::default();
            StuckResolved::record(&[change], &mut out);
            format!("{out:?}")
        };
        assert!(!written(None).contains("AND id <> "));
        assert!(written(Some(ExceptionId::new(id))).contains("AND id <> "));
    }
}
