//! What the use cases of this slice work with.

use super::{Deed, DeedError, DeedFilter, RuleBook, deed_store};
use crate::{
    db::{Db, DbError, Operation, SubmitError},
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

/// How often an operation whose reads did not fit together is asked again.
const STALE_MAX: u32 = 5;

/// Submits, and again while the operation met what somebody else was just writing.
pub(super) async fn submit<O>(db: &Db, operation: O) -> Result<O::Reply, SubmitError<DeedError>>
where
    O: Operation<Refusal = DeedError> + Clone,
{
    for _ in 0..STALE_MAX {
        match db.submit(operation.clone()).await {
            Err(SubmitError::Refused(DeedError::Stale)) => {
                metrics::counter!("points_stale_reads_total").increment(1);
            }
            answer => return answer,
        }
    }
    Err(DbError::Contention(STALE_MAX).into())
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
