//! The facts that payments give to risk, and the evaluation.
//!
//! Risk is evaluated before the operation is queued, since an operation does no I/O; so the facts
//! are gathered before it, too: from memory, or with one indexed read. The operation checks
//! everything again. It is given `None` where nothing was evaluated: what the caller named does not
//! exist or is invalid, or the idempotency key was used before. Then it refuses, or returns what
//! the key made. It never makes anything without an evaluation.
//!
//! A repeated request is therefore recognised before the evaluation. Two requests with one new key
//! at the same time are one event to the counters.

use super::{
    CollectPayment, CreatePayment, Order, PaymentError, Payments, RequestRefund,
    create::{amount_to_pay, claim_of},
    store::{ORDER_COLUMNS, read_order},
};
use crate::{
    db::{Db, DbError, Sql},
    facts::{Facts, Stage},
    idempotency::{self, Claim},
    primitives::OrderId,
    risk::{self, ActivityKey, Evaluation},
};

/// The event of a key. Another request under the same key is another event: it is refused in the
/// end, and must not pass for this one until then.
fn activity_key(claim: &Claim) -> ActivityKey {
    ActivityKey::of(&[claim.id, claim.request_hash].concat())
}

/// On a customer's request to pay. An answered challenge of theirs is taken into account.
pub(super) async fn evaluate_creation(
    payments: &Payments,
    request: &CreatePayment,
) -> Result<Option<Evaluation>, PaymentError> {
    if payments.risk.is_off() {
        return Ok(Some(Evaluation::default()));
    }
    let claim = claim_of(request);
    if idempotency::is_known(&payments.db, claim.id).await? {
        return Ok(None);
    }
    let code = payments.merchants.owner_of(&request.code).await?;
    let Some(code) = code.filter(|code| code.tenant == request.tenant) else {
        return Ok(None);
    };
    // An amount that nobody could pay must not reach the sums of the merchant.
    let Ok(amount) = amount_to_pay(code.amount, request.amount) else {
        return Ok(None);
    };
    let own_merchant = payments
        .merchants
        .employs(code.merchant, request.customer)
        .await?;
    let facts = Facts {
        customer: Some(request.customer),
        merchant: Some(code.merchant),
        amount: Some(amount),
        origin: request.origin.clone(),
        own_merchant,
        ..Facts::new(Stage::PaymentCreate, request.tenant, payments.db.now())
    };
    let activity = activity_key(&claim);
    let evaluation =
        risk::evaluate_challengeable(&payments.risk, &payments.db, facts, activity).await?;
    Ok(Some(evaluation))
}

/// On a merchant's request to collect. It is the merchant's activity: nobody knows yet who will
/// pay. Where the till stands is not said, or all payments of a busy till would count as one
/// address's.
pub(super) async fn evaluate_collection(
    payments: &Payments,
    request: &CollectPayment,
) -> Result<Option<Evaluation>, DbError> {
    if payments.risk.is_off() {
        return Ok(Some(Evaluation::default()));
    }
    let claim = &request.claim;
    if idempotency::is_known(&payments.db, claim.id).await? {
        return Ok(None);
    }
    let facts = Facts {
        merchant: Some(request.merchant),
        amount: Some(request.amount),
        ..Facts::new(Stage::PaymentCreate, request.tenant, payments.db.now())
    };
    let activity = activity_key(claim);
    Ok(Some(payments.risk.evaluate_keyed(facts, activity).await))
}

/// On a request to give money back: the activity of the merchant, about the customer of the order.
/// Where the merchant's clerk sits says nothing of the customer and is left out.
pub(super) async fn evaluate_refund(
    payments: &Payments,
    request: &RequestRefund,
) -> Result<Option<Evaluation>, DbError> {
    if payments.risk.is_off() {
        return Ok(Some(Evaluation::default()));
    }
    let claim = &request.claim;
    if idempotency::is_known(&payments.db, claim.id).await? {
        return Ok(None);
    }
    let order = find_order(&payments.db, request.order).await?;
    let order = order.filter(|order| request.concerns(order));
    let Some(order) = order else {
        return Ok(None);
    };
    let own_merchant = match order.customer {
        Some(customer) => payments.merchants.employs(order.merchant, customer).await?,
        None => false,
    };
    let amount = request.amount.unwrap_or_else(|| order.refundable());
    let facts = Facts {
        customer: order.customer,
        merchant: Some(order.merchant),
        amount: Some(amount.min(order.amount)),
        own_merchant,
        ..Facts::new(Stage::Refund, order.tenant, payments.db.now())
    };
    let activity = activity_key(claim);
    Ok(Some(payments.risk.evaluate_keyed(facts, activity).await))
}

async fn find_order(db: &Db, id: OrderId) -> Result<Option<Order>, DbError> {
    let mut sql = Sql::new("SELECT /* payments.find_order_for_risk */ ");
    sql.push(ORDER_COLUMNS)
        .push(" FROM payment_orders o WHERE o.id = ")
        .bytes(id.bytes());
    let row = sqlx::query(sql.into_statement())
        .fetch_optional(db.pool())
        .await?;
    Ok(row.as_ref().map(read_order).transpose()?)
}
