//! Looking at deliveries.

use super::{Delivery, DeliveryId, DeliveryKind, DeliveryState, store};
use crate::{
    db::{Db, DbError},
    primitives::{PageLimit, TenantId},
};

/// Which deliveries; by default all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    pub kind: Option<DeliveryKind>,
}

/// Up to `limit.probe()` deliveries of a tenant, those about the newest orders and refunds first,
/// before `before`.
pub async fn list_deliveries(
    db: &Db,
    tenant: TenantId,
    filter: DeliveryFilter,
    before: Option<DeliveryId>,
    limit: PageLimit,
) -> Result<Vec<Delivery>, DbError> {
    store::list(db, tenant, filter, before, limit).await
}
