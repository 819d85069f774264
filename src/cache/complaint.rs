//! Complaining at most once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_mins(1);

/// When it was last said.
#[derive(Debug, Default)]
pub(super) struct Complaint(Mutex<Option<Instant>>);

impl Complaint {
    /// Says it, unless it was said within the last minute.
    pub(super) fn utter(&self, say: impl FnOnce()) {
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
    fn a_complaint_is_not_repeated_within_a_minute() {
        let complaint = Complaint::default();
        let mut said = 0;
        complaint.utter(|| said += 1);
        complaint.utter(|| said += 1);
        assert_eq!(said, 1);
    }
}
