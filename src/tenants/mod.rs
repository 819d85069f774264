//! Tenants: who owns the data in a database; several share one. Outside they are known by their
//! code, inside by a small number that stands on every row.

mod create;
mod id_cache;
mod store;

pub use create::TenantError;
pub(crate) use create::insert_tenant;
pub use id_cache::TenantIdCache;
pub use store::{Tenant, find_by_code, list};
