//! What a tenant has set, kept in memory.

use std::{fmt, future::Future, sync::Arc};

use super::{Db, DbError, RefreshingCache};
use crate::primitives::TenantId;

/// Something that each tenant has one of, which people change now and then and every request asks for.
pub trait PerTenant: Sized + Send + Sync + 'static {
    /// What is in force now.
    fn find(db: &Db, tenant: TenantId) -> impl Future<Output = Result<Self, DbError>> + Send;
}

/// What is in force per tenant, at most a second old. A change is therefore in force everywhere within a second.
pub struct PerTenantCache<T> {
    db: Db,
    known: Arc<RefreshingCache<TenantId, T>>,
}

impl<T> Clone for PerTenantCache<T> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            known: Arc::clone(&self.known),
        }
    }
}

impl<T> fmt::Debug for PerTenantCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerTenantCache").finish_non_exhaustive()
    }
}

impl<T: PerTenant> PerTenantCache<T> {
    pub fn start(db: Db) -> Self {
        Self {
            db,
            known: Arc::default(),
        }
    }

    /// What is in force. An unreachable database leaves the last known in force.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<T>, DbError> {
        self.known.get(tenant, T::find(&self.db, tenant)).await
    }

    /// Looks again at the next question: after a change made here.
    pub fn forget(&self, tenant: TenantId) {
        self.known.forget(&tenant);
    }
}
