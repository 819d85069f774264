//! A cache for what each tenant has one of.

use std::{fmt, future::Future, sync::Arc};

use super::{Db, DbError, RefreshingCache};
use crate::primitives::TenantId;

/// Something that each tenant has one of: seldom changed, and read with every request.
pub trait PerTenant: Sized + Send + Sync + 'static {
    /// Reads what is in force now.
    fn find(db: &Db, tenant: TenantId) -> impl Future<Output = Result<Self, DbError>> + Send;
}

/// A cache of what is in force for each tenant, at most a second old. A change is therefore in
/// force everywhere within a second.
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

    /// Returns what is in force. While the database is unreachable, the last known value stays in
    /// force.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<T>, DbError> {
        self.known.get(tenant, T::find(&self.db, tenant)).await
    }

    /// Drops the value, so that the next call reads it: after a change made by this process.
    pub fn forget(&self, tenant: TenantId) {
        self.known.forget(&tenant);
    }
}
