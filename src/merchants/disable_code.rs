//! A merchant takes a collection code out of use.

use super::{CodeState, CollectionCode, CollectionCodeRow, MerchantError, resolve_code, store};
use crate::{
    audit::{self, AuditAction},
    auth::Principal,
    cache::Cache,
    db::{Db, Tx, Work},
    primitives::{MerchantId, TenantId},
};

/// Disables the code and has it forgotten.
pub async fn disable_code(
    db: &Db,
    cache: &Cache,
    work: DisableCode,
) -> Result<CollectionCodeRow, MerchantError> {
    let row = db.run(work).await?;
    resolve_code::forget(cache, row.code).await;
    Ok(row)
}

/// Disables a code of the merchant, for good. Doing it again changes nothing.
#[derive(Debug)]
pub struct DisableCode {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub code: CollectionCode,
    pub by: Principal,
}

impl Work for DisableCode {
    const NAME: &'static str = "merchants.disable_code";
    type Reply = CollectionCodeRow;
    type Error = MerchantError;

    async fn run(&self, tx: &mut Tx) -> Result<CollectionCodeRow, MerchantError> {
        let mut row = store::lock_code(tx, self.tenant, self.merchant, self.code)
            .await?
            .ok_or(MerchantError::CodeNotFound)?;
        match row.state {
            CodeState::Disabled { .. } => {}
            CodeState::Active => {
                row.state = CodeState::Disabled {
                    disabled_at: tx.now(),
                };
                store::disable_code(tx, row.code).await?;
                let action = AuditAction::CollectionCodeDisabled {
                    merchant: self.merchant,
                };
                audit::record(tx, self.tenant, &self.by.actor(), action, row.code).await?;
            }
        }
        Ok(row)
    }
}
