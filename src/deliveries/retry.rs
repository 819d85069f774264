//! An operator has another try made.

use super::{Delivery, DeliveryError, DeliveryId, DeliveryState, store};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Tx, Work},
    primitives::TenantId,
};

/// Makes a parked or dropped delivery pending again, due at once and with all its attempts. A
/// pending one stays as it is: it will be tried anyway.
#[derive(Debug)]
pub struct Retry {
    pub tenant: TenantId,
    pub delivery: DeliveryId,
    pub by: Actor,
}

impl Work for Retry {
    const NAME: &'static str = "deliveries.retry";
    type Reply = Delivery;
    type Error = DeliveryError;

    async fn run(&self, tx: &mut Tx) -> Result<Delivery, DeliveryError> {
        let delivery = store::lock(tx, self.tenant, self.delivery).await?;
        let delivery = delivery.ok_or(DeliveryError::NotFound)?;
        match delivery.state {
            DeliveryState::Pending => Ok(delivery),
            DeliveryState::Delivered => Err(DeliveryError::Delivered),
            DeliveryState::Dropped | DeliveryState::Parked => {
                store::reset(tx, &delivery).await?;
                let retried = AuditAction::DeliveryRetried {
                    kind: delivery.kind.name(),
                    order: delivery.about.order(),
                };
                audit::record(tx, self.tenant, &self.by, retried, delivery.id).await?;
                let now = tx.now();
                Ok(Delivery {
                    state: DeliveryState::Pending,
                    attempts: 0,
                    next_attempt_at: Some(now),
                    updated_at: now,
                    ..delivery
                })
            }
        }
    }
}
