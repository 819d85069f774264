//! The counts of an activity while it is not known whether it is done.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    active_rules::{ActiveRules, LiveRules},
    counters::CountReceipt,
};
use crate::facts::Facts;

/// Held by an evaluation and its copies, until one of them is told what became of the activity.
pub(super) struct PendingCount {
    live: Arc<LiveRules>,
    /// The rules by which it was counted.
    rules: Arc<ActiveRules>,
    receipt: CountReceipt,
    concluded: AtomicBool,
}

impl PendingCount {
    pub(super) fn new(
        live: &Arc<LiveRules>,
        rules: Arc<ActiveRules>,
        receipt: CountReceipt,
    ) -> Arc<Self> {
        Arc::new(Self {
            live: Arc::clone(live),
            rules,
            receipt,
            concluded: AtomicBool::new(false),
        })
    }

    /// See [`Evaluation::conclude`](super::Evaluation::conclude). Recording what was seen is not
    /// waited for: what is lost counts as new once more.
    pub(super) async fn conclude(self: Arc<Self>, facts: &Facts, done: bool) {
        if self.concluded.swap(true, Ordering::Relaxed) {
            return;
        }
        let counters = &self.live.counters;
        if !done {
            let usages = self.rules.set.counter_usages(facts.stage);
            counters.revert(facts, &usages, &self.receipt).await;
        } else if !self.receipt.newly_seen.is_empty() {
            tokio::spawn(async move {
                let counters = &self.live.counters;
                counters.record_seen(&self.receipt.newly_seen).await;
            });
        }
    }
}

impl fmt::Debug for PendingCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}
