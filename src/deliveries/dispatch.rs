//! One attempt: read what is needed, call, write down what came of it.

use std::time::Duration;

use super::{
    Attempt, CustomerMessage, Deliveries, Delivery, DeliveryKind, DeliverySettings, DeliveryState,
    DeliverySubject, MessageTemplate, RecordAttempt, ShippingReport, message::Facts,
};
use crate::{
    customers,
    db::{Db, DbError},
    ledger,
    payments::{self, Late, OrderStateKind, OrderWithMerchant},
    primitives::{AccountId, BusinessDay, OrderNo, Points, Secret, Timestamp},
};

/// All calls of one attempt together. Well within the lease.
const ATTEMPT_MAX: Duration = Duration::from_secs(45);

/// What is to be said, and by which call.
#[derive(Debug, PartialEq, Eq)]
enum Dispatch {
    Shipping(ShippingReport),
    Message(CustomerMessage),
}

/// Makes one attempt at a claimed delivery and records it.
///
/// Fails only when the database does; then the lease ends and the delivery falls due again.
pub async fn deliver(db: &Db, deliveries: &Deliveries, delivery: Delivery) -> Result<(), DbError> {
    let (id, kind) = (delivery.id, delivery.kind.name());
    let attempt = match tokio::time::timeout(ATTEMPT_MAX, attempt(db, deliveries, &delivery)).await
    {
        Ok(attempt) => attempt?,
        Err(_) => Attempt::Retry(format!("no answer within {ATTEMPT_MAX:?}")),
    };
    let outcome = attempt.kind().name();
    metrics::counter!("delivery_attempts_total", "kind" => kind, "outcome" => outcome).increment(1);
    let work = RecordAttempt { delivery, attempt };
    match db.run(work).await? {
        Some(DeliveryState::Parked) => {
            tracing::error!(delivery.id = %id, "the {kind} {id} is parked: someone must look");
        }
        Some(DeliveryState::Pending | DeliveryState::Delivered | DeliveryState::Dropped) => {}
        None => tracing::warn!(
            delivery.id = %id,
            "the {kind} {id} took longer than its lease and was taken over"
        ),
    }
    Ok(())
}

async fn attempt(
    db: &Db,
    deliveries: &Deliveries,
    delivery: &Delivery,
) -> Result<Attempt, DbError> {
    let settings = deliveries.settings.current(delivery.tenant).await?;
    let (subject, customer) = match delivery.about {
        DeliverySubject::Order { order, .. } => {
            let Some(view) = payments::find_order(db, delivery.tenant, order).await? else {
                return Ok(Attempt::Failed("the order does not exist".to_owned()));
            };
            let customer = view.order.customer;
            (Subject::Order(Box::new(view)), customer)
        }
        DeliverySubject::Expiry { customer, on, .. } => {
            let account = AccountId::customer_points(customer);
            let left = ledger::find_lot(db, delivery.tenant, account, on).await?;
            (Subject::Lot { on, left }, Some(customer))
        }
    };
    let customer = match customer {
        Some(customer) => customers::find_customer(db, delivery.tenant, customer).await?,
        None => None,
    };
    let Some(customer) = customer else {
        return Ok(Attempt::Failed("the customer does not exist".to_owned()));
    };
    let said = match &subject {
        Subject::Order(view) => dispatch(delivery, &settings, view, &customer.openid),
        Subject::Lot { on, left } => {
            notice(&settings, *on, *left, db.now(), &customer.openid).map(Dispatch::Message)
        }
    };
    let attempt = match said {
        Ok(Dispatch::Shipping(report)) => deliveries.notifier.report_shipping(report).await.into(),
        Ok(Dispatch::Message(message)) => deliveries.notifier.send_message(message).await.into(),
        Err(attempt) => attempt,
    };
    Ok(attempt.without(customer.openid.expose()))
}

/// What is to be told of, as it stands.
enum Subject {
    Order(Box<OrderWithMerchant>),
    Lot { on: BusinessDay, left: Points },
}

/// Notice of points that expire, with what is left of them now; or why there is none to give.
fn notice(
    settings: &DeliverySettings,
    on: BusinessDay,
    left: Points,
    now: Timestamp,
    openid: &Secret<String>,
) -> Result<CustomerMessage, Attempt> {
    let not_wanted = |why: &str| Attempt::NotWanted(why.to_owned());
    let notice = settings.expiry_notice.as_ref();
    let notice = notice.ok_or_else(|| not_wanted("switched off"))?;
    if left.is_zero() {
        return Err(not_wanted("spent before the notice"));
    }
    if on <= now.business_day() {
        return Err(not_wanted("expired before the notice"));
    }
    Ok(CustomerMessage {
        openid: openid.clone(),
        template_id: notice.template().id().to_owned(),
        // The page of the settings shows an order.
        page: None,
        program: settings.program,
        data: notice.template().fill(&Facts {
            merchant: None,
            amount: None,
            at: on.start(),
            order_no: None,
            points: left,
        }),
    })
}

/// What to say, or why nothing.
fn dispatch(
    delivery: &Delivery,
    settings: &DeliverySettings,
    view: &OrderWithMerchant,
    openid: &Secret<String>,
) -> Result<Dispatch, Attempt> {
    let payment = view.order.state.payment();
    let payment = payment.ok_or_else(|| Attempt::Failed("the order is not paid".to_owned()))?;
    // Of points that are not credited (yet) nothing is promised.
    let points = view.order.credited_points();
    let transaction = &payment.wechat_transaction_id;
    let off = || Attempt::NotWanted("switched off".to_owned());
    let message = |template: &Option<MessageTemplate>| {
        let template = template.as_ref().ok_or_else(off)?;
        let message = compose(delivery, settings, template, view, openid, points);
        Ok(Dispatch::Message(message))
    };
    match delivery.kind {
        // WeChat takes no report of what went back as a whole, and freezes nothing for it.
        DeliveryKind::ShippingInfo if view.order.state.kind() == OrderStateKind::Refunded => Err(
            Attempt::NotWanted("refunded before it was reported".to_owned()),
        ),
        // It was paid after it had been closed: nothing was handed over, and the money is on its
        // way back.
        DeliveryKind::ShippingInfo if payment.late == Late::Refunded => Err(Attempt::NotWanted(
            "paid too late, and goes back as a whole".to_owned(),
        )),
        DeliveryKind::ShippingInfo => Ok(Dispatch::Shipping(ShippingReport {
            wechat_transaction_id: transaction.clone(),
            openid: openid.clone(),
            handover: settings.shipping.ok_or_else(off)?,
            item: format!("{} 到店消费", view.merchant_name),
            // It does not change between attempts: a report that got there already is "nothing new"
            // then, and does not use up the one correction.
            at: delivery.created_at,
        })),
        DeliveryKind::PaymentMessage => message(&settings.payment_message),
        DeliveryKind::RefundMessage => message(&settings.refund_message),
        DeliveryKind::ExpiryMessage => Err(Attempt::Failed("it is of no order".to_owned())),
    }
}

fn compose(
    delivery: &Delivery,
    settings: &DeliverySettings,
    template: &MessageTemplate,
    view: &OrderWithMerchant,
    openid: &Secret<String>,
    points: Points,
) -> CustomerMessage {
    let order_no = OrderNo::from(view.order.id);
    let page = settings.message_page.as_ref();
    CustomerMessage {
        openid: openid.clone(),
        template_id: template.id().to_owned(),
        page: page.map(|page| format!("{page}?order_no={order_no}")),
        program: settings.program,
        data: template.fill(&Facts {
            merchant: Some(&view.merchant_name),
            amount: delivery.about.amount(),
            at: delivery.happened_at,
            order_no: Some(order_no),
            points,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deliveries::{DeliveryId, Fact, Handover, PagePath, message::MessageKind},
        merchants::ProgramVersion,
        payments::{Order, OrderSharing, OrderState, PayMethod, Payment, PointsReview, RefundSums},
        primitives::{CustomerId, Id, Lane, MerchantId, Money, OrderId, TenantId, Timestamp},
    };

    fn id() -> Id {
        Id::mint(1_795_000_000_000, 7, Lane(1))
    }

    fn delivery(kind: DeliveryKind) -> Delivery {
        let at = Timestamp::parse_rfc3339("2026-11-21T10:34:56+08:00").unwrap();
        Delivery {
            id: DeliveryId::of(id(), kind),
            tenant: TenantId(1),
            kind,
            about: DeliverySubject::Order {
                order: OrderId::new(id()),
                refund: None,
                amount: Money::parse(1_280).unwrap(),
            },
            happened_at: at,
            state: DeliveryState::Pending,
            attempts: 1,
            next_attempt_at: Some(at),
            last_error: None,
            created_at: at,
            updated_at: at,
        }
    }

    fn view(state: OrderState) -> OrderWithMerchant {
        OrderWithMerchant {
            order: Order {
                id: OrderId::new(id()),
                tenant: TenantId(1),
                customer: Some(CustomerId::new(id())),
                merchant: MerchantId::new(id()),
                code: Some("0123456789AB".into()),
                method: PayMethod::MiniProgram,
                sub_mchid: "1900000109".into(),
                description: "老王面馆".into(),
                amount: Money::parse(1_280).unwrap(),
                sharing: OrderSharing::No,
                review: PointsReview::No,
                expires_at: Timestamp::from_micros(0),
                version: 3,
                state,
                refunds: RefundSums::NONE,
            },
            merchant_name: "老王面馆".to_owned(),
        }
    }

    fn payment() -> Payment {
        Payment {
            paid_at: Timestamp::from_micros(0),
            wechat_transaction_id: "4200001234".to_owned(),
            points: Points::parse(12).unwrap(),
            rule_version: 1,
            points_expired_from: BusinessDay::NEVER,
            settled_by: None,
            late: Late::No,
        }
    }

    fn paid() -> OrderState {
        OrderState::Paid(payment())
    }

    #[test]
    fn what_went_back_as_a_whole_is_not_reported() {
        let said = say(
            DeliveryKind::ShippingInfo,
            &settings(),
            OrderState::Refunded(payment()),
        );
        assert!(matches!(said, Err(Attempt::NotWanted(_))), "{said:?}");
    }

    fn settings() -> DeliverySettings {
        let fields = [
            (Fact::Merchant, "thing1".to_owned()),
            (Fact::Amount, "amount2".to_owned()),
            (Fact::Points, "number3".to_owned()),
        ];
        DeliverySettings {
            shipping: Some(Handover::SelfPickup),
            payment_message: Some(
                MessageTemplate::parse(MessageKind::Payment, "TPL", fields).unwrap(),
            ),
            message_page: Some(PagePath::parse("message_page", "pages/order/index").unwrap()),
            program: ProgramVersion::Trial,
            ..DeliverySettings::default()
        }
    }

    fn say(
        kind: DeliveryKind,
        settings: &DeliverySettings,
        state: OrderState,
    ) -> Result<Dispatch, Attempt> {
        let openid = Secret::new("oA".to_owned());
        dispatch(&delivery(kind), settings, &view(state), &openid)
    }

    #[test]
    fn a_shipping_report_names_the_payment_the_payer_and_the_merchant() {
        let said = say(DeliveryKind::ShippingInfo, &settings(), paid());
        let expected = ShippingReport {
            wechat_transaction_id: "4200001234".to_owned(),
            openid: Secret::new("oA".to_owned()),
            handover: Handover::SelfPickup,
            item: "老王面馆 到店消费".to_owned(),
            at: delivery(DeliveryKind::ShippingInfo).created_at,
        };
        assert_eq!(said, Ok(Dispatch::Shipping(expected)));
    }

    #[test]
    fn what_was_paid_too_late_and_goes_back_is_not_reported_as_shipped() {
        let late = |late| {
            let OrderState::Paid(payment) = paid() else {
                panic!("it is paid")
            };
            OrderState::Paid(Payment { late, ..payment })
        };
        let said = say(
            DeliveryKind::ShippingInfo,
            &settings(),
            late(Late::Refunded),
        );
        assert_eq!(said.unwrap_err().kind().name(), "not_wanted");
        let said = say(
            DeliveryKind::ShippingInfo,
            &settings(),
            late(Late::Reopened),
        );
        assert!(said.is_ok());
    }

    #[test]
    fn a_message_has_the_facts_of_the_template_and_opens_the_order() {
        let said = say(DeliveryKind::PaymentMessage, &settings(), paid());
        let Ok(Dispatch::Message(message)) = said else {
            panic!("{said:?}")
        };
        let no = OrderNo::from(OrderId::new(id()));
        assert_eq!(
            message.page,
            Some(format!("pages/order/index?order_no={no}"))
        );
        assert_eq!(message.program, ProgramVersion::Trial);
        let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
        assert_eq!(
            message.data,
            [
                pair("thing1", "老王面馆"),
                pair("amount2", "¥12.80"),
                pair("number3", "12")
            ]
        );
    }

    #[test]
    fn a_notice_has_the_points_that_are_left_and_the_day_of_their_expiry() {
        let fields = [
            (Fact::Points, "number1".to_owned()),
            (Fact::At, "date2".to_owned()),
        ];
        let template = MessageTemplate::parse(MessageKind::Expiry, "TPL", fields).ok();
        let settings = DeliverySettings {
            expiry_notice: crate::deliveries::ExpiryNotice::parse(Some(7), template).unwrap(),
            ..settings()
        };
        let openid = Secret::new("oA".to_owned());
        let on = BusinessDay::parse("2026-11-23").unwrap();
        let say = |left, days: i64| {
            let now = on.start().plus_seconds(86_400 * days);
            notice(&settings, on, Points::parse(left).unwrap(), now, &openid)
        };
        let said = say(12, -7).unwrap();
        let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
        assert_eq!(
            said.data,
            [pair("date2", "2026年11月23日 00:00"), pair("number1", "12")]
        );
        assert_eq!(said.page, None);
        for nothing in [say(0, -7), say(12, 0)] {
            assert_eq!(nothing.unwrap_err().kind().name(), "not_wanted");
        }
    }

    #[test]
    fn what_was_switched_off_since_is_dropped_and_what_is_not_paid_is_parked() {
        let off = DeliverySettings::default();
        let of_orders = DeliveryKind::ALL.into_iter();
        for kind in of_orders.filter(|kind| *kind != DeliveryKind::ExpiryMessage) {
            let said = say(kind, &off, paid()).unwrap_err();
            assert_eq!(said.kind().name(), "not_wanted");
            let said = say(kind, &settings(), OrderState::Created).unwrap_err();
            assert_eq!(said.kind().name(), "failed");
        }
    }
}
