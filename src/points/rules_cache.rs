//! The rules, kept in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Rule, Rules, rule_store};
use crate::{
    db::{Db, DbError, RefreshingCache},
    primitives::{MerchantId, TenantId, Timestamp},
};

/// Versions that were replaced longer ago are forgotten. More than clocks differ by, and no more,
/// since every payment looks at what is left.
const REMEMBERED_SECONDS: i64 = 60;

/// The rules per tenant, at most a second old. A change is therefore in force everywhere within a
/// second, and one that begins later at its instant.
///
/// Versions are numbered without gaps, in the order of their commits (a lock sees to that), and
/// never change. So one question a second, "anything above the newest I know?", is enough, and its
/// answer is nearly always empty: however many merchants have rules of their own, they are read
/// once.
#[derive(Clone)]
pub struct RulesCache {
    db: Db,
    known: Arc<RefreshingCache<TenantId, Arc<Rules>>>,
    /// What to add to, also after [`RulesCache::forget`].
    last: Arc<Kept>,
    /// Everything that ever was, of tenants of whom it was wanted.
    whole: Arc<Kept>,
}

impl fmt::Debug for RulesCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RulesCache").finish_non_exhaustive()
    }
}

impl RulesCache {
    pub fn start(db: Db) -> Self {
        Self {
            db,
            known: Arc::default(),
            last: Arc::default(),
            whole: Arc::default(),
        }
    }

    /// What is known now. An unreachable database leaves the last known in force.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<Rules>, DbError> {
        let known = self.known.get(tenant, self.look(tenant)).await?;
        Ok(Arc::clone(&known))
    }

    /// The rule for a merchant at an instant, which lies not long ago, now or later; without a
    /// merchant, the tenant's own.
    pub async fn rule_for(
        &self,
        tenant: TenantId,
        merchant: Option<MerchantId>,
        at: Timestamp,
    ) -> Result<Rule, DbError> {
        Ok(self.current(tenant).await?.in_force(merchant, at).rule)
    }

    /// What is known now, reaching back to an instant that may lie long ago: a payment is credited
    /// by the rule in force when the customer paid, whenever we are told. The past of a tenant is
    /// read when it is wanted first, and what was added since is added to it.
    pub async fn reaching_back(
        &self,
        tenant: TenantId,
        at: Timestamp,
    ) -> Result<Arc<Rules>, DbError> {
        let current = self.current(tenant).await?;
        if current.know(at) {
            return Ok(current);
        }
        let whole = get(&self.whole, tenant);
        let newest = whole.as_ref().map_or(0, |whole| whole.newest());
        let rules = match whole {
            Some(whole) if newest >= current.newest() => return Ok(whole),
            Some(whole) => whole.with(rule_store::list_after(&self.db, tenant, newest).await?),
            None => Rules::new(rule_store::list_after(&self.db, tenant, 0).await?)
                .ok_or(DbError::Inconsistent("a tenant without a points rule"))?,
        };
        Ok(put(&self.whole, tenant, rules))
    }

    /// Looks again at the next question: after a change made here.
    pub fn forget(&self, tenant: TenantId) {
        self.known.forget(&tenant);
    }

    async fn look(&self, tenant: TenantId) -> Result<Arc<Rules>, DbError> {
        let last = get(&self.last, tenant);
        let newest = last.as_ref().map_or(0, |last| last.newest());
        let news = rule_store::list_after(&self.db, tenant, newest).await?;
        let rules = match last {
            Some(last) if news.is_empty() => return Ok(last),
            Some(last) => last.with(news),
            None => {
                Rules::new(news).ok_or(DbError::Inconsistent("a tenant without a points rule"))?
            }
        };
        let since = self.db.now().plus_seconds(-REMEMBERED_SECONDS);
        Ok(put(&self.last, tenant, rules.forgetting_before(since)))
    }
}

type Kept = RwLock<HashMap<TenantId, Arc<Rules>>>;

fn get(kept: &Kept, tenant: TenantId) -> Option<Arc<Rules>> {
    let kept = kept.read().unwrap_or_else(PoisonError::into_inner);
    kept.get(&tenant).cloned()
}

fn put(kept: &Kept, tenant: TenantId, rules: Rules) -> Arc<Rules> {
    let rules = Arc::new(rules);
    let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
    kept.insert(tenant, Arc::clone(&rules));
    rules
}
