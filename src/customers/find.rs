//! Reads a customer.

use super::{Customer, CustomerError, store};
use crate::{
    db::{Db, DbError, Tx},
    primitives::{CustomerId, TenantId},
};

pub async fn find_customer(
    db: &Db,
    tenant: TenantId,
    id: CustomerId,
) -> Result<Option<Customer>, DbError> {
    store::find_customer(db, tenant, id).await
}

/// The customer, unless blocked: who pays is asked for again at each payment, whatever the token
/// says.
pub async fn get_active(
    db: &Db,
    tenant: TenantId,
    id: CustomerId,
) -> Result<Customer, CustomerError> {
    let customer = store::find_customer(db, tenant, id)
        .await?
        .ok_or(CustomerError::NotFound)?;
    customer.if_active()
}

/// Finds an active customer inside a transaction.
pub async fn get_active_in(
    tx: &mut Tx,
    tenant: TenantId,
    id: CustomerId,
) -> Result<Customer, CustomerError> {
    let customer = store::find_in(tx, tenant, id)
        .await?
        .ok_or(CustomerError::NotFound)?;
    customer.if_active()
}
