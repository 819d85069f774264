//! The faults of calls of the merchant API: which there are, how often they happen, and which one
//! happens next.
//!
//! Drawn from the seed, the call, its number and how often it came, so an order has the same
//! fate in every run, and trying again helps. [`CallFates::force`] overrules the draw.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::chance::{PerMille, own_rng};
use super::endpoint::Endpoint;

/// What can go wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallFault {
    /// Answered late, and otherwise as it should be.
    Slow,
    /// An unsigned 502 with HTML, from a proxy; nothing was done.
    BadGateway,
    /// 500 `SYSTEM_ERROR`, signed; nothing was done.
    SystemError,
    /// 429 `RATELIMIT_EXCEEDED`, signed; nothing was done.
    RateLimited,
    /// 429 `RATELIMIT_EXCEEDED` from a proxy, unsigned; nothing was done.
    RateLimitedUnsigned,
    /// Done, and the answer does not come: long after, an unsigned 502.
    CommitThenTimeout,
    /// Done, and the connection ends in the middle of the answer.
    CommitThenCut,
    /// Done, and answered with 429 `FREQUENCY_LIMITED`, signed.
    CommitThenRateLimited,
    /// Done, and answered with 500 `SYSTEM_ERROR`, signed.
    CommitThenSystemError,
    /// Done; the answer is signed with a key that is not WeChat's, in WeChat's name.
    WrongSignature,
    /// Done; the answer carries WeChat's signature probe, `WECHATPAY/SIGNTEST/…`.
    Probe,
    /// Done; the answer is not signed.
    Unsigned,
    /// As if WeChat did not know yet what it is asked about: 404. For queries only.
    NotFound,
}

/// How often each fault happens to one kind of call. Everything is off by default. A call may be
/// slow and have one other fault: the first that is drawn, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallFaults {
    /// See [`CallFault::Slow`].
    pub slow: PerMille,
    /// How slow; not divided by the compression, for it is the merchant's time-out that it tries.
    pub slow_ms: u32,
    /// See [`CallFault::BadGateway`].
    pub bad_gateway: PerMille,
    /// See [`CallFault::SystemError`].
    pub system_error: PerMille,
    /// See [`CallFault::RateLimited`].
    pub rate_limited: PerMille,
    /// See [`CallFault::RateLimitedUnsigned`].
    pub rate_limited_unsigned: PerMille,
    /// See [`CallFault::CommitThenTimeout`].
    pub commit_then_timeout: PerMille,
    /// How long a hanging call hangs; not divided either.
    pub hang_ms: u32,
    /// See [`CallFault::CommitThenCut`].
    pub commit_then_cut: PerMille,
    /// See [`CallFault::CommitThenRateLimited`].
    pub commit_then_rate_limited: PerMille,
    /// See [`CallFault::CommitThenSystemError`].
    pub commit_then_system_error: PerMille,
    /// See [`CallFault::WrongSignature`].
    pub wrong_signature: PerMille,
    /// See [`CallFault::Probe`].
    pub probe: PerMille,
    /// See [`CallFault::Unsigned`].
    pub unsigned: PerMille,
    /// See [`CallFault::NotFound`].
    pub not_found: PerMille,
}

impl Default for CallFaults {
    fn default() -> Self {
        Self {
            slow: PerMille::NEVER,
            slow_ms: 3_000,
            bad_gateway: PerMille::NEVER,
            system_error: PerMille::NEVER,
            rate_limited: PerMille::NEVER,
            rate_limited_unsigned: PerMille::NEVER,
            commit_then_timeout: PerMille::NEVER,
            hang_ms: 30_000,
            commit_then_cut: PerMille::NEVER,
            commit_then_rate_limited: PerMille::NEVER,
            commit_then_system_error: PerMille::NEVER,
            wrong_signature: PerMille::NEVER,
            probe: PerMille::NEVER,
            unsigned: PerMille::NEVER,
            not_found: PerMille::NEVER,
        }
    }
}

impl CallFaults {
    fn draw(&self, seed: u64, endpoint: Endpoint, number: &str, attempt: u32) -> CallFate {
        let mut rng = own_rng(seed, &format!("{endpoint:?}/{number}/{attempt}"));
        let slow = self.slow.happens(&mut rng);
        let odds = [
            (CallFault::BadGateway, self.bad_gateway),
            (CallFault::SystemError, self.system_error),
            (CallFault::RateLimited, self.rate_limited),
            (CallFault::RateLimitedUnsigned, self.rate_limited_unsigned),
            (CallFault::CommitThenTimeout, self.commit_then_timeout),
            (CallFault::CommitThenCut, self.commit_then_cut),
            (
                CallFault::CommitThenRateLimited,
                self.commit_then_rate_limited,
            ),
            (
                CallFault::CommitThenSystemError,
                self.commit_then_system_error,
            ),
            (CallFault::WrongSignature, self.wrong_signature),
            (CallFault::Probe, self.probe),
            (CallFault::Unsigned, self.unsigned),
            (CallFault::NotFound, self.not_found),
        ];
        // Every fault draws, so that one switch does not change what another does.
        let drawn = odds.map(|(fault, odds)| odds.happens(&mut rng).then_some(fault));
        let fits = |fault: &CallFault| *fault != CallFault::NotFound || endpoint.reads();
        let fault = drawn.into_iter().flatten().find(fits);
        CallFate { slow, fault }
    }
}

/// What was drawn or forced for one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CallFate {
    pub(super) slow: bool,
    pub(super) fault: Option<CallFault>,
}

/// Decides what goes wrong with the next call: keeps how often each call came, and the faults that
/// a test has forced.
#[derive(Debug, Default)]
pub(super) struct CallFates {
    attempts: HashMap<(Endpoint, String), u32>,
    forced: HashMap<(Endpoint, String), VecDeque<CallFault>>,
}

/// Past this many numbers the count of attempts begins anew.
const NUMBERS_MAX: usize = 1_000_000;

impl CallFates {
    /// The next call about `number` goes wrong so; several wait for their turn.
    pub(super) fn force(&mut self, endpoint: Endpoint, number: &str, fault: CallFault) {
        let waiting = self.forced.entry((endpoint, number.to_owned()));
        waiting.or_default().push_back(fault);
    }

    pub(super) fn fate(
        &mut self,
        seed: u64,
        odds: CallFaults,
        endpoint: Endpoint,
        number: &str,
    ) -> CallFate {
        let key = (endpoint, number.to_owned());
        if let Some(waiting) = self.forced.get_mut(&key) {
            let fault = waiting.pop_front();
            if waiting.is_empty() {
                self.forced.remove(&key);
            }
            return match fault {
                Some(CallFault::Slow) => CallFate {
                    slow: true,
                    fault: None,
                },
                Some(_) | None => CallFate { slow: false, fault },
            };
        }
        if odds == CallFaults::default() {
            return CallFate::default();
        }
        if self.attempts.len() >= NUMBERS_MAX {
            self.attempts.clear();
        }
        let attempts = self.attempts.entry(key).or_default();
        *attempts = attempts.saturating_add(1);
        odds.draw(seed, endpoint, number, *attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> CallFaults {
        CallFaults {
            bad_gateway: PerMille::new(500),
            ..CallFaults::default()
        }
    }

    #[test]
    fn a_number_has_the_same_fate_in_every_run_and_trying_again_helps() {
        let run = || {
            let mut call_fates = CallFates::default();
            let mut fate = |n| call_fates.fate(7, half(), Endpoint::Refund, &format!("R{n}"));
            (0..20).flat_map(|n| [fate(n), fate(n)]).collect::<Vec<_>>()
        };
        let fates = run();
        assert_eq!(fates, run());
        let helped = fates
            .chunks(2)
            .any(|two| two[0].fault.is_some() && two[1].fault.is_none());
        assert!(helped);
    }

    #[test]
    fn a_forced_fault_comes_once_and_before_the_drawn() {
        let mut call_fates = CallFates::default();
        call_fates.force(Endpoint::Close, "O1", CallFault::CommitThenCut);
        call_fates.force(Endpoint::Close, "O1", CallFault::Slow);
        let mut fate = |number| call_fates.fate(7, CallFaults::default(), Endpoint::Close, number);
        assert_eq!(fate("O2"), CallFate::default());
        assert_eq!(fate("O1").fault, Some(CallFault::CommitThenCut));
        assert!(fate("O1").slow);
        assert_eq!(fate("O1"), CallFate::default());
    }

    #[test]
    fn what_is_not_a_query_is_never_answered_with_not_found() {
        let odds = CallFaults {
            not_found: PerMille::ALWAYS,
            ..CallFaults::default()
        };
        let fault = |endpoint: Endpoint| odds.draw(1, endpoint, "x", 1).fault;
        for endpoint in Endpoint::ALL {
            assert_eq!(fault(endpoint).is_some(), endpoint.reads(), "{endpoint:?}");
        }
    }
}
