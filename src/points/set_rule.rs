//! A new version of the rule, for the tenant or for one merchant.

use super::{Rule, RuleError, RuleTerms, RuleVersion, rule_store};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{DbError, Tx, Work},
    primitives::{MerchantId, TenantId, Timestamp},
};

/// Seconds ahead that a change may be planned.
const AHEAD_SECONDS_MAX: i64 = 366 * 86_400;

/// Puts new terms in force, as the next version.
#[derive(Debug)]
pub struct SetRule {
    pub tenant: TenantId,
    /// The merchant whose rule it is, which must exist; none: every merchant without a rule of its
    /// own.
    pub merchant: Option<MerchantId>,
    pub terms: RuleTerms,
    /// At most 366 days ahead; none: now.
    pub effective_from: Option<Timestamp>,
    pub by: Actor,
}

/// Ends a merchant's own rule, as the next version: the tenant's rule decides again.
#[derive(Debug)]
pub struct WithdrawRule {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    /// At most 366 days ahead; none: now.
    pub effective_from: Option<Timestamp>,
    pub by: Actor,
}

#[derive(Debug, thiserror::Error)]
pub enum SetRuleError {
    #[error("the terms make no sense")]
    Terms(#[from] RuleError),
    #[error("a rule begins now or later, at most 366 days ahead")]
    BadBeginning,
    #[error("the merchant has no rule of its own then")]
    NotOverridden,
    #[error("database failure")]
    Db(#[from] DbError),
}

impl Work for SetRule {
    const NAME: &'static str = "points.set_rule";
    type Reply = Rule;
    type Error = SetRuleError;

    async fn run(&self, tx: &mut Tx) -> Result<Rule, SetRuleError> {
        self.terms.check()?;
        let next = next(tx, self.tenant, self.effective_from).await?;
        let rule = Rule {
            tenant: self.tenant,
            version: next.version,
            merchant: self.merchant,
            terms: self.terms,
            effective_from: next.effective_from,
            created_at: next.made_at,
        };
        let version = RuleVersion {
            tenant: rule.tenant,
            version: rule.version,
            merchant: rule.merchant,
            terms: Some(rule.terms),
            effective_from: rule.effective_from,
            created_at: rule.created_at,
        };
        rule_store::insert_version(tx, &version, &self.by).await?;
        let set = AuditAction::PointsRuleSet {
            version: rule.version,
            effective_from: rule.effective_from,
        };
        match self.merchant {
            Some(merchant) => audit::record(tx, self.tenant, &self.by, set, merchant).await?,
            None => audit::record(tx, self.tenant, &self.by, set, "points_rule").await?,
        }
        Ok(rule)
    }
}

impl Work for WithdrawRule {
    const NAME: &'static str = "points.withdraw_rule";
    type Reply = RuleVersion;
    type Error = SetRuleError;

    async fn run(&self, tx: &mut Tx) -> Result<RuleVersion, SetRuleError> {
        let next = next(tx, self.tenant, self.effective_from).await?;
        let version = RuleVersion {
            tenant: self.tenant,
            version: next.version,
            merchant: Some(self.merchant),
            terms: None,
            effective_from: next.effective_from,
            created_at: next.made_at,
        };
        let (tenant, merchant) = (self.tenant, self.merchant);
        if !rule_store::is_overridden(tx, tenant, merchant, next.effective_from).await? {
            return Err(SetRuleError::NotOverridden);
        }
        rule_store::insert_version(tx, &version, &self.by).await?;
        let withdrawn = AuditAction::PointsRuleWithdrawn {
            version: version.version,
            effective_from: version.effective_from,
        };
        audit::record(tx, tenant, &self.by, withdrawn, merchant).await?;
        Ok(version)
    }
}

/// Number and beginning of the next version.
struct Next {
    version: u32,
    effective_from: Timestamp,
    made_at: Timestamp,
}

async fn next(
    tx: &mut Tx,
    tenant: TenantId,
    effective_from: Option<Timestamp>,
) -> Result<Next, SetRuleError> {
    let asked_at = tx.now();
    let latest = asked_at.plus_seconds(AHEAD_SECONDS_MAX);
    if effective_from.is_some_and(|from| from < asked_at || from > latest) {
        return Err(SetRuleError::BadBeginning);
    }
    let newest = rule_store::lock_newest(tx, tenant).await?;
    let version = newest.map_or(0, |newest| newest.version);
    let version = version
        .checked_add(1)
        .ok_or(DbError::Inconsistent("too many rule versions"))?;
    // `asked_at` was read before the lock was taken. A later version must not begin before the one
    // that it replaces, so it takes the time of the newest version if that is later.
    let made_at = newest.map_or(asked_at, |newest| newest.created_at.max(asked_at));
    Ok(Next {
        version,
        effective_from: effective_from.map_or(made_at, |from| from.max(made_at)),
        made_at,
    })
}
