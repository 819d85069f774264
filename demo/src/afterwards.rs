//! What takes its time: orders that nobody asks about, and orders whose minute runs out. Nothing is
//! done for them here; the service's own jobs must.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    patience::ApiError,
    payment::{look, paid},
    plan::Behaviour,
    progress::bar,
    visit::{End, Learnt, Visit},
    world::World,
};

/// The service first asks by itself when an order is twenty seconds old, divided by its time scale.
const LEFT_MAX: Duration = Duration::from_mins(2);
/// A minute to pay, and what the job needs after it.
const FORGOTTEN_MAX: Duration = Duration::from_secs(100);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Waits until the service has found what was paid without a callback, and has closed what was
/// forgotten.
pub(super) async fn wait(world: World<'_>, visits: &mut [Visit], at_once: usize) {
    let waiting: Vec<&mut Visit> = visits.iter_mut().filter(|visit| waits(visit)).collect();
    let bar = bar("the service looks", waiting.len());
    stream::iter(waiting)
        .for_each_concurrent(at_once, async |visit| {
            if let Err(error) = settle(world, visit).await {
                visit.end = match visit.behaviour {
                    Behaviour::Leave => End::PaidUnseen(error.to_string()),
                    Behaviour::Pay
                    | Behaviour::WalkAway
                    | Behaviour::Forget
                    | Behaviour::CloseOrder
                    | Behaviour::PayLate
                    | Behaviour::Scan => End::Failed(error.to_string()),
                };
            }
            bar.inc(1);
        })
        .await;
    bar.finish_and_clear();
}

fn waits(visit: &Visit) -> bool {
    match visit.behaviour {
        Behaviour::Leave => matches!(visit.end, End::PaidUnseen(_)),
        Behaviour::Forget => visit.end == End::Abandoned,
        Behaviour::Pay
        | Behaviour::WalkAway
        | Behaviour::CloseOrder
        | Behaviour::PayLate
        | Behaviour::Scan => false,
    }
}

async fn settle(world: World<'_>, visit: &mut Visit) -> Result<(), ApiError> {
    let Some(order_no) = visit.order_no.as_deref() else {
        return Err(ApiError::Strange("made, and without a number".to_owned()));
    };
    let customer = &world.customers[visit.customer];
    let most = if visit.behaviour == Behaviour::Leave {
        LEFT_MAX
    } else {
        FORGOTTEN_MAX
    };
    let begun = Instant::now();
    loop {
        let order = look(world, customer, order_no).await?;
        let Some(order) = order else {
            return Err(ApiError::Strange("the order is gone".to_owned()));
        };
        if visit.behaviour == Behaviour::Leave {
            if let Some(end) = paid(&order, Learnt::AskedItself) {
                visit.end = end;
                return Ok(());
            }
        } else if order.state == "expired" {
            visit.end = End::Expired;
            return Ok(());
        }
        if begun.elapsed() > most || world.ending.is_cancelled() {
            return Err(ApiError::Up(format!("still {}", order.state)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
