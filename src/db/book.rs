//! What a tenant has set, kept in memory.

use std::{fmt, future::Future, sync::Arc};

use super::{Db, DbError, Fresh};
use crate::primitives::TenantId;

/// Something that each tenant has one of, which people change now and then and every request asks for.
pub trait Standing: Sized + Send + Sync + 'static {
    /// What is in force now.
    fn find(db: &Db, tenant: TenantId) -> impl Future<Output = Result<Self, DbError>> + Send;
}

/// What is in force per tenant, at most a second old. A change is therefore in force everywhere within a second.
pub struct Book<T> {
    db: Db,
    known: Arc<Fresh<TenantId, T>>,
}

impl<T> Clone for Book<T> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            known: Arc::clone(&self.known),
        }
    }
}

impl<T> fmt::Debug for Book<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

impl<T: Standing> Book<T> {
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
