//! Everything on one listener.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get, post};
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use super::callback::CallbackFactory;
use super::clock::{Ids, WallClock};
use super::faults::{Faults, PrepayFate};
use super::keys::KeySet;
use super::login::{self, UsedCodes};
use super::orders::Orders;
use super::phone::{self, Phone};
use super::resend::Courier;
use super::stats::Counters;
use super::{control, merchant_api, phone_result};

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keys: Arc<KeySet>,
    pub(super) clock: WallClock,
    pub(super) ids: Arc<Ids>,
    pub(super) factory: Arc<CallbackFactory>,
    pub(super) orders: Mutex<Orders>,
    pub(super) courier: Arc<Courier>,
    pub(super) stats: Arc<Counters>,
    pub(super) used_codes: UsedCodes,
    pub(super) phone: Phone,
    pub(super) seed: u64,
    pub(super) switches: Mutex<(Faults, StdRng)>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn faults(&self) -> Faults {
        lock(&self.switches).0.clone()
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        lock(&self.switches).0 = faults;
    }

    pub(super) fn prepay_fate(&self) -> (PrepayFate, Faults) {
        let mut switches = lock(&self.switches);
        let (faults, rng) = &mut *switches;
        (faults.draw_prepay(rng), faults.clone())
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
        .route("/v3/{*rest}", any(merchant_api::serve))
        .route("/sim/pay", post(control::pay))
        .route(
            "/sim/faults",
            get(control::get_faults).put(control::put_faults),
        )
        .route("/sim/stats", get(control::stats))
        .route("/sim/orders", get(control::orders))
        .route("/sim/codes", post(control::codes))
        .route(
            "/sim/cashier/{prepay_id}",
            get(control::cashier).post(control::cashier_pay),
        )
        .route("/phone", get(phone::home))
        .route("/phone/shop", get(phone::shop))
        .route("/phone/order", post(phone::order))
        .route("/phone/pay/{prepay_id}", get(phone::sheet).post(phone::pay))
        .route("/phone/result/{prepay_id}", get(phone_result::result))
        .with_state(shared)
}
