//! Why WeChat's last answer about an open order could not be used, kept with the order's watch, so
//! that an operator sees it beside the order.
//!
//! Whoever queried writes it: the job that reconciles orders, in the row that it moves anyway
//! (`watch.rs`); a request for a prepay id, a confirmation or a close, here. It is about the latest
//! query only and is cleared by the first answer that can be used. Of WeChat's answer only codes
//! and the names of missing members are kept, so it holds no personal data.
//!
//! Nothing is decided by it. If it cannot be written it is lost, and the next query writes it.

use super::{
    Order, OrderStateKind, PaymentError, Payments, channel::short_reason,
    time_scale::FIRST_QUERY_SECONDS,
};
use crate::{
    db::{DbError, Tx, Work},
    primitives::{OrderId, TenantId, Timestamp},
};

/// What kept us from learning anything, or none if WeChat was understood: then it does not matter
/// what it said.
pub(super) fn problem(error: &PaymentError) -> Option<String> {
    match error {
        PaymentError::ChannelRefused(_)
        | PaymentError::ChannelUnknown(_)
        | PaymentError::AnswerMismatch(_)
        // Not WeChat's fault, and a person wonders all the same why nothing moves.
        | PaymentError::Db(_) => Some(short_reason(&error.to_string())),
        PaymentError::PaymentInProgress(_)
        | PaymentError::OrderClosed(_)
        | PaymentError::OrderExpired(_)
        | PaymentError::AlreadyPaid(_)
        | PaymentError::OrderNotFound
        | PaymentError::CodeUnknown
        | PaymentError::CodeDisabled
        | PaymentError::MerchantNotActive
        | PaymentError::AmountRequired
        | PaymentError::AmountNotAllowed { .. }
        | PaymentError::AmountOutOfRange { .. }
        | PaymentError::KeyReused(_)
        | PaymentError::Stopped(_)
        | PaymentError::Transition(_) => None,
    }
}

/// Notes what came of asking about an order that was open.
pub(super) async fn note_query_result<T>(
    payments: &Payments,
    (tenant, order): (TenantId, OrderId),
    outcome: &Result<T, PaymentError>,
) {
    let said = outcome.as_ref().err().map(problem);
    let noted = match said {
        Some(Some(problem)) => {
            let due_at = payments
                .time_scale
                .after(payments.db.now(), FIRST_QUERY_SECONDS);
            let note = RecordQueryProblem {
                order,
                tenant,
                due_at,
                problem,
            };
            payments.db.run(note).await
        }
        Some(None) | None => payments.db.run(ClearQueryProblem { order }).await,
    };
    if let Err(error) = noted {
        tracing::info!(order.id = %order, reason = %error, "why WeChat was not understood is not noted");
    }
}

/// Records the result of a query whose answer leaves the order as it stands: one that is not open
/// any more is asked about no more.
pub(super) async fn note_order_answer(
    payments: &Payments,
    about: (TenantId, OrderId),
    outcome: &Result<Order, PaymentError>,
) {
    if outcome.as_ref().is_ok_and(|order| !order.is_open()) {
        return;
    }
    note_query_result(payments, about, outcome).await;
}

/// An order that nobody watches yet is watched from now on, as it would be a moment later.
#[derive(Debug)]
struct RecordQueryProblem {
    order: OrderId,
    tenant: TenantId,
    due_at: Timestamp,
    problem: String,
}

impl Work for RecordQueryProblem {
    const NAME: &'static str = "payments.note_query_result";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        sqlx::query(
            "/* payments.note_query_result */ INSERT INTO order_watches (order_id, tenant_id, due_at, queries, problem) \
             SELECT id, tenant_id, ?, 0, ? FROM payment_orders WHERE id = ? AND tenant_id = ? AND state IN (?, ?) \
             ON DUPLICATE KEY UPDATE problem = VALUES(problem)",
        )
        .bind(self.due_at)
        .bind(&self.problem)
        .bind(self.order)
        .bind(self.tenant)
        .bind(OrderStateKind::Created.code())
        .bind(OrderStateKind::Prepaid.code())
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

#[derive(Debug)]
struct ClearQueryProblem {
    order: OrderId,
}

impl Work for ClearQueryProblem {
    const NAME: &'static str = "payments.clear_query_problem";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        sqlx::query(
            "/* payments.clear_query_problem */ UPDATE order_watches SET problem = NULL WHERE order_id = ? AND problem IS NOT NULL",
        )
        .bind(self.order)
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
