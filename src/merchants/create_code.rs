//! A merchant gets a new collection code.

use super::{
    CodeState, CollectionCode, CollectionCodeRow, InvalidField, MerchantError, field, store,
};
use crate::{
    audit::{self, AuditAction},
    auth::Principal,
    db::{DbError, Tx, Work},
    primitives::{MerchantId, Money, TenantId},
};

/// What a code is for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeForm {
    label: String,
    amount: Option<Money>,
}

impl CodeForm {
    pub const AMOUNT_MAX_FEN: i64 = 5_000_000;

    pub fn parse(label: &str, amount_fen: Option<i64>) -> Result<Self, InvalidField> {
        let label = field::text("label", label, 30, "1 to 30 characters")?;
        let amount = match amount_fen {
            None => None,
            Some(fen @ 1..=Self::AMOUNT_MAX_FEN) => Money::parse(fen).ok(),
            Some(_) => {
                return Err(InvalidField {
                    field: "amount_fen",
                    expected: "1 to 5000000",
                });
            }
        };
        Ok(Self { label, amount })
    }
}

/// Makes a code for an approved merchant.
#[derive(Debug)]
pub struct CreateCode {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub form: CodeForm,
    pub by: Principal,
}

/// Of new codes until one is not taken; with 60 random bits the first is free.
const ATTEMPTS_MAX: u32 = 3;

impl Work for CreateCode {
    const NAME: &'static str = "merchants.create_code";
    type Reply = CollectionCodeRow;
    type Error = MerchantError;

    async fn run(&self, tx: &mut Tx) -> Result<CollectionCodeRow, MerchantError> {
        let merchant = store::find_merchant_in(tx, self.tenant, self.merchant).await?;
        if !merchant.ok_or(MerchantError::NotFound)?.state.is_open() {
            return Err(MerchantError::NotApproved);
        }
        let row = self.insert(tx).await?;
        let action = AuditAction::CollectionCodeCreated {
            merchant: self.merchant,
            label: row.label.clone(),
            amount: row.amount,
        };
        audit::record(tx, self.tenant, &self.by.actor(), action, row.code).await?;
        Ok(row)
    }
}

impl CreateCode {
    async fn insert(&self, tx: &mut Tx) -> Result<CollectionCodeRow, DbError> {
        let mut attempt = 1;
        loop {
            let row = CollectionCodeRow {
                code: CollectionCode::mint(tx.random()),
                tenant: self.tenant,
                merchant: self.merchant,
                label: self.form.label.clone(),
                amount: self.form.amount,
                state: CodeState::Active,
                created_at: tx.now(),
            };
            match store::insert_code(tx, &row).await {
                Ok(()) => return Ok(row),
                Err(error) if error.unique_key().is_some() && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_amount_is_between_one_fen_and_fifty_thousand_yuan() {
        assert!(CodeForm::parse("一号柜台", None).is_ok());
        assert!(CodeForm::parse("一号柜台", Some(1)).is_ok());
        assert!(CodeForm::parse("一号柜台", Some(5_000_000)).is_ok());
        for bad in [-1, 0, 5_000_001] {
            assert_eq!(
                CodeForm::parse("一号柜台", Some(bad)).unwrap_err().field,
                "amount_fen"
            );
        }
    }
}
