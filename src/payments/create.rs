//! Creating a payment: the order, then WeChat's ticket for it.

use super::{
    Applied, Order, OrderState, Outcome, PayParameters, PaymentError, Payments, PrepayRequest,
    RefusalKind,
    settle::is_plain,
    store::{CodeKey, Codes, KeyRow, Keys, Orders},
};
use crate::{
    db::{Cx, Operation, Wanted, WorkingSet},
    idempotency::first_half,
    outbox::{self, Event},
    primitives::{CustomerId, Lane, MerchantId, Money, OrderId, Secret, TenantId},
};

const AMOUNT_MIN: Money = Money::constant(1);
/// The largest payment: ¥50,000.00.
const AMOUNT_MAX: Money = Money::constant(5_000_000);

/// How long an order can be paid. WeChat's ticket lasts two hours, so one ticket is enough for an order's life.
const ORDER_SECONDS: i64 = 30 * 60;

/// A customer's wish to pay what a collection code asks for.
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
}

/// The order and what `wx.requestPayment` needs to have it paid.
#[derive(Debug, Clone)]
pub struct CreatedPayment {
    pub order: Order,
    pub merchant_name: String,
    pub pay: PayParameters,
}

/// Makes the order payable. The same request with the same key gives the same order; the ticket's signature is made anew each time.
pub async fn create_payment(
    payments: &Payments,
    wish: CreatePayment,
) -> Result<CreatedPayment, PaymentError> {
    let openid = wish.payer_openid.clone();
    let Created {
        order,
        merchant_name,
    } = payments.db.submit(CreateOrder::from(wish)).await?;
    let is_payable = matches!(
        order.state,
        OrderState::Created | OrderState::Prepaid { .. }
    );
    if is_payable && order.expires_at <= payments.db.now() {
        return Err(PaymentError::OrderExpired);
    }
    let prepay_id = match &order.state {
        OrderState::Prepaid { prepay_id } => prepay_id.clone(),
        OrderState::Created => {
            let prepay_id = ask_for_ticket(payments, &order, &merchant_name, openid).await?;
            let record = RecordPrepay {
                order: order.id,
                prepay_id: prepay_id.clone(),
            };
            return Ok(CreatedPayment {
                order: payments.db.submit(record).await?,
                merchant_name,
                pay: payments
                    .gateway
                    .pay_parameters(prepay_id.expose(), payments.db.now()),
            });
        }
        OrderState::Paid { .. } => return Err(PaymentError::AlreadyPaid(order.no())),
        OrderState::Closed { .. } => return Err(PaymentError::OrderClosed),
    };
    let pay = payments
        .gateway
        .pay_parameters(prepay_id.expose(), payments.db.now());
    Ok(CreatedPayment {
        order,
        merchant_name,
        pay,
    })
}

async fn ask_for_ticket(
    payments: &Payments,
    order: &Order,
    merchant_name: &str,
    payer_openid: Secret<String>,
) -> Result<Secret<String>, PaymentError> {
    let request = PrepayRequest {
        order_no: order.no(),
        sub_mchid: order.sub_mchid.clone(),
        amount: order.amount,
        description: merchant_name.chars().take(100).collect(),
        payer_openid,
        expires_at: order.expires_at,
        notify_path: format!("/api/v1/wechat/notify/{}/payments", order.tenant),
    };
    match payments.gateway.prepay(request).await {
        Outcome::Done(prepay_id) if is_plain(&prepay_id, 64) => Ok(Secret::new(prepay_id)),
        Outcome::Done(_) => {
            tracing::error!(order.no = %order.no(), "WeChat's ticket is not of the form that we know");
            Err(PaymentError::ChannelUnknown)
        }
        Outcome::Refused(refusal) => {
            tracing::warn!(order.no = %order.no(), code = refusal.code, message = refusal.message, "WeChat refuses a prepay");
            Err(match refusal.kind {
                RefusalKind::AlreadyPaid => PaymentError::AlreadyPaid(order.no()),
                RefusalKind::Closed => PaymentError::OrderClosed,
                RefusalKind::RateLimited => PaymentError::ChannelUnknown,
                RefusalKind::Rejected => PaymentError::ChannelRefused(refusal.code),
            })
        }
        Outcome::Unknown(reason) => {
            tracing::warn!(order.no = %order.no(), reason, "outcome of a prepay is unknown");
            Err(PaymentError::ChannelUnknown)
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
    key: [u8; 16],
    request_hash: [u8; 16],
}

#[derive(Debug)]
struct Created {
    order: Order,
    merchant_name: String,
}

impl From<CreatePayment> for CreateOrder {
    fn from(wish: CreatePayment) -> Self {
        let CreatePayment {
            tenant,
            customer,
            code,
            amount,
            key,
            ..
        } = wish;
        let scope = [
            &tenant.0.to_be_bytes(),
            customer.bytes().as_slice(),
            b"payments.create",
            key.as_bytes(),
        ];
        let amount_said = amount.map_or(-1, Money::get).to_be_bytes();
        Self {
            tenant,
            customer,
            code: CodeKey::of(&code),
            amount,
            key: first_half(&scope),
            request_hash: first_half(&[code.as_bytes(), &amount_said]),
        }
    }
}

impl Operation for CreateOrder {
    type Reply = Created;
    type Refusal = PaymentError;
    const NAME: &'static str = "payments.create";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Keys>(self.key);
        want.row::<Codes>(self.code);
        if set.has_loaded::<Keys>(self.key)
            && let Some(used) = set.get::<Keys>(self.key)
        {
            want.row::<Orders>(used.effect);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Created, PaymentError> {
        let code = set
            .get::<Codes>(self.code)
            .filter(|code| code.tenant == self.tenant)
            .cloned();
        let merchant_name = code
            .as_ref()
            .map_or(String::new(), |code| code.merchant_name.clone());
        if let Some(used) = set.get::<Keys>(self.key).copied() {
            if used.request_hash != self.request_hash {
                return Err(PaymentError::KeyReused);
            }
            let order = set
                .get::<Orders>(used.effect)
                .cloned()
                .ok_or(PaymentError::OrderNotFound)?;
            return Ok(Created {
                order,
                merchant_name,
            });
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
        let order = Order {
            id: OrderId::new(cx.new_id(self.customer.lane())),
            tenant: self.tenant,
            customer: self.customer,
            merchant: MerchantId::clone(&code.merchant),
            code: self.code.to_string(),
            sub_mchid,
            amount,
            expires_at: cx.now().plus_seconds(ORDER_SECONDS),
            version: 1,
            state: OrderState::Created,
        };
        let used = KeyRow {
            tenant: self.tenant,
            request_hash: self.request_hash,
            effect: order.id,
            at: cx.now(),
        };
        set.put::<Keys>(self.key, used);
        set.put::<Orders>(order.id, order.clone());
        tell_moved(cx, &order);
        Ok(Created {
            order,
            merchant_name,
        })
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

/// Notes the ticket on the order. An order that was paid in the meantime stays paid.
#[derive(Debug)]
struct RecordPrepay {
    order: OrderId,
    prepay_id: Secret<String>,
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
        match order.prepay(&self.prepay_id) {
            Ok(Applied::Now(order)) => {
                set.put::<Orders>(order.id, order.clone());
                tell_moved(cx, &order);
                Ok(order)
            }
            Ok(Applied::Before) => Ok(order),
            Err(_) if matches!(order.state, OrderState::Paid { .. }) => Ok(order),
            Err(_) => Err(PaymentError::OrderClosed),
        }
    }
}

fn tell_moved(cx: &mut Cx<'_>, order: &Order) {
    let event = Event::OrderMoved {
        order: order.id,
        tenant: order.tenant,
        version: order.version,
        state: order.state.kind().code(),
    };
    outbox::tell(cx, &event);
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
