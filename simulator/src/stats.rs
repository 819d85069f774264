//! What happened so far.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One number that only goes up.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The simulator's counts, as of one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)+
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)+
        }

        impl Counters {
            pub(super) fn read(&self) -> Stats {
                Stats { $($name: self.$name.read(),)+ }
            }
        }
    };
}

stats! {
    /// Logins that gave an openid.
    logins,
    /// Prepays that gave a prepay id, re-entries among them.
    prepays,
    /// Requests to the merchant API that were refused, wrong signatures among them.
    requests_refused,
    /// Requests whose `Authorization` did not hold.
    signatures_refused,
    /// Calls that a fault hit, whichever call it was.
    call_faults,
    /// Calls refused by a rate limit.
    calls_limited,
    /// Orders paid.
    payments,
    /// Refunds accepted; the same one asked for again counts once.
    refunds,
    /// Refunds that have ended, in whichever way; another try of an abnormal one ends again.
    refunds_ended,
    /// Access tokens given out, the same one again among them.
    tokens_given,
    /// Codes of the mini-program drawn.
    mini_program_codes,
    /// Subscribe messages that reached a user.
    messages_sent,
    /// Times that a merchant reported a delivery.
    shippings_reported,
    /// Calls of the mini-program's server that got an `errcode`, logins apart.
    mini_program_refused,
    /// Callbacks sent, whatever was wrong with them.
    callbacks_sent,
    /// Genuine callbacks that were answered with 200 or 204 in time.
    callbacks_acknowledged,
    /// Genuine callbacks that were answered with anything else.
    callbacks_refused,
    /// Genuine callbacks that were not answered within five seconds, or not at all.
    callbacks_unanswered,
    /// Payments and refunds whose callback was refused or unanswered to the end of the schedule.
    callbacks_abandoned,
    /// Payments and refunds whose callback was never sent, by [`Fault::Lost`](super::Fault::Lost).
    callbacks_lost,
    /// Callbacks of another amount or merchant that were sent.
    attacks_sent,
    /// Tampered, wrongly signed, mistimed and probing callbacks that were sent.
    forgeries_sent,
    /// Forgeries answered with 200 or 204: each one is a hole in the receiver.
    forgeries_acknowledged,
}
