//! The points service: what the use cases of this slice work with.

use std::sync::Arc;

use super::{
    PartyLookup, PointsTransaction, PointsTransactionFilter, RulesCache, transaction_store,
};
use crate::{
    db::{Db, DbError},
    primitives::{PageLimit, PointsTransactionId, TenantId},
    risk::Risk,
};

/// Takes the points commands of back ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PointsService {
    pub db: Db,
    pub rules: RulesCache,
    pub risk: Risk,
    pub parties: Arc<dyn PartyLookup>,
}

/// Returns a points transaction of the tenant.
pub async fn find_points_transaction(
    db: &Db,
    tenant: TenantId,
    id: PointsTransactionId,
) -> Result<Option<PointsTransaction>, DbError> {
    transaction_store::find(db, tenant, id).await
}

/// Returns up to `limit.probe()` points transactions, newest first, older than `before`.
pub async fn list_points_transactions(
    db: &Db,
    tenant: TenantId,
    filter: &PointsTransactionFilter,
    before: Option<PointsTransactionId>,
    limit: PageLimit,
) -> Result<Vec<PointsTransaction>, DbError> {
    transaction_store::list(db, tenant, filter, before, limit).await
}
