//! One thing that must be so, and whether it is.

use serde::Serialize;

/// One thing that must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) agrees: bool,
    pub(super) detail: String,
}

impl Check {
    pub(super) fn new(what: &'static str, agrees: bool, detail: impl Into<String>) -> Self {
        Self {
            what,
            agrees,
            detail: detail.into(),
        }
    }

    /// All of so many.
    pub(super) fn all(what: &'static str, good: usize, of: usize) -> Self {
        Self::new(what, good == of, format!("{good} of {of}"))
    }
}
