//! The rules, kept in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Rules, rule_store};
use crate::{
    db::{Db, DbError, RefreshingCache},
    primitives::{TenantId, Timestamp},
};

/// Seconds after which a replaced version is forgotten: more than clocks differ by, and short,
/// since every payment looks through what is kept.
const REMEMBERED_SECONDS: i64 = 60;

/// The rules per tenant, at most a second old. A change that begins now is in force everywhere
/// within a second, and one that begins later at its instant.
///
/// Versions are numbered without gaps, in the order of their commits (a lock guarantees it), and
/// never change. So one query a second for versions above the newest known one suffices, and each
/// version is read once.
#[derive(Clone)]
pub struct RulesCache {
    db: Db,
    known: Arc<RefreshingCache<TenantId, Arc<Rules>>>,
    /// The rules that a refresh adds to. They survive [`RulesCache::forget`].
    last: Arc<Kept>,
    /// All versions, of tenants for which they were needed.
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

    /// Returns the rules. While the database is unreachable, the last known ones stay in force.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<Rules>, DbError> {
        let known = self.known.get(tenant, self.look(tenant)).await?;
        Ok(Arc::clone(&known))
    }

    /// Returns rules that reach back to an instant, which may be long past: a payment is credited
    /// by the rule in force when the customer paid, whenever it is reported. All versions of the
    /// tenant are read at the first such call; later calls add the new ones.
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

    /// Makes the next call read again. Called after a change made by this process.
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
