//! One payment, from the order to the points: what the mini-program and the customer do.

use std::time::{Duration, Instant};

use super::{
    answer::Payment,
    patience::{ApiError, Reply},
    plan::{Behaviour, Intent, customer_name},
    refund,
    service::Person,
    visit::{End, Learnt, Visit},
    world::World,
};
use wechat_pay_simulator::Fault;

/// What an app is shown when risk blocks what it asks for.
const STOPPED: &str = "risk_blocked";
/// How long the app waits for the callback before it has the service ask WeChat.
const ASK_AFTER: Duration = Duration::from_millis(1_500);
/// After this the customer shows the merchant the receipt and leaves.
const WAIT_MAX: Duration = Duration::from_secs(90);
/// How long the customer waits once somebody wants the demo to end.
const WAIT_AT_THE_END: Duration = Duration::from_secs(3);
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// Does what the plan says. What goes wrong is in the visit's end.
pub(super) async fn visit(world: World<'_>, intent: Intent) -> Visit {
    let mut visit = Visit::new(&intent);
    if let Err(error) = act(world, &intent, &mut visit).await {
        let reason = error.to_string();
        visit.end = if visit.is_paid_for() {
            End::PaidUnseen(reason)
        } else {
            End::Failed(reason)
        };
    }
    if let (Some(intent), End::Paid { .. }) = (intent.refund, &visit.end) {
        visit.refund = Some(refund::ask(world, intent, &visit).await);
    }
    visit
}

async fn act(world: World<'_>, intent: &Intent, visit: &mut Visit) -> Result<(), ApiError> {
    if intent.behaviour == Behaviour::Scan {
        return scan(world, intent, visit).await;
    }
    if intent.wrong_first {
        visit.wrong_refused = wrong_amount_is_refused(world, intent).await?;
    }
    let (order, reply) = match create(world, intent, visit).await {
        Err(error) if error.is(STOPPED) => {
            visit.end = End::Stopped;
            return Ok(());
        }
        made => made?,
    };
    visit.order_no = Some(order.order_no.clone());
    visit.create = Some(reply.took);
    if order.amount_fen != intent.amount_fen {
        return Err(ApiError::Strange(format!(
            "order {} is of another amount",
            order.order_no
        )));
    }
    let Some(prepay_id) = order.prepay_id() else {
        return Err(ApiError::Strange(format!(
            "order {} cannot be paid",
            order.order_no
        )));
    };
    match intent.behaviour {
        Behaviour::WalkAway | Behaviour::Forget => Ok(()),
        Behaviour::CloseOrder => close_order(world, intent, visit, &order.order_no).await,
        Behaviour::PayLate => pay_late(world, intent, visit, (&order.order_no, prepay_id)).await,
        Behaviour::Leave if world.troubled => {
            visit.fate = world.wechat.pay_with(prepay_id, &[Fault::Lost]).await?;
            visit.end = End::PaidUnseen("the customer has left".to_owned());
            Ok(())
        }
        Behaviour::Pay | Behaviour::Leave | Behaviour::Scan => {
            visit.fate = world.wechat.pay(prepay_id).await?;
            arrive(world, intent, visit, &order.order_no).await
        }
    }
}

/// From the button to the moment at which the service says that it is paid.
async fn arrive(
    world: World<'_>,
    intent: &Intent,
    visit: &mut Visit,
    order_no: &str,
) -> Result<(), ApiError> {
    visit.end = End::PaidUnseen("asking for it".to_owned());
    let paid_at = Instant::now();
    visit.end = follow(world, intent, order_no, paid_at).await?;
    visit.visible = matches!(visit.end, End::Paid { .. }).then(|| paid_at.elapsed());
    Ok(())
}

/// The merchant's screen shows a picture, and the customer scans it. Nobody knows who pays before
/// it is paid.
async fn scan(world: World<'_>, intent: &Intent, visit: &mut Visit) -> Result<(), ApiError> {
    let key = format!("{}-{}-shown", world.run, intent.number);
    let owner = &world.tenant.merchants[intent.counter.merchant].owner;
    let (shown, reply) = world
        .service
        .collect_payment(owner, &key, intent.amount_fen)
        .await?;
    visit.order_no = Some(shown.order_no.clone());
    visit.create = Some(reply.took);
    if shown.amount_fen != intent.amount_fen {
        return Err(ApiError::Strange(format!(
            "order {} is of another amount",
            shown.order_no
        )));
    }
    let name = customer_name(intent.customer);
    visit.fate = world.wechat.scan(&shown.code_url, &name).await?;
    arrive(world, intent, visit, &shown.order_no).await
}

async fn close_order(
    world: World<'_>,
    intent: &Intent,
    visit: &mut Visit,
    order_no: &str,
) -> Result<(), ApiError> {
    let customer = &world.customers[intent.customer];
    let order = world.service.close(customer, order_no).await?;
    if order.state != "closed" {
        return Err(ApiError::Strange(format!("closed, and {}", order.state)));
    }
    visit.end = End::ClosedByCustomer;
    Ok(())
}

/// Pays what WeChat should have closed. By the demo's policy the money comes back at once.
async fn pay_late(
    world: World<'_>,
    intent: &Intent,
    visit: &mut Visit,
    (order_no, prepay_id): (&str, &str),
) -> Result<(), ApiError> {
    if world.troubled {
        world.wechat.mishear_closing(order_no).await?;
    }
    close_order(world, intent, visit, order_no).await?;
    if !world.troubled {
        return Ok(());
    }
    // Not lost: nobody asks about an order that was closed, so nobody would ever know.
    visit.fate = world.wechat.pay_with(prepay_id, &[]).await?;
    arrive(world, intent, visit, order_no).await?;
    if let End::Paid { .. } = visit.end {
        visit.end = End::PaidLate;
        visit.visible = None;
        let customer = &world.customers[intent.customer];
        visit.refund = Some(refund::of_late_payment(world, customer, order_no).await);
    }
    Ok(())
}

/// Tries to pay one fen more than the fixed code says. None when risk stopped the customer before
/// anybody looked at the amount.
async fn wrong_amount_is_refused(
    world: World<'_>,
    intent: &Intent,
) -> Result<Option<bool>, ApiError> {
    let key = format!("{}-{}-wrong", world.run, intent.number);
    let (customer, wrong) = (&world.customers[intent.customer], intent.amount_fen + 1);
    let answer = world
        .service
        .create_payment(customer, &key, &intent.counter.code, wrong)
        .await;
    match answer {
        Ok(_) => Ok(Some(false)),
        Err(error) if error.is("amount_not_allowed") => Ok(Some(true)),
        Err(error) if error.is(STOPPED) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn create(
    world: World<'_>,
    intent: &Intent,
    visit: &mut Visit,
) -> Result<(Payment, Reply), ApiError> {
    let key = format!("{}-{}", world.run, intent.number);
    let (customer, code) = (&world.customers[intent.customer], &intent.counter.code);
    let send = || {
        world
            .service
            .create_payment(customer, &key, code, intent.amount_fen)
    };
    if !intent.twice {
        return send().await;
    }
    let (one, other) = match tokio::join!(send(), send()) {
        // The second was one too many, if it was looked at before the first had made the order.
        (Ok(made), Err(error)) | (Err(error), Ok(made)) if error.is(STOPPED) => return Ok(made),
        (one, other) => (one?, other?),
    };
    visit.twice = Some(one.0.order_no == other.0.order_no);
    Ok(one)
}

/// Looks at the order until it is paid, and has the service ask WeChat when the callback is late.
async fn follow(
    world: World<'_>,
    intent: &Intent,
    order_no: &str,
    paid_at: Instant,
) -> Result<End, ApiError> {
    let customer = &world.customers[intent.customer];
    let (mut look_again, mut ask_at) = (LOOK_AGAIN_MIN, ASK_AFTER);
    let mut learnt = Learnt::Callback;
    loop {
        tokio::time::sleep(look_again).await;
        look_again = (look_again * 3 / 2).min(LOOK_AGAIN_MAX);
        let order = look(world, customer, order_no).await?;
        if let Some(end) = order.as_ref().and_then(|order| paid(order, learnt)) {
            return Ok(end);
        }
        let waited = paid_at.elapsed();
        if waited > ask_at {
            ask_at = waited.saturating_mul(2);
            if intent.behaviour == Behaviour::Scan {
                let owner = &world.tenant.merchants[intent.counter.merchant].owner;
                world.service.confirm_at_counter(owner, order_no).await?;
            } else {
                world.service.confirm(customer, order_no).await?;
            }
            (learnt, look_again) = (Learnt::AppAsked, LOOK_AGAIN_MIN);
        }
        let most = if world.ending.is_cancelled() {
            WAIT_AT_THE_END
        } else {
            WAIT_MAX
        };
        if waited > most {
            let state = order.map_or_else(|| "nobody's".to_owned(), |order| order.state);
            return Ok(End::PaidUnseen(format!("still {state} after {waited:.0?}")));
        }
    }
}

/// The customer's order; none while it is nobody's, as what a merchant shows is until it is paid.
pub(super) async fn look(
    world: World<'_>,
    customer: &Person,
    order_no: &str,
) -> Result<Option<Payment>, ApiError> {
    match world.service.payment(customer, order_no).await {
        Ok(order) => Ok(Some(order)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn paid(order: &Payment, learnt: Learnt) -> Option<End> {
    let points = order.points_earned.unwrap_or(0);
    order.is_paid().then_some(End::Paid { points, learnt })
}
