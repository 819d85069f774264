//! A new version of the rule.

use super::{Rule, RuleError, RuleTerms, store};
use crate::{
    audit::{self, Action, Actor},
    db::{DbError, Tx, Work},
    primitives::TenantId,
};

/// Puts new terms in force, as the next version.
#[derive(Debug)]
pub struct SetRule {
    pub tenant: TenantId,
    pub terms: RuleTerms,
    /// Who did it, for the history.
    pub by: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SetRuleError {
    #[error("the terms make no sense")]
    Terms(#[from] RuleError),
    #[error("database failure")]
    Db(#[from] DbError),
}

impl Work for SetRule {
    const NAME: &'static str = "points.set_rule";
    type Reply = Rule;
    type Error = SetRuleError;

    async fn run(&self, tx: &mut Tx) -> Result<Rule, SetRuleError> {
        self.terms.check()?;
        let newest = store::lock_newest_version(tx, self.tenant)
            .await?
            .unwrap_or(0);
        let version = newest
            .checked_add(1)
            .ok_or(DbError::Inconsistent("too many rule versions"))?;
        store::insert_rule(tx, self.tenant, version, &self.terms, &self.by).await?;
        let (actor, set) = (Actor::new(&self.by), Action::PointsRuleSet { version });
        audit::record(tx, self.tenant, &actor, set, "points_rule").await?;
        Ok(Rule {
            tenant: self.tenant,
            version,
            terms: self.terms,
            created_at: tx.now(),
        })
    }
}
