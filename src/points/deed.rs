//! What a back end does to a customer's points, and how it goes on. Pure.

use crate::{
    audit::Actor,
    primitives::{
        BusinessDay, CustomerId, DeedId, EntryId, EntryKind, MerchantId, OrderId, Points, TenantId,
        Timestamp,
    },
};

use super::{Reference, Source};

/// Points given, taken or spent by a back end, under its own reference. See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    pub id: DeedId,
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub kind: DeedKind,
    pub state: DeedState,
    /// More than none.
    pub points: Points,
    /// Of a redemption that is done: how many were spent. None of anything else.
    pub captured: Points,
    /// Of what was spent or taken: how many were given back since, and in how many parts.
    pub returned: Points,
    pub returns: u32,
    /// Of a return: the deed whose points it gives back.
    pub returns_of: Option<DeedId>,
    pub source: Source,
    pub reference: Reference,
    pub reason: String,
    pub order: Option<OrderId>,
    pub merchant: Option<MerchantId>,
    /// Of an award: the first day on which its points are gone.
    pub expires_on: Option<BusinessDay>,
    /// Of a redemption that is set aside first: until when.
    pub hold_until: Option<Timestamp>,
    pub created_by: Actor,
    pub version: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a back end wants with points. The number and the word are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeedKind {
    Award,
    Deduct,
    /// To be spent, at once or after having been set aside.
    Redeem,
    /// To be given back, of what a deduction or a redemption took.
    Return,
}

/// Where a deed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeedState {
    /// Set aside, until it is captured, released or its time is over.
    Held,
    Done,
    /// Let go by the back end.
    Released,
    /// Let go because its time was over.
    Expired,
    /// Risk wants a person to decide; the points are pending.
    UnderReview,
    /// Stopped by risk, or by the person who decided.
    Refused,
}

impl DeedKind {
    pub const ALL: [Self; 4] = [Self::Award, Self::Deduct, Self::Redeem, Self::Return];

    pub const fn code(self) -> u8 {
        match self {
            Self::Award => 1,
            Self::Deduct => 2,
            Self::Redeem => 3,
            Self::Return => 4,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Award => "award",
            Self::Deduct => "deduct",
            Self::Redeem => "redeem",
            Self::Return => "return",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl DeedState {
    pub const ALL: [Self; 6] = [
        Self::Held,
        Self::Done,
        Self::Released,
        Self::Expired,
        Self::UnderReview,
        Self::Refused,
    ];

    pub const fn code(self) -> u8 {
        match self {
            Self::Held => 1,
            Self::Done => 2,
            Self::Released => 3,
            Self::Expired => 4,
            Self::UnderReview => 5,
            Self::Refused => 6,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Done => "done",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::UnderReview => "under_review",
            Self::Refused => "refused",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What became of an event: "already so" is no mistake, which makes repeating safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Now(Box<Deed>),
    Before,
}

/// Why a deed does not take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the deed is {}", .0.name())]
    State(DeedState),
    #[error("between one and {0} points can be captured")]
    Amount(Points),
    #[error("{} are not returned", .0.name())]
    Kind(DeedKind),
    #[error("{0} are left to be returned")]
    Left(Points),
}

impl Deed {
    /// The entry that sets points aside, for as long as it is not decided whose they are.
    pub const fn pending_entry(&self) -> EntryId {
        let kind = match self.kind {
            DeedKind::Award => EntryKind::PointsAwarded,
            DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return => EntryKind::PointsReserved,
        };
        EntryId::of(self.id.id(), kind)
    }

    /// Stopped by risk before anything was booked: nothing else ends in its first version.
    pub fn is_blocked(&self) -> bool {
        self.state == DeedState::Refused && self.version == 1
    }

    /// Spends what is held, or `points` of it; the rest is let go. Once its time is over nothing can be spent, also while nobody has ended the hold yet.
    pub fn capture(&self, points: Option<Points>, at: Timestamp) -> Result<Turn, Unfit> {
        let asked = points.unwrap_or(self.points);
        match self.state {
            DeedState::Held if self.is_over(at) => Err(Unfit::State(DeedState::Expired)),
            DeedState::Held if asked.is_zero() || asked > self.points => {
                Err(Unfit::Amount(self.points))
            }
            DeedState::Held => {
                let captured = asked;
                Ok(Turn::Now(Box::new(Self {
                    captured,
                    ..self.turned(DeedState::Done, at)
                })))
            }
            DeedState::Done if self.hold_until.is_some() && self.captured == asked => {
                Ok(Turn::Before)
            }
            DeedState::Done
            | DeedState::Released
            | DeedState::Expired
            | DeedState::UnderReview
            | DeedState::Refused => Err(Unfit::State(self.state)),
        }
    }

    /// The back end lets go what is held.
    pub fn release(&self, at: Timestamp) -> Result<Turn, Unfit> {
        match self.state {
            DeedState::Held => Ok(Turn::Now(Box::new(self.turned(DeedState::Released, at)))),
            DeedState::Released => Ok(Turn::Before),
            DeedState::Done | DeedState::Expired | DeedState::UnderReview | DeedState::Refused => {
                Err(Unfit::State(self.state))
            }
        }
    }

    /// The time of a hold is over.
    pub fn time_out(&self, at: Timestamp) -> Result<Turn, Unfit> {
        match self.state {
            DeedState::Held if self.is_over(at) => {
                Ok(Turn::Now(Box::new(self.turned(DeedState::Expired, at))))
            }
            DeedState::Expired => Ok(Turn::Before),
            DeedState::Held
            | DeedState::Done
            | DeedState::Released
            | DeedState::UnderReview
            | DeedState::Refused => Err(Unfit::State(self.state)),
        }
    }

    /// The review lets it happen: an award is given, a redemption spent. A hold begins to be one, for as long as was asked.
    pub fn let_in(&self, at: Timestamp) -> Result<Self, Unfit> {
        if self.state != DeedState::UnderReview {
            return Err(Unfit::State(self.state));
        }
        Ok(match (self.kind, self.hold_until) {
            (DeedKind::Redeem, Some(until)) => {
                let lasts = until.seconds().saturating_sub(self.created_at.seconds());
                Self {
                    hold_until: Some(at.plus_seconds(lasts)),
                    ..self.turned(DeedState::Held, at)
                }
            }
            (DeedKind::Redeem, None) => Self {
                captured: self.points,
                ..self.turned(DeedState::Done, at)
            },
            (DeedKind::Award | DeedKind::Deduct | DeedKind::Return, _) => {
                self.turned(DeedState::Done, at)
            }
        })
    }

    /// The review does not.
    pub fn let_go(&self, at: Timestamp) -> Result<Self, Unfit> {
        if self.state != DeedState::UnderReview {
            return Err(Unfit::State(self.state));
        }
        Ok(self.turned(DeedState::Refused, at))
    }

    /// Gives back `points` of what it spent or took, as one more part. It stands as it stood.
    pub fn give_back(&self, points: Points) -> Result<Self, Unfit> {
        let taken = match self.kind {
            DeedKind::Deduct => self.points,
            DeedKind::Redeem => self.captured,
            DeedKind::Award | DeedKind::Return => return Err(Unfit::Kind(self.kind)),
        };
        if self.state != DeedState::Done {
            return Err(Unfit::State(self.state));
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
            Ok(_) | Err(_) => Err(Unfit::Left(left)),
        }
    }

    fn is_over(&self, at: Timestamp) -> bool {
        self.hold_until.is_some_and(|until| until <= at)
    }

    fn turned(&self, state: DeedState, at: Timestamp) -> Self {
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

    fn hold(state: DeedState) -> Deed {
        let id = Id::mint(1, 2, Lane(3));
        Deed {
            id: DeedId::new(id),
            tenant: TenantId(1),
            customer: CustomerId::new(id),
            kind: DeedKind::Redeem,
            state,
            points: points(10),
            captured: points(if state == DeedState::Done { 10 } else { 0 }),
            returned: Points::ZERO,
            returns: 0,
            returns_of: None,
            source: Source::parse("merchant-crm").unwrap(),
            reference: Reference::parse("r-1").unwrap(),
            reason: String::new(),
            order: None,
            merchant: None,
            expires_on: None,
            hold_until: Some(START.plus_seconds(60)),
            created_by: Actor::new("test"),
            version: 1,
            created_at: START,
            updated_at: START,
        }
    }

    fn word(turn: Result<Turn, Unfit>) -> String {
        match turn {
            Ok(Turn::Now(deed)) => deed.state.name().to_owned(),
            Ok(Turn::Before) => "before".to_owned(),
            Err(Unfit::State(state)) => format!("({})", state.name()),
            Err(Unfit::Amount(_)) => "(amount)".to_owned(),
            Err(Unfit::Kind(_) | Unfit::Left(_)) => "(return)".to_owned(),
        }
    }

    /// The table of the module's text.
    #[test]
    fn a_hold_goes_on_exactly_like_this() {
        let late = START.plus_seconds(60);
        let table = DeedState::ALL.map(|state| {
            let deed = hold(state);
            let cells = [
                word(deed.capture(None, START)),
                word(deed.release(START)),
                word(deed.time_out(late)),
                word(deed.let_in(START).map(Box::new).map(Turn::Now)),
                word(deed.let_go(START).map(Box::new).map(Turn::Now)),
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
        let deed = hold(DeedState::Held);
        let (before, over) = (START.plus_seconds(59), START.plus_seconds(60));
        assert_eq!(word(deed.time_out(before)), "(held)");
        assert_eq!(word(deed.capture(None, before)), "done");
        assert_eq!(word(deed.capture(None, over)), "(expired)");
        assert_eq!(word(deed.release(over)), "released");
    }

    #[test]
    fn a_part_can_be_captured_and_no_more_than_is_held() {
        let deed = hold(DeedState::Held);
        for bad in [0, 11] {
            assert_eq!(word(deed.capture(Some(points(bad)), START)), "(amount)");
        }
        let Ok(Turn::Now(done)) = deed.capture(Some(points(4)), START) else {
            panic!("not captured");
        };
        assert_eq!((done.captured, done.version), (points(4), 2));
        assert_eq!(word(done.capture(Some(points(4)), START)), "before");
        assert_eq!(word(done.capture(None, START)), "(done)");
    }

    #[test]
    fn a_redemption_at_once_is_not_captured_again() {
        let deed = Deed {
            hold_until: None,
            ..hold(DeedState::Done)
        };
        assert_eq!(word(deed.capture(None, START)), "(done)");
    }

    #[test]
    fn a_hold_that_is_let_in_lasts_as_long_as_was_asked() {
        let later = START.plus_seconds(100_000);
        let held = hold(DeedState::UnderReview).let_in(later).unwrap();
        assert_eq!(held.hold_until, Some(later.plus_seconds(60)));
        let at_once = Deed {
            hold_until: None,
            ..hold(DeedState::UnderReview)
        };
        let done = at_once.let_in(later).unwrap();
        assert_eq!((done.state, done.captured), (DeedState::Done, points(10)));
    }

    #[test]
    fn what_was_taken_is_given_back_in_parts_and_never_more() {
        let mut deed = hold(DeedState::Done);
        for (part, left) in [(4, 6), (6, 0)] {
            let more = deed.give_back(points(left + part + 1));
            assert_eq!(more, Err(Unfit::Left(points(left + part))));
            deed = deed.give_back(points(part)).unwrap();
        }
        assert_eq!(
            (deed.returned, deed.returns, deed.version),
            (points(10), 2, 3)
        );
        assert_eq!(deed.give_back(points(1)), Err(Unfit::Left(points(0))));
        let held = hold(DeedState::Held).give_back(points(1));
        assert_eq!(held, Err(Unfit::State(DeedState::Held)));
        for kind in [DeedKind::Award, DeedKind::Return] {
            let given = Deed {
                kind,
                ..hold(DeedState::Done)
            };
            assert_eq!(given.give_back(points(1)), Err(Unfit::Kind(kind)));
        }
        let taken = Deed {
            kind: DeedKind::Deduct,
            captured: Points::ZERO,
            ..hold(DeedState::Done)
        };
        assert_eq!(taken.give_back(points(10)).unwrap().returned, points(10));
    }

    #[test]
    fn kinds_and_states_keep_their_numbers_and_words() {
        for kind in DeedKind::ALL {
            assert_eq!(DeedKind::from_code(kind.code()), Some(kind));
            assert_eq!(DeedKind::from_name(kind.name()), Some(kind));
        }
        for state in DeedState::ALL {
            assert_eq!(DeedState::from_code(state.code()), Some(state));
            assert_eq!(DeedState::from_name(state.name()), Some(state));
        }
    }
}
