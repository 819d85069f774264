//! A planned payment, and all that the demo saw of it.

use std::time::Duration;

use super::{
    plan::{Behaviour, Intent},
    refund_seen::RefundSeen,
    wechat::Fate,
};

/// How the service came to know of a payment, as far as the demo can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learnt {
    /// Nobody had to do anything.
    Callback,
    /// The app had it ask WeChat.
    AppAsked,
    /// It asked WeChat by itself, since no callback had come.
    AskedItself,
}

/// What became of a planned payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Paid, and the service says so.
    Paid { points: i64, learnt: Learnt },
    /// Paid at WeChat, and the service has not said so in time.
    PaidUnseen(String),
    /// Paid after it had been closed, and the service says so.
    PaidLate,
    /// Made and left unpaid, as planned.
    Abandoned,
    /// Made and left unpaid, as planned, and its time to pay is over.
    Expired,
    /// Closed by the customer.
    ClosedByCustomer,
    /// Not begun: risk stopped it.
    Stopped,
    /// Not as planned, for this reason.
    Failed(String),
}

/// A planned payment and all that was seen of it.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) number: usize,
    pub(super) customer: usize,
    pub(super) merchant: usize,
    pub(super) amount_fen: i64,
    pub(super) behaviour: Behaviour,
    pub(super) order_no: Option<String>,
    pub(super) end: End,
    /// The request was sent twice at once: whether both gave one order.
    pub(super) twice: Option<bool>,
    /// A wrong amount was tried: whether it was refused.
    pub(super) wrong_refused: Option<bool>,
    /// None when it is not known: the answer to the payment was lost.
    pub(super) fate: Option<Fate>,
    /// Money that went back, or should have.
    pub(super) refund: Option<RefundSeen>,
    pub(super) create: Option<Duration>,
    pub(super) visible: Option<Duration>,
}

impl Visit {
    pub(super) fn new(intent: &Intent) -> Self {
        Self {
            number: intent.number,
            customer: intent.customer,
            merchant: intent.counter.merchant,
            amount_fen: intent.amount_fen,
            behaviour: intent.behaviour,
            order_no: None,
            end: End::Abandoned,
            twice: None,
            wrong_refused: None,
            fate: None,
            refund: None,
            create: None,
            visible: None,
        }
    }

    /// Whether the customer's money left.
    pub(super) fn is_paid_for(&self) -> bool {
        match self.end {
            End::Paid { .. } | End::PaidUnseen(_) | End::PaidLate => true,
            End::Abandoned
            | End::Expired
            | End::ClosedByCustomer
            | End::Stopped
            | End::Failed(_) => false,
        }
    }

    /// Whether it should bring points: what is paid late goes back by the demo's policy, and brings
    /// none.
    pub(super) fn earns(&self) -> bool {
        match self.end {
            End::Paid { .. } | End::PaidUnseen(_) => true,
            End::PaidLate
            | End::Abandoned
            | End::Expired
            | End::ClosedByCustomer
            | End::Stopped
            | End::Failed(_) => false,
        }
    }

    /// The state in which the books must have its order; none when the demo cannot say.
    pub(super) fn left_as(&self) -> Option<&'static str> {
        match self.end {
            End::Paid { .. } | End::PaidUnseen(_) | End::PaidLate => {
                Some(match self.returned_fen() {
                    0 => "paid",
                    all if all == self.amount_fen => "refunded",
                    _ => "partly_refunded",
                })
            }
            End::Abandoned => Some("prepaid"),
            End::Expired => Some("expired"),
            End::ClosedByCustomer => Some("closed"),
            End::Stopped | End::Failed(_) => None,
        }
    }

    /// What came back to the customer.
    pub(super) fn returned_fen(&self) -> i64 {
        let arrived = self.refund.as_ref().filter(|refund| refund.has_arrived());
        arrived.map_or(0, |refund| refund.amount_fen)
    }
}
