//! Creating a payment at the counter: the merchant shows a picture that the customer's WeChat scans
//! (Native 扫码支付).
//!
//! Nobody knows yet who will pay. WeChat says so with the payment, and the points go to that
//! customer.

use super::{
    ChangeReason, Order, OrderTerms, PaymentError, Payments,
    booking::put_order,
    create::{AMOUNT_MAX, AMOUNT_MIN, description, prepay_id_for, review, sharing},
    risk_checks::evaluate,
    store::Orders,
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Cx, DbError, Operation, Wanted, WorkingSet},
    facts::{Facts, Stage},
    idempotency::{Claim, KeyUse},
    primitives::{Lane, MerchantId, Money, OrderId, Secret, TenantId},
    risk::{Action as RiskAction, Evaluation, Stop},
};

/// A merchant's request to collect an amount.
#[derive(Debug, Clone)]
pub struct CollectPayment {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub amount: Money,
    pub by: Actor,
    pub claim: Claim,
}

/// The order and the address in the picture.
#[derive(Debug, Clone)]
pub struct NativePayment {
    pub order: Order,
    /// `weixin://wxpay/bizpayurl?pr=..`, for two hours.
    pub code_url: Secret<String>,
}

/// What of a merchant goes into an order.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Merchant {
    name: String,
    sub_mchid: Option<String>,
    state: String,
    sharing: i8,
}

/// Makes an order that any WeChat can pay. The same request with the same key gives the same order
/// and its address.
pub async fn collect_payment(
    payments: &Payments,
    request: CollectPayment,
) -> Result<NativePayment, PaymentError> {
    if !(AMOUNT_MIN..=AMOUNT_MAX).contains(&request.amount) {
        return Err(PaymentError::AmountOutOfRange {
            min: AMOUNT_MIN,
            max: AMOUNT_MAX,
        });
    }
    let merchant: Option<Merchant> = sqlx::query_as(
        "/* payments.find_merchant */ SELECT name, sub_mchid, state, sharing FROM merchants WHERE id = ? AND tenant_id = ?",
    )
    .bind(request.merchant)
    .bind(request.tenant)
    .fetch_optional(payments.db.pool())
    .await
    .map_err(DbError::from)?;
    let merchant = merchant.filter(|merchant| merchant.state == "approved");
    let merchant = merchant.ok_or(PaymentError::MerchantNotActive)?;
    let policy = payments.policies.current(request.tenant).await?;
    let channel = payments.channels.of(request.tenant);
    let facts = async { Ok(Some(facts_for_risk(payments, &request))) };
    let evaluation = evaluate(payments, &request.claim, facts).await?;
    let operation = CreateNativeOrder {
        merchant,
        evaluation: evaluation.clone(),
        seconds: i64::from(policy.terms.order_minutes) * 60,
        lane: payments.db.new_lane(),
        request,
    };
    let evaluation = evaluation.unwrap_or_default();
    let db = payments.db.clone();
    let done = async move { db.submit(operation).await };
    let shown = evaluation
        .clone()
        .run_and_conclude(done, Result::is_ok)
        .await??;
    if shown.is_new {
        // What risk says of a repeat is not what was said of the order.
        payments.recent.note(&shown.order, &evaluation);
    }
    let order = *shown.order;
    let (order, code_url) = prepay_id_for(payments, &*channel, (order, shown.is_new), None).await?;
    Ok(NativePayment { order, code_url })
}

/// What risk is to know of a request. It is the merchant's activity: nobody knows yet who will pay.
/// Where the till stands is not said, or all payments of a busy till would count as one address's.
fn facts_for_risk(payments: &Payments, request: &CollectPayment) -> Facts {
    Facts {
        merchant: Some(request.merchant),
        amount: Some(request.amount),
        ..Facts::new(Stage::PaymentCreate, request.tenant, payments.db.now())
    }
}

#[derive(Debug)]
struct CreateNativeOrder {
    request: CollectPayment,
    merchant: Merchant,
    seconds: i64,
    /// The customer's lane is not known; any will do.
    lane: Lane,
    /// None when there was nothing to ask about: the key made an order before.
    evaluation: Option<Evaluation>,
}

#[derive(Debug)]
struct NativeOrder {
    order: Box<Order>,
    /// False when it was made before, with this key.
    is_new: bool,
}

impl Operation for CreateNativeOrder {
    /// A stop is a reply and no refusal: the decision must be stored.
    type Reply = Result<NativeOrder, Stop>;
    type Refusal = PaymentError;
    const NAME: &'static str = "payments.collect";

    /// The key decides between two at once, whichever committer they go to; the same one spares
    /// them the race.
    fn lane(&self) -> Lane {
        Lane(self.request.claim.id[0])
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(made) = self.request.claim.want(want, set) {
            want.row::<Orders>(OrderId::new(made));
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Self::Reply, PaymentError> {
        let Self {
            request, merchant, ..
        } = self;
        match request.claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(made) => {
                let order = set.get::<Orders>(OrderId::new(made)).cloned();
                let order = order.ok_or(PaymentError::OrderNotFound)?;
                return Ok(Ok(NativeOrder {
                    order: Box::new(order),
                    is_new: false,
                }));
            }
            KeyUse::Taken(made) => {
                let made = set.get::<Orders>(OrderId::new(made));
                // Whoever showed it may be at another merchant by now.
                let made = made.filter(|order| order.merchant == request.merchant);
                return Err(PaymentError::KeyReused(made.map(Order::no)));
            }
        }
        let sub_mchid = merchant.sub_mchid.clone();
        let evaluation = self
            .evaluation
            .as_ref()
            .ok_or(PaymentError::OrderNotFound)?;
        if evaluation.action() == RiskAction::Block
            && let Some(stop) = evaluation.stop(set, cx, self.lane)
        {
            return Ok(Err(stop));
        }
        let terms = OrderTerms {
            tenant: request.tenant,
            merchant: request.merchant,
            sub_mchid: sub_mchid.ok_or(PaymentError::MerchantNotActive)?,
            description: description(&merchant.name),
            amount: request.amount,
            sharing: sharing(merchant.sharing != 0),
            review: review(evaluation),
            expires_at: cx.now().plus_seconds(self.seconds),
        };
        let order = Order::shown(OrderId::new(cx.new_id(self.lane)), terms);
        request.claim.use_for(set, cx, order.id.id());
        evaluation.store(set, cx, order.id.id());
        let amount = request.amount;
        let shown = AuditAction::PaymentCollectionStarted { amount };
        audit::note(set, cx, request.tenant, &request.by, shown, &order.no());
        put_order(
            set,
            cx,
            order.clone(),
            ChangeReason::Merchant,
            Some(&request.by),
        );
        Ok(Ok(NativeOrder {
            order: Box::new(order),
            is_new: true,
        }))
    }
}
