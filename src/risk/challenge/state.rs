//! The challenge and its transitions. Pure.

use crate::{
    facts::Stage,
    primitives::{ChallengeId, CustomerId, DecisionId, TenantId, Timestamp, coded},
};

/// Codes of somebody else before a challenge has failed.
const ATTEMPTS_MAX: u8 = 5;
/// Seconds in which a challenge can be answered.
const OPEN_SECONDS: i64 = 15 * 60;

/// A question to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// With the customer's lane.
    pub id: ChallengeId,
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub stage: Stage,
    /// The first decision that asked for it.
    pub decision: DecisionId,
    /// As stored: one whose time is over may still say open. See [`Self::state_at`].
    pub state: ChallengeState,
    /// Answers that were somebody else's.
    pub attempts: u8,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

coded! {
    /// The state of a challenge. Codes and names never change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ChallengeState as ChallengeStateKind {
        Open = 1 => "open",
        Answered { at: Timestamp } = 2 => "answered",
        Expired = 3 => "expired",
        /// Too many codes of another person were given.
        Failed = 4 => "failed",
    }
}

impl ChallengeState {
    /// Returns none for a combination that is never written.
    pub(super) fn read(code: u8, answered_at: Option<Timestamp>) -> Option<Self> {
        match (ChallengeStateKind::from_code(code)?, answered_at) {
            (ChallengeStateKind::Open, None) => Some(Self::Open),
            (ChallengeStateKind::Answered, Some(at)) => Some(Self::Answered { at }),
            (ChallengeStateKind::Expired, None) => Some(Self::Expired),
            (ChallengeStateKind::Failed, None) => Some(Self::Failed),
            (ChallengeStateKind::Answered, None)
            | (
                ChallengeStateKind::Open | ChallengeStateKind::Expired | ChallengeStateKind::Failed,
                Some(_),
            ) => None,
        }
    }

    pub const fn name(self) -> &'static str {
        self.kind().name()
    }

    pub const fn answered_at(self) -> Option<Timestamp> {
        match self {
            Self::Answered { at } => Some(at),
            Self::Open | Self::Expired | Self::Failed => None,
        }
    }
}

impl Challenge {
    pub(super) const fn new(
        id: ChallengeId,
        (tenant, customer): (TenantId, CustomerId),
        stage: Stage,
        decision: DecisionId,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            tenant,
            customer,
            stage,
            decision,
            state: ChallengeState::Open,
            attempts: 0,
            created_at: now,
            expires_at: now.plus_seconds(OPEN_SECONDS),
        }
    }

    /// Where it stands at this instant, whether or not anybody has noted that its time is over.
    pub fn state_at(&self, now: Timestamp) -> ChallengeState {
        match self.state {
            ChallengeState::Open if self.expires_at <= now => ChallengeState::Expired,
            ChallengeState::Open
            | ChallengeState::Answered { .. }
            | ChallengeState::Expired
            | ChallengeState::Failed => self.state,
        }
    }

    /// How many more codes of somebody else it takes.
    pub const fn attempts_left(&self) -> u8 {
        ATTEMPTS_MAX.saturating_sub(self.attempts)
    }

    /// Somebody has come with a code; `same_person` says whether it is the customer. What is no
    /// longer open stays as it is.
    #[must_use]
    pub(super) fn answer(mut self, same_person: bool, now: Timestamp) -> Self {
        if self.state_at(now) != ChallengeState::Open {
            self.state = self.state_at(now);
        } else if same_person {
            self.state = ChallengeState::Answered { at: now };
        } else {
            self.attempts = self.attempts.saturating_add(1);
            if self.attempts >= ATTEMPTS_MAX {
                self.state = ChallengeState::Failed;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    const NOW: Timestamp = Timestamp::from_micros(1_795_228_496_000_000);

    fn open() -> Challenge {
        let id = Id::mint(1, 2, Lane(3));
        let who = (TenantId(1), CustomerId::new(id));
        let decision = DecisionId::of(id, Stage::PaymentCreate.code());
        Challenge::new(
            ChallengeId::new(id),
            who,
            Stage::PaymentCreate,
            decision,
            NOW,
        )
    }

    #[test]
    fn the_fifth_code_of_somebody_else_fails_it_for_good() {
        let mut challenge = open();
        for left in (1..5).rev() {
            challenge = challenge.answer(false, NOW);
            assert_eq!(challenge.state, ChallengeState::Open);
            assert_eq!(challenge.attempts_left(), left);
        }
        let failed = challenge.answer(false, NOW);
        assert_eq!(failed.state, ChallengeState::Failed);
        assert_eq!(failed.clone().answer(true, NOW), failed);
        assert_eq!(failed.clone().answer(false, NOW), failed);
    }

    #[test]
    fn it_is_answered_once_and_in_time() {
        let last = NOW.plus_seconds(OPEN_SECONDS - 1);
        let answered = open().answer(true, last);
        assert_eq!(answered.state, ChallengeState::Answered { at: last });
        let later = NOW.plus_seconds(OPEN_SECONDS);
        assert_eq!(answered.clone().answer(true, later), answered);
        assert_eq!(answered.clone().answer(false, later), answered);
        let late = open().answer(true, later);
        assert_eq!(late.state, ChallengeState::Expired);
        assert_eq!(open().state_at(later), ChallengeState::Expired);
    }

    #[test]
    fn a_state_is_read_as_it_is_written() {
        for state in [
            ChallengeState::Open,
            ChallengeState::Answered { at: NOW },
            ChallengeState::Expired,
            ChallengeState::Failed,
        ] {
            let read = ChallengeState::read(state.kind().code(), state.answered_at());
            assert_eq!(read, Some(state));
        }
        assert_eq!(ChallengeState::read(2, None), None);
        assert_eq!(ChallengeState::read(9, None), None);
    }
}
