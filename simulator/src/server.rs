//! Everything on one listener.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{any, get, post, put};
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::bills::Bills;
use super::callback::CallbackFactory;
use super::clock::{Ids, WallClock};
use super::faults::{Faults, PerMille};
use super::funds::Funds;
use super::key_switch::{self, KeySwitch};
use super::keys::KeySet;
use super::limits::Limits;
use super::login::{self, UsedCodes};
use super::merchants::{self, Merchants};
use super::mini_program::{self, MiniProgram};
use super::orders::Orders;
use super::phone::{self, Phone};
use super::refund_settlement::RefundPlan;
use super::refunds::Refunds;
use super::resend::CallbackSender;
use super::sharing::Book;
use super::stats::Counters;
use super::troubles::Troubles;
use super::{
    bills, control, control_refunds, elsewhere, merchant_api, phone_result, scan, sharing,
};

/// What the handlers share. Whoever takes several locks takes them in this order: orders, refunds,
/// sharing, funds; the others alone.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keys: Arc<KeySet>,
    pub(super) clock: WallClock,
    pub(super) ids: Arc<Ids>,
    pub(super) factory: Arc<CallbackFactory>,
    pub(super) orders: Mutex<Orders>,
    pub(super) refunds: Mutex<Refunds>,
    pub(super) funds: Mutex<Funds>,
    pub(super) refund_plans: Mutex<HashMap<String, RefundPlan>>,
    /// Wakes those who wait for a refund whenever one has ended.
    pub(super) refund_moves: Notify,
    pub(super) troubles: Mutex<Troubles>,
    pub(super) limits: Mutex<Limits>,
    pub(super) started: Instant,
    pub(super) mini_program: MiniProgram,
    pub(super) sender: Arc<CallbackSender>,
    pub(super) stats: Arc<Counters>,
    pub(super) used_codes: UsedCodes,
    pub(super) phone: Phone,
    pub(super) seed: u64,
    pub(super) switches: Mutex<(Faults, StdRng)>,
    /// Divides every delay but the merchant's own time-outs.
    pub(super) compression: u32,
    pub(super) merchants: Merchants,
    pub(super) sharing: Mutex<Book>,
    pub(super) bills: Bills,
    pub(super) switching: Arc<KeySwitch>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn faults(&self) -> Faults {
        lock(&self.switches).0.clone()
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        lock(&self.switches).0 = faults;
    }

    /// Whether something happens to this call. From a running generator, so that trying again
    /// helps.
    pub(super) fn draws(&self, switch: fn(&Faults) -> PerMille) -> bool {
        let mut switches = lock(&self.switches);
        let (faults, rng) = &mut *switches;
        switch(faults).happens(rng)
    }

    /// Sleeps, but not beyond the end of the simulator.
    pub(super) async fn pause(&self, gap: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(gap)).await;
    }
}

/// Takes a lock. A panic under it leaves nothing half done that would matter here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(phone::home))
        .route("/healthz", get(async || "ok"))
        .route("/sns/jscode2session", get(login::jscode2session))
        .merge(mini_program::router())
        .route("/v3/{*rest}", any(merchant_api::serve))
        .route("/sim/pay", post(control::pay))
        .route(
            "/sim/faults",
            get(control::get_faults).put(control::put_faults),
        )
        .route("/sim/stats", get(control::stats))
        .route("/sim/keys", get(key_switch::get).put(key_switch::put))
        .route(
            "/sim/merchants/{mchid}",
            get(merchants::get).put(merchants::put),
        )
        .route("/sim/receivers", put(sharing::put_receiver))
        .route("/sim/bills", get(bills::get).put(bills::put))
        .route("/sim/orders", get(control::orders))
        .route("/sim/refunds", get(control_refunds::list))
        .route("/sim/refunds/plan", post(control_refunds::plan))
        .route(
            "/sim/refunds/{out_refund_no}/settle",
            post(control_refunds::settle),
        )
        .route("/sim/elsewhere/refunds", post(elsewhere::refund))
        .route("/sim/elsewhere/shares", post(elsewhere::share))
        .route("/sim/balances", get(control_refunds::balances))
        .route("/sim/balances/{mchid}", put(control_refunds::put_balance))
        .route("/sim/calls", post(control_refunds::force_call))
        .route("/sim/password", post(control_refunds::password))
        .route("/sim/scan", get(scan::sheet).post(scan::scan))
        .route("/sim/scan/pay", post(scan::sheet_pay))
        .route("/sim/codes", post(control::codes))
        .route(
            "/sim/cashier/{prepay_id}",
            get(control::cashier).post(control::cashier_pay),
        )
        .route("/phone", get(phone::home))
        .route("/phone/merchant", get(phone::merchant))
        .route("/phone/order", post(phone::order))
        .route("/phone/pay/{prepay_id}", get(phone::sheet).post(phone::pay))
        .route("/phone/result/{prepay_id}", get(phone_result::result))
        .with_state(shared)
}
