//! Reads that decide nothing.

use super::{
    CodeCursor, CollectionCode, CollectionCodeRow, Merchant, MerchantError, MerchantStateKind,
    SubMchid, store,
};
use crate::{
    db::{Db, DbError},
    primitives::{MerchantId, PageLimit, TenantId},
};

pub async fn find_merchant(
    db: &Db,
    tenant: TenantId,
    id: MerchantId,
) -> Result<Option<Merchant>, DbError> {
    store::find_merchant(db, tenant, id).await
}

/// Whether the merchant may collect money now, and its people may send money back. False for one
/// that does not exist.
pub async fn is_open(db: &Db, tenant: TenantId, id: MerchantId) -> Result<bool, DbError> {
    store::is_open(db, tenant, id).await
}

pub async fn get_merchant(
    db: &Db,
    tenant: TenantId,
    id: MerchantId,
) -> Result<Merchant, MerchantError> {
    store::find_merchant(db, tenant, id)
        .await?
        .ok_or(MerchantError::NotFound)
}

/// Which merchants are listed. All of it must fit; what is absent fits everything.
#[derive(Debug, Clone, Default)]
pub struct MerchantFilter {
    pub state: Option<MerchantStateKind>,
    /// WeChat's number of the merchant, as it stands in WeChat's bills.
    pub sub_mchid: Option<SubMchid>,
}

/// Up to `limit.probe()` merchants, newest first, older than `before`.
pub async fn list_merchants(
    db: &Db,
    tenant: TenantId,
    filter: &MerchantFilter,
    before: Option<MerchantId>,
    limit: PageLimit,
) -> Result<Vec<Merchant>, DbError> {
    store::list_merchants(db, tenant, filter, before, limit).await
}

/// A merchant's own code; another merchant's does not exist for it.
pub async fn get_code(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
    code: CollectionCode,
) -> Result<CollectionCodeRow, MerchantError> {
    let row = store::find_code(db, tenant, merchant, code).await?;
    row.ok_or(MerchantError::CodeNotFound)
}

/// Up to `limit.probe()` codes of a merchant, newest first.
pub async fn list_codes(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
    before: Option<CodeCursor>,
    limit: PageLimit,
) -> Result<Vec<CollectionCodeRow>, DbError> {
    store::list_codes(db, tenant, merchant, before, limit).await
}
