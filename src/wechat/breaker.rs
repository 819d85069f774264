//! Circuit breakers: a host that does not answer is not called for a while.
//!
//! Callers that wait for a host that is down delay their own callers. After [`FAILURES_MAX`] failed
//! attempts in a row (no connection, time-out, 5xx, an answer that cannot be verified) the circuit
//! opens: for [`OPEN_FOR`] nothing is sent, and calls have an unknown outcome at once instead of
//! after a time-out. Then one attempt is sent; its success closes the circuit, its failure opens it
//! again.
//!
//! There is one circuit per account, host and class of call, so bills that time out do not stop
//! payments. Callbacks from WeChat do not pass here.

use crate::primitives::coded;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::hosts::Host;

/// Attempts in a row that must fail before a circuit opens.
const FAILURES_MAX: u32 = 10;

/// How long an open circuit lets nothing through.
const OPEN_FOR: Duration = Duration::from_secs(5);

coded! {
    /// Calls that fail together.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Class {
        Pay => "pay",
        Query => "query",
        Refund => "refund",
        Bill => "bill",
        Sharing => "sharing",
        Keys => "keys",
    }
}

/// One circuit for each host and class.
#[derive(Debug)]
pub(super) struct Breakers(Vec<Breaker>);

impl Breakers {
    /// `mchid` tells the accounts apart in metrics; there are as many as there are settings for.
    pub(super) fn new(mchid: &str) -> Self {
        let of_host = |host| Class::ALL.map(|class| Breaker::new(mchid, host, class));
        let all = [Host::Main, Host::Backup].map(of_host);
        Self(all.into_iter().flatten().collect())
    }

    /// Leave to send one attempt, unless the circuit is open.
    pub(super) fn admit(&self, host: Host, class: Class, now: Instant) -> Option<Permit<'_>> {
        let here = |breaker: &&Breaker| breaker.host == host && breaker.class == class;
        self.0.iter().find(here)?.admit(now)
    }
}

#[derive(Debug)]
struct Breaker {
    mchid: String,
    host: Host,
    class: Class,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// How many attempts in a row have failed.
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One attempt is under way to see.
    HalfOpen,
}

impl Breaker {
    fn new(mchid: &str, host: Host, class: Class) -> Self {
        Self {
            mchid: mchid.to_owned(),
            host,
            class,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    fn admit(&self, now: Instant) -> Option<Permit<'_>> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => {}
            State::Open { until } if now >= until => *state = State::HalfOpen,
            State::Open { .. } | State::HalfOpen => return None,
        }
        Some(Permit {
            breaker: self,
            judged: false,
        })
    }

    fn succeeded(&self) {
        let was = std::mem::replace(&mut *self.state(), State::Closed { failures: 0 });
        match was {
            State::Closed { .. } => {}
            State::Open { .. } | State::HalfOpen => self.show(false),
        }
    }

    fn failed(&self, now: Instant) {
        let mut state = self.state();
        let open = State::Open {
            until: now.checked_add(OPEN_FOR).unwrap_or(now),
        };
        *state = match *state {
            State::Closed { failures } if failures.saturating_add(1) < FAILURES_MAX => {
                State::Closed {
                    failures: failures.saturating_add(1),
                }
            }
            State::Closed { .. } | State::HalfOpen => open,
            // An attempt that began before it opened.
            State::Open { until } => State::Open { until },
        };
        if matches!(*state, State::Open { .. }) {
            self.show(true);
        }
    }

    fn show(&self, open: bool) {
        let (host, class) = (self.host.name(), self.class.name());
        metrics::gauge!("wechat_circuit_open", "mchid" => self.mchid.clone(), "host" => host, "class" => class)
            .set(if open {
            1.0
        } else {
            0.0
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave for one attempt, whose end is to be told.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    judged: bool,
}

impl Permit<'_> {
    pub(super) fn succeeded(mut self) {
        self.judged = true;
        self.breaker.succeeded();
    }

    pub(super) fn failed(mut self, now: Instant) {
        self.judged = true;
        self.breaker.failed(now);
    }
}

/// An attempt whose caller went away tells nothing; the next one may look.
impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.judged {
            let mut state = self.breaker.state();
            if matches!(*state, State::HalfOpen) {
                *state = State::Open {
                    until: Instant::now(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breakers: &Breakers, times: u32, now: Instant) {
        for _ in 0..times {
            let permit = breakers.admit(Host::Main, Class::Pay, now).unwrap();
            permit.failed(now);
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_through_later() {
        let (breakers, now) = (Breakers::new("19"), Instant::now());
        let admit = |at| breakers.admit(Host::Main, Class::Pay, at);
        fail(&breakers, FAILURES_MAX - 1, now);
        admit(now).unwrap().succeeded();
        fail(&breakers, FAILURES_MAX - 1, now);
        assert!(admit(now).is_some());
        fail(&breakers, 1, now);
        assert!(admit(now).is_none());
        assert!(admit(now + OPEN_FOR - Duration::from_millis(1)).is_none());

        let later = now + OPEN_FOR;
        let probe = admit(later).unwrap();
        assert!(admit(later).is_none(), "one at a time");
        probe.failed(later);
        assert!(admit(later).is_none());

        let probe = admit(later + OPEN_FOR).unwrap();
        probe.succeeded();
        assert!(admit(later).is_some());
        assert!(admit(later).is_some());
    }

    #[test]
    fn a_probe_that_is_dropped_does_not_keep_the_circuit_open() {
        let (breakers, now) = (Breakers::new("19"), Instant::now());
        fail(&breakers, FAILURES_MAX, now);
        drop(
            breakers
                .admit(Host::Main, Class::Pay, now + OPEN_FOR)
                .unwrap(),
        );
        let later = Instant::now() + OPEN_FOR;
        assert!(breakers.admit(Host::Main, Class::Pay, later).is_some());
    }

    #[test]
    fn hosts_and_classes_fail_apart() {
        let (breakers, now) = (Breakers::new("19"), Instant::now());
        fail(&breakers, FAILURES_MAX, now);
        assert!(breakers.admit(Host::Main, Class::Pay, now).is_none());
        assert!(breakers.admit(Host::Main, Class::Query, now).is_some());
        assert!(breakers.admit(Host::Backup, Class::Pay, now).is_some());
    }
}
