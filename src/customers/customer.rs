//! What is known of a customer.

use super::CustomerError;
use crate::primitives::{CustomerId, Secret, TenantId, Timestamp, coded};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub tenant: TenantId,
    /// WeChat's name for this person at this tenant's mini-program.
    pub openid: Secret<String>,
    pub nickname: Option<String>,
    /// Address of a picture.
    pub avatar: Option<String>,
    pub status: CustomerStatus,
    pub created_at: Timestamp,
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CustomerStatus {
        Active => "active",
        /// May neither log in nor pay; points stay.
        Blocked => "blocked",
    }
}

impl Customer {
    pub fn if_active(self) -> Result<Self, CustomerError> {
        match self.status {
            CustomerStatus::Active => Ok(self),
            CustomerStatus::Blocked => Err(CustomerError::Blocked),
        }
    }
}

impl CustomerStatus {
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Blocked]
            .into_iter()
            .find(|status| status.name() == name)
    }
}
