//! A person of a merchant.

use crate::{
    auth::{Principal, StaffRole},
    primitives::{MerchantId, StaffId, TenantId},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff {
    pub id: StaffId,
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub role: StaffRole,
}

impl Staff {
    pub fn principal(&self) -> Principal {
        Principal::Staff {
            tenant: self.tenant,
            id: self.id,
            merchant: self.merchant,
            role: self.role,
        }
    }
}
