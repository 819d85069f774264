//! Settings that are read at every turn and changed once a month, kept in memory for a second.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::DbError;

/// How long a value is believed without looking again.
const FRESH: Duration = Duration::from_secs(1);

/// The last known value per key, at most a second old. A change is therefore in force everywhere within a second.
pub struct Fresh<K, V> {
    known: RwLock<HashMap<K, (Instant, Arc<V>)>>,
    refreshing: tokio::sync::Mutex<()>,
}

impl<K, V> Default for Fresh<K, V> {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
        }
    }
}

impl<K, V> fmt::Debug for Fresh<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, V> Fresh<K, V> {
    /// The value, which `load` reads when it is not fresh. While one caller reads, the others use what is known; when reading fails, what is known stays
    /// in force.
    pub async fn get(
        &self,
        key: K,
        load: impl Future<Output = Result<V, DbError>>,
    ) -> Result<Arc<V>, DbError> {
        let known = self.known(&key);
        if let Some((at, value)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(value));
        }
        let _refreshing = match (&known, self.refreshing.try_lock()) {
            (_, Ok(guard)) => guard,
            (Some((_, value)), Err(_)) => return Ok(Arc::clone(value)),
            (None, Err(_)) => self.refreshing.lock().await,
        };
        // While it is read the others go on with what is known: not for ever.
        match (super::in_time("settings", load).await, known) {
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

    /// Looks again at the next question: after a change made here.
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
        let fresh = Fresh::default();
        assert_eq!(*fresh.get("a", load(1)).await.unwrap(), 1);
        assert_eq!(*fresh.get("a", load(2)).await.unwrap(), 1);
        assert_eq!(*fresh.get("b", load(3)).await.unwrap(), 3);
        fresh.forget(&"a");
        assert_eq!(*fresh.get("a", load(2)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_is_known_outlives_a_database_that_is_away() {
        let fresh = Fresh::default();
        let away = || async { Err(DbError::Timeout("read")) };
        assert!(fresh.get("a", away()).await.is_err());
        assert_eq!(*fresh.get("a", load(1)).await.unwrap(), 1);
        let old = Instant::now().checked_sub(FRESH * 2).unwrap();
        fresh.known.write().unwrap().get_mut("a").unwrap().0 = old;
        assert_eq!(*fresh.get("a", away()).await.unwrap(), 1);
        assert_eq!(*fresh.get("a", load(2)).await.unwrap(), 2);
    }
}
