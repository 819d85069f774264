//! The order and its transitions. Pure.

use crate::primitives::{
    CustomerId, MerchantId, Money, OrderId, OrderNo, Points, Secret, TenantId, Timestamp,
};

/// What a customer is to pay to a shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub merchant: MerchantId,
    /// The collection code that was scanned.
    pub code: String,
    /// WeChat's number of the shop when the order was made.
    pub sub_mchid: String,
    pub amount: Money,
    pub expires_at: Timestamp,
    /// Counts the states that the order was in: 1 when created.
    pub version: u32,
    pub state: OrderState,
}

/// Where an order stands. What belongs to a state lives in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    Created,
    Prepaid {
        prepay_id: Secret<String>,
    },
    Paid {
        paid_at: Timestamp,
        wechat_transaction_id: String,
        points: Points,
        rule_version: u32,
    },
    Closed {
        closed_at: Timestamp,
    },
}

/// The state without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderStateKind {
    Created,
    Prepaid,
    Paid,
    Closed,
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    Prepay,
    Pay,
    Close,
}

/// A transition that happened now, or had happened before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied<T> {
    Now(T),
    Before,
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} does not apply to an order that is {from:?}")]
pub struct InvalidTransition {
    pub from: OrderStateKind,
    pub event: OrderEvent,
}

impl OrderStateKind {
    pub const ALL: [Self; 4] = [Self::Created, Self::Prepaid, Self::Paid, Self::Closed];

    /// The number in the table.
    pub const fn code(self) -> u8 {
        match self {
            Self::Created => 1,
            Self::Prepaid => 2,
            Self::Paid => 3,
            Self::Closed => 4,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Prepaid => "prepaid",
            Self::Paid => "paid",
            Self::Closed => "closed",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a history may go from here to there in one step.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Created | Self::Prepaid, Self::Prepaid | Self::Paid | Self::Closed) => true,
            (Self::Created | Self::Prepaid, Self::Created) | (Self::Paid | Self::Closed, _) => {
                false
            }
        }
    }
}

impl OrderState {
    pub const fn kind(&self) -> OrderStateKind {
        match self {
            Self::Created => OrderStateKind::Created,
            Self::Prepaid { .. } => OrderStateKind::Prepaid,
            Self::Paid { .. } => OrderStateKind::Paid,
            Self::Closed { .. } => OrderStateKind::Closed,
        }
    }

    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    fn refuse(&self, event: OrderEvent) -> InvalidTransition {
        InvalidTransition {
            from: self.kind(),
            event,
        }
    }
}

impl Order {
    pub fn no(&self) -> OrderNo {
        self.id.into()
    }

    /// To the millisecond: it stands in the id.
    pub fn created_at(&self) -> Timestamp {
        let millis = i64::try_from(self.id.id().millis()).unwrap_or(i64::MAX);
        Timestamp::from_micros(millis.saturating_mul(1_000))
    }

    fn become_state(&self, state: OrderState) -> Self {
        Self {
            version: self.version.saturating_add(1),
            state,
            ..self.clone()
        }
    }

    /// Notes WeChat's ticket. The ticket that is noted already changes nothing.
    pub fn prepay(&self, prepay_id: &Secret<String>) -> Result<Applied<Self>, InvalidTransition> {
        match &self.state {
            OrderState::Prepaid { prepay_id: known } if known == prepay_id => Ok(Applied::Before),
            OrderState::Created | OrderState::Prepaid { .. } => {
                let state = OrderState::Prepaid {
                    prepay_id: prepay_id.clone(),
                };
                Ok(Applied::Now(self.become_state(state)))
            }
            OrderState::Paid { .. } | OrderState::Closed { .. } => {
                Err(self.state.refuse(OrderEvent::Prepay))
            }
        }
    }

    /// Accepts WeChat's word that the order is paid. The same word again changes nothing; another transaction for a paid order is refused.
    pub fn pay(
        &self,
        wechat_transaction_id: &str,
        paid_at: Timestamp,
        points: Points,
        rule_version: u32,
    ) -> Result<Applied<Self>, InvalidTransition> {
        match &self.state {
            OrderState::Created | OrderState::Prepaid { .. } => {
                let wechat_transaction_id = wechat_transaction_id.to_owned();
                let state = OrderState::Paid {
                    paid_at,
                    wechat_transaction_id,
                    points,
                    rule_version,
                };
                Ok(Applied::Now(self.become_state(state)))
            }
            OrderState::Paid {
                wechat_transaction_id: known,
                ..
            } if known == wechat_transaction_id => Ok(Applied::Before),
            OrderState::Paid { .. } | OrderState::Closed { .. } => {
                Err(self.state.refuse(OrderEvent::Pay))
            }
        }
    }

    /// Gives the order up.
    pub fn close(&self, at: Timestamp) -> Result<Applied<Self>, InvalidTransition> {
        match &self.state {
            OrderState::Created | OrderState::Prepaid { .. } => Ok(Applied::Now(
                self.become_state(OrderState::Closed { closed_at: at }),
            )),
            OrderState::Closed { .. } => Ok(Applied::Before),
            OrderState::Paid { .. } => Err(self.state.refuse(OrderEvent::Close)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    fn order(state: OrderState) -> Order {
        let id = Id::mint(1_795_000_000_000, 7, Lane(1));
        Order {
            id: OrderId::new(id),
            tenant: TenantId(1),
            customer: CustomerId::new(id),
            merchant: MerchantId::new(id),
            code: "0123456789AB".into(),
            sub_mchid: "1900000109".into(),
            amount: Money::parse(100).unwrap(),
            expires_at: Timestamp::from_micros(0),
            version: 1,
            state,
        }
    }

    /// Walks every state and event; the table is the one in the module's text.
    #[test]
    fn every_state_meets_every_event() {
        let at = Timestamp::from_micros(1);
        let ticket = |text: &str| Secret::new(text.to_owned());
        let paid = OrderState::Paid {
            paid_at: at,
            wechat_transaction_id: "T1".into(),
            points: Points::ZERO,
            rule_version: 1,
        };
        let states = [
            OrderState::Created,
            OrderState::Prepaid {
                prepay_id: ticket("a"),
            },
            paid,
            OrderState::Closed { closed_at: at },
        ];
        let mut table = String::new();
        for state in states {
            let order = order(state);
            let outcomes = [
                order.prepay(&ticket("b")),
                order.pay("T1", at, Points::ZERO, 1),
                order.pay("T2", at, Points::ZERO, 1),
                order.close(at),
            ];
            table.push_str(order.state.name());
            for outcome in outcomes {
                table.push(' ');
                table.push_str(match outcome {
                    Ok(Applied::Now(next)) => {
                        assert_eq!(next.version, 2);
                        assert!(order.state.kind().may_become(next.state.kind()));
                        next.state.name()
                    }
                    Ok(Applied::Before) => "before",
                    Err(_) => "refused",
                });
            }
            table.push('\n');
        }
        assert_eq!(
            table,
            "created prepaid paid paid closed\n\
             prepaid prepaid paid paid closed\n\
             paid refused before refused refused\n\
             closed refused refused refused before\n"
        );
    }
}
