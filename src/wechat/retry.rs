//! Decides whether and when a call is repeated.
//!
//! Calls that only read are repeated after any failure. Calls that change something are repeated
//! only if WeChat identifies them by their number (the same order, refund or share with the same
//! parameters is made once) and only the transport failed: after an answer with a wrong signature
//! the caller queries instead. Waits grow and are randomised, so that callers that failed together
//! do not retry together. A call ends at its deadline, however many repeats are left.

use std::time::Duration;

use super::answer::{CallAnswer, Failure, Unknown, normal};
use crate::payments::RefusalKind;

/// What a repeat would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryPolicy {
    /// Nothing: it only reads.
    Read,
    /// Repeats what was requested, under its number.
    SameNumber,
    /// As `SameNumber`, but WeChat counts failing calls of this kind (refunds: 6 a second, §5).
    SameNumberSparingly,
    /// Perhaps something else: only what was never sent is sent again.
    Never,
}

/// With less time than this left, nothing worth having comes.
const WORTH_TRYING: Duration = Duration::from_secs(1);

/// Before the second attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The wait after too many calls.
const FIRST_WAIT_WHEN_LIMITED: Duration = Duration::from_millis(500);

impl RetryPolicy {
    const fn attempts_max(self) -> u32 {
        match self {
            Self::Read | Self::SameNumber => 3,
            Self::SameNumberSparingly | Self::Never => 2,
        }
    }

    /// Whether to ask again after `answer`.
    fn again(self, answer: &CallAnswer) -> bool {
        match answer {
            CallAnswer::Done(_) => false,
            CallAnswer::Refused(no) => {
                // A bill is not made in seconds.
                no.kind == RefusalKind::RateLimited
                    && normal(&no.code) != "STATEMENTCREATING"
                    && self != Self::Never
            }
            CallAnswer::Unknown(unknown) => match unknown.failure {
                Failure::Unreachable => true,
                Failure::Broken | Failure::Server(_) | Failure::Pending => self != Self::Never,
                Failure::Unverified | Failure::Probe | Failure::Unclear => self == Self::Read,
                Failure::NotAsked => false,
            },
        }
    }
}

/// The attempts at one call.
#[derive(Debug)]
pub(super) struct Attempts {
    retry: RetryPolicy,
    round: u32,
    /// From an attempt that may have got through.
    uncertain: Option<Unknown>,
}

/// What follows from an attempt.
#[derive(Debug)]
pub(super) enum Step {
    Over(CallAnswer),
    /// Ask again after this.
    Again(Duration),
}

impl Attempts {
    pub(super) const fn new(retry: RetryPolicy) -> Self {
        Self {
            retry,
            round: 1,
            uncertain: None,
        }
    }

    /// Takes the answer of an attempt. `left` is the time until the deadline, `random` spreads the
    /// waits.
    pub(super) fn step(&mut self, answer: CallAnswer, left: Duration, random: u64) -> Step {
        let pause = pause(self.round, &answer, random);
        if self.round >= self.retry.attempts_max()
            || !self.retry.again(&answer)
            || left < pause.saturating_add(WORTH_TRYING)
        {
            return Step::Over(settle(self.retry, answer, self.uncertain.take()));
        }
        self.round = self.round.saturating_add(1);
        if let CallAnswer::Unknown(unknown) = answer
            && unknown.failure != Failure::Unreachable
        {
            self.uncertain = Some(unknown);
        }
        Step::Again(pause)
    }
}

/// The last answer, in the light of those before it: "too many calls" says nothing of an earlier
/// attempt that may have got through. Of a refund no refusal does: what is refused now the earlier
/// attempt may be about to do.
fn settle(retry: RetryPolicy, answer: CallAnswer, uncertain: Option<Unknown>) -> CallAnswer {
    match (answer, uncertain) {
        (CallAnswer::Refused(no), Some(uncertain))
            if no.kind == RefusalKind::RateLimited || retry == RetryPolicy::SameNumberSparingly =>
        {
            CallAnswer::Unknown(uncertain)
        }
        (answer, _) => answer,
    }
}

/// Four times as long each round; between half of that and the whole.
fn pause(round: u32, answer: &CallAnswer, random: u64) -> Duration {
    let first = match answer {
        CallAnswer::Refused(_) => FIRST_WAIT_WHEN_LIMITED,
        CallAnswer::Done(_) | CallAnswer::Unknown(_) => FIRST_WAIT,
    };
    let whole = first.saturating_mul(4_u32.saturating_pow(round.saturating_sub(1)));
    let half = whole / 2;
    let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half.saturating_add(Duration::from_millis(random % spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::Refusal;

    fn unknown(failure: Failure) -> CallAnswer {
        CallAnswer::Unknown(Unknown::new(failure, format!("{failure:?}")))
    }

    fn refused(kind: RefusalKind, code: &str) -> CallAnswer {
        CallAnswer::Refused(Refusal {
            kind,
            code: code.to_owned(),
            message: String::new(),
        })
    }

    /// The last answer and how often was asked.
    fn run(retry: RetryPolicy, answers: Vec<CallAnswer>, left: Duration) -> (CallAnswer, usize) {
        let mut attempts = Attempts::new(retry);
        for (asked, answer) in answers.into_iter().enumerate() {
            if let Step::Over(last) = attempts.step(answer, left, 7) {
                return (last, asked + 1);
            }
        }
        panic!("asked more often than that")
    }

    const LONG: Duration = Duration::from_secs(12);

    #[test]
    fn reads_are_repeated_and_writes_when_the_transport_failed() {
        use RetryPolicy::{Never, Read, SameNumber, SameNumberSparingly};
        for (failure, read, same, rare, never) in [
            (Failure::Unreachable, 3, 3, 2, 2),
            (Failure::Broken, 3, 3, 2, 1),
            (Failure::Server(500), 3, 3, 2, 1),
            (Failure::Pending, 3, 3, 2, 1),
            (Failure::Unverified, 3, 1, 1, 1),
            (Failure::Probe, 3, 1, 1, 1),
            (Failure::Unclear, 3, 1, 1, 1),
            (Failure::NotAsked, 1, 1, 1, 1),
        ] {
            for (retry, times) in [
                (Read, read),
                (SameNumber, same),
                (SameNumberSparingly, rare),
                (Never, never),
            ] {
                let answers = (0..times).map(|_| unknown(failure)).collect();
                let (_, asked) = run(retry, answers, LONG);
                assert_eq!(asked, times, "{retry:?} {failure:?}");
            }
        }
    }

    #[test]
    fn a_no_is_not_asked_again_unless_it_says_later() {
        for (kind, code, times) in [
            (RefusalKind::Rejected, "PARAM_ERROR", 1),
            (RefusalKind::NotEnough, "NOT_ENOUGH", 1),
            (RefusalKind::RateLimited, "STATEMENT_CREATING", 1),
            (RefusalKind::RateLimited, "FREQUENCY_LIMITED", 3),
        ] {
            let answers = (0..times).map(|_| refused(kind, code)).collect();
            let (_, asked) = run(RetryPolicy::SameNumber, answers, LONG);
            assert_eq!(asked, times, "{code}");
        }
    }

    #[test]
    fn too_many_calls_do_not_settle_an_earlier_unknown_outcome() {
        let limited = || refused(RefusalKind::RateLimited, "FREQUENCY_LIMITED");
        let answers = vec![unknown(Failure::Broken), limited(), limited()];
        let (last, _) = run(RetryPolicy::SameNumber, answers, LONG);
        let CallAnswer::Unknown(unknown_still) = last else {
            panic!("{last:?}")
        };
        assert_eq!(unknown_still.reason, "Broken");
        // Nothing was sent the first time.
        let answers = vec![unknown(Failure::Unreachable), limited(), limited()];
        let (last, _) = run(RetryPolicy::SameNumber, answers, LONG);
        assert!(matches!(last, CallAnswer::Refused(_)), "{last:?}");
        // A no about the number itself does.
        let closed = refused(RefusalKind::Closed, "ORDER_CLOSED");
        let (last, _) = run(
            RetryPolicy::SameNumber,
            vec![unknown(Failure::Broken), closed],
            LONG,
        );
        assert!(matches!(last, CallAnswer::Refused(_)), "{last:?}");
    }

    #[test]
    fn no_refusal_of_a_refund_settles_an_earlier_unknown_outcome() {
        let no = || refused(RefusalKind::Rejected, "PARAM_ERROR");
        let run = |first| {
            run(
                RetryPolicy::SameNumberSparingly,
                vec![unknown(first), no()],
                LONG,
            )
            .0
        };
        assert!(matches!(run(Failure::Broken), CallAnswer::Unknown(_)));
        // Nothing was sent the first time.
        assert!(matches!(run(Failure::Unreachable), CallAnswer::Refused(_)));
    }

    #[test]
    fn it_ends_when_the_time_is_up() {
        let (last, asked) = run(
            RetryPolicy::Read,
            vec![unknown(Failure::Broken)],
            Duration::from_millis(1_050),
        );
        assert!(matches!(last, CallAnswer::Unknown(_)), "{last:?}");
        assert_eq!(asked, 1);
    }

    #[test]
    fn waits_grow_and_are_spread() {
        let broken = unknown(Failure::Broken);
        let ms = |round, random| pause(round, &broken, random).as_millis();
        assert_eq!((ms(1, 0), ms(1, 49), ms(1, 50)), (50, 99, 50));
        assert_eq!((ms(2, 0), ms(2, 199)), (200, 399));
        let limited = refused(RefusalKind::RateLimited, "X");
        assert_eq!(pause(1, &limited, 0).as_millis(), 250);
    }
}
