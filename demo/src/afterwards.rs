//! What takes its time: orders that nobody asks about, and orders whose minute runs out. Nothing is done for them here; the service's own jobs must.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    day,
    patience::Gave,
    payment::{End, Learnt, Scene, Visit, look, paid},
    plan::Deed,
};

/// The service first asks by itself when an order is twenty seconds old, divided by its pace.
const LEFT_MAX: Duration = Duration::from_mins(2);
/// A minute to pay, and what the job needs after it.
const FORGOTTEN_MAX: Duration = Duration::from_secs(100);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Waits until the service has found what was paid and not told, and has closed what was forgotten.
pub(super) async fn wait(scene: Scene<'_>, visits: &mut [Visit], at_once: usize) {
    let waiting: Vec<&mut Visit> = visits.iter_mut().filter(|visit| waits(visit)).collect();
    let bar = day::bar("the service looks", waiting.len());
    stream::iter(waiting)
        .for_each_concurrent(at_once, async |visit| {
            if let Err(gave) = settle(scene, visit).await {
                visit.end = match visit.deed {
                    Deed::Leave => End::PaidUnseen(gave.to_string()),
                    Deed::Pay
                    | Deed::WalkAway
                    | Deed::Forget
                    | Deed::GiveUp
                    | Deed::PayLate
                    | Deed::Scan => End::Failed(gave.to_string()),
                };
            }
            bar.inc(1);
        })
        .await;
    bar.finish_and_clear();
}

fn waits(visit: &Visit) -> bool {
    match visit.deed {
        Deed::Leave => matches!(visit.end, End::PaidUnseen(_)),
        Deed::Forget => visit.end == End::Abandoned,
        Deed::Pay | Deed::WalkAway | Deed::GiveUp | Deed::PayLate | Deed::Scan => false,
    }
}

async fn settle(scene: Scene<'_>, visit: &mut Visit) -> Result<(), Gave> {
    let Some(order_no) = visit.order_no.as_deref() else {
        return Err(Gave::Strange("made, and without a number".to_owned()));
    };
    let customer = &scene.customers[visit.customer];
    let most = if visit.deed == Deed::Leave {
        LEFT_MAX
    } else {
        FORGOTTEN_MAX
    };
    let begun = Instant::now();
    loop {
        let order = look(scene, customer, order_no).await?;
        let Some(order) = order else {
            return Err(Gave::Strange("the order is gone".to_owned()));
        };
        if visit.deed == Deed::Leave {
            if let Some(end) = paid(&order, Learnt::AskedItself) {
                visit.end = end;
                return Ok(());
            }
        } else if order.state == "expired" {
            visit.end = End::Expired;
            return Ok(());
        }
        if begun.elapsed() > most || scene.ending.is_cancelled() {
            return Err(Gave::Up(format!("still {}", order.state)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
