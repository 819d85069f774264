//! Reviews: points that are pending until a person or the time-out decides. The row and its
//! transitions; pure.
//!
//! ```text
//!           claim                    approve (the second, above a limit)
//!  open ───────────▶ claimed ──────────────────────────────────────────▶ approved
//!    ▲   unclaim,       │  reject                                ┌──────▶ rejected
//!    └── 30 minutes, ◀──┴────────────────────────────────────────┤
//!        the first of two approvals                              ├──────▶ timed out   (released or voided, by the policy)
//!                                                                └──────▶ superseded  (a refund took the points)
//! ```
//!
//! - A claim keeps others from working on a review for half an hour; then it counts as open again.
//!   A review can be decided without a claim.
//! - Above [`ReviewPolicy::second_person_above`] two different people must approve; one may reject,
//!   since that gives nothing away. Who claimed it may be the first.
//! - The time-out decides whatever the amount: the rule file says which way.
//! - Every change is guarded by the row's version; a decided review never changes again.

use super::{ReviewSettings, Settings, TimeoutDecision};
use crate::{
    audit::Actor,
    facts::Stage,
    ledger::LedgerError,
    primitives::{
        CustomerId, EntryId, MerchantId, Money, Points, ReviewId, TenantId, Timestamp, coded,
    },
};

/// How long a claim lasts.
pub const CLAIM_SECONDS: i64 = 30 * 60;

/// The terms of the rule file for reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewPolicy {
    /// Seconds after which the time-out decides.
    pub timeout_seconds: i64,
    pub on_timeout: TimeoutDecision,
    /// More points than this need the approval of two people.
    pub second_person_above: Points,
}

impl Default for ReviewPolicy {
    /// The defaults of a rule file: rejected after three days; two people above 10,000 points.
    fn default() -> Self {
        (&Settings::default().review).into()
    }
}

impl From<&ReviewSettings> for ReviewPolicy {
    fn from(settings: &ReviewSettings) -> Self {
        Self {
            timeout_seconds: i64::from(settings.timeout_seconds),
            on_timeout: settings.on_timeout,
            second_person_above: settings.second_person_above_points,
        }
    }
}

coded! {
    /// What is reviewed. Number and name are stored: they never change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReviewKind {
        /// What a payment earned.
        Order = 1 => "order",
        /// What a back end gives, or a customer spends.
        PointsTransaction = 2 => "points_transaction",
    }
}

coded! {
    /// The codes of [`ReviewState`] in the table.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReviewStateKind {
        Open = 1,
        Claimed = 2,
        Approved = 3,
        Rejected = 4,
        TimedOutReleased = 5,
        TimedOutVoided = 6,
        Superseded = 7,
    }
}

coded! {
    /// The names of [`ReviewState`] in the API.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReviewStatus: Serde {
        Open => "open",
        Claimed => "claimed",
        Approved => "approved",
        Rejected => "rejected",
        TimedOut => "timed_out",
        Superseded => "superseded",
    }
}

impl ReviewStateKind {
    pub const fn status(self) -> ReviewStatus {
        match self {
            Self::Open => ReviewStatus::Open,
            Self::Claimed => ReviewStatus::Claimed,
            Self::Approved => ReviewStatus::Approved,
            Self::Rejected => ReviewStatus::Rejected,
            Self::TimedOutReleased | Self::TimedOutVoided => ReviewStatus::TimedOut,
            Self::Superseded => ReviewStatus::Superseded,
        }
    }
}

/// The state of a review, with the data that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewState {
    Open,
    Claimed {
        by: Actor,
        at: Timestamp,
    },
    Approved,
    Rejected,
    /// The time-out decided.
    TimedOut {
        released: bool,
    },
    /// A refund took the points before anybody decided.
    Superseded,
}

/// By whom a review was decided, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewDecision {
    pub by: Actor,
    pub at: Timestamp,
}

/// One review, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRow {
    pub id: ReviewId,
    pub tenant: TenantId,
    pub kind: ReviewKind,
    /// The stage at which risk wanted it.
    pub stage: Stage,
    /// The pending entry that the decision posts or voids; it has one leg.
    pub entry: EntryId,
    pub customer: CustomerId,
    pub merchant: Option<MerchantId>,
    /// The points that it is about.
    pub points: Points,
    /// The money that they are about.
    pub amount: Option<Money>,
    /// `payment`, or what a back end calls itself.
    pub source: String,
    /// The ids of the rules that want it, separated by commas.
    pub rules: String,
    pub state: ReviewState,
    /// Who approved first, where two must.
    pub first_approver: Option<Actor>,
    pub decided: Option<ReviewDecision>,
    /// The note of whoever decided, or approved first.
    pub note: Option<String>,
    /// When the time-out decides; while a job has claimed it, a minute later. None once it is
    /// decided.
    pub due_at: Option<Timestamp>,
    /// Counts the changes: 1 when it was opened.
    pub version: u32,
    pub created_at: Timestamp,
}

/// Why a change of a review is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error("no such review")]
    NotFound,
    #[error("the review is {0} already")]
    AlreadyDecided(&'static str),
    #[error("somebody else has claimed the review")]
    ClaimedByAnother,
    #[error("the review is not claimed by this person")]
    NotClaimedByCaller,
    #[error("whoever approved first does not approve again")]
    SamePerson,
    #[error("a rejection says why")]
    NoteNeeded,
    #[error("the note is too long or not plain text")]
    InvalidNote,
    /// By the same caller, who is told which review the key belongs to.
    #[error("the key was used for another request")]
    KeyReused(ReviewId),
    #[error("the ledger refused the decision")]
    Ledger(#[from] LedgerError),
    #[error("database failure")]
    Db(#[from] crate::db::DbError),
}

/// The result of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// The first of two: another person is needed.
    First(ReviewRow),
    Decided(ReviewRow),
}

impl ReviewState {
    pub const fn kind(&self) -> ReviewStateKind {
        match self {
            Self::Open => ReviewStateKind::Open,
            Self::Claimed { .. } => ReviewStateKind::Claimed,
            Self::Approved => ReviewStateKind::Approved,
            Self::Rejected => ReviewStateKind::Rejected,
            Self::TimedOut { released: true } => ReviewStateKind::TimedOutReleased,
            Self::TimedOut { released: false } => ReviewStateKind::TimedOutVoided,
            Self::Superseded => ReviewStateKind::Superseded,
        }
    }

    pub const fn name(&self) -> &'static str {
        self.kind().status().name()
    }

    /// Whether the points were credited; none while it is not decided.
    pub const fn released(&self) -> Option<bool> {
        match self {
            Self::Open | Self::Claimed { .. } => None,
            Self::Approved | Self::TimedOut { released: true } => Some(true),
            Self::Rejected | Self::TimedOut { released: false } | Self::Superseded => Some(false),
        }
    }
}

impl ReviewRow {
    pub const fn is_decided(&self) -> bool {
        self.state.released().is_some()
    }

    /// Who holds the claim at `now`.
    pub fn holder(&self, now: Timestamp) -> Option<&Actor> {
        match &self.state {
            ReviewState::Claimed { by, at } if at.plus_seconds(CLAIM_SECONDS) > now => Some(by),
            ReviewState::Claimed { .. }
            | ReviewState::Open
            | ReviewState::Approved
            | ReviewState::Rejected
            | ReviewState::TimedOut { .. }
            | ReviewState::Superseded => None,
        }
    }

    fn check_undecided(&self) -> Result<(), ReviewError> {
        if self.is_decided() {
            Err(ReviewError::AlreadyDecided(self.state.name()))
        } else {
            Ok(())
        }
    }

    fn check_claim(&self, by: &Actor, now: Timestamp) -> Result<(), ReviewError> {
        self.check_undecided()?;
        match self.holder(now) {
            Some(holder) if holder != by => Err(ReviewError::ClaimedByAnother),
            Some(_) | None => Ok(()),
        }
    }

    fn with_state(&self, state: ReviewState) -> Self {
        Self {
            version: self.version.saturating_add(1),
            state,
            ..self.clone()
        }
    }

    fn decide(&self, state: ReviewState, by: Actor, at: Timestamp) -> Self {
        Self {
            decided: Some(ReviewDecision { by, at }),
            due_at: None,
            ..self.with_state(state)
        }
    }

    /// Claims it for half an hour, or renews one's own claim.
    pub fn claim(&self, by: &Actor, now: Timestamp) -> Result<Self, ReviewError> {
        self.check_claim(by, now)?;
        let by = by.clone();
        Ok(self.with_state(ReviewState::Claimed { by, at: now }))
    }

    /// Gives back one's own claim.
    pub fn unclaim(&self, by: &Actor, now: Timestamp) -> Result<Self, ReviewError> {
        self.check_claim(by, now)?;
        match &self.state {
            ReviewState::Claimed { by: holder, .. } if holder == by => {
                Ok(self.with_state(ReviewState::Open))
            }
            ReviewState::Claimed { .. }
            | ReviewState::Open
            | ReviewState::Approved
            | ReviewState::Rejected
            | ReviewState::TimedOut { .. }
            | ReviewState::Superseded => Err(ReviewError::NotClaimedByCaller),
        }
    }

    /// Approves it, or records the first of two approvals.
    pub fn approve(
        &self,
        by: &Actor,
        note: Option<String>,
        policy: &ReviewPolicy,
        now: Timestamp,
    ) -> Result<Approval, ReviewError> {
        self.check_claim(by, now)?;
        let noted = Self {
            note: note.or_else(|| self.note.clone()),
            ..self.clone()
        };
        let needs_two = self.points > policy.second_person_above;
        match &self.first_approver {
            Some(first) if needs_two && first == by => Err(ReviewError::SamePerson),
            None if needs_two => Ok(Approval::First(Self {
                first_approver: Some(by.clone()),
                ..noted.with_state(ReviewState::Open)
            })),
            Some(_) | None => {
                let decided = noted.decide(ReviewState::Approved, by.clone(), now);
                Ok(Approval::Decided(decided))
            }
        }
    }

    /// Rejects it: the points are voided.
    pub fn reject(&self, by: &Actor, note: String, now: Timestamp) -> Result<Self, ReviewError> {
        self.check_claim(by, now)?;
        Ok(Self {
            note: Some(note),
            ..self.decide(ReviewState::Rejected, by.clone(), now)
        })
    }

    /// Decides it by the time-out, also while it is claimed.
    pub fn time_out(
        &self,
        then: TimeoutDecision,
        by: Actor,
        now: Timestamp,
    ) -> Result<Self, ReviewError> {
        self.check_undecided()?;
        let released = then == TimeoutDecision::Approve;
        Ok(self.decide(ReviewState::TimedOut { released }, by, now))
    }

    /// Takes `gone` out of the points that are reviewed; a claim stays.
    pub fn reduce_points(&self, gone: Points) -> Result<Self, ReviewError> {
        self.check_undecided()?;
        Ok(Self {
            points: self.points.saturating_sub(gone),
            ..self.with_state(self.state.clone())
        })
    }

    /// Ends it because nothing is left to review.
    pub fn supersede(&self, by: Actor, now: Timestamp) -> Result<Self, ReviewError> {
        self.check_undecided()?;
        Ok(self.decide(ReviewState::Superseded, by, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{EntryKind, Id, Lane};

    fn row(points: i64) -> ReviewRow {
        let id = Id::mint(1_795_000_000_000, 7, Lane(1));
        ReviewRow {
            id: ReviewId::of(id),
            tenant: TenantId(1),
            kind: ReviewKind::Order,
            stage: Stage::PointsCredit,
            entry: EntryId::of(id, EntryKind::PointsHeld),
            customer: CustomerId::new(id),
            merchant: None,
            points: Points::parse(points).unwrap(),
            amount: None,
            source: "payment".into(),
            rules: String::new(),
            state: ReviewState::Open,
            first_approver: None,
            decided: None,
            note: None,
            due_at: Some(at(1_000_000)),
            version: 1,
            created_at: at(0),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn who(name: &str) -> Actor {
        Actor::operator(name)
    }

    #[test]
    fn a_claim_keeps_others_away_for_half_an_hour() {
        let claimed = row(5).claim(&who("a"), at(0)).unwrap();
        let soon = at(CLAIM_SECONDS - 1);
        assert!(matches!(
            claimed.claim(&who("b"), soon),
            Err(ReviewError::ClaimedByAnother)
        ));
        assert!(matches!(
            claimed.reject(&who("b"), "x".into(), soon),
            Err(ReviewError::ClaimedByAnother)
        ));
        assert!(matches!(
            claimed.unclaim(&who("b"), soon),
            Err(ReviewError::ClaimedByAnother)
        ));
        assert!(claimed.claim(&who("a"), soon).is_ok());
        let taken = claimed.claim(&who("b"), at(CLAIM_SECONDS)).unwrap();
        assert_eq!(taken.holder(at(CLAIM_SECONDS)), Some(&who("b")));
        assert_eq!(taken.version, 3);
        // Whoever lost it cannot unclaim it.
        assert!(taken.unclaim(&who("a"), at(CLAIM_SECONDS)).is_err());
        let open = taken.unclaim(&who("b"), at(CLAIM_SECONDS)).unwrap();
        assert_eq!(open.state, ReviewState::Open);
        assert!(matches!(
            open.unclaim(&who("b"), at(CLAIM_SECONDS)),
            Err(ReviewError::NotClaimedByCaller)
        ));
    }

    #[test]
    fn more_points_than_the_limit_take_two_people_to_release_and_one_to_void() {
        let policy = ReviewPolicy {
            second_person_above: Points::constant(10),
            ..ReviewPolicy::default()
        };
        let approve = |row: &ReviewRow, name| row.approve(&who(name), None, &policy, at(1));
        assert!(matches!(
            approve(&row(10), "a"),
            Ok(Approval::Decided(decided)) if decided.state == ReviewState::Approved
        ));
        let Ok(Approval::First(first)) = approve(&row(11), "a") else {
            panic!("one person released eleven points");
        };
        assert_eq!(first.state, ReviewState::Open);
        assert!(matches!(approve(&first, "a"), Err(ReviewError::SamePerson)));
        assert!(matches!(approve(&first, "b"), Ok(Approval::Decided(_))));
        let rejected = first.reject(&who("a"), "x".into(), at(2)).unwrap();
        assert_eq!(rejected.state.released(), Some(false));
    }

    #[test]
    fn what_is_decided_never_changes() {
        let policy = ReviewPolicy::default();
        let (a, now) = (who("a"), at(1));
        let approved = match row(5).approve(&a, None, &policy, now).unwrap() {
            Approval::Decided(row) | Approval::First(row) => row,
        };
        for decided in [
            approved,
            row(5).reject(&a, "x".into(), now).unwrap(),
            row(5)
                .time_out(TimeoutDecision::Approve, who("t"), now)
                .unwrap(),
            row(5)
                .time_out(TimeoutDecision::Reject, who("t"), now)
                .unwrap(),
            row(5).supersede(who("t"), now).unwrap(),
        ] {
            assert!(decided.is_decided() && decided.due_at.is_none());
            assert!(decided.decided.is_some());
            assert!(decided.claim(&a, now).is_err());
            assert!(decided.unclaim(&a, now).is_err());
            assert!(decided.approve(&a, None, &policy, now).is_err());
            assert!(decided.reject(&a, "x".into(), now).is_err());
            assert!(
                decided
                    .time_out(TimeoutDecision::Reject, a.clone(), now)
                    .is_err()
            );
            assert!(decided.supersede(a.clone(), now).is_err());
        }
    }

    #[test]
    fn the_time_out_decides_whoever_has_claimed() {
        let claimed = row(5).claim(&who("a"), at(0)).unwrap();
        let timed_out = claimed
            .time_out(TimeoutDecision::Approve, who("t"), at(1))
            .unwrap();
        assert_eq!(timed_out.state, ReviewState::TimedOut { released: true });
    }
}
