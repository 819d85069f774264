//! The state of one simulator: what its handlers share, and none of the handlers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::bills::Bills;
use super::call_faults::CallFates;
use super::callback::CallbackFactory;
use super::chance::PerMille;
use super::clock::{Ids, WallClock};
use super::faults::{CallbackKey, Faults};
use super::funds::Funds;
use super::key_switch::KeySwitch;
use super::keys::KeySet;
use super::limits::Limits;
use super::lock::lock;
use super::login_codes::UsedCodes;
use super::merchants::Merchants;
use super::mini_program::state::MiniProgram;
use super::orders::Orders;
use super::phone::Phone;
use super::refund_plan::RefundPlan;
use super::refunds::Refunds;
use super::resend::CallbackSender;
use super::sharing::book::{Book, Moment};
use super::stats::Counters;

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
    pub(super) call_fates: Mutex<CallFates>,
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

    /// Callbacks are signed by the public key in so many cases, by a certificate in the others.
    pub(super) fn share_callbacks(&self, public_key: PerMille) {
        let faults = &mut lock(&self.switches).0;
        faults.callback_key = CallbackKey::Mixed;
        faults.callback_public_key = public_key;
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.clock.now(),
            instant: Instant::now(),
        }
    }

    /// Ends the shares and returns that have taken long enough.
    pub(super) fn settle_shares(&self) {
        let moment = self.moment();
        let mut book = lock(&self.sharing);
        book.settle(&mut lock(&self.funds), moment, self.compression);
    }

    /// Sleeps, but not beyond the end of the simulator.
    pub(super) async fn pause(&self, gap: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(gap)).await;
    }
}
