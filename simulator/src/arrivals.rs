//! Lets later callbacks overtake earlier ones.
//!
//! Every payment takes a number. One that is to arrive out of order is held until a later one has
//! been delivered and no later one is on hold, or until a while has passed in which none came. So a
//! burst in which all are held arrives in reverse, and a single one arrives after all.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// However many come later: nobody is held longer than this many turns.
const TURNS_MAX: u32 = 20;

#[derive(Debug, Default)]
struct Hall {
    held: BTreeSet<u64>,
    newest_delivered: u64,
}

#[derive(Debug)]
pub(super) struct Arrivals {
    entered: AtomicU64,
    hall: watch::Sender<Hall>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            entered: AtomicU64::new(0),
            hall: watch::Sender::new(Hall::default()),
        }
    }

    pub(super) fn enter(&self) -> u64 {
        self.entered.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn delivered(&self, number: u64) {
        self.hall
            .send_modify(|hall| hall.newest_delivered = number.max(hall.newest_delivered));
    }

    /// Waits for one's turn. Drop what it gives once delivered: the one before waits for that.
    pub(super) async fn hold(&self, number: u64, turn: Duration) -> Held<'_> {
        self.hall.send_modify(|hall| {
            hall.held.insert(number);
        });
        let held = Held {
            hall: &self.hall,
            number,
        };
        let mut hall = self.hall.subscribe();
        let last = |hall: &Hall| hall.held.last() == Some(&number);
        for _ in 0..TURNS_MAX {
            tokio::select! {
                // The sender lives as long as self, so this cannot fail.
                _ = hall.wait_for(|hall| last(hall) && hall.newest_delivered > number) => break,
                () = tokio::time::sleep(turn) => {}
            }
            if last(&hall.borrow()) {
                break;
            }
        }
        held
    }
}

/// A place on hold, released also when the delivery is cut short.
#[derive(Debug)]
pub(super) struct Held<'a> {
    hall: &'a watch::Sender<Hall>,
    number: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.hall.send_modify(|hall| {
            hall.held.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn a_burst_that_is_held_arrives_in_reverse() {
        let arrivals = Arc::new(Arrivals::new());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (arrivals, arrived) = (Arc::clone(&arrivals), Arc::clone(&arrived));
                let number = arrivals.enter();
                tokio::spawn(async move {
                    let held = arrivals.hold(number, Duration::from_millis(50)).await;
                    arrived.lock().unwrap().push(number);
                    arrivals.delivered(number);
                    drop(held);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*arrived.lock().unwrap(), [4, 3, 2, 1]);
        assert!(arrivals.hall.borrow().held.is_empty());
    }
}
