//! What must be so after a day. Pure.

use std::collections::HashMap;

use super::{
    answer::Payment,
    books::Closing,
    check::Check,
    day_record::DayRecord,
    desk::DeskReport,
    plan::Behaviour,
    summary::Summary,
    visit::{End, Visit},
};

/// All of it but the ledger's own verification, which takes the database.
pub(super) fn checks(summary: &Summary, record: &DayRecord<'_>) -> Vec<Check> {
    let visits = &record.day.visits;
    let answered = |of: fn(&Visit) -> Option<bool>| {
        let answers: Vec<bool> = visits.iter().filter_map(of).collect();
        (answers.iter().filter(|good| **good).count(), answers.len())
    };
    let (same, twice) = answered(|visit| visit.twice);
    let (refused, wrong) = answered(|visit| visit.wrong_refused);
    let seen = visits
        .iter()
        .filter(|visit| matches!(visit.end, End::Paid { .. } | End::PaidLate))
        .count();
    let left_open = visits
        .iter()
        .filter(|visit| visit.behaviour == Behaviour::Forget && visit.end != End::Expired)
        .count();
    let mut checks = vec![
        Check::all(
            "every planned payment was made or was left as planned",
            summary.orders.done - summary.orders.failed,
            summary.orders.done,
        ),
        Check::all("whoever paid was shown so", seen, summary.orders.paid),
        Check::new(
            "what nobody paid in its time was closed",
            left_open == 0,
            format!("{left_open} were not"),
        ),
        Check::all("a request sent twice at once made one order", same, twice),
        Check::all(
            "a wrong amount for a fixed code was refused",
            refused,
            wrong,
        ),
    ];
    checks.extend(summary.returns.checks.iter().cloned());
    let Some(closing) = record.closing else {
        checks.push(Check::new(
            "the books were read",
            false,
            "the service did not answer",
        ));
        return checks;
    };
    checks.push(orders_agree(visits, closing));
    let agreeing = summary
        .merchants
        .iter()
        .filter(|merchant| merchant.agrees())
        .count();
    checks.push(Check::all(
        "each merchant sees the money that was paid there, and what went back",
        agreeing,
        summary.merchants.len(),
    ));
    checks.extend(summary.points.checks.iter().cloned());
    checks.extend(at_the_desk(visits, &closing.desk));
    let wechat = summary.callbacks.wechat;
    checks.push(Check::new(
        "no forged callback was acknowledged",
        wechat.forgeries_acknowledged == 0,
        format!(
            "{} of {} forgeries",
            wechat.forgeries_acknowledged, wechat.forgeries_sent
        ),
    ));
    checks.push(Check::new(
        "WeChat abandoned no callback",
        wechat.callbacks_abandoned == 0,
        format!("{} abandoned", wechat.callbacks_abandoned),
    ));
    checks
}

/// What operators can see of the day is there, and playing callbacks again did no harm.
fn at_the_desk(visits: &[Visit], desk: &DeskReport) -> Vec<Check> {
    let late = visits.iter().filter(|visit| visit.end == End::PaidLate);
    let mut checks = vec![Check::all(
        "each payment of what had been closed is on the list of exceptions",
        desk.late_payments,
        late.count(),
    )];
    let redirected = visits.iter().filter_map(|visit| visit.refund.as_ref());
    let redirected = redirected.filter(|seen| seen.redirected).count();
    checks.push(Check::all(
        "each refund that no bank took is on it too",
        desk.abnormal_refunds,
        redirected,
    ));
    let replays = [
        (
            "an unverified callback is still unverified when played again",
            &desk.unverified,
            "callback_unverified",
        ),
        (
            "a callback that was taken changes nothing when played again",
            &desk.settled,
            "duplicate",
        ),
    ];
    for (what, did, right) in replays {
        if let Some(did) = did {
            checks.push(Check::new(what, did == right, did.clone()));
        }
    }
    checks
}

/// The order's state and what came back of it are what its refund says.
fn books_agree_on_returns(visit: &Visit, order: Option<&Payment>) -> bool {
    let refund = visit.refund.as_ref();
    // One that the demo lost sight of is a failure of its own; its order may stand either way.
    let is_unknown = refund.is_some_and(|seen| seen.failure.is_some());
    let (Some(order), Some(state)) = (order, visit.left_as()) else {
        return true;
    };
    is_unknown || (order.refunded_fen == visit.returned_fen() && order.state == state)
}

/// Every order of the demo is in the books as the demo left it, and the books have no other.
fn orders_agree(visits: &[Visit], closing: &Closing) -> Check {
    let orders = closing.customers.iter().flat_map(|(_, orders)| orders);
    let mut books: HashMap<&str, &Payment> = orders
        .map(|order| (order.order_no.as_str(), order))
        .collect();
    let (mut wrong, mut unanswered) = (Vec::new(), 0);
    for visit in visits {
        let Some(order_no) = visit.order_no.as_deref() else {
            // What risk stopped was answered: nothing was made.
            unanswered += usize::from(visit.end != End::Stopped);
            continue;
        };
        let of_books = books.remove(order_no);
        let is_right = match of_books {
            None => false,
            Some(order) => match &visit.end {
                End::Paid { points, .. } => {
                    order.is_paid()
                        && order.amount_fen == visit.amount_fen
                        && order.points_earned == Some(*points)
                }
                End::PaidUnseen(_) => order.is_paid() && order.amount_fen == visit.amount_fen,
                End::PaidLate => order.is_paid() && order.points_earned == Some(0),
                End::Abandoned | End::Expired | End::ClosedByCustomer => !order.is_paid(),
                // Nothing was made.
                End::Stopped => false,
                End::Failed(_) => true,
            },
        };
        let is_right = is_right && books_agree_on_returns(visit, of_books);
        if !is_right {
            wrong.push(order_no);
        }
    }
    let mut detail = format!("{} wrong, {} unknown to the demo", wrong.len(), books.len());
    for order_no in wrong.iter().take(5) {
        detail.push(' ');
        detail.push_str(order_no);
    }
    // An order whose creation was never answered may be there.
    let agrees = wrong.is_empty() && books.len() <= unanswered;
    Check::new(
        "the books have every order as it was left, and no other",
        agrees,
        detail,
    )
}
