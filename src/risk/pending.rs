//! What was counted of a deed of which it is not known yet whether it is done.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    counters::Counted,
    live::{InForce, Live},
};
use crate::facts::Facts;

/// Held by a ruling and its copies, until one of them is told what became of the deed.
pub(super) struct Pending {
    live: Arc<Live>,
    /// By which it was counted.
    rules: Arc<InForce>,
    counted: Counted,
    concluded: AtomicBool,
}

impl Pending {
    pub(super) fn new(live: &Arc<Live>, rules: Arc<InForce>, counted: Counted) -> Arc<Self> {
        Arc::new(Self {
            live: Arc::clone(live),
            rules,
            counted,
            concluded: AtomicBool::new(false),
        })
    }

    /// See [`Ruling::conclude`](super::Ruling::conclude). Nobody waits for what was met to be noted:
    /// what is lost is met for the first time once more.
    pub(super) async fn conclude(self: Arc<Self>, facts: &Facts, done: bool) {
        if self.concluded.swap(true, Ordering::Relaxed) {
            return;
        }
        let counters = &self.live.counters;
        if !done {
            let asks = self.rules.set.asks(facts.stage);
            counters.take_back(facts, &asks, &self.counted).await;
        } else if !self.counted.met.is_empty() {
            tokio::spawn(async move {
                let counters = &self.live.counters;
                counters.remember(&self.counted.met).await;
            });
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}
