//! Commands of back ends. Pure.

use std::fmt;

use crate::{
    audit::Actor,
    facts::{Facts, Stage},
    idempotency::{Claim, first_half},
    primitives::{
        BusinessDay, CustomerId, InvalidText, Length, MerchantId, OrderId, Points, TenantId, Text,
        Timestamp,
    },
};

use super::{PointsError, PointsTransactionKind};

/// Most points of one command.
const POINTS_MAX: Points = Points::constant(1_000_000_000);
const REASON_MAX: usize = 200;
/// Minutes that a hold lasts by default, and at most (thirty days).
pub const HOLD_MINUTES: u32 = 30;
const HOLD_MINUTES_MAX: u32 = 43_200;

/// The name of a back end, as in its token: 1 to 32 of `a-z 0-9 . _ -`. The names that statistics
/// use for other sources are reserved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(String);

/// Sources of points other than back ends.
const OURSELVES: [&str; 4] = ["payment", "refund", "expiry", "adjustment"];

/// A back end's own name for a points transaction: 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference(String);

/// Text that does not have the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected is {0}")]
pub struct InvalidWord(pub &'static str);

impl Source {
    pub fn parse(text: &str) -> Result<Self, InvalidWord> {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let sound = (1..=32).contains(&text.len()) && text.bytes().all(plain);
        if sound && !OURSELVES.contains(&text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWord("1 to 32 of a-z, 0-9, '.', '_' and '-'"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, InvalidWord> {
        let sound = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWord("1 to 64 visible ASCII characters"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Credits the points. `expired_from` is the first day on which they can no longer be used; if
    /// none, the validity of the tenant's rule decides.
    Award { expired_from: Option<BusinessDay> },
    /// Takes the points.
    Deduct,
    /// Spends the points at once.
    Redeem,
    /// Holds the points for so many minutes.
    Hold { minutes: u32 },
}

/// The error of an award whose points would have expired when they are credited. The field is named
/// as in the API.
pub(super) const EXPIRED_AT_CREATION: PointsError = PointsError::Field {
    field: "last_usable_on",
    expected: "today (UTC+8) or later",
};

/// A request of a back end about the points of one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointsCommand {
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub instruction: Instruction,
    pub points: Points,
    pub source: Source,
    pub reference: Reference,
    pub reason: String,
    /// The order that it is about, which must be the customer's.
    pub order: Option<OrderId>,
    /// The merchant that it is about. If an order is named, it must be the order's merchant.
    pub merchant: Option<MerchantId>,
    pub by: Actor,
}

impl PointsCommand {
    pub const fn kind(&self) -> PointsTransactionKind {
        match self.instruction {
            Instruction::Award { .. } => PointsTransactionKind::Award,
            Instruction::Deduct => PointsTransactionKind::Deduct,
            Instruction::Redeem | Instruction::Hold { .. } => PointsTransactionKind::Redeem,
        }
    }

    /// Fails if the command is invalid on the day `today`.
    pub(super) fn check(&self, today: BusinessDay) -> Result<(), PointsError> {
        check_amount_and_reason(self.points, &self.reason)?;
        let wrong = |field, expected| Err(PointsError::Field { field, expected });
        match self.instruction {
            Instruction::Award {
                expired_from: Some(day),
            } if day <= today => Err(EXPIRED_AT_CREATION),
            Instruction::Hold { minutes } if !(1..=HOLD_MINUTES_MAX).contains(&minutes) => {
                wrong("minutes", "1 to 43200")
            }
            Instruction::Award { .. }
            | Instruction::Deduct
            | Instruction::Redeem
            | Instruction::Hold { .. } => Ok(()),
        }
    }

    /// Claims the reference for this command.
    pub(super) fn claim(&self) -> Claim {
        Claim {
            id: self.key(),
            tenant: self.tenant,
            request_hash: self.request_hash(),
        }
    }

    fn key(&self) -> [u8; 16] {
        key_of(self.tenant, self.kind(), (&self.source, &self.reference))
    }

    /// Returns a hash of all that distinguishes one request from another under the same reference.
    fn request_hash(&self) -> [u8; 16] {
        let (word, day, minutes) = match self.instruction {
            Instruction::Award { expired_from } => ("award", expired_from, 0),
            Instruction::Deduct => ("deduct", None, 0),
            Instruction::Redeem => ("redeem", None, 0),
            Instruction::Hold { minutes } => ("hold", None, minutes),
        };
        let day = day.map(|day| day.to_string()).unwrap_or_default();
        first_half(&[
            word.as_bytes(),
            self.customer.bytes(),
            &self.points.get().to_be_bytes(),
            self.reason.as_bytes(),
            self.order.as_ref().map_or(&[][..], |id| id.bytes()),
            self.merchant.as_ref().map_or(&[][..], |id| id.bytes()),
            day.as_bytes(),
            &minutes.to_be_bytes(),
        ])
    }

    /// Returns the facts for risk; none for a deduction, about which risk is not asked.
    pub(super) fn facts(&self, merchant: Option<MerchantId>, at: Timestamp) -> Option<Facts> {
        let stage = match self.kind() {
            PointsTransactionKind::Award => Stage::PointsCredit,
            PointsTransactionKind::Redeem => Stage::Redeem,
            PointsTransactionKind::Deduct | PointsTransactionKind::Return => return None,
        };
        Some(Facts {
            customer: Some(self.customer),
            merchant,
            points: Some(self.points),
            source: Some(self.source.as_str().to_owned()),
            ..Facts::new(stage, self.tenant, at)
        })
    }
}

/// Returns the key of a reference: one for each tenant, kind, source and reference.
pub(super) fn key_of(
    tenant: TenantId,
    kind: PointsTransactionKind,
    (source, reference): (&Source, &Reference),
) -> [u8; 16] {
    first_half(&[
        &tenant.0.to_be_bytes(),
        b"points",
        kind.name().as_bytes(),
        source.as_str().as_bytes(),
        reference.as_str().as_bytes(),
    ])
}

/// Fails for points or reasons that no command may have.
pub(super) fn check_amount_and_reason(points: Points, reason: &str) -> Result<(), PointsError> {
    let wrong = |field, expected| Err(PointsError::Field { field, expected });
    if points.is_zero() || points > POINTS_MAX {
        return wrong("points", "1 to 1000000000");
    }
    match Text::parse(reason, Length::Characters(1, REASON_MAX)) {
        Ok(_) => Ok(()),
        Err(InvalidText::Length) => wrong("reason", "1 to 200 characters of text in one line"),
        Err(InvalidText::Hidden(_)) => wrong("reason", Text::EXPECTED),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::primitives::{Id, Lane};

    fn command() -> PointsCommand {
        PointsCommand {
            tenant: TenantId(1),
            customer: CustomerId::new(Id::mint(1, 2, Lane(3))),
            instruction: Instruction::Hold { minutes: 30 },
            points: Points::constant(10),
            source: Source::parse("merchant-crm").unwrap(),
            reference: Reference::parse("r-1").unwrap(),
            reason: "兑换".to_owned(),
            order: None,
            merchant: None,
            by: Actor::operator("test"),
        }
    }

    #[test]
    fn a_source_is_plain_and_not_one_of_our_own() {
        assert!(Source::parse("merchant-crm.2_x").is_ok());
        for bad in [
            "",
            "Merchant",
            "a b",
            "账",
            "payment",
            "expiry",
            &"x".repeat(33),
        ] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reference_is_visible_ascii() {
        assert!(Reference::parse("A/b+c:1'\"").is_ok());
        for bad in ["", " ", "a b", "账", "a\u{7f}", &"x".repeat(65)] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_is_checked_field_by_field() {
        let today = BusinessDay(date!(2026 - 11 - 21));
        let field = |change: fn(&mut PointsCommand)| {
            let mut command = command();
            change(&mut command);
            match command.check(today) {
                Ok(()) => "",
                Err(PointsError::Field { field, .. }) => field,
                Err(_) => "?",
            }
        };
        assert_eq!(field(|_| ()), "");
        assert_eq!(field(|command| command.points = Points::ZERO), "points");
        assert_eq!(
            field(|command| command.points = Points::constant(1_000_000_001)),
            "points"
        );
        assert_eq!(field(|command| command.reason = String::new()), "reason");
        assert_eq!(
            field(|command| command.reason = "a\nb".to_owned()),
            "reason"
        );
        assert_eq!(field(|command| command.reason = "账".repeat(201)), "reason");
        assert_eq!(field(|command| command.reason = "账".repeat(200)), "");
        for minutes in [0, 43_201] {
            let mut command = command();
            command.instruction = Instruction::Hold { minutes };
            assert!(command.check(today).is_err());
        }
        let award = |day| {
            let instruction = Instruction::Award {
                expired_from: Some(BusinessDay(day)),
            };
            PointsCommand {
                instruction,
                ..command()
            }
            .check(today)
            .is_ok()
        };
        assert!(award(date!(2026 - 11 - 22)) && !award(date!(2026 - 11 - 21)));
    }

    /// A field that the hash forgets would let another request pass for the same one.
    #[test]
    fn every_field_makes_another_request_and_none_another_key() {
        type Change = fn(&mut PointsCommand);
        let id = Id::mint(9, 9, Lane(9));
        let changes: [Change; 6] = [
            |command| command.customer = CustomerId::new(Id::mint(2, 2, Lane(3))),
            |command| command.points = Points::constant(11),
            |command| command.reason.push('x'),
            |command| command.instruction = Instruction::Hold { minutes: 31 },
            |command| command.instruction = Instruction::Redeem,
            |command| command.order = Some(OrderId::new(Id::mint(2, 2, Lane(3)))),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut other = command();
            change(&mut other);
            assert_eq!(other.key(), command().key(), "{index}");
            assert_ne!(other.request_hash(), command().request_hash(), "{index}");
        }
        let at_merchant = PointsCommand {
            merchant: Some(MerchantId::new(id)),
            ..command()
        };
        let of_order = PointsCommand {
            order: Some(OrderId::new(id)),
            ..command()
        };
        assert_ne!(at_merchant.request_hash(), of_order.request_hash());
        for instruction in [
            Instruction::Award { expired_from: None },
            Instruction::Deduct,
        ] {
            assert_ne!(
                PointsCommand {
                    instruction,
                    ..command()
                }
                .key(),
                command().key()
            );
        }
    }
}
