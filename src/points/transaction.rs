//! A points transaction and its transitions. Pure.

use crate::{
    audit::Actor,
    primitives::{
        BusinessDay, CustomerId, EntryId, EntryKind, MerchantId, OrderId, Points,
        PointsTransactionId, TenantId, Timestamp, coded,
    },
};

use super::{Reference, Source};

/// What a back end did with a customer's points, under its own reference. See the module docs of
/// `points`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointsTransaction {
    pub id: PointsTransactionId,
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub kind: PointsTransactionKind,
    pub state: PointsTransactionState,
    /// Greater than zero.
    pub points: Points,
    /// Points spent by a redemption that is done; zero for other kinds and states.
    pub captured: Points,
    /// Points given back since of a deduction or redemption, and by how many returns.
    pub returned: Points,
    pub returns: u32,
    /// The points transaction whose points a return gives back.
    pub returns_of: Option<PointsTransactionId>,
    pub source: Source,
    pub reference: Reference,
    pub reason: String,
    pub order: Option<OrderId>,
    pub merchant: Option<MerchantId>,
    /// For an award: the first day on which its points can no longer be used.
    pub expired_from: Option<BusinessDay>,
    /// When a hold times out.
    pub hold_until: Option<Timestamp>,
    pub created_by: Actor,
    pub version: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

coded! {
    /// What a points transaction does. Code and name never change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum PointsTransactionKind: Serde {
        Award = 1 => "award",
        Deduct = 2 => "deduct",
        /// Spends points, at once or after a hold.
        Redeem = 3 => "redeem",
        /// Gives back points that a deduction or a redemption took.
        Return = 4 => "return",
    }
}

coded! {
    /// The state of a points transaction.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum PointsTransactionState: Serde {
        /// Held, until it is captured, released or timed out.
        Held = 1 => "held",
        Done = 2 => "done",
        /// Released by the back end.
        Released = 3 => "released",
        /// The hold timed out.
        Expired = 4 => "expired",
        /// Risk wants a person to decide; the points are pending.
        UnderReview = 5 => "under_review",
        /// Stopped by risk, or rejected in its review.
        Refused = 6 => "refused",
    }
}

/// The effect of an event. An event that was applied before is no error, which makes repeats safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    Now(Box<PointsTransaction>),
    Before,
}

/// A points transaction does not accept an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    #[error("the points transaction is {}", .0.name())]
    State(PointsTransactionState),
    #[error("between one and {0} points can be captured")]
    Amount(Points),
    #[error("{} are not returned", .0.name())]
    Kind(PointsTransactionKind),
    #[error("{0} are left to be returned")]
    Left(Points),
}

impl PointsTransaction {
    /// Returns the pending entry of a hold or of a review.
    pub const fn pending_entry(&self) -> EntryId {
        let kind = match self.kind {
            PointsTransactionKind::Award => EntryKind::PointsAwarded,
            PointsTransactionKind::Deduct
            | PointsTransactionKind::Redeem
            | PointsTransactionKind::Return => EntryKind::PointsReserved,
        };
        EntryId::of(self.id.id(), kind)
    }

    /// Returns whether risk stopped it before anything was booked. Only such points transactions
    /// end in their first version.
    pub fn is_blocked(&self) -> bool {
        self.state == PointsTransactionState::Refused && self.version == 1
    }

    /// Spends `points` of what is held, or all if none; the rest is released. Fails once the hold's
    /// time has passed, even if nobody has ended the hold yet.
    pub fn capture(
        &self,
        points: Option<Points>,
        at: Timestamp,
    ) -> Result<Applied, TransitionError> {
        let asked = points.unwrap_or(self.points);
        match self.state {
            PointsTransactionState::Held if self.hold_has_ended(at) => {
                Err(TransitionError::State(PointsTransactionState::Expired))
            }
            PointsTransactionState::Held if asked.is_zero() || asked > self.points => {
                Err(TransitionError::Amount(self.points))
            }
            PointsTransactionState::Held => {
                let captured = asked;
                Ok(Applied::Now(Box::new(Self {
                    captured,
                    ..self.moved_to(PointsTransactionState::Done, at)
                })))
            }
            PointsTransactionState::Done if self.hold_until.is_some() && self.captured == asked => {
                Ok(Applied::Before)
            }
            PointsTransactionState::Done
            | PointsTransactionState::Released
            | PointsTransactionState::Expired
            | PointsTransactionState::UnderReview
            | PointsTransactionState::Refused => Err(TransitionError::State(self.state)),
        }
    }

    pub fn release(&self, at: Timestamp) -> Result<Applied, TransitionError> {
        match self.state {
            PointsTransactionState::Held => Ok(Applied::Now(Box::new(
                self.moved_to(PointsTransactionState::Released, at),
            ))),
            PointsTransactionState::Released => Ok(Applied::Before),
            PointsTransactionState::Done
            | PointsTransactionState::Expired
            | PointsTransactionState::UnderReview
            | PointsTransactionState::Refused => Err(TransitionError::State(self.state)),
        }
    }

    /// Ends a hold that has timed out.
    pub fn time_out(&self, at: Timestamp) -> Result<Applied, TransitionError> {
        match self.state {
            PointsTransactionState::Held if self.hold_has_ended(at) => Ok(Applied::Now(Box::new(
                self.moved_to(PointsTransactionState::Expired, at),
            ))),
            PointsTransactionState::Expired => Ok(Applied::Before),
            PointsTransactionState::Held
            | PointsTransactionState::Done
            | PointsTransactionState::Released
            | PointsTransactionState::UnderReview
            | PointsTransactionState::Refused => Err(TransitionError::State(self.state)),
        }
    }

    /// Approves it: an award is credited, a redemption is spent, and a hold begins with the
    /// duration that was requested.
    pub fn approve(&self, at: Timestamp) -> Result<Self, TransitionError> {
        if self.state != PointsTransactionState::UnderReview {
            return Err(TransitionError::State(self.state));
        }
        Ok(match (self.kind, self.hold_until) {
            (PointsTransactionKind::Redeem, Some(until)) => {
                let lasts = until.seconds().saturating_sub(self.created_at.seconds());
                Self {
                    hold_until: Some(at.plus_seconds(lasts)),
                    ..self.moved_to(PointsTransactionState::Held, at)
                }
            }
            (PointsTransactionKind::Redeem, None) => Self {
                captured: self.points,
                ..self.moved_to(PointsTransactionState::Done, at)
            },
            (
                PointsTransactionKind::Award
                | PointsTransactionKind::Deduct
                | PointsTransactionKind::Return,
                _,
            ) => self.moved_to(PointsTransactionState::Done, at),
        })
    }

    pub fn reject(&self, at: Timestamp) -> Result<Self, TransitionError> {
        if self.state != PointsTransactionState::UnderReview {
            return Err(TransitionError::State(self.state));
        }
        Ok(self.moved_to(PointsTransactionState::Refused, at))
    }

    /// Counts `points` as returned, as one more return. The state stays.
    pub fn return_points(&self, points: Points) -> Result<Self, TransitionError> {
        let taken = match self.kind {
            PointsTransactionKind::Deduct => self.points,
            PointsTransactionKind::Redeem => self.captured,
            PointsTransactionKind::Award | PointsTransactionKind::Return => {
                return Err(TransitionError::Kind(self.kind));
            }
        };
        if self.state != PointsTransactionState::Done {
            return Err(TransitionError::State(self.state));
        }
        let left = taken.saturating_sub(self.returned);
        let returned = self.returned.checked_add(points);
        match returned {
            Ok(returned) if points <= left => Ok(Self {
                returned,
                returns: self.returns.saturating_add(1),
                version: self.version.saturating_add(1),
                ..self.clone()
            }),
            Ok(_) | Err(_) => Err(TransitionError::Left(left)),
        }
    }

    fn hold_has_ended(&self, at: Timestamp) -> bool {
        self.hold_until.is_some_and(|until| until <= at)
    }

    fn moved_to(&self, state: PointsTransactionState, at: Timestamp) -> Self {
        Self {
            state,
            version: self.version.saturating_add(1),
            updated_at: at,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    const START: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

    fn points(units: i64) -> Points {
        Points::parse(units).unwrap()
    }

    fn hold(state: PointsTransactionState) -> PointsTransaction {
        let id = Id::mint(1, 2, Lane(3));
        PointsTransaction {
            id: PointsTransactionId::new(id),
            tenant: TenantId(1),
            customer: CustomerId::new(id),
            kind: PointsTransactionKind::Redeem,
            state,
            points: points(10),
            captured: points(if state == PointsTransactionState::Done {
                10
            } else {
                0
            }),
            returned: Points::ZERO,
            returns: 0,
            returns_of: None,
            source: Source::parse("merchant-crm").unwrap(),
            reference: Reference::parse("r-1").unwrap(),
            reason: String::new(),
            order: None,
            merchant: None,
            expired_from: None,
            hold_until: Some(START.plus_seconds(60)),
            created_by: Actor::operator("test"),
            version: 1,
            created_at: START,
            updated_at: START,
        }
    }

    fn word(turn: Result<Applied, TransitionError>) -> String {
        match turn {
            Ok(Applied::Now(transaction)) => transaction.state.name().to_owned(),
            Ok(Applied::Before) => "before".to_owned(),
            Err(TransitionError::State(state)) => format!("({})", state.name()),
            Err(TransitionError::Amount(_)) => "(amount)".to_owned(),
            Err(TransitionError::Kind(_) | TransitionError::Left(_)) => "(return)".to_owned(),
        }
    }

    /// The table of the module's text.
    #[test]
    fn a_hold_goes_on_exactly_like_this() {
        let late = START.plus_seconds(60);
        let table = PointsTransactionState::ALL.map(|state| {
            let transaction = hold(state);
            let cells = [
                word(transaction.capture(None, START)),
                word(transaction.release(START)),
                word(transaction.time_out(late)),
                word(transaction.approve(START).map(Box::new).map(Applied::Now)),
                word(transaction.reject(START).map(Box::new).map(Applied::Now)),
            ];
            format!("{}: {}", state.name(), cells.join(", "))
        });
        let expected = "\
held: done, released, expired, (held), (held)
done: before, (done), (done), (done), (done)
released: (released), before, (released), (released), (released)
expired: (expired), (expired), before, (expired), (expired)
under_review: (under_review), (under_review), (under_review), held, refused
refused: (refused), (refused), (refused), (refused), (refused)";
        assert_eq!(table.join("\n"), expected);
    }

    #[test]
    fn a_hold_ends_at_its_instant_for_everybody() {
        let transaction = hold(PointsTransactionState::Held);
        let (before, over) = (START.plus_seconds(59), START.plus_seconds(60));
        assert_eq!(word(transaction.time_out(before)), "(held)");
        assert_eq!(word(transaction.capture(None, before)), "done");
        assert_eq!(word(transaction.capture(None, over)), "(expired)");
        assert_eq!(word(transaction.release(over)), "released");
    }

    #[test]
    fn a_part_can_be_captured_and_no_more_than_is_held() {
        let transaction = hold(PointsTransactionState::Held);
        for bad in [0, 11] {
            assert_eq!(
                word(transaction.capture(Some(points(bad)), START)),
                "(amount)"
            );
        }
        let Ok(Applied::Now(done)) = transaction.capture(Some(points(4)), START) else {
            panic!("not captured");
        };
        assert_eq!((done.captured, done.version), (points(4), 2));
        assert_eq!(word(done.capture(Some(points(4)), START)), "before");
        assert_eq!(word(done.capture(None, START)), "(done)");
    }

    #[test]
    fn a_redemption_at_once_is_not_captured_again() {
        let transaction = PointsTransaction {
            hold_until: None,
            ..hold(PointsTransactionState::Done)
        };
        assert_eq!(word(transaction.capture(None, START)), "(done)");
    }

    #[test]
    fn a_hold_that_a_review_releases_lasts_as_long_as_was_asked() {
        let later = START.plus_seconds(100_000);
        let held = hold(PointsTransactionState::UnderReview)
            .approve(later)
            .unwrap();
        assert_eq!(held.hold_until, Some(later.plus_seconds(60)));
        let at_once = PointsTransaction {
            hold_until: None,
            ..hold(PointsTransactionState::UnderReview)
        };
        let done = at_once.approve(later).unwrap();
        assert_eq!(
            (done.state, done.captured),
            (PointsTransactionState::Done, points(10))
        );
    }

    #[test]
    fn what_was_taken_is_given_back_in_parts_and_never_more() {
        let mut transaction = hold(PointsTransactionState::Done);
        for (part, left) in [(4, 6), (6, 0)] {
            let more = transaction.return_points(points(left + part + 1));
            assert_eq!(more, Err(TransitionError::Left(points(left + part))));
            transaction = transaction.return_points(points(part)).unwrap();
        }
        assert_eq!(
            (
                transaction.returned,
                transaction.returns,
                transaction.version
            ),
            (points(10), 2, 3)
        );
        assert_eq!(
            transaction.return_points(points(1)),
            Err(TransitionError::Left(points(0)))
        );
        let held = hold(PointsTransactionState::Held).return_points(points(1));
        assert_eq!(
            held,
            Err(TransitionError::State(PointsTransactionState::Held))
        );
        for kind in [PointsTransactionKind::Award, PointsTransactionKind::Return] {
            let given = PointsTransaction {
                kind,
                ..hold(PointsTransactionState::Done)
            };
            assert_eq!(
                given.return_points(points(1)),
                Err(TransitionError::Kind(kind))
            );
        }
        let taken = PointsTransaction {
            kind: PointsTransactionKind::Deduct,
            captured: Points::ZERO,
            ..hold(PointsTransactionState::Done)
        };
        assert_eq!(
            taken.return_points(points(10)).unwrap().returned,
            points(10)
        );
    }

    #[test]
    fn kinds_and_states_keep_their_numbers_and_words() {
        for kind in PointsTransactionKind::ALL {
            assert_eq!(PointsTransactionKind::from_code(kind.code()), Some(kind));
            assert_eq!(PointsTransactionKind::from_name(kind.name()), Some(kind));
        }
        for state in PointsTransactionState::ALL {
            assert_eq!(PointsTransactionState::from_code(state.code()), Some(state));
            assert_eq!(PointsTransactionState::from_name(state.name()), Some(state));
        }
    }
}
