//! A challenge as its customer sees it: neither the rule that asked for it nor its reason.

use serde::Serialize;

use crate::{
    facts::Stage,
    primitives::{ChallengeId, Timestamp},
    risk::Challenge,
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CustomerChallenge {
    #[schema(value_type = String, example = "ch_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: ChallengeId,
    /// What it stands before.
    stage: Stage,
    /// `open`, `answered`, `expired` or `failed`
    #[schema(example = "open")]
    state: &'static str,
    /// How many more codes of somebody else it takes.
    attempts_left: u8,
    /// Until when it can be answered.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<Timestamp>,
}

impl CustomerChallenge {
    pub(super) fn of(challenge: &Challenge, now: Timestamp) -> Self {
        let state = challenge.state_at(now);
        Self {
            id: challenge.id,
            stage: challenge.stage,
            state: state.name(),
            attempts_left: challenge.attempts_left(),
            expires_at: challenge.expires_at,
            answered_at: state.answered_at(),
        }
    }
}
