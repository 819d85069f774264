//! A person pays who never came in: WeChat says under which openid.

use super::sign_in::find_or_create;
use crate::{
    db::{Db, DbError, Tx, Work},
    primitives::{CustomerId, Secret, TenantId},
};

/// The customer of this openid, made if there is none.
pub async fn recognise(
    db: &Db,
    tenant: TenantId,
    openid: &Secret<String>,
) -> Result<CustomerId, DbError> {
    db.run(Recognise {
        tenant,
        openid: openid.clone(),
    })
    .await
}

#[derive(Debug)]
struct Recognise {
    tenant: TenantId,
    openid: Secret<String>,
}

impl Work for Recognise {
    const NAME: &'static str = "customers.recognise";
    type Reply = CustomerId;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<CustomerId, DbError> {
        let customer = find_or_create(tx, self.tenant, &self.openid).await?;
        Ok(customer.id)
    }
}
