//! Money that goes back: asked for by a merchant or by an operator, decided on by a second person
//! where the policy wants one, and followed to its end.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    patience::ApiError,
    plan::{Asker, RefundIntent},
    progress::bar,
    refund_seen::RefundSeen,
    service::Person,
    visit::Visit,
    world::World,
};

/// WeChat takes days; the simulator seconds, divided by its compression.
const FOLLOW_MAX: Duration = Duration::from_mins(2);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Asks for it, and has the second person decide if it waits for one.
pub(super) async fn ask(world: World<'_>, intent: RefundIntent, visit: &Visit) -> RefundSeen {
    let amount_fen = intent.amount_fen(visit.amount_fen);
    let mut seen = RefundSeen {
        whole: intent.whole,
        ..RefundSeen::planned(Some(intent.asker), amount_fen)
    };
    if let Err(error) = ask_and_decide(world, intent, visit, &mut seen).await {
        seen.failure = Some(error.to_string());
    }
    seen
}

async fn ask_and_decide(
    world: World<'_>,
    intent: RefundIntent,
    visit: &Visit,
    seen: &mut RefundSeen,
) -> Result<(), ApiError> {
    let Some(order_no) = visit.order_no.as_deref() else {
        return Err(ApiError::Strange("paid, and without a number".to_owned()));
    };
    let (desk, reason) = match intent.asker {
        Asker::Merchant => {
            let owner = &world.tenant.merchants[visit.merchant].owner;
            (("merchant", owner), "商品缺货")
        }
        Asker::Operator => (("admin", &world.operators.admin), "平台协商退款"),
    };
    let key = format!("{}-{}-refund", world.run, visit.number);
    let asked = (seen.amount_fen, reason);
    let refund = world
        .service
        .request_refund(desk, &key, order_no, asked)
        .await?;
    seen.note(&refund);
    if refund.state == "awaiting_approval" {
        let key = format!("{key}-decision");
        let second = &world.operators.second;
        let answer = world
            .service
            .decide_refund(second, &key, &refund.number, intent.agreed)
            .await?;
        seen.agreed = Some(intent.agreed);
        seen.note(&answer);
    }
    Ok(())
}

/// The one that the policy makes when an order is paid after it was closed.
pub(super) async fn of_late_payment(
    world: World<'_>,
    customer: &Person,
    order_no: &str,
) -> RefundSeen {
    let mut seen = RefundSeen::planned(None, 0);
    match world.service.refunds_of(customer, order_no).await {
        Ok(refunds) => match refunds.first() {
            Some(refund) => seen.note(refund),
            None => seen.failure = Some("nothing goes back".to_owned()),
        },
        Err(error) => seen.failure = Some(error.to_string()),
    }
    seen
}

/// Looks at every refund until nothing will happen to it any more; sends elsewhere what no bank
/// takes.
pub(super) async fn follow_all(world: World<'_>, visits: &mut [Visit], at_once: usize) {
    let open = visits.iter_mut().filter_map(|visit| visit.refund.as_mut());
    let open: Vec<&mut RefundSeen> = open.filter(|seen| seen.failure.is_none()).collect();
    let bar = bar("money goes back", open.len());
    stream::iter(open)
        .for_each_concurrent(at_once, async |seen| {
            if let Err(error) = follow(world, seen).await {
                seen.failure = Some(error.to_string());
            }
            bar.inc(1);
        })
        .await;
    bar.finish_and_clear();
}

async fn follow(world: World<'_>, seen: &mut RefundSeen) -> Result<(), ApiError> {
    let Some(refund_no) = seen.refund_no.clone() else {
        return Err(ApiError::Strange("a refund without a number".to_owned()));
    };
    let (service, operator) = (world.service, &world.operators.admin);
    let begun = Instant::now();
    loop {
        let refund = service.refund(operator, &refund_no).await?;
        seen.note(&refund);
        if refund.is_over() {
            return Ok(());
        }
        if refund.state == "abnormal" {
            // A large one takes two people who want the same.
            for operator in [operator, &world.operators.second] {
                match service.redirect_refund(operator, &refund_no).await {
                    Ok(()) => seen.redirected = true,
                    // It has moved on meanwhile.
                    Err(error) if error.is("refund_not_abnormal") => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if begun.elapsed() > FOLLOW_MAX || world.ending.is_cancelled() {
            return Err(ApiError::Up(format!("a refund is still {}", refund.state)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
