//! What the slices ask.

use super::Ruling;
use crate::facts::Facts;

/// Risk as the use cases see it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Risk {}

impl Risk {
    /// Without rules: everything is allowed and nothing is stored.
    pub fn off() -> Self {
        Self::default()
    }

    /// Decides on a deed before it is done. Waits for Redis for some milliseconds at most; without it each rule does what its `on_missing` says. Never fails.
    ///
    /// The ruling is stored by whoever does the deed, in the same commit ([`Ruling::note`]).
    #[expect(clippy::unused_async, reason = "the counters will be asked")]
    pub async fn rule_on(&self, _facts: Facts) -> Ruling {
        Ruling::default()
    }
}
