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
    day_record::DayRecord,
    desk::DeskReport,
    measure::{Latencies, Percentiles, per_second},
    patience::Repeated,
    plan::Behaviour,
    points::{self, PointsReport},
    returns::{self, ReturnsReport},
    scenes::SceneReport,
    visit::{End, Learnt, Visit},
    wechat::WechatStats,
};

/// Everything that is shown, as an object and as tables.
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
    pub(super) planned: usize,
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
    pub(super) fn of(record: &DayRecord<'_>) -> Self {
        let moved = moved_by_merchant(record.day, record.tenant.merchants.len());
        Self {
            seed: record.seed,
            complete: record.day.complete,
            orders: orders(record),
            callbacks: callbacks(record),
            merchants: merchants(record, &moved),
            points: points::report(record),
            returns: returns::report(record),
            desk: record.closing.map(|closing| closing.desk.clone()),
            scenes: Vec::new(),
            repeated: record.repeated,
            speed: speed(record),
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

fn merchants(record: &DayRecord<'_>, moved: &[Totals]) -> Vec<MerchantReport> {
    let seen = |index: usize| {
        let now = record.closing?.totals.get(index)?;
        Some(now.since(*record.opening.totals.get(index)?))
    };
    let merchant = |(index, merchant): (usize, &super::tenant::Merchant)| MerchantReport {
        name: merchant.name.clone(),
        merchant_id: merchant.id.clone(),
        moved: moved[index],
        seen: seen(index),
    };
    record
        .tenant
        .merchants
        .iter()
        .enumerate()
        .map(merchant)
        .collect()
}

fn callbacks(record: &DayRecord<'_>) -> CallbacksReport {
    let Some(closing) = record.closing else {
        return CallbacksReport::default();
    };
    let stayed = record.repeated.interruptions == 0;
    let grown = grown(&record.opening.callbacks, &closing.callbacks).filter(|_| stayed);
    CallbacksReport {
        since_start: grown.is_none(),
        service: grown.unwrap_or_else(|| closing.callbacks.clone()),
        wechat: closing.wechat.since(record.opening.wechat),
    }
}

fn orders(record: &DayRecord<'_>) -> OrdersReport {
    let mut report = OrdersReport {
        planned: record.planned,
        done: record.day.visits.len(),
        ..OrdersReport::default()
    };
    for visit in &record.day.visits {
        if let Some(state) = visit.left_as() {
            *report.left.entry(state.to_owned()).or_default() += 1;
        }
        match &visit.end {
            End::Paid { learnt, .. } => {
                report.paid += 1;
                report.scanned += usize::from(visit.behaviour == Behaviour::Scan);
                match learnt {
                    Learnt::Callback => {}
                    Learnt::AppAsked => report.paid_by_question += 1,
                    Learnt::AskedItself => report.found_by_service += 1,
                }
            }
            End::PaidLate => {
                report.paid += 1;
                report.paid_late += 1;
            }
            End::PaidUnseen(reason) => {
                report.paid += 1;
                *report
                    .failures
                    .entry(format!("paid, and then {reason}"))
                    .or_default() += 1;
            }
            End::Abandoned => report.abandoned += 1,
            End::Expired => report.expired += 1,
            End::ClosedByCustomer => report.closed_by_customer += 1,
            End::Stopped => report.stopped += 1,
            End::Failed(reason) => {
                report.failed += 1;
                *report.failures.entry(reason.clone()).or_default() += 1;
            }
        }
    }
    for (_, orders) in record.closing.iter().flat_map(|closing| &closing.customers) {
        for order in orders {
            *report.states.entry(order.state.clone()).or_default() += 1;
        }
    }
    report
}

fn speed(record: &DayRecord<'_>) -> Speed {
    let of = |took: fn(&Visit) -> Option<Duration>| {
        let mut latencies = Latencies::default();
        record
            .day
            .visits
            .iter()
            .filter_map(took)
            .for_each(|took| latencies.add(took));
        latencies.percentiles()
    };
    let paid = record
        .day
        .visits
        .iter()
        .filter(|visit| visit.is_paid_for())
        .count();
    Speed {
        elapsed_ms: u64::try_from(record.day.elapsed.as_millis()).unwrap_or(u64::MAX),
        payments_per_second: per_second(paid, record.day.elapsed),
        login: record.logins.percentiles(),
        create: of(|visit| visit.create),
        paid_to_visible: of(|visit| visit.visible),
    }
}
