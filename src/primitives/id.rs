//! Typed ids, and what an id says by itself.
//!
//! Every id is 16 bytes, `BINARY(16)` in the database, shaped like a UUIDv7 so that it clusters by
//! time:
//!
//! ```text
//! byte   0..6        6..14                     14          15
//!        unix ms     version, variant, random  lane        kind
//! ```
//!
//! - The **lane** ([`Lane`]) is the customer's: a customer is given one at random, and everything
//!   minted for that customer carries it. It is how an operation finds the committer of the account
//!   that it will touch without looking anything up.
//! - The **kind** is zero for a thing (an order, a customer) and not zero for what is derived from
//!   the thing: the journal entry that settled the order, the account that holds the customer's
//!   points. A derived id is found by arithmetic, needs no index, and cannot be written twice: *the
//!   id is the idempotency key*.
//!
//! 58 random bits remain in every millisecond and lane.

use super::{Timestamp, coded::coded};
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// The 16 bytes behind every typed id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id([u8; 16]);

const LANE: usize = 14;
const KIND: usize = 15;

impl Id {
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A new thing's id: `millis` since 1970, `random` bits, the customer's lane.
    #[must_use]
    pub fn mint(millis: u64, random: u64, lane: Lane) -> Self {
        let (ms, rnd) = (millis.to_be_bytes(), random.to_be_bytes());
        Self([
            ms[2],
            ms[3],
            ms[4],
            ms[5],
            ms[6],
            ms[7],
            0x70 | (rnd[0] & 0x0f),
            rnd[1],
            0x80 | (rnd[2] & 0x3f),
            rnd[3],
            rnd[4],
            rnd[5],
            rnd[6],
            rnd[7],
            lane.0,
            0,
        ])
    }

    pub const fn lane(&self) -> Lane {
        Lane(self.0[LANE])
    }

    pub(crate) const fn kind(&self) -> u8 {
        self.0[KIND]
    }

    pub(crate) const fn with_kind(mut self, kind: u8) -> Self {
        self.0[KIND] = kind;
        self
    }

    /// Before every id of `millis` since 1970 and after, behind every one of before: where a
    /// stretch of time begins and ends among ids.
    #[must_use]
    pub fn beginning(millis: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Self(bytes)
    }

    /// Milliseconds since 1970 at which the thing was named.
    #[must_use]
    pub fn millis(&self) -> u64 {
        let b = &self.0;
        u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
    }

    /// When the thing was named, to the millisecond.
    #[must_use]
    pub fn minted_at(&self) -> Timestamp {
        let millis = i64::try_from(self.millis()).unwrap_or(i64::MAX);
        Timestamp::from_micros(millis.saturating_mul(1_000))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// 32 hex digits, as they are shown.
impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which committer an operation belongs to: see the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane(pub u8);

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct ParseIdError;

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Id);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub const fn new(id: Id) -> Self {
                Self(id)
            }

            pub const fn id(&self) -> Id {
                self.0
            }

            pub const fn bytes(&self) -> &[u8; 16] {
                self.0.bytes()
            }

            pub const fn lane(&self) -> Lane {
                self.0.lane()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(ParseIdError)?;
                let mut bytes = [0; 16];
                hex::decode_to_slice(hex, &mut bytes).map_err(|_| ParseIdError)?;
                Ok(Self(Id(bytes)))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                bytes.try_into().map(|bytes| Self(Id(bytes))).map_err(|_| ParseIdError)
            }
        }

        /// Text for people (`prefix_hex`), 16 bytes for machines.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                    text.parse().map_err(|_| {
                        de::Error::custom(concat!($prefix, "_ and 32 hex digits"))
                    })
                } else {
                    Id::deserialize(from).map(Self)
                }
            }
        }

        impl sqlx::Type<sqlx::MySql> for $name {
            fn type_info() -> sqlx::mysql::MySqlTypeInfo {
                <[u8] as sqlx::Type<sqlx::MySql>>::type_info()
            }

            fn compatible(ty: &sqlx::mysql::MySqlTypeInfo) -> bool {
                <[u8] as sqlx::Type<sqlx::MySql>>::compatible(ty)
            }
        }

        impl sqlx::Encode<'_, sqlx::MySql> for $name {
            fn encode_by_ref(&self, buf: &mut Vec<u8>) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <&[u8] as sqlx::Encode<sqlx::MySql>>::encode_by_ref(&self.bytes().as_slice(), buf)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::MySql> for $name {
            fn decode(value: sqlx::mysql::MySqlValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let bytes = <&[u8] as sqlx::Decode<sqlx::MySql>>::decode(value)?;
                Ok(Self::try_from(bytes)?)
            }
        }
    };
}

typed_id!(
    /// A customer of one tenant. Its lane is the lane of everything that is the customer's.
    CustomerId, "cu"
);
typed_id!(
    /// A merchant.
    MerchantId, "me"
);
typed_id!(
    /// A person of a merchant.
    StaffId, "st"
);
typed_id!(
    /// A payment order. Outside it is an [`OrderNo`].
    OrderId, "or"
);
typed_id!(
    /// A refund of an order, with the order's lane. Outside it is a [`RefundNo`].
    RefundId, "rf"
);
typed_id!(
    /// One sharing of an order's money (分账). Towards WeChat it is a [`SharingNo`].
    SharingId, "sh"
);
typed_id!(
    /// What one receiver gets of a sharing.
    SharingPartId, "sp"
);
typed_id!(
    /// Shared money coming back. Towards WeChat it is a [`SharingReturnNo`].
    SharingReturnId, "sr"
);
typed_id!(
    /// Who may get a share.
    ReceiverId, "rc"
);
typed_id!(
    /// Something that a person should look at.
    ExceptionId, "ex"
);
typed_id!(
    /// What a back end did with points: see [`crate::points`]. With the customer's lane.
    PointsTransactionId, "pt"
);
typed_id!(
    /// One sweep of lots that have expired: see [`crate::points::expiry`].
    ExpiryRunId, "xr"
);
typed_id!(
    /// What risk decided at one [`Stage`](crate::facts::Stage) of something. Derived from that
    /// thing ([`DecisionId::of`]).
    DecisionId, "rd"
);
typed_id!(
    /// A question that a customer must answer before going on.
    ChallengeId, "ch"
);
typed_id!(
    /// A person's look at what risk wants reviewed. Derived from the order or the points
    /// transaction ([`ReviewId::of`]).
    ReviewId, "rv"
);
typed_id!(
    /// A journal entry: the transfers with one cause. Derived from the cause and the [`EntryKind`].
    EntryId, "je"
);
typed_id!(
    /// An account. Derived from its owner and its kind, which stand in the chart of accounts.
    AccountId, "ac"
);

/// One of the tenants that share a database. Small, because it stands on every row.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct TenantId(pub u32);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A leased identity under which one committer writes its gapless sequence.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct CommitterId(pub u32);

coded! {
    /// Why a journal entry exists. The number is the last byte of its id.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
    pub enum EntryKind {
        /// A payment was settled: money to the merchant, points to the customer. Cause: the order.
        Settlement = 1 => "settlement",
        /// Points given or taken by two people with a reason. Cause: the adjustment.
        Adjustment = 2 => "adjustment",
        /// The merchant's money is on its way back to the customer. Cause: the refund.
        RefundAccepted = 3 => "refund_accepted",
        /// Points of a refunded payment held, then taken back or released. Cause: the refund.
        /// Pending.
        RefundClawback = 4 => "refund_clawback",
        /// The refunded money arrived, or came back to the merchant: one or the other, once. Cause:
        /// the refund.
        RefundOutcome = 5 => "refund_outcome",
        /// Shares of a payment are sent to their receivers. Cause: the sharing.
        SharingSent = 6 => "sharing_sent",
        /// A share arrived, or came back to the merchant: one or the other, once. Cause: the part.
        SharingOutcome = 7 => "sharing_outcome",
        /// A receiver gave a share back to the merchant. Cause: the return.
        SharingReturned = 8 => "sharing_returned",
        /// A share that had come back to the merchant in the books arrived all the same. Cause: the
        /// part.
        SharingLanded = 30 => "sharing_landed",
        /// What a payment earns, held until its review is decided. Cause: the order. Pending.
        PointsHeld = 9 => "points_held",
        /// Points given by a back end: at once, or pending while they are under review. Cause: the
        /// points transaction.
        PointsAwarded = 10 => "points_awarded",
        /// Points taken by a back end. Cause: the points transaction.
        PointsDeducted = 11 => "points_deducted",
        /// Points held to be spent. Cause: the points transaction. Pending.
        PointsReserved = 12 => "points_reserved",
        /// Points were spent at once; or a part of a hold was, and the rest released. Cause: the
        /// points transaction.
        PointsCaptured = 13 => "points_captured",
        /// Points that expired. Cause: the expiry of one account, named when it happens: that it
        /// happens once is guarded by the account's version.
        PointsExpired = 14 => "points_expired",
        /// Points that a review credited, or that were held and are free again, repaid what their
        /// owner owed. Cause: the order or the points transaction.
        DebtRepaid = 15 => "debt_repaid",
        /// Of the points that were held, those that the review credited: the others go back with
        /// refunds. Cause: the order.
        HeldPartCredited = 16 => "held_part_credited",
        /// Points that were kept from a review for a refund, which failed after the review had
        /// credited the others. Cause: the refund.
        WithheldCredited = 17 => "withheld_credited",
        /// Points that a back end had spent or taken were given back, into the lots from which they
        /// came. Cause: the return, a points transaction.
        PointsReturned = 18 => "points_returned",
        /// Money that somebody else gave back to the customer at the channel, and the points that
        /// go with it. Cause: the refund.
        RefundedElsewhere = 20 => "refunded_elsewhere",
    }
}

/// What an entry exists for: whose id its own is derived from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryCause {
    Order,
    Refund,
    PointsTransaction,
    OrderOrPointsTransaction,
    Sharing,
    SharingPart,
    SharingReturn,
    /// An adjustment, or the expiry of one account: neither has a row.
    Itself,
}

impl EntryKind {
    pub const fn cause(self) -> EntryCause {
        match self {
            Self::Settlement | Self::PointsHeld | Self::HeldPartCredited => EntryCause::Order,
            Self::RefundAccepted
            | Self::RefundClawback
            | Self::RefundOutcome
            | Self::WithheldCredited
            | Self::RefundedElsewhere => EntryCause::Refund,
            Self::PointsAwarded
            | Self::PointsDeducted
            | Self::PointsReserved
            | Self::PointsCaptured
            | Self::PointsReturned => EntryCause::PointsTransaction,
            Self::DebtRepaid => EntryCause::OrderOrPointsTransaction,
            Self::SharingSent => EntryCause::Sharing,
            Self::SharingOutcome | Self::SharingLanded => EntryCause::SharingPart,
            Self::SharingReturned => EntryCause::SharingReturn,
            Self::Adjustment | Self::PointsExpired => EntryCause::Itself,
        }
    }
}

/// The bit that turns a pending entry's id into the id of its resolution, whichever way it goes: it
/// can be resolved once.
const RESOLUTION: u8 = 0x80;

impl EntryId {
    /// The entry of this kind that `cause` calls for. There can be only one.
    pub const fn of(cause: Id, kind: EntryKind) -> Self {
        Self(cause.with_kind(kind.code()))
    }

    /// The entry that posts or voids this pending one.
    #[must_use]
    pub const fn resolution(self) -> Self {
        Self(self.0.with_kind(self.0.kind() | RESOLUTION))
    }

    pub const fn is_resolution(self) -> bool {
        self.0.kind() & RESOLUTION != 0
    }

    /// The pending entry that this one resolves.
    #[must_use]
    pub const fn resolved(self) -> Self {
        Self(self.0.with_kind(self.0.kind() & !RESOLUTION))
    }

    /// What the entry exists for.
    pub const fn cause(self) -> Id {
        self.0.with_kind(0)
    }

    pub fn kind(self) -> Option<EntryKind> {
        let code = self.0.kind() & !RESOLUTION;
        EntryKind::from_code(code)
    }
}

impl DecisionId {
    /// What was decided at the stage with this code, of what `cause` names. Decisions have a table
    /// of their own, so the number can be an entry's too.
    pub const fn of(cause: Id, stage_code: u8) -> Self {
        Self(cause.with_kind(stage_code))
    }

    /// What was decided on.
    pub const fn cause(self) -> Id {
        self.0.with_kind(0)
    }
}

impl ReviewId {
    /// The review of what `cause` names. There can be only one.
    pub const fn of(cause: Id) -> Self {
        Self(cause.with_kind(1))
    }

    /// The order or the points transaction.
    pub const fn cause(self) -> Id {
        self.0.with_kind(0)
    }
}

/// One transfer of a journal entry: the entry's id is the first part of its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TransferId {
    pub entry: EntryId,
    /// 0, 1, .. in the order in which the entry states them.
    pub leg: u8,
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A thing's number as people and WeChat see it: its id in Crockford's base 32, 24 characters, in
/// time order. It needs no column and no index of its own.
macro_rules! typed_number {
    ($(#[$doc:meta])* $name:ident, $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($id);

        impl From<$id> for $name {
            fn from(id: $id) -> Self {
                Self(id)
            }
        }

        impl $name {
            pub const fn id(self) -> $id {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&in_base_32(self.0.bytes()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_base_32(text).map(|id| Self($id(id)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse()
                    .map_err(|_| de::Error::custom("24 letters and digits"))
            }
        }
    };
}

typed_number!(
    /// The number of an order as merchant, customer and WeChat see it (`out_trade_no`).
    OrderNo, OrderId
);
typed_number!(
    /// The number of a refund (`out_refund_no`): the same for every attempt, for ever.
    RefundNo, RefundId
);
typed_number!(
    /// The number of a sharing (`out_order_no`).
    SharingNo, SharingId
);
typed_number!(
    /// The number of a return of shared money (`out_return_no`).
    SharingReturnNo, SharingReturnId
);

/// The id without its kind, which is zero for a thing.
fn in_base_32(id: &[u8; 16]) -> String {
    let mut text = String::with_capacity(24);
    for group in id[..15].chunks_exact(5) {
        let bits = group
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = usize::try_from(bits >> (place * 5) & 31).unwrap_or(0);
            text.push(char::from(ALPHABET[digit]));
        }
    }
    text
}

fn from_base_32(text: &str) -> Result<Id, ParseIdError> {
    let digits: &[u8; 24] = text.as_bytes().try_into().map_err(|_| ParseIdError)?;
    let mut bytes = [0; 16];
    for (group, out) in digits.chunks_exact(8).zip(bytes.chunks_exact_mut(5)) {
        let mut bits = 0_u64;
        for digit in group {
            let value = ALPHABET
                .iter()
                .position(|letter| letter == digit)
                .ok_or(ParseIdError)?;
            bits = bits << 5 | u64::try_from(value).map_err(|_| ParseIdError)?;
        }
        out.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Ok(Id(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Id {
        Id::mint(1_795_000_000_000, 0x0123_4567_89ab_cdef, Lane(42))
    }

    #[test]
    fn an_order_number_is_its_id_and_sorts_like_it() {
        let earlier = OrderNo::from(OrderId::new(id()));
        let later = OrderNo::from(OrderId::new(Id::mint(1_795_000_000_001, 0, Lane(0))));
        assert_eq!(earlier.to_string().parse(), Ok(earlier));
        assert_eq!(earlier.to_string().len(), 24);
        assert!(earlier.to_string() < later.to_string());
        assert_eq!(
            "IIIIIIIIIIIIIIIIIIIIIIII".parse::<OrderNo>(),
            Err(ParseIdError)
        );
        assert_eq!("0".parse::<OrderNo>(), Err(ParseIdError));
    }

    #[test]
    fn derived_ids_lead_back_to_their_cause() {
        let order = OrderId::new(id());
        let entry = EntryId::of(order.id(), EntryKind::Settlement);
        assert_eq!(entry.cause(), order.id());
        assert_eq!(entry.kind(), Some(EntryKind::Settlement));
        assert_eq!(entry.lane(), Lane(42));
        assert_eq!(entry.resolution().resolved(), entry);
        assert!(entry.resolution().is_resolution());
        assert_ne!(entry, EntryId::of(order.id(), EntryKind::Adjustment));
    }

    #[test]
    fn a_bare_id_is_read_as_it_is_shown() {
        assert_eq!(id().to_string().parse(), Ok(id()));
        for bad in ["", "00", "0x", &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(bad.parse::<Id>(), Err(ParseIdError), "{bad}");
        }
    }

    #[test]
    fn an_id_of_one_kind_does_not_parse_as_another() {
        let customer = CustomerId::new(id());
        assert_eq!(customer.to_string().parse(), Ok(customer));
        assert_eq!(
            customer.to_string().parse::<MerchantId>(),
            Err(ParseIdError)
        );
    }
}
