//! Who paid, as WeChat names them.

use super::{PaidNotice, Payments};
use crate::{
    customers,
    db::DbError,
    primitives::{CustomerId, TenantId},
};

/// Who paid, after it was looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payer {
    Known(CustomerId),
    /// WeChat did not say.
    Unknown,
}

/// The customer whom WeChat names, made if there is none.
pub(super) async fn who_paid(
    payments: &Payments,
    tenant: TenantId,
    notice: &PaidNotice,
) -> Result<Payer, DbError> {
    Ok(match &notice.payer_openid {
        Some(openid) => Payer::Known(customers::recognise(&payments.db, tenant, openid).await?),
        None => Payer::Unknown,
    })
}
