//! A warning that is logged at most once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_mins(1);

/// Remembers when the warning was last logged.
#[derive(Debug, Default)]
pub(super) struct ThrottledWarning(Mutex<Option<Instant>>);

impl ThrottledWarning {
    /// Calls `say`, unless it was called within the last minute.
    pub(super) fn log(&self, say: impl FnOnce()) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= PAUSE) {
            *last = Some(Instant::now());
            drop(last);
            say();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_not_repeated_within_a_minute() {
        let warning = ThrottledWarning::default();
        let mut said = 0;
        warning.log(|| said += 1);
        warning.log(|| said += 1);
        assert_eq!(said, 1);
    }
}
