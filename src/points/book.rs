//! The rules in force, kept in memory.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::{Rule, store};
use crate::{
    db::{Db, DbError},
    primitives::TenantId,
};

/// How long a rule is believed to be in force without looking again.
const FRESH: Duration = Duration::from_secs(1);

/// When each rule was looked at last.
type Known = HashMap<TenantId, (Instant, Arc<Rule>)>;

/// The rule in force per tenant, at most a second old. A change is therefore in force everywhere within a second.
#[derive(Debug, Clone)]
pub struct RuleBook {
    db: Db,
    known: Arc<RwLock<Known>>,
    refreshing: Arc<tokio::sync::Mutex<()>>,
}

impl RuleBook {
    pub fn start(db: Db) -> Self {
        Self {
            db,
            known: Arc::default(),
            refreshing: Arc::default(),
        }
    }

    /// The rule in force. While one caller looks again the others use what is known; an unreachable database leaves the last known rule in force.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<Rule>, DbError> {
        let known = self.known(tenant);
        if let Some((at, rule)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(rule));
        }
        let _refreshing = match (&known, self.refreshing.try_lock()) {
            (_, Ok(guard)) => guard,
            (Some((_, rule)), Err(_)) => return Ok(Arc::clone(rule)),
            (None, Err(_)) => self.refreshing.lock().await,
        };
        match (store::find_current(&self.db, tenant).await, known) {
            (Ok(Some(rule)), _) => {
                let rule = Arc::new(rule);
                let mut book = self.known.write().unwrap_or_else(PoisonError::into_inner);
                book.insert(tenant, (Instant::now(), Arc::clone(&rule)));
                Ok(rule)
            }
            (Ok(None), _) => Err(DbError::Inconsistent("a tenant without a points rule")),
            (Err(_), Some((_, rule))) => Ok(rule),
            (Err(error), None) => Err(error),
        }
    }

    /// Looks again at the next question: after a change made here.
    pub fn forget(&self, tenant: TenantId) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&tenant);
    }

    fn known(&self, tenant: TenantId) -> Option<(Instant, Arc<Rule>)> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tenant)
            .cloned()
    }
}
