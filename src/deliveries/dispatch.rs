//! One attempt: read what is needed, call, write down what came of it.

use std::time::Duration;

use super::{
    Attempt, CustomerMessage, Deliveries, Delivery, DeliveryKind, DeliverySettings, DeliveryState,
    MessageTemplate, RecordAttempt, ShippingReport, message::Facts,
};
use crate::{
    customers,
    db::{Db, DbError},
    payments::{self, OrderStateKind, OrderView},
    primitives::{OrderNo, Points, Secret},
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
        Err(_) => Attempt::Again(format!("no answer within {ATTEMPT_MAX:?}")),
    };
    metrics::counter!("delivery_attempts_total", "kind" => kind, "outcome" => attempt.name())
        .increment(1);
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
    let Some(view) = payments::find_order(db, delivery.tenant, delivery.order).await? else {
        return Ok(Attempt::Hopeless("the order does not exist".to_owned()));
    };
    let customer = match view.order.customer {
        Some(customer) => customers::find_customer(db, delivery.tenant, customer).await?,
        None => None,
    };
    let Some(customer) = customer else {
        return Ok(Attempt::Hopeless("the customer does not exist".to_owned()));
    };
    let attempt = match dispatch(delivery, &settings, &view, &customer.openid) {
        Ok(Dispatch::Shipping(report)) => deliveries.courier.report_shipping(report).await.into(),
        Ok(Dispatch::Message(message)) => deliveries.courier.send_message(message).await.into(),
        Err(attempt) => attempt,
    };
    Ok(attempt.without(customer.openid.expose()))
}

/// What to say, or why nothing.
fn dispatch(
    delivery: &Delivery,
    settings: &DeliverySettings,
    view: &OrderView,
    openid: &Secret<String>,
) -> Result<Dispatch, Attempt> {
    let payment = view.order.state.payment();
    let payment = payment.ok_or_else(|| Attempt::Hopeless("the order is not paid".to_owned()))?;
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
        DeliveryKind::ShippingInfo => Ok(Dispatch::Shipping(ShippingReport {
            wechat_transaction_id: transaction.clone(),
            openid: openid.clone(),
            handover: settings.shipping.ok_or_else(off)?,
            item: format!("{} 到店消费", view.merchant_name),
            // The same at every attempt: a report that got there already is "nothing new" then, and does not use up the one correction.
            at: delivery.created_at,
        })),
        DeliveryKind::PaymentMessage => message(&settings.payment_message),
        DeliveryKind::RefundMessage => message(&settings.refund_message),
    }
}

fn compose(
    delivery: &Delivery,
    settings: &DeliverySettings,
    template: &MessageTemplate,
    view: &OrderView,
    openid: &Secret<String>,
    points: Points,
) -> CustomerMessage {
    let order_no = OrderNo::from(delivery.order);
    let page = settings.message_page.as_ref();
    CustomerMessage {
        openid: openid.clone(),
        template_id: template.id().to_owned(),
        page: page.map(|page| format!("{page}?order_no={order_no}")),
        program: settings.program,
        data: template.fill(&Facts {
            shop: &view.merchant_name,
            amount: delivery.amount,
            at: delivery.happened_at,
            order_no,
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
        payments::{
            Late, Order, OrderSharing, OrderState, PayMethod, Payment, PointsReview, RefundSums,
        },
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
            order: OrderId::new(id()),
            refund: None,
            amount: Money::parse(1_280).unwrap(),
            happened_at: at,
            state: DeliveryState::Pending,
            attempts: 1,
            next_attempt_at: Some(at),
            last_error: None,
            created_at: at,
            updated_at: at,
        }
    }

    fn view(state: OrderState) -> OrderView {
        OrderView {
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
            points_expire_on: None,
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
            (Fact::Shop, "thing1".to_owned()),
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
    fn a_shipping_report_names_the_payment_the_payer_and_the_shop() {
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
    fn a_message_tells_the_facts_of_the_template_and_opens_the_order() {
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
    fn what_was_switched_off_since_is_dropped_and_what_is_not_paid_is_parked() {
        let off = DeliverySettings::default();
        for kind in DeliveryKind::ALL {
            let said = say(kind, &off, paid()).unwrap_err();
            assert_eq!(said.name(), "not_wanted");
            let said = say(kind, &settings(), OrderState::Created).unwrap_err();
            assert_eq!(said.name(), "hopeless");
        }
    }
}
