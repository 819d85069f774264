//! Who is calling.

use super::Permission;
use crate::{
    audit::Actor,
    primitives::{CustomerId, MerchantId, StaffId, TenantId, coded},
};

/// A caller whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    Customer {
        tenant: TenantId,
        id: CustomerId,
    },
    Staff {
        tenant: TenantId,
        id: StaffId,
        merchant: MerchantId,
        role: StaffRole,
    },
    /// A person of the tenant, or a program that acts for one.
    Operator {
        tenant: TenantId,
        name: String,
        role: OperatorRole,
    },
}

coded! {
    /// What a person is at a merchant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum StaffRole: Serde {
        Owner => "owner",
        Clerk => "clerk",
    }
}

coded! {
    /// What a person is for the tenant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum OperatorRole: Serde {
        Admin => "admin",
        Auditor => "auditor",
        /// A back end that awards, deducts, redeems and holds points.
        Service => "service",
    }
}

impl Principal {
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::Customer { tenant, .. }
            | Self::Staff { tenant, .. }
            | Self::Operator { tenant, .. } => *tenant,
        }
    }

    /// The name under which the principal's actions are recorded.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Customer { id, .. } => Actor::Customer(*id),
            Self::Staff { id, .. } => Actor::Staff(*id),
            Self::Operator { name, .. } => Actor::operator(name.as_str()),
        }
    }

    pub fn permissions(&self) -> &'static [Permission] {
        match self {
            Self::Customer { .. } => Permission::OF_CUSTOMER,
            Self::Staff { role, .. } => Permission::of_staff(*role),
            Self::Operator { role, .. } => Permission::of_operator(*role),
        }
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}
