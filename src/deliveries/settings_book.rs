//! The settings in force, kept in memory: a tenant that wants nothing told costs the relay nothing.

use super::{DeliverySettings, settings_store};
use crate::{
    db::{Book, Db, DbError, Standing},
    primitives::TenantId,
};

/// The settings in force per tenant; those of a tenant that has set none want nothing.
pub type SettingsBook = Book<DeliverySettings>;

impl Standing for DeliverySettings {
    async fn find(db: &Db, tenant: TenantId) -> Result<Self, DbError> {
        Ok(settings_store::find(db, tenant).await?.unwrap_or_default())
    }
}
