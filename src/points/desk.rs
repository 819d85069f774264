//! What the use cases of this slice work with.

use super::{Deed, DeedFilter, RulesCache, deed_store};
use crate::{
    db::{Db, DbError},
    primitives::{DeedId, PageLimit, TenantId},
    risk::Risk,
};

/// The counter at which back ends ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    pub db: Db,
    pub rules: RulesCache,
    pub risk: Risk,
}

/// One deed of a tenant.
pub async fn find_deed(db: &Db, tenant: TenantId, id: DeedId) -> Result<Option<Deed>, DbError> {
    deed_store::find(db, tenant, id).await
}

/// Up to `limit.probe()` deeds, newest first, older than `before`.
pub async fn list_deeds(
    db: &Db,
    tenant: TenantId,
    filter: &DeedFilter,
    before: Option<DeedId>,
    limit: PageLimit,
) -> Result<Vec<Deed>, DbError> {
    deed_store::list(db, tenant, filter, before, limit).await
}
