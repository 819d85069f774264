//! What a scanned code stands for.

use std::{fmt::Display, time::Duration};

use serde::{Deserialize, Serialize};

use super::{CollectionCode, MerchantError, store};
use crate::{
    cache::{Cache, CacheKey},
    db::{Db, DbError},
    primitives::{MerchantId, Money, TenantId},
};

/// What everybody who has scanned a code may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub tenant: TenantId,
    pub merchant_name: String,
    pub label: String,
    /// `None`: the customer types the amount.
    pub amount: Option<Money>,
    /// The code is active and the merchant approved.
    pub open: bool,
}

struct CounterKey(CollectionCode);

impl CacheKey for CounterKey {
    type Value = Counter;
    const KIND: &'static str = "counter";
    const TTL: Duration = Duration::from_secs(30);

    fn name(&self) -> impl Display + Send {
        self.0
    }
}

/// The open counter behind a code. Up to half a minute old: for showing, not for paying.
pub async fn resolve_code(
    db: &Db,
    cache: &Cache,
    code: CollectionCode,
) -> Result<Counter, MerchantError> {
    let key = CounterKey(code);
    let counter = if let Some(counter) = cache.get(&key).await {
        counter
    } else {
        let counter = store::find_counter_of_any_tenant(db, code)
            .await?
            .ok_or(MerchantError::CodeNotFound)?;
        cache.put(&key, &counter).await;
        counter
    };
    if counter.open {
        Ok(counter)
    } else {
        Err(MerchantError::CodeDisabled)
    }
}

/// Forgets all codes of a merchant, after its state changed. Redis forgets by itself what is missed
/// here.
pub async fn forget_codes(
    db: &Db,
    cache: &Cache,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<(), DbError> {
    for code in store::list_active_codes(db, tenant, merchant).await? {
        forget(cache, code).await;
    }
    Ok(())
}

pub(super) async fn forget(cache: &Cache, code: CollectionCode) {
    cache.forget(&CounterKey(code)).await;
}
