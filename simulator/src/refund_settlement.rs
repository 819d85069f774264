//! How refunds end, and how the merchant is called back.
//!
//! A refund is processed for a while (divided by the compression), then ends as its fate will have
//! it. Fates are drawn from the seed and the refund's number; a [`RefundPlan`] overrules the draw.
//! The callback goes to the refund's own `notify_url` by the same sender as those of payments, with
//! the same faults. Without a `notify_url` WeChat would use the one set on the merchant platform;
//! here none is set.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::callback::SignedCallback;
use super::callback_content::CallbackContent;
use super::faults::Fault;
use super::keys::KeyKind;
use super::lock::lock;
use super::refund_plan::{RefundError, RefundPlan};
use super::refunds::{Refund, RefundFate, RefundState};
use super::resend::CallbackJob;
use super::state::Shared;

impl Shared {
    pub(super) fn plan_refund(&self, out_refund_no: &str, plan: RefundPlan) {
        lock(&self.refund_plans).insert(out_refund_no.to_owned(), plan);
    }

    fn planned_fate(&self, out_refund_no: &str) -> Option<RefundFate> {
        lock(&self.refund_plans).get_mut(out_refund_no)?.fate.take()
    }

    /// How a refund ends: as planned, or as drawn.
    pub(super) fn refund_fate(&self, out_refund_no: &str) -> RefundFate {
        let planned = self.planned_fate(out_refund_no);
        planned.unwrap_or_else(|| self.faults().draw_refund(self.seed, out_refund_no))
    }

    /// How another try ends. The draw would say once more that it is abnormal.
    pub(super) fn second_fate(&self, out_refund_no: &str) -> RefundFate {
        self.planned_fate(out_refund_no)
            .unwrap_or(RefundFate::Success)
    }

    /// Lets a refund take its time and then end so, unless somebody ends it before.
    pub(super) fn process_refund(self: &Arc<Self>, refund: &Refund, fate: RefundFate) {
        let switches = self.faults();
        let delay_ms = match fate {
            RefundFate::Slow => switches.refund_slow_ms,
            RefundFate::Success | RefundFate::Abnormal | RefundFate::Closed => {
                switches.refund_delay_ms
            }
        };
        let delay = Duration::from_millis(delay_ms.into()) / self.compression.max(1);
        let (shared, number) = (Arc::clone(self), refund.out_refund_no.clone());
        self.sender.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => {
                    // Ended by hand in the last moment: then there is nothing to do.
                    let _ = shared.end_refund(&number, fate, false);
                }
                () = shared.refund_ended(&number) => {}
            }
        });
    }

    pub(super) async fn refund_ended(&self, out_refund_no: &str) {
        loop {
            // Made before the look: an end between the two is not missed.
            let moved = self.refund_moves.notified();
            let processing = lock(&self.refunds)
                .by_number(out_refund_no)
                .is_some_and(|refund| refund.state == RefundState::Processing);
            if !processing {
                return;
            }
            moved.await;
        }
    }

    /// Ends a refund now: the money moves and the callback is sent. `by_hand` ends abnormal ones
    /// too.
    pub(super) fn end_refund(
        &self,
        out_refund_no: &str,
        fate: RefundFate,
        by_hand: bool,
    ) -> Result<Refund, RefundError> {
        let now = self.clock.now();
        let refund = {
            let mut refunds = lock(&self.refunds);
            refunds
                .by_number(out_refund_no)
                .ok_or(RefundError::Unknown)?;
            let ended = refunds.end(out_refund_no, fate, by_hand, now);
            let ended = ended.ok_or(RefundError::Ended)?;
            if ended.state == RefundState::Closed {
                let mchid = ended.sub_mchid.as_deref();
                let mchid = mchid.unwrap_or_else(|| self.keys.sp_mchid());
                lock(&self.funds).add(mchid, ended.settled_fen());
            }
            ended
        };
        self.refund_moves.notify_waiters();
        self.stats.refunds_ended.add();
        self.call_back(&refund);
        Ok(refund)
    }

    fn call_back(&self, refund: &Refund) {
        let Some(url) = refund.notify_url.as_deref() else {
            return;
        };
        let (faults, kind) = self.refund_callback_fate(&refund.out_refund_no);
        self.sender.dispatch(CallbackJob {
            notify_url: url.into(),
            content: CallbackContent::Refund(refund.clone()),
            faults,
            kind,
            late: Duration::from_millis(self.faults().late_ms.into()),
        });
    }

    fn refund_callback_fate(&self, out_refund_no: &str) -> (BTreeSet<Fault>, KeyKind) {
        // A refund may have the number of its order; its fate is another all the same.
        let name = format!("refund/{out_refund_no}");
        let (drawn, drawn_kind) = self.faults().draw(self.seed, &name);
        let plans = lock(&self.refund_plans);
        let plan = plans.get(out_refund_no);
        let forced = plan.and_then(|plan| plan.faults.clone());
        let kind = plan.and_then(|plan| plan.callback_key);
        let faults = forced.map_or(drawn, |faults| faults.into_iter().collect());
        (faults, kind.unwrap_or(drawn_kind))
    }

    /// The genuine callback of a refund that has ended, not sent.
    pub(super) fn refund_callback_for(
        &self,
        out_refund_no: &str,
    ) -> Result<SignedCallback, RefundError> {
        let refund = lock(&self.refunds).by_number(out_refund_no).cloned();
        let refund = refund.ok_or(RefundError::Unknown)?;
        if refund.state == RefundState::Processing {
            return Err(RefundError::Processing);
        }
        let (_, kind) = self.refund_callback_fate(out_refund_no);
        Ok(self.factory.refund(&refund, kind))
    }
}
