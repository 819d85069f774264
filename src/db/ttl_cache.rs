//! A cache with a time to live.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::DbError;

/// With this many entries the cache is emptied.
const ENTRIES_MAX: usize = 50_000;

/// A cache of values by key, each valid for the same time. Absences are not cached, since the value
/// may exist in a moment. Unlike [`RefreshingCache`](super::RefreshingCache), a value that is too
/// old is never used and misses do not wait for each other: for many keys, where no caller depends
/// on the latest change.
pub struct TtlCache<K, V> {
    ttl: Duration,
    known: RwLock<HashMap<K, (Instant, V)>>,
}

impl<K, V> fmt::Debug for TtlCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TtlCache").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, V: Clone> TtlCache<K, V> {
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            known: RwLock::default(),
        }
    }

    /// Returns the value, read by `load` when it is not cached or too old.
    pub async fn get(
        &self,
        key: K,
        load: impl Future<Output = Result<Option<V>, DbError>>,
    ) -> Result<Option<V>, DbError> {
        if let Some(value) = self.known(&key) {
            return Ok(Some(value));
        }
        let value = load.await?;
        if let Some(value) = &value {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= ENTRIES_MAX {
                known.clear();
            }
            known.insert(key, (Instant::now(), value.clone()));
        }
        Ok(value)
    }

    fn known(&self, key: &K) -> Option<V> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = known.get(key)?;
        (at.elapsed() < self.ttl).then(|| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn a_value_is_read_once_and_an_absence_each_time() {
        let cache = TtlCache::new(Duration::from_mins(1));
        assert_eq!(cache.get("a", ready(Ok(None))).await.unwrap(), None);
        assert_eq!(cache.get("a", ready(Ok(Some(1)))).await.unwrap(), Some(1));
        assert_eq!(cache.get("a", ready(Ok(Some(2)))).await.unwrap(), Some(1));
        let short = TtlCache::new(Duration::ZERO);
        short.get("a", ready(Ok(Some(1)))).await.unwrap();
        assert_eq!(short.get("a", ready(Ok(Some(2)))).await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn it_does_not_grow_without_end() {
        let cache = TtlCache::new(Duration::from_mins(1));
        for key in 0..=ENTRIES_MAX {
            cache.get(key, ready(Ok(Some(())))).await.unwrap();
        }
        assert_eq!(cache.known.read().unwrap().len(), 1);
    }
}
