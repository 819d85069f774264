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
        let head = "INSERT /* payments.insert_exceptions */ INTO payment_exceptions";
        out.insert(head, changes, |row, change| {
            let exception = change.after;
            let resolved = exception.resolution;
            let detail: String = exception.detail.chars().take(250).collect();
            row.set("id", change.key).set("tenant_id", exception.tenant);
            row.set("kind", exception.kind.name());
            row.set("order_id", exception.order);
            row.set("refund_id", exception.refund);
            row.set("detail", detail);
            row.set("resolution", resolved);
            row.set("resolved_by", resolved.map(|_| SystemActor::Policy.name()));
            row.set("resolved_at", resolved.map(|_| exception.at));
            row.set("created_at", exception.at);
        });
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
            let head = "UPDATE /* payments.stuck_resolved */ payment_exceptions SET ";
            let mut sql = Sql::update(head, |row| {
                row.set("resolution", over.resolution);
                row.set("resolved_by", SystemActor::Progress.name());
                row.set("resolved_at", over.at);
            });
            sql.push(" WHERE order_id = ").value(over.order);
            sql.push(" AND refund_id = ").value(change.key);
            sql.push(" AND kind = ")
                .value(ExceptionKind::RefundStuck.name());
            sql.push(" AND resolved_at IS NULL");
            if let Some(told) = over.but {
                sql.push(" AND id <> ").value(told);
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
            let head = "UPDATE /* payments.foreign_number_known */ payment_exceptions SET ";
            let mut sql = Sql::update(head, |row| {
                row.set("resolution", "the refund is known");
                row.set("resolved_by", SystemActor::Progress.name());
                row.set("resolved_at", change.after);
            });
            sql.push(" WHERE order_id = ").value(change.key);
            sql.push(" AND refund_id IS NULL AND kind = ")
                .value(ExceptionKind::ForeignRefund.name());
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
