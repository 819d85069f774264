//! Making a tenant, with the first version of its points rule.
//!
//! A payment is credited by a rule of its tenant, so no tenant is without one for an instant.
//! Tenants know no points; so they are made here, where both are known.

use super::{RuleTerms, rule_store};
use crate::{
    audit::SystemActor,
    db::{Db, Tx, Work},
    tenants::{self, Tenant, TenantError},
};

/// Makes a tenant with a first points rule: one point per yuan, for a year.
pub async fn create_tenant(db: &Db, code: &str, name: &str) -> Result<Tenant, TenantError> {
    db.run(CreateTenant {
        code: code.to_owned(),
        name: name.to_owned(),
    })
    .await
}

/// Makes a tenant and the first version of its points rule.
#[derive(Debug)]
pub struct CreateTenant {
    pub code: String,
    pub name: String,
}

impl Work for CreateTenant {
    const NAME: &'static str = "points.create_tenant";
    type Reply = Tenant;
    type Error = TenantError;

    async fn run(&self, tx: &mut Tx) -> Result<Tenant, TenantError> {
        let tenant = tenants::insert_tenant(tx, &self.code, &self.name).await?;
        rule_store::insert_first(
            tx,
            tenant.id,
            &RuleTerms::default(),
            SystemActor::Setup.into(),
        )
        .await?;
        Ok(tenant)
    }
}
