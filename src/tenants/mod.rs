//! Tenants: who owns the data in a database; several share one. Outside they are known by their
//! code, inside by a small number that stands on every row.

mod create;
mod id_cache;
mod store;

pub use create::{CreateTenant, TenantError};
pub use id_cache::TenantIdCache;
pub use store::{Tenant, find_by_code, list};

use crate::db::Db;

/// Makes a tenant with a first points rule: one point per yuan, for a year.
pub async fn create(db: &Db, code: &str, name: &str) -> Result<Tenant, TenantError> {
    db.run(CreateTenant {
        code: code.to_owned(),
        name: name.to_owned(),
    })
    .await
}
