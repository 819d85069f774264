//! An operator approves, rejects or suspends a merchant.

use super::{Applied, InvalidField, Merchant, MerchantError, SubMchid, field, store};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Tx, Work},
    primitives::{MerchantId, TenantId},
};

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Approve {
        sub_mchid: SubMchid,
        /// Our WeChat merchant account (`sp_mchid`) under which the number is this merchant's
        /// alone; none where it is our own number.
        under: Option<SubMchid>,
    },
    Reject {
        reason: String,
    },
    Suspend {
        reason: String,
    },
}

impl Decision {
    /// With our own number: we collect for ourselves.
    pub fn approve(sub_mchid: &str) -> Result<Self, InvalidField> {
        Ok(Self::Approve {
            sub_mchid: SubMchid::parse(sub_mchid)?,
            under: None,
        })
    }

    /// With the number of a merchant under our account.
    pub fn approve_under(account: &str, sub_mchid: &str) -> Result<Self, InvalidField> {
        Ok(Self::Approve {
            sub_mchid: SubMchid::parse(sub_mchid)?,
            under: Some(SubMchid::parse(account)?),
        })
    }

    pub fn reject(reason: &str) -> Result<Self, InvalidField> {
        Ok(Self::Reject {
            reason: field::text("reason", reason, 200, "1 to 200 characters")?,
        })
    }

    pub fn suspend(reason: &str) -> Result<Self, InvalidField> {
        Ok(Self::Suspend {
            reason: field::text("reason", reason, 200, "1 to 200 characters")?,
        })
    }

    fn action(&self) -> AuditAction {
        match self.clone() {
            Self::Approve { sub_mchid, .. } => AuditAction::MerchantApproved {
                sub_mchid: sub_mchid.to_string(),
            },
            Self::Reject { reason } => AuditAction::MerchantRejected { reason },
            Self::Suspend { reason } => AuditAction::MerchantSuspended { reason },
        }
    }
}

/// Decides about a merchant. Deciding the same again changes nothing.
#[derive(Debug)]
pub struct Decide {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub decision: Decision,
    pub by: Actor,
}

impl Decide {
    /// The unique key decides whose a number is.
    async fn claim_number(&self, tx: &mut Tx) -> Result<(), MerchantError> {
        let Decision::Approve {
            sub_mchid,
            under: Some(account),
        } = &self.decision
        else {
            return Ok(());
        };
        match store::claim_number(tx, self.merchant, account).await {
            Ok(()) => Ok(()),
            Err(error) if error.unique_key().as_deref() == Some("merchants_sub_mchid") => {
                let holder = store::find_holder(tx, self.tenant, account, sub_mchid).await?;
                Err(MerchantError::NumberTaken(holder))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Work for Decide {
    const NAME: &'static str = "merchants.decide";
    type Reply = Merchant;
    type Error = MerchantError;

    async fn run(&self, tx: &mut Tx) -> Result<Merchant, MerchantError> {
        let mut merchant = store::lock_merchant(tx, self.tenant, self.merchant)
            .await?
            .ok_or(MerchantError::NotFound)?;
        let from = merchant.state.kind();
        let applied = match self.decision.clone() {
            Decision::Approve { sub_mchid, .. } => merchant.state.approve(sub_mchid),
            Decision::Reject { reason } => merchant.state.reject(reason),
            Decision::Suspend { reason } => merchant.state.suspend(reason),
        };
        match applied? {
            Applied::Before(state) => merchant.state = state,
            Applied::Now(state) => {
                merchant.state = state;
                merchant.updated_at = tx.now();
                store::update_state(tx, &merchant, from).await?;
                self.claim_number(tx).await?;
                audit::record(
                    tx,
                    self.tenant,
                    &self.by,
                    self.decision.action(),
                    merchant.id,
                )
                .await?;
            }
        }
        Ok(merchant)
    }
}
