//! What risk wants to know of a merchant before an activity, kept in memory.
//!
//! Whose code was scanned never changes; who is on a merchant's staff seldom does, and risk may
//! learn of it a minute later. So asking risk costs a payment no query, but for the first at a
//! counter. Nothing is paid on the strength of it: the order reads the code again.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use sqlx::Row as _;

use super::CollectionCode;
use crate::{
    db::{Db, DbError, TtlCache},
    primitives::{CustomerId, MerchantId, Money, TenantId},
};

/// Codes never change but for being disabled, which is not kept here.
const CODES_LAST: Duration = Duration::from_secs(10);
const STAFF_LASTS: Duration = Duration::from_mins(1);

/// Whose code it is, open or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeOwner {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    /// None: the customer says it.
    pub amount: Option<Money>,
}

/// Codes and staff of merchants, from memory if they were asked for lately. Cheap to clone.
#[derive(Clone)]
pub struct MerchantCache {
    db: Db,
    codes: Arc<TtlCache<String, CodeOwner>>,
    staff: Arc<TtlCache<MerchantId, Arc<HashSet<CustomerId>>>>,
}

impl fmt::Debug for MerchantCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MerchantCache").finish_non_exhaustive()
    }
}

impl MerchantCache {
    pub fn start(db: Db) -> Self {
        Self {
            db,
            codes: Arc::new(TtlCache::new(CODES_LAST)),
            staff: Arc::new(TtlCache::new(STAFF_LASTS)),
        }
    }

    /// Whose collection code this is. Text that cannot be one is nobody's, without a query.
    pub async fn owner_of(&self, code: &str) -> Result<Option<CodeOwner>, DbError> {
        let Ok(sound) = code.parse::<CollectionCode>() else {
            return Ok(None);
        };
        let load = find_owner_of_any_tenant(&self.db, sound);
        self.codes.get(code.to_owned(), load).await
    }

    /// Whether the customer is on the merchant's staff. Up to a minute old.
    pub async fn employs(
        &self,
        tenant: TenantId,
        merchant: MerchantId,
        customer: CustomerId,
    ) -> Result<bool, DbError> {
        let load = async {
            let staff = find_staff(&self.db, tenant, merchant).await?;
            Ok(Some(Arc::new(staff)))
        };
        let staff = self.staff.get(merchant, load).await?;
        Ok(staff.is_some_and(|staff| staff.contains(&customer)))
    }
}

/// Whose a code is, of whichever tenant: a caller compares the tenant of the owner.
async fn find_owner_of_any_tenant(
    db: &Db,
    code: CollectionCode,
) -> Result<Option<CodeOwner>, DbError> {
    let row = sqlx::query(
        "/* merchants.find_owner_of_any_tenant */ SELECT tenant_id, merchant_id, amount_fen FROM qr_codes WHERE code = ?",
    )
    .bind(code.as_str())
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let amount: Option<i64> = row.try_get(2)?;
    Ok(Some(CodeOwner {
        tenant: TenantId(row.try_get(0)?),
        merchant: row.try_get(1)?,
        amount: amount
            .map(Money::parse)
            .transpose()
            .map_err(|_| DbError::Inconsistent("a code's amount below zero"))?,
    }))
}

/// Staff and customers are the same people under one openid.
async fn find_staff(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<HashSet<CustomerId>, DbError> {
    let staff: Vec<CustomerId> = sqlx::query_scalar(
        "/* merchants.find_staff_customers */ SELECT c.id FROM merchant_staff s \
         JOIN customers c ON c.tenant_id = s.tenant_id AND c.openid = s.openid \
         WHERE s.merchant_id = ? AND s.tenant_id = ? AND s.status = 'active'",
    )
    .bind(merchant)
    .bind(tenant)
    .fetch_all(db.pool())
    .await?;
    Ok(staff.into_iter().collect())
}
