//! A delivery, and what may become of it.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;

use super::MessageOutcome;
use crate::{
    payments::{ChannelOutcome, RefusalKind},
    primitives::{
        BusinessDay, CustomerId, Id, Money, OrderId, ParseIdError, Points, RefundId, TenantId,
        Timestamp, coded,
    },
};

/// How long one attempt may take before it counts as lost. Longer than a batch takes when WeChat
/// answers nothing.
pub const LEASE_SECONDS: i64 = 180;

/// After this many attempts without an answer a person must look.
pub const ATTEMPTS_MAX: u32 = 10;

/// The pause after the first, the second, .. attempt: some seven hours in all. The first ones are
/// short because WeChat learns of a payment up to a minute after the callback.
const PAUSE_SECONDS: [i64; 9] = [10, 30, 60, 180, 600, 1_800, 3_600, 7_200, 10_800];

/// Characters of `last_error`.
const ERROR_MAX: usize = 200;

coded! {
    /// What is told, and so to whom. The number is the last byte of the id.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum DeliveryKind: Serde {
        ShippingInfo = 1 => "shipping_info",
        PaymentMessage = 2 => "payment_message",
        RefundMessage = 3 => "refund_message",
        ExpiryMessage = 4 => "expiry_message",
    }
}

coded! {
    /// Where a delivery stands: see the module's table.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum DeliveryState: Serde {
        Pending => "pending",
        Delivered => "delivered",
        Dropped => "dropped",
        Parked => "parked",
    }
}

/// The order's or the refund's 16 bytes, with the kind as the last: a thing's own id ends in zero.
/// Of points that expire: the instant at which they do, and a hash of whose they are and of that
/// day. In the order of the subjects, and therefore the cursor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Id);

impl DeliveryId {
    /// The one delivery of this kind about `subject`.
    pub const fn of(subject: Id, kind: DeliveryKind) -> Self {
        let mut bytes = *subject.bytes();
        bytes[15] = kind.code();
        Self(Id::from_bytes(bytes))
    }

    /// The one notice of what a customer loses on a day. 72 bits of a hash tell the customers of a
    /// day apart.
    pub fn of_expiry(customer: CustomerId, on: BusinessDay) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(customer.bytes());
        hash.update(on.to_string().as_bytes());
        let hash = hash.finish();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&on.start().millis().to_be_bytes()[2..]);
        bytes[6..15].copy_from_slice(&hash.as_ref()[..9]);
        Self::of(Id::from_bytes(bytes), DeliveryKind::ExpiryMessage)
    }

    pub const fn new(id: Id) -> Self {
        Self(id)
    }

    pub const fn bytes(&self) -> &[u8; 16] {
        self.0.bytes()
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dl_{}", self.0)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeliveryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut bytes = [0; 16];
        let hex = text.strip_prefix("dl_").ok_or(ParseIdError)?;
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| ParseIdError)?;
        Ok(Self(Id::from_bytes(bytes)))
    }
}

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliverySubject {
    /// A payment; with its refund if that is what is told.
    Order {
        order: OrderId,
        refund: Option<RefundId>,
        /// Paid or refunded.
        amount: Money,
    },
    /// Points that expire.
    Expiry {
        customer: CustomerId,
        /// The first day on which they have expired (UTC+8).
        on: BusinessDay,
        /// Left when the notice was planned.
        points: Points,
    },
}

impl DeliverySubject {
    pub const fn order(&self) -> Option<OrderId> {
        match self {
            Self::Order { order, .. } => Some(*order),
            Self::Expiry { .. } => None,
        }
    }

    pub const fn refund(&self) -> Option<RefundId> {
        match self {
            Self::Order { refund, .. } => *refund,
            Self::Expiry { .. } => None,
        }
    }

    /// Fen, paid or refunded.
    pub const fn amount(&self) -> Option<Money> {
        match self {
            Self::Order { amount, .. } => Some(*amount),
            Self::Expiry { .. } => None,
        }
    }
}

/// Something to be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub tenant: TenantId,
    pub kind: DeliveryKind,
    pub about: DeliverySubject,
    /// Paid or refunded, by the channel; or when the points will expire.
    pub happened_at: Timestamp,
    pub state: DeliveryState,
    /// Begun, since it was planned or retried by hand.
    pub attempts: u32,
    /// Of a pending one.
    pub next_attempt_at: Option<Timestamp>,
    /// WeChat's code and words, without personal data.
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

coded! {
    /// What came of an attempt, with its name in metrics. The texts are for operators.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Attempt as AttemptKind {
        Delivered => "delivered",
        NotWanted(String) => "not_wanted",
        /// Not now, or nobody knows.
        Retry(String) => "retry",
        /// The next attempt would end the same.
        Failed(String) => "failed",
    }
}

impl Attempt {
    /// Returns the attempt with `secret` cut out of its text, should WeChat have quoted it.
    #[must_use]
    pub fn without(self, secret: &str) -> Self {
        let clean = |text: String| {
            if secret.is_empty() {
                text
            } else {
                text.replace(secret, "***")
            }
        };
        match self {
            Self::Delivered => Self::Delivered,
            Self::NotWanted(text) => Self::NotWanted(clean(text)),
            Self::Retry(text) => Self::Retry(clean(text)),
            Self::Failed(text) => Self::Failed(clean(text)),
        }
    }
}

impl From<ChannelOutcome<()>> for Attempt {
    fn from(outcome: ChannelOutcome<()>) -> Self {
        match outcome {
            ChannelOutcome::Done(()) => Self::Delivered,
            ChannelOutcome::Refused(no) => {
                let said = format!("{} {}", no.code, no.message);
                match no.kind {
                    RefusalKind::RateLimited | RefusalKind::Absent => Self::Retry(said),
                    RefusalKind::AlreadyPaid
                    | RefusalKind::Closed
                    | RefusalKind::NotEnough
                    | RefusalKind::Conflict
                    | RefusalKind::Rejected => Self::Failed(said),
                }
            }
            ChannelOutcome::Unknown(reason) => Self::Retry(reason),
        }
    }
}

impl From<ChannelOutcome<MessageOutcome>> for Attempt {
    fn from(outcome: ChannelOutcome<MessageOutcome>) -> Self {
        match outcome {
            ChannelOutcome::Done(MessageOutcome::NotSubscribed) => {
                Self::NotWanted("the customer has not subscribed".to_owned())
            }
            ChannelOutcome::Done(MessageOutcome::Taken) => ChannelOutcome::Done(()).into(),
            ChannelOutcome::Refused(no) => ChannelOutcome::<()>::Refused(no).into(),
            ChannelOutcome::Unknown(reason) => ChannelOutcome::<()>::Unknown(reason).into(),
        }
    }
}

/// What a pending delivery becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptResult {
    pub state: DeliveryState,
    pub next_attempt_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

impl AttemptResult {
    fn ended(state: DeliveryState, last_error: Option<&str>) -> Self {
        Self {
            state,
            next_attempt_at: None,
            last_error: last_error.map(short),
        }
    }

    /// After attempt number `attempts`, counted from 1, which ended at `now`.
    pub fn after(attempt: &Attempt, attempts: u32, now: Timestamp) -> Self {
        match attempt {
            Attempt::Delivered => Self::ended(DeliveryState::Delivered, None),
            Attempt::NotWanted(reason) => Self::ended(DeliveryState::Dropped, Some(reason)),
            Attempt::Failed(reason) => Self::ended(DeliveryState::Parked, Some(reason)),
            Attempt::Retry(reason) => match pause(attempts) {
                Some(seconds) => Self {
                    state: DeliveryState::Pending,
                    next_attempt_at: Some(now.plus_seconds(seconds)),
                    last_error: Some(short(reason)),
                },
                None => Self::ended(DeliveryState::Parked, Some(reason)),
            },
        }
    }
}

/// Seconds to the next attempt after number `attempts`; none after the last.
fn pause(attempts: u32) -> Option<i64> {
    let index = usize::try_from(attempts.saturating_sub(1)).ok()?;
    PAUSE_SECONDS.get(index).copied()
}

fn short(text: &str) -> String {
    text.chars().take(ERROR_MAX).collect()
}

/// A delivery that is planned: a row to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewDelivery {
    pub(super) id: DeliveryId,
    pub(super) kind: DeliveryKind,
    pub(super) tenant: TenantId,
    pub(super) about: DeliverySubject,
    pub(super) happened_at: Timestamp,
    /// Not before this; none: at once.
    pub(super) due_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        payments::Refusal,
        primitives::{Lane, RefundNo},
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(0).plus_seconds(seconds)
    }

    #[test]
    fn planning_twice_gives_the_same_id_and_every_kind_its_own() {
        let order = Id::mint(1_795_000_000_000, 7, Lane(9));
        let ids = DeliveryKind::ALL.map(|kind| DeliveryId::of(order, kind));
        assert_eq!(ids[0], DeliveryId::of(order, DeliveryKind::ShippingInfo));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_ne!(id.bytes(), order.bytes());
        }
        let (day, customer) = (at(0).business_day(), CustomerId::new(order));
        let notice = DeliveryId::of_expiry(customer, day);
        assert_eq!(notice, DeliveryId::of_expiry(customer, day));
        assert_ne!(notice, DeliveryId::of_expiry(customer, day.plus_days(1)));
        assert_eq!(notice.bytes()[15], 4);
        let refund = RefundNo::from(RefundId::new(Id::mint(1_795_000_000_001, 7, Lane(9))));
        let of_refund = DeliveryId::of(refund.id().id(), DeliveryKind::RefundMessage);
        assert_ne!(of_refund, ids[2]);
        assert!("or_00".parse::<DeliveryId>().is_err());
    }

    #[test]
    fn pauses_grow_and_the_last_attempt_parks() {
        let again = Attempt::Retry("HTTP 502".to_owned());
        let mut before = 0;
        for attempts in 1..ATTEMPTS_MAX {
            let result = AttemptResult::after(&again, attempts, at(0));
            assert_eq!(result.state, DeliveryState::Pending, "{attempts}");
            let pause = result.next_attempt_at.unwrap().seconds();
            assert!(pause > before, "{attempts}");
            before = pause;
        }
        let last = AttemptResult::after(&again, ATTEMPTS_MAX, at(0));
        assert_eq!(last.state, DeliveryState::Parked);
        assert_eq!(last.next_attempt_at, None);
        assert_eq!(last.last_error.as_deref(), Some("HTTP 502"));
    }

    #[test]
    fn an_attempt_delivers_drops_repeats_or_parks() {
        let refused = |kind| {
            ChannelOutcome::<()>::Refused(Refusal {
                kind,
                code: "47003".to_owned(),
                message: "data.thing1 invalid".to_owned(),
            })
        };
        let result = |attempt: Attempt| AttemptResult::after(&attempt, 1, at(0)).state.name();
        assert_eq!(result(ChannelOutcome::Done(()).into()), "delivered");
        assert_eq!(
            result(ChannelOutcome::Done(MessageOutcome::Taken).into()),
            "delivered"
        );
        assert_eq!(
            result(ChannelOutcome::Done(MessageOutcome::NotSubscribed).into()),
            "dropped"
        );
        assert_eq!(result(refused(RefusalKind::RateLimited).into()), "pending");
        assert_eq!(result(refused(RefusalKind::Absent).into()), "pending");
        assert_eq!(result(refused(RefusalKind::Rejected).into()), "parked");
        let unknown = ChannelOutcome::<MessageOutcome>::Unknown("time-out".to_owned());
        assert_eq!(result(unknown.into()), "pending");
        let parked = AttemptResult::after(&refused(RefusalKind::Rejected).into(), 1, at(0));
        assert_eq!(
            parked.last_error.as_deref(),
            Some("47003 data.thing1 invalid")
        );
    }

    #[test]
    fn an_error_is_short_and_without_the_openid() {
        let attempt = Attempt::Failed(format!("40003 invalid openid oABC {}", "茶".repeat(300)));
        let result = AttemptResult::after(&attempt.without("oABC"), 1, at(0));
        let error = result.last_error.unwrap();
        assert!(!error.contains("oABC") && error.contains("***"));
        assert_eq!(error.chars().count(), ERROR_MAX);
    }
}
