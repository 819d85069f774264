//! What the demo knows beside what the books say. Pure.
//!
//! The demo kept its own account of the day: whose payment WeChat took, at which merchant, and what
//! was refused. Nothing of it came from the service's books, so where the two agree, neither lost
//! anything.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{
    answer::Totals,
    books::grown,
    check::Check,
    day::Day,
    desk::DeskReport,
    found::Found,
    measure::{Latencies, Percentiles, per_second},
    patience::Repeated,
    plan::Behaviour,
    points::{self, PointsReport},
    returns::{self, ReturnsReport},
    scenes::SceneReport,
    visit::{End, Learnt, Visit},
    wechat::WechatStats,
};

/// Everything that is told, as an object and as tables.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) seed: u64,
    /// False when it was ended before the last payment: then little can be compared.
    pub(super) complete: bool,
    pub(super) orders: OrdersReport,
    pub(super) callbacks: CallbacksReport,
    pub(super) merchants: Vec<MerchantReport>,
    pub(super) points: PointsReport,
    pub(super) returns: ReturnsReport,
    /// What the operators found; none when the books could not be read.
    pub(super) desk: Option<DeskReport>,
    /// What risk and points did afterwards.
    pub(super) scenes: Vec<SceneReport>,
    pub(super) repeated: Repeated,
    pub(super) speed: Speed,
    pub(super) checks: Vec<Check>,
    /// As `verify-ledger --json` prints it.
    pub(super) ledger: Option<Value>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct OrdersReport {
    pub(super) wished: usize,
    pub(super) done: usize,
    pub(super) paid: usize,
    /// Of these, paid because the app asked before a callback came.
    pub(super) paid_by_question: usize,
    /// Of these, whose callback was lost while nobody looked: the service asked WeChat by itself.
    pub(super) found_by_service: usize,
    /// Of these, shown by a merchant and scanned.
    pub(super) scanned: usize,
    /// Of these, after they had been closed.
    pub(super) paid_late: usize,
    pub(super) abandoned: usize,
    pub(super) expired: usize,
    pub(super) closed_by_customer: usize,
    /// By risk, before there was an order.
    pub(super) stopped: usize,
    pub(super) failed: usize,
    /// Why, and how often.
    pub(super) failures: BTreeMap<String, usize>,
    /// The states in which the demo left its orders.
    pub(super) left: BTreeMap<String, usize>,
    /// The states of the day's orders in the books.
    pub(super) states: BTreeMap<String, usize>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct CallbacksReport {
    /// The service's `callbacks_total` by outcome.
    pub(super) service: BTreeMap<String, u64>,
    /// The process was away meanwhile, so these are all its counts since it was started.
    pub(super) since_start: bool,
    pub(super) wechat: WechatStats,
}

#[derive(Debug, Serialize)]
pub(super) struct MerchantReport {
    pub(super) name: String,
    pub(super) merchant_id: String,
    /// What the demo paid there, and what it had sent back.
    pub(super) moved: Totals,
    /// What the merchant sees.
    pub(super) seen: Option<Totals>,
}

#[derive(Debug, Serialize)]
pub(super) struct Speed {
    pub(super) elapsed_ms: u64,
    pub(super) payments_per_second: String,
    pub(super) login: Percentiles,
    pub(super) create: Percentiles,
    pub(super) paid_to_visible: Percentiles,
}

impl Summary {
    /// Everything but what is checked.
    pub(super) fn of(found: &Found<'_>) -> Self {
        let moved = moved_by_merchant(found.day, found.tenant.merchants.len());
        Self {
            seed: found.seed,
            complete: found.day.complete,
            orders: orders(found),
            callbacks: callbacks(found),
            merchants: merchants(found, &moved),
            points: points::told(found),
            returns: returns::told(found),
            desk: found.closing.map(|closing| closing.desk.clone()),
            scenes: Vec::new(),
            repeated: found.repeated,
            speed: speed(found),
            checks: Vec::new(),
            ledger: None,
        }
    }

    pub(super) fn agrees(&self) -> bool {
        self.complete && self.checks.iter().all(|check| check.agrees)
    }
}

impl MerchantReport {
    /// Money and number; the points are compared customer by customer.
    pub(super) fn agrees(&self) -> bool {
        self.seen
            .is_some_and(|seen| seen.money() == self.moved.money())
    }
}

/// What the demo paid and what came back of it, by merchant.
pub(super) fn moved_by_merchant(day: &Day, merchants: usize) -> Vec<Totals> {
    let mut totals = vec![Totals::default(); merchants];
    for visit in day.visits.iter().filter(|visit| visit.is_paid_for()) {
        let merchant = &mut totals[visit.merchant];
        merchant.orders += 1;
        merchant.paid_fen = merchant.paid_fen.saturating_add(visit.amount_fen);
        if let End::Paid { points, .. } = visit.end {
            merchant.points = merchant.points.saturating_add(points);
        }
        if let Some(refund) = visit.refund.as_ref().filter(|refund| refund.has_arrived()) {
            merchant.refunds += 1;
            merchant.refunded_fen = merchant.refunded_fen.saturating_add(refund.amount_fen);
            merchant.points_back = merchant.points_back.saturating_add(refund.points_back);
        }
    }
    totals
}

fn merchants(found: &Found<'_>, moved: &[Totals]) -> Vec<MerchantReport> {
    let seen = |place: usize| {
        let now = found.closing?.totals.get(place)?;
        Some(now.since(*found.opening.totals.get(place)?))
    };
    let merchant = |(place, merchant): (usize, &super::tenant::Merchant)| MerchantReport {
        name: merchant.name.clone(),
        merchant_id: merchant.id.clone(),
        moved: moved[place],
        seen: seen(place),
    };
    found
        .tenant
        .merchants
        .iter()
        .enumerate()
        .map(merchant)
        .collect()
}

fn callbacks(found: &Found<'_>) -> CallbacksReport {
    let Some(closing) = found.closing else {
        return CallbacksReport::default();
    };
    let stayed = found.repeated.interruptions == 0;
    let grown = grown(&found.opening.callbacks, &closing.callbacks).filter(|_| stayed);
    CallbacksReport {
        since_start: grown.is_none(),
        service: grown.unwrap_or_else(|| closing.callbacks.clone()),
        wechat: closing.wechat.since(found.opening.wechat),
    }
}

fn orders(found: &Found<'_>) -> OrdersReport {
    let mut told = OrdersReport {
        wished: found.wished,
        done: found.day.visits.len(),
        ..OrdersReport::default()
    };
    for visit in &found.day.visits {
        if let Some(state) = visit.left_as() {
            *told.left.entry(state.to_owned()).or_default() += 1;
        }
        match &visit.end {
            End::Paid { learnt, .. } => {
                told.paid += 1;
                told.scanned += usize::from(visit.behaviour == Behaviour::Scan);
                match learnt {
                    Learnt::Told => {}
                    Learnt::AppAsked => told.paid_by_question += 1,
                    Learnt::AskedItself => told.found_by_service += 1,
                }
            }
            End::PaidLate => {
                told.paid += 1;
                told.paid_late += 1;
            }
            End::PaidUnseen(reason) => {
                told.paid += 1;
                *told
                    .failures
                    .entry(format!("paid, and then {reason}"))
                    .or_default() += 1;
            }
            End::Abandoned => told.abandoned += 1,
            End::Expired => told.expired += 1,
            End::ClosedByCustomer => told.closed_by_customer += 1,
            End::Stopped => told.stopped += 1,
            End::Failed(reason) => {
                told.failed += 1;
                *told.failures.entry(reason.clone()).or_default() += 1;
            }
        }
    }
    for (_, orders) in found.closing.iter().flat_map(|closing| &closing.customers) {
        for order in orders {
            *told.states.entry(order.state.clone()).or_default() += 1;
        }
    }
    told
}

fn speed(found: &Found<'_>) -> Speed {
    let of = |took: fn(&Visit) -> Option<Duration>| {
        let mut latencies = Latencies::default();
        found
            .day
            .visits
            .iter()
            .filter_map(took)
            .for_each(|took| latencies.add(took));
        latencies.percentiles()
    };
    let paid = found
        .day
        .visits
        .iter()
        .filter(|visit| visit.is_paid_for())
        .count();
    Speed {
        elapsed_ms: u64::try_from(found.day.elapsed.as_millis()).unwrap_or(u64::MAX),
        payments_per_second: per_second(paid, found.day.elapsed),
        login: found.logins.percentiles(),
        create: of(|visit| visit.create),
        paid_to_visible: of(|visit| visit.visible),
    }
}
