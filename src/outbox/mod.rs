//! Events: what happened, told in the commit in which it happened.
//!
//! A commit's row carries the events of its batch, packed; there is no outbox table to write a
//! second time. The relay (`jobs/relay.rs`) reads the commits of each committer in their order and
//! projects what can be projected later. Because a committer's sequence has no gaps, a relay that
//! remembers how far it read skips none.
//!
//! The encoding is [postcard](https://postcard.jamesmunns.com/wire-format.html): the variant's
//! number, then its fields. Variants and fields are therefore only ever **appended**, and never
//! change their meaning.

use serde::{Deserialize, Serialize};

use crate::{
    db::Cx,
    primitives::{
        EntryId, EntryKind, MerchantId, Money, OrderId, Points, RefundId, TenantId, Timestamp,
    },
};

/// Something that others want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An order's row changed: its state (a number as in `payment_orders.state`) and why (as in
    /// `payment_order_history.why`).
    OrderMoved {
        order: OrderId,
        tenant: TenantId,
        version: u32,
        state: u8,
        why: u8,
        /// When a person did it.
        actor: Option<String>,
    },
    /// An order was paid, and its settlement entry was posted.
    PaymentSettled {
        order: OrderId,
        tenant: TenantId,
        version: u32,
        merchant: MerchantId,
        amount: Money,
        points: Points,
        paid_at: Timestamp,
        why: u8,
    },
    /// Any other journal entry was posted, or a pending one resolved.
    EntryPosted { entry: EntryId, tenant: TenantId },
    /// A refund arrived at the customer.
    RefundSettled {
        refund: RefundId,
        order: OrderId,
        tenant: TenantId,
        merchant: MerchantId,
        amount: Money,
        /// Taken back.
        points: Points,
        at: Timestamp,
    },
    /// Points of a customer moved: what statistics are made of. `what` is a number of
    /// [`PointsMove`](crate::points::PointsMove).
    PointsMoved {
        tenant: TenantId,
        /// For a payment, its merchant.
        merchant: Option<MerchantId>,
        what: u8,
        /// `payment`, or what a back end calls itself.
        source: String,
        /// The version of the rule by which they were earned; 0 when no rule said how many.
        rule_version: u32,
        points: Points,
        at: Timestamp,
    },
}

/// An event with the instant of its commit: what projections are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedEvent {
    pub at: Timestamp,
    pub event: Event,
}

/// One change of an order's row: it moved, or it was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderStep<'a> {
    pub order: OrderId,
    pub tenant: TenantId,
    pub version: u32,
    pub state: u8,
    /// As in `payment_order_history.why`.
    pub why: u8,
    pub actor: Option<&'a str>,
}

/// A payment that was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledPayment {
    pub order: OrderId,
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub amount: Money,
    pub points: Points,
    pub paid_at: Timestamp,
}

/// `payment_orders.state` of a paid order.
const PAID: u8 = 3;

impl Event {
    /// The journal entry that was written with this event, if any.
    pub const fn entry(&self) -> Option<EntryId> {
        match self {
            Self::OrderMoved { .. } | Self::RefundSettled { .. } | Self::PointsMoved { .. } => None,
            Self::PaymentSettled { order, .. } => {
                Some(EntryId::of(order.id(), EntryKind::Settlement))
            }
            Self::EntryPosted { entry, .. } => Some(*entry),
        }
    }

    /// Whose it is.
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::OrderMoved { tenant, .. }
            | Self::PaymentSettled { tenant, .. }
            | Self::EntryPosted { tenant, .. }
            | Self::RefundSettled { tenant, .. }
            | Self::PointsMoved { tenant, .. } => *tenant,
        }
    }

    /// How an order's row changed, if it did.
    pub fn step(&self) -> Option<OrderStep<'_>> {
        let (order, tenant, version, state, why, actor) = match self {
            Self::OrderMoved {
                order,
                tenant,
                version,
                state,
                why,
                actor,
            } => (order, tenant, version, *state, *why, actor.as_deref()),
            Self::PaymentSettled {
                order,
                tenant,
                version,
                why,
                ..
            } => (order, tenant, version, PAID, *why, None),
            Self::EntryPosted { .. } | Self::RefundSettled { .. } | Self::PointsMoved { .. } => {
                return None;
            }
        };
        Some(OrderStep {
            order: *order,
            tenant: *tenant,
            version: *version,
            state,
            why,
            actor,
        })
    }

    /// The payment that was settled, if one was.
    pub const fn settled(&self) -> Option<SettledPayment> {
        match self {
            Self::PaymentSettled {
                order,
                tenant,
                merchant,
                amount,
                points,
                paid_at,
                ..
            } => Some(SettledPayment {
                order: *order,
                tenant: *tenant,
                merchant: *merchant,
                amount: *amount,
                points: *points,
                paid_at: *paid_at,
            }),
            Self::OrderMoved { .. }
            | Self::EntryPosted { .. }
            | Self::RefundSettled { .. }
            | Self::PointsMoved { .. } => None,
        }
    }
}

/// The bytes of a commit's events are not what this program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the events of a commit are unreadable")]
pub struct Unreadable;

/// Tells an event: it is committed with the change of the operation that tells it, or not at all.
pub fn tell(cx: &mut Cx<'_>, event: &Event) {
    match postcard::to_allocvec(event) {
        Ok(bytes) => cx.emit(&bytes),
        Err(_) => {
            cx.inconsistent("an event cannot be encoded");
        }
    }
}

/// The events of a commit, in the order in which they happened.
pub fn unpack(mut packed: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let mut events = Vec::new();
    while !packed.is_empty() {
        let (length, rest) = packed.split_first_chunk::<4>().ok_or(Unreadable)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Unreadable)?;
        let (event, rest) = rest.split_at_checked(length).ok_or(Unreadable)?;
        events.push(postcard::from_bytes(event).map_err(|_| Unreadable)?);
        packed = rest;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    #[test]
    fn unreadable_bytes_are_an_error() {
        assert_eq!(unpack(&[0, 0, 0, 9, 1]), Err(Unreadable));
        assert_eq!(unpack(&[0, 0]), Err(Unreadable));
        assert_eq!(unpack(&[]), Ok(Vec::new()));
    }

    /// What is in the books of people must be readable for ever.
    #[test]
    fn the_encoding_of_an_event_never_changes() {
        let event = Event::OrderMoved {
            order: OrderId::new(Id::mint(1, 2, Lane(3))),
            tenant: TenantId(4),
            version: 5,
            state: 3,
            why: 4,
            actor: None,
        };
        let bytes = postcard::to_allocvec(&event).unwrap();
        assert_eq!(
            hex::encode(&bytes),
            "00000000000001700080000000000203000405030400"
        );
        assert_eq!(postcard::from_bytes(&bytes), Ok(event));
    }
}
