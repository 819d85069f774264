//! Planning: from what happened to what is to be told.

use super::{
    DeliveryId, DeliveryKind, DeliverySubject, SettingsCache, delivery::NewDelivery, store,
};
use crate::{
    db::{DbError, Tx},
    outbox::Event,
    primitives::{Money, OrderId, RefundId, TenantId, Timestamp},
};

/// Something that happened, of which others may have to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryCause {
    /// A payment was settled.
    Payment {
        tenant: TenantId,
        order: OrderId,
        amount: Money,
        paid_at: Timestamp,
    },
    /// Refunded money has arrived.
    Refund {
        tenant: TenantId,
        order: OrderId,
        refund: RefundId,
        amount: Money,
        refunded_at: Timestamp,
    },
}

impl DeliveryCause {
    /// What an event gives cause for, if anything.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::PaymentSettled {
                order,
                tenant,
                amount,
                paid_at,
                ..
            } => Some(Self::Payment {
                tenant: *tenant,
                order: *order,
                amount: *amount,
                paid_at: *paid_at,
            }),
            Event::RefundSettled {
                refund,
                order,
                tenant,
                amount,
                at,
                ..
            } => Some(Self::Refund {
                tenant: *tenant,
                order: *order,
                refund: *refund,
                amount: *amount,
                refunded_at: *at,
            }),
            Event::OrderMoved { .. } | Event::EntryPosted { .. } | Event::PointsMoved { .. } => {
                None
            }
        }
    }

    const fn tenant(&self) -> TenantId {
        match self {
            Self::Payment { tenant, .. } | Self::Refund { tenant, .. } => *tenant,
        }
    }

    const fn kinds(&self) -> &'static [DeliveryKind] {
        match self {
            Self::Payment { .. } => &[DeliveryKind::ShippingInfo, DeliveryKind::PaymentMessage],
            Self::Refund { .. } => &[DeliveryKind::RefundMessage],
        }
    }

    const fn row(&self, kind: DeliveryKind) -> NewDelivery {
        match *self {
            Self::Payment {
                tenant,
                order,
                amount,
                paid_at,
            } => NewDelivery {
                id: DeliveryId::of(order.id(), kind),
                kind,
                tenant,
                about: DeliverySubject::Order {
                    order,
                    refund: None,
                    amount,
                },
                happened_at: paid_at,
                due_at: None,
            },
            Self::Refund {
                tenant,
                order,
                refund,
                amount,
                refunded_at,
            } => NewDelivery {
                id: DeliveryId::of(refund.id(), kind),
                kind,
                tenant,
                about: DeliverySubject::Order {
                    order,
                    refund: Some(refund),
                    amount,
                },
                happened_at: refunded_at,
                due_at: None,
            },
        }
    }
}

/// Plans what the tenants want told of `due`, due at once. What is planned already stays as it is.
///
/// For tenants that want nothing told nothing is written, and the settings are looked at once a
/// second at most.
pub async fn plan(
    tx: &mut Tx,
    settings: &SettingsCache,
    due: &[DeliveryCause],
) -> Result<(), DbError> {
    let mut rows = Vec::new();
    for planned in due {
        let settings = settings.current(planned.tenant()).await?;
        let wanted = planned.kinds().iter().filter(|kind| settings.wants(**kind));
        rows.extend(wanted.map(|kind| planned.row(*kind)));
    }
    // In one order, as everybody who writes several of them.
    rows.sort_unstable_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    store::insert_new(tx, &rows).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    #[test]
    fn a_refund_is_a_subject_of_its_own() {
        let order = OrderId::new(Id::mint(1, 1, Lane(3)));
        let refund = RefundId::new(Id::mint(2, 2, Lane(3)));
        let amount = Money::parse(5).unwrap();
        let at = Timestamp::from_micros(9);
        let tenant = TenantId(1);
        let payment = DeliveryCause::Payment {
            tenant,
            order,
            amount,
            paid_at: at,
        };
        let back = DeliveryCause::Refund {
            tenant,
            order,
            refund,
            amount,
            refunded_at: at,
        };
        let ids: Vec<_> = payment
            .kinds()
            .iter()
            .map(|kind| payment.row(*kind).id)
            .collect();
        assert_eq!(
            ids,
            [
                DeliveryId::of(order.id(), DeliveryKind::ShippingInfo),
                DeliveryId::of(order.id(), DeliveryKind::PaymentMessage),
            ]
        );
        let row = back.row(DeliveryKind::RefundMessage);
        let about = (row.about.order(), row.about.refund());
        assert_eq!(about, (Some(order), Some(refund)));
        assert_eq!(
            row.id,
            DeliveryId::of(refund.id(), DeliveryKind::RefundMessage)
        );
        assert_eq!(back.kinds(), [DeliveryKind::RefundMessage]);
    }
}
