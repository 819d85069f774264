//! Creating a payment: the order, then WeChat's prepay id for it.

use super::{
    Applied, ChangeReason, ChannelOutcome, Order, OrderSharing, OrderState, OrderTerms, PayMethod,
    PayParameters, PaymentChannel, PaymentError, Payments, PointsReview, PrepayId, PrepayRequest,
    RefusalKind,
    booking::put_order,
    channel::{is_code_url, is_plain},
    query_problem::note_query_result,
    risk_checks::evaluate_challengeable,
    store::{CodeKey, Codes, Orders},
};
use crate::{
    db::{Cx, DbError, Operation, Wanted, WorkingSet},
    facts::{Facts, Origin, Stage},
    idempotency::{Claim, KeyUse, first_half},
    primitives::{CustomerId, Lane, MerchantId, Money, OrderId, Secret, TenantId, Timestamp},
    risk::{Action, Evaluation, Stop},
};

pub(super) const AMOUNT_MIN: Money = Money::constant(1);
/// The largest payment: ¥50,000.00.
pub(super) const AMOUNT_MAX: Money = Money::constant(5_000_000);

/// A customer's request to pay what a collection code asks for.
#[derive(Debug, Clone)]
pub struct CreatePayment {
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub payer_openid: Secret<String>,
    pub code: String,
    /// Required for codes that leave it open; for the others absent or the same.
    pub amount: Option<Money>,
    /// The caller's `Idempotency-Key`.
    pub key: String,
    /// Where the request came from, for risk.
    pub origin: Origin,
}

/// The order and what `wx.requestPayment` needs to have it paid.
#[derive(Debug, Clone)]
pub struct CreatedPayment {
    pub order: Order,
    pub merchant_name: String,
    pub pay: PayParameters,
}

/// Makes the order payable. The same request with the same key gives the same order; the prepay
/// id's signature is made anew each time.
///
/// Fails with [`PaymentError::Stopped`] when risk does not allow it, or wants the customer to
/// answer a challenge first; then the key is not used up.
pub async fn create_payment(
    payments: &Payments,
    request: CreatePayment,
) -> Result<CreatedPayment, PaymentError> {
    let openid = request.payer_openid.clone();
    let channel = payments.channels.of(request.tenant);
    let policy = payments.policies.current(request.tenant).await?;
    let seconds = i64::from(policy.terms.order_minutes) * 60;
    let facts = facts_for_risk(payments, &request);
    let evaluation = evaluate_challengeable(payments, &claim_of(&request), facts).await?;
    let operation = CreateOrder::new(&request, seconds, evaluation.clone());
    let db = payments.db.clone();
    let done = async move { db.submit(operation).await };
    let run_and_conclude = evaluation
        .clone()
        .unwrap_or_default()
        .run_and_conclude(done, is_created);
    let (order, merchant_name, is_new) = match run_and_conclude.await? {
        CreateOutcome::Now(order, merchant_name) => {
            if let Some(evaluation) = &evaluation {
                payments.recent.note(&order, evaluation);
            }
            (*order, merchant_name, true)
        }
        // What risk says of a repeat is not what was said of the order.
        CreateOutcome::Before(order, merchant_name) => (*order, merchant_name, false),
        CreateOutcome::Stopped(stop) => return Err(stop.into()),
    };
    let (order, prepay_id) =
        prepay_id_for(payments, &*channel, (order, is_new), Some(openid)).await?;
    let pay = channel.pay_parameters(prepay_id.expose(), payments.db.now());
    Ok(CreatedPayment {
        order,
        merchant_name,
        pay,
    })
}

/// What risk is to know of a request. None when it would be refused anyway.
async fn facts_for_risk(
    payments: &Payments,
    request: &CreatePayment,
) -> Result<Option<Facts>, DbError> {
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
        .employs(request.tenant, code.merchant, request.customer)
        .await?;
    Ok(Some(Facts {
        customer: Some(request.customer),
        merchant: Some(code.merchant),
        amount: Some(amount),
        origin: request.origin.clone(),
        own_merchant,
        ..Facts::new(Stage::PaymentCreate, request.tenant, payments.db.now())
    }))
}

const fn is_created(created: &CreateOutcome) -> bool {
    match created {
        CreateOutcome::Now(..) | CreateOutcome::Before(..) => true,
        CreateOutcome::Stopped(_) => false,
    }
}

/// The prepay id of an order that can be paid: the one that is known while it lasts, else a fresh
/// one for the same number. Of an order that is not new somebody may have noted why there was none.
pub(super) async fn prepay_id_for(
    payments: &Payments,
    channel: &dyn PaymentChannel,
    (order, is_new): (Order, bool),
    payer_openid: Option<Secret<String>>,
) -> Result<(Order, Secret<String>), PaymentError> {
    let now = payments.db.now();
    match &order.state {
        OrderState::Created | OrderState::Prepaid(_) if order.expires_at <= now => {
            return Err(PaymentError::OrderExpired(order.no()));
        }
        OrderState::Prepaid(prepay_id) if prepay_id.lasts(now) => {
            let id = prepay_id.id.clone();
            return Ok((order, id));
        }
        OrderState::Created | OrderState::Prepaid(_) => {}
        OrderState::Paid(_) | OrderState::PartlyRefunded(_) | OrderState::Refunded(_) => {
            return Err(PaymentError::AlreadyPaid(order.no()));
        }
        OrderState::Expired { .. } => return Err(PaymentError::OrderExpired(order.no())),
        OrderState::Closed { .. } => return Err(PaymentError::OrderClosed(order.no())),
    }
    let prepay_id = request_prepay_id(channel, &order, payer_openid, now).await;
    if prepay_id.is_err() || !is_new {
        note_query_result(payments, (order.tenant, order.id), &prepay_id).await;
    }
    let prepay_id = prepay_id?;
    let record = RecordPrepay {
        order: order.id,
        prepay_id: prepay_id.clone(),
    };
    Ok((payments.db.submit(record).await?, prepay_id.id))
}

async fn request_prepay_id(
    channel: &dyn PaymentChannel,
    order: &Order,
    payer_openid: Option<Secret<String>>,
    now: Timestamp,
) -> Result<PrepayId, PaymentError> {
    let request = PrepayRequest {
        order_no: order.no(),
        sub_mchid: order.sub_mchid.clone(),
        amount: order.amount,
        description: order.description.clone(),
        payer_openid,
        expires_at: order.expires_at,
        notify_path: format!("/api/v1/wechat/notify/{}/payments", order.tenant),
        profit_sharing: order.sharing != OrderSharing::No,
    };
    let (outcome, is_prepay_id): (_, fn(&str) -> bool) = match order.method {
        PayMethod::MiniProgram => (channel.prepay(request).await, |text| is_plain(text, 64)),
        PayMethod::Native => (channel.prepay_native(request).await, is_code_url),
    };
    match outcome {
        ChannelOutcome::Done(text) if is_prepay_id(&text) => Ok(PrepayId {
            id: Secret::new(text),
            at: now,
        }),
        ChannelOutcome::Done(_) => {
            tracing::error!(order.no = %order.no(), "WeChat's prepay id is not of the form that we know");
            Err(PaymentError::ChannelUnknown(
                "its prepay id is not of the form that we know".to_owned(),
            ))
        }
        ChannelOutcome::Refused(refusal) => {
            tracing::warn!(order.no = %order.no(), code = refusal.code, message = refusal.message, "WeChat refuses a prepay");
            Err(match refusal.kind {
                RefusalKind::AlreadyPaid => PaymentError::AlreadyPaid(order.no()),
                RefusalKind::Closed => PaymentError::OrderClosed(order.no()),
                RefusalKind::RateLimited => PaymentError::ChannelUnknown(refusal.code),
                RefusalKind::Rejected
                | RefusalKind::Absent
                | RefusalKind::NotEnough
                | RefusalKind::Conflict => PaymentError::ChannelRefused(refusal.code),
            })
        }
        ChannelOutcome::Unknown(reason) => {
            tracing::warn!(order.no = %order.no(), reason, "outcome of a prepay is unknown");
            Err(PaymentError::ChannelUnknown(reason))
        }
    }
}

/// Writes the order and the caller's key in one commit.
#[derive(Debug)]
struct CreateOrder {
    tenant: TenantId,
    customer: CustomerId,
    code: CodeKey,
    amount: Option<Money>,
    claim: Claim,
    /// How long it can be paid.
    seconds: i64,
    /// None when there was nothing to ask about.
    evaluation: Option<Evaluation>,
}

#[derive(Debug)]
enum CreateOutcome {
    /// With the merchant's name.
    Now(Box<Order>, String),
    /// With this key an order was made before.
    Before(Box<Order>, String),
    /// A reply and no refusal: the decision must be stored.
    Stopped(Stop),
}

/// The key under which the request is stored, with what distinguishes it from another under that
/// key.
fn claim_of(request: &CreatePayment) -> Claim {
    let scope = [
        &request.tenant.0.to_be_bytes(),
        request.customer.bytes().as_slice(),
        b"payments.create",
        request.key.as_bytes(),
    ];
    let amount_said = request.amount.map_or(-1, Money::get).to_be_bytes();
    Claim {
        id: first_half(&scope),
        tenant: request.tenant,
        request_hash: first_half(&[request.code.as_bytes(), &amount_said]),
    }
}

impl CreateOrder {
    fn new(request: &CreatePayment, seconds: i64, evaluation: Option<Evaluation>) -> Self {
        Self {
            tenant: request.tenant,
            customer: request.customer,
            code: CodeKey::of(&request.code),
            amount: request.amount,
            claim: claim_of(request),
            seconds,
            evaluation,
        }
    }
}

impl Operation for CreateOrder {
    type Reply = CreateOutcome;
    type Refusal = PaymentError;
    const NAME: &'static str = "payments.create";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Codes>(self.code);
        if let Some(made) = self.claim.want(want, set) {
            want.row::<Orders>(OrderId::new(made));
        }
        if let Some(evaluation) = &self.evaluation {
            evaluation.want_open_challenge(want);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<CreateOutcome, PaymentError> {
        let code = set
            .get::<Codes>(self.code)
            .filter(|code| code.tenant == self.tenant)
            .cloned();
        let merchant_name = code
            .as_ref()
            .map_or(String::new(), |code| code.merchant_name.clone());
        match self.claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(made) => {
                let order = set
                    .get::<Orders>(OrderId::new(made))
                    .cloned()
                    .ok_or(PaymentError::OrderNotFound)?;
                // A merchant that was suspended since: its open orders are being closed, and get
                // no prepay id meanwhile.
                let collects = code.is_none_or(|code| code.sub_mchid.is_some());
                if order.is_open() && !collects {
                    return Err(PaymentError::MerchantNotActive);
                }
                return Ok(CreateOutcome::Before(Box::new(order), merchant_name));
            }
            KeyUse::Taken(made) => {
                // Keys are the customer's own, and so is what they made.
                let made = OrderId::new(made);
                return Err(PaymentError::KeyReused(Some(made.into())));
            }
        }
        let code = code.ok_or(PaymentError::CodeUnknown)?;
        if !code.active {
            return Err(PaymentError::CodeDisabled);
        }
        let sub_mchid = code
            .sub_mchid
            .clone()
            .ok_or(PaymentError::MerchantNotActive)?;
        let amount = amount_to_pay(code.amount, self.amount)?;
        // Nothing could be asked because the code was not there a moment ago.
        let evaluation = self.evaluation.as_ref().ok_or(PaymentError::CodeUnknown)?;
        if let Some(stop) = evaluation.stop(set, cx, self.customer.lane()) {
            return Ok(CreateOutcome::Stopped(stop));
        }
        let terms = OrderTerms {
            tenant: self.tenant,
            merchant: MerchantId::clone(&code.merchant),
            sub_mchid,
            description: description(&merchant_name),
            amount,
            sharing: sharing(code.sharing),
            review: review(evaluation),
            expires_at: cx.now().plus_seconds(self.seconds),
        };
        let id = OrderId::new(cx.new_id(self.customer.lane()));
        let order = Order::scanned(id, self.customer, self.code.to_string(), terms);
        self.claim.use_for(set, cx, order.id.id());
        evaluation.store(set, cx, order.id.id());
        put_order(set, cx, order.clone(), ChangeReason::Customer, None);
        Ok(CreateOutcome::Now(Box::new(order), merchant_name))
    }
}

/// WeChat takes 127 characters.
pub(super) fn description(merchant_name: &str) -> String {
    merchant_name.chars().take(100).collect()
}

pub(super) fn sharing(wanted: bool) -> OrderSharing {
    if wanted {
        OrderSharing::Wanted
    } else {
        OrderSharing::No
    }
}

/// Whether the points of an order that is made must wait. A *verify* that gets here is one that
/// nobody can answer.
pub(super) fn review(evaluation: &Evaluation) -> PointsReview {
    match evaluation.action() {
        Action::Allow => PointsReview::No,
        Action::Verify | Action::Review | Action::Block => PointsReview::Wanted,
    }
}

fn amount_to_pay(fixed: Option<Money>, said: Option<Money>) -> Result<Money, PaymentError> {
    match (fixed, said) {
        (Some(expected), Some(said)) if said != expected => {
            Err(PaymentError::AmountNotAllowed { expected })
        }
        (Some(amount), _) => Ok(amount),
        (None, None) => Err(PaymentError::AmountRequired),
        (None, Some(amount)) if (AMOUNT_MIN..=AMOUNT_MAX).contains(&amount) => Ok(amount),
        (None, Some(_)) => Err(PaymentError::AmountOutOfRange {
            min: AMOUNT_MIN,
            max: AMOUNT_MAX,
        }),
    }
}

/// Notes the prepay id on the order. An order that was paid in the meantime stays paid.
#[derive(Debug)]
struct RecordPrepay {
    order: OrderId,
    prepay_id: PrepayId,
}

impl Operation for RecordPrepay {
    type Reply = Order;
    type Refusal = PaymentError;
    const NAME: &'static str = "payments.record_prepay";

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Orders>(self.order);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Order, PaymentError> {
        let order = set
            .get::<Orders>(self.order)
            .cloned()
            .ok_or(PaymentError::OrderNotFound)?;
        match order.prepay(self.prepay_id.clone()) {
            Ok(Applied::Now(order)) => {
                put_order(set, cx, order.clone(), ChangeReason::Prepay, None);
                Ok(order)
            }
            Ok(Applied::Before) => Ok(order),
            // It was paid, or closed, while WeChat made the prepay id.
            Err(refused) if refused.from.is_paid() => Ok(order),
            Err(_) => Err(PaymentError::OrderClosed(order.no())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_code_takes_its_amount_and_no_other() {
        let fen = |units| Money::parse(units).unwrap();
        assert!(matches!(amount_to_pay(Some(fen(100)), None), Ok(amount) if amount == fen(100)));
        assert!(matches!(
            amount_to_pay(Some(fen(100)), Some(fen(101))),
            Err(PaymentError::AmountNotAllowed { .. })
        ));
        assert!(matches!(
            amount_to_pay(None, None),
            Err(PaymentError::AmountRequired)
        ));
        assert!(matches!(
            amount_to_pay(None, Some(fen(0))),
            Err(PaymentError::AmountOutOfRange { .. })
        ));
        assert!(matches!(
            amount_to_pay(None, Some(fen(5_000_001))),
            Err(PaymentError::AmountOutOfRange { .. })
        ));
    }

    #[test]
    fn parts_that_run_together_do_not_collide() {
        assert_ne!(first_half(&[b"ab", b"c"]), first_half(&[b"a", b"bc"]));
    }
}
