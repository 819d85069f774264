//! A person registers a merchant.

use super::{InvalidField, Merchant, MerchantError, MerchantState, Staff, field, store};
use crate::{
    audit::{self, AuditAction},
    auth::{Principal, StaffRole},
    customers,
    db::{DbError, Tx, Work},
    primitives::{CustomerId, MerchantId, Secret, StaffId, TenantId},
};

/// What a person says about the merchant, checked.
#[derive(Debug, Clone)]
pub struct MerchantForm {
    name: String,
    contact_name: Secret<String>,
    contact_phone: Secret<String>,
    business_license: String,
    address: String,
}

impl MerchantForm {
    pub fn parse(
        name: &str,
        contact_name: &Secret<String>,
        contact_phone: &Secret<String>,
        business_license: &str,
        address: &str,
    ) -> Result<Self, InvalidField> {
        let contact_name = contact_name.expose();
        Ok(Self {
            name: field::text("name", name, 60, "1 to 60 characters")?,
            contact_name: Secret::new(field::text(
                "contact_name",
                contact_name,
                50,
                "1 to 50 characters",
            )?),
            contact_phone: Secret::new(field::phone("contact_phone", contact_phone.expose())?),
            business_license: field::text(
                "business_license",
                business_license,
                64,
                "1 to 64 characters",
            )?,
            address: field::text("address", address, 200, "1 to 200 characters")?,
        })
    }
}

/// Makes a pending merchant with the customer as its owner.
#[derive(Debug)]
pub struct Register {
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub form: MerchantForm,
}

#[derive(Debug, Clone)]
pub struct Registered {
    pub merchant: Merchant,
    pub owner: Staff,
}

impl Work for Register {
    const NAME: &'static str = "merchants.register";
    type Reply = Registered;
    type Error = MerchantError;

    async fn run(&self, tx: &mut Tx) -> Result<Registered, MerchantError> {
        let person = customers::get_active_in(tx, self.tenant, self.customer).await?;
        let merchant = self.pending_merchant(tx);
        store::insert_merchant(tx, &merchant).await?;
        let owner = self.make_owner(tx, &person.openid, merchant.id).await?;
        let actor = Principal::Customer {
            tenant: self.tenant,
            id: self.customer,
        }
        .actor();
        let action = AuditAction::MerchantRegistered { owner: owner.id };
        audit::record(tx, self.tenant, &actor, action, merchant.id).await?;
        Ok(Registered { merchant, owner })
    }
}

impl Register {
    fn pending_merchant(&self, tx: &Tx) -> Merchant {
        let form = self.form.clone();
        Merchant {
            id: MerchantId::new(tx.new_id(tx.new_lane())),
            tenant: self.tenant,
            name: form.name,
            contact_name: form.contact_name,
            contact_phone: form.contact_phone,
            business_license: form.business_license,
            address: form.address,
            state: MerchantState::Pending,
            created_at: tx.now(),
            updated_at: tx.now(),
        }
    }

    /// The person becomes owner of the new merchant, unless they work in one that was not rejected.
    async fn make_owner(
        &self,
        tx: &mut Tx,
        openid: &Secret<String>,
        merchant: MerchantId,
    ) -> Result<Staff, MerchantError> {
        let role = StaffRole::Owner;
        let Some(earlier) = store::lock_staff_by_openid(tx, self.tenant, openid).await? else {
            let id = StaffId::new(tx.new_id(tx.new_lane()));
            let owner = Staff {
                id,
                tenant: self.tenant,
                merchant,
                role,
            };
            return match store::insert_staff(tx, &owner, openid).await {
                Ok(()) => Ok(owner),
                // Two registrations of one person at once.
                Err(error) if error.unique_key().is_some() => Err(MerchantError::AlreadyRegistered),
                Err(error) => Err(error.into()),
            };
        };
        let before = store::find_merchant_in(tx, self.tenant, earlier.merchant).await?;
        let before = before.ok_or(DbError::Inconsistent(
            "staff of a merchant that does not exist",
        ))?;
        if !matches!(before.state, MerchantState::Rejected { .. }) {
            return Err(MerchantError::AlreadyRegistered);
        }
        let owner = Staff {
            merchant,
            role,
            ..earlier
        };
        store::move_staff(tx, &owner).await?;
        Ok(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_the_field_that_is_wrong() {
        let parse = |name: &str, phone: &str| {
            let secret = |text: &str| Secret::new(text.to_owned());
            MerchantForm::parse(
                name,
                &secret("王伟"),
                &secret(phone),
                "91310000MA1K35X123",
                "上海市",
            )
        };
        assert!(parse("老王面馆", "13800001234").is_ok());
        assert_eq!(parse(" ", "13800001234").unwrap_err().field, "name");
        let error = parse("老王面馆", "打我电话").unwrap_err();
        assert_eq!(error.field, "contact_phone");
        assert!(!error.to_string().contains("打我电话"));
    }
}
