//! What the use cases of this slice work with.

use super::{Deed, DeedError, DeedFilter, RuleBook, deed_store};
use crate::{
    db::{Db, DbError, FRESH_ATTEMPTS, Operation, SubmitError},
    primitives::{DeedId, PageLimit, TenantId},
    risk::Risk,
};

/// The counter at which back ends ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    pub db: Db,
    pub rules: RuleBook,
    pub risk: Risk,
}

/// Submits; what somebody else is writing all the time is contention.
pub(super) async fn submit<O>(db: &Db, operation: O) -> Result<O::Reply, SubmitError<DeedError>>
where
    O: Operation<Refusal = DeedError> + Clone,
{
    let is_stale = |refusal: &DeedError| matches!(refusal, DeedError::Stale);
    match db.submit_fresh(operation, is_stale).await {
        Err(SubmitError::Refused(DeedError::Stale)) => {
            Err(DbError::Contention(FRESH_ATTEMPTS).into())
        }
        answer => answer,
    }
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
