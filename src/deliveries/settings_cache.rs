//! The settings in force, kept in memory: a tenant that wants nothing told costs the relay nothing.

use super::{DeliverySettings, settings_store};
use crate::{
    db::{Db, DbError, PerTenant, PerTenantCache},
    primitives::TenantId,
};

/// The settings in force per tenant; those of a tenant that has set none want nothing.
pub type SettingsCache = PerTenantCache<DeliverySettings>;

impl PerTenant for DeliverySettings {
    async fn find(db: &Db, tenant: TenantId) -> Result<Self, DbError> {
        Ok(settings_store::find(db, tenant).await?.unwrap_or_default())
    }
}
