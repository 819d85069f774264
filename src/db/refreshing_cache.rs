//! A cache for settings that are read with every request and seldom changed.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::DbError;

/// A value that is older is read again.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A cache of one value per key, at most a second old. A change is therefore in force everywhere
/// within a second.
pub struct RefreshingCache<K, V> {
    known: RwLock<HashMap<K, (Instant, Arc<V>)>>,
    refreshing: tokio::sync::Mutex<()>,
}

impl<K, V> Default for RefreshingCache<K, V> {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
        }
    }
}

impl<K, V> fmt::Debug for RefreshingCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshingCache").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, V> RefreshingCache<K, V> {
    /// Returns the value, read by `load` when the cached one is too old. While one caller reads,
    /// others get the cached value, as they do when reading fails.
    pub async fn get(
        &self,
        key: K,
        load: impl Future<Output = Result<V, DbError>>,
    ) -> Result<Arc<V>, DbError> {
        let known = self.known(&key);
        if let Some((at, value)) = &known
            && at.elapsed() < MAX_AGE
        {
            return Ok(Arc::clone(value));
        }
        let _refreshing = match (&known, self.refreshing.try_lock()) {
            (_, Ok(guard)) => guard,
            (Some((_, value)), Err(_)) => return Ok(Arc::clone(value)),
            (None, Err(_)) => self.refreshing.lock().await,
        };
        // Others get the cached value meanwhile, so the read is bounded.
        match (super::with_read_timeout("settings", load).await, known) {
            (Ok(value), _) => {
                let value = Arc::new(value);
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                known.insert(key, (Instant::now(), Arc::clone(&value)));
                Ok(value)
            }
            (Err(_), Some((_, value))) => Ok(value),
            (Err(error), None) => Err(error),
        }
    }

    /// Drops the value, so that the next call reads it: after a change made by this process.
    pub fn forget(&self, key: &K) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    fn known(&self, key: &K) -> Option<(Instant, Arc<V>)> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(value: u32) -> impl Future<Output = Result<u32, DbError>> {
        std::future::ready(Ok(value))
    }

    #[tokio::test]
    async fn a_value_is_read_once_until_it_is_forgotten() {
        let cache = RefreshingCache::default();
        assert_eq!(*cache.get("a", load(1)).await.unwrap(), 1);
        assert_eq!(*cache.get("a", load(2)).await.unwrap(), 1);
        assert_eq!(*cache.get("b", load(3)).await.unwrap(), 3);
        cache.forget(&"a");
        assert_eq!(*cache.get("a", load(2)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_is_known_outlives_a_database_that_is_away() {
        let cache = RefreshingCache::default();
        let away = || async { Err(DbError::Timeout("read")) };
        assert!(cache.get("a", away()).await.is_err());
        assert_eq!(*cache.get("a", load(1)).await.unwrap(), 1);
        let old = Instant::now().checked_sub(MAX_AGE * 2).unwrap();
        cache.known.write().unwrap().get_mut("a").unwrap().0 = old;
        assert_eq!(*cache.get("a", away()).await.unwrap(), 1);
        assert_eq!(*cache.get("a", load(2)).await.unwrap(), 2);
    }
}
