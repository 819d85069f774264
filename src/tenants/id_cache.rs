//! Which tenants there are, remembered: callbacks come from strangers too, and whom they are for is
//! looked up before anything about them is verified.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::store;
use crate::{
    db::{Db, DbError},
    primitives::{TenantId, Timestamp},
};

/// That there is no such tenant is kept for so long. A tenant that is there stays.
const ABSENT_SECONDS: i64 = 10;
/// Names that strangers made up and are remembered at one time.
const ABSENT_MAX: usize = 1_000;
/// No code and no number is longer.
const NAME_MAX: usize = 64;

/// Tenants by their codes and numbers, as texts. Holds no more than there are, and some that there
/// are not.
#[derive(Debug, Default)]
pub struct TenantIdCache {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<String, TenantId>,
    /// Until when nobody need ask again.
    absent: HashMap<String, Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CachedAnswer {
    None,
    Of(TenantId),
    OfNobody,
}

impl TenantIdCache {
    /// The tenant of this code or this number, if there is one.
    pub async fn find(&self, db: &Db, text: &str) -> Result<Option<TenantId>, DbError> {
        if text.is_empty() || text.len() > NAME_MAX {
            return Ok(None);
        }
        let now = db.now();
        match self.remembered(text, now) {
            CachedAnswer::Of(tenant) => return Ok(Some(tenant)),
            CachedAnswer::OfNobody => return Ok(None),
            CachedAnswer::None => {}
        }
        // Written as we write it: there is one text for each number.
        let number = text.parse().ok().map(TenantId);
        let found = match number.filter(|number| number.to_string() == text) {
            Some(number) => store::exists(db, number).await?,
            None => store::find_by_code(db, text).await?.map(|tenant| tenant.id),
        };
        self.remember(text, found, now);
        Ok(found)
    }

    fn remembered(&self, text: &str, now: Timestamp) -> CachedAnswer {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = known.tenants.get(text) {
            return CachedAnswer::Of(*tenant);
        }
        match known.absent.get(text) {
            Some(until) if now < *until => CachedAnswer::OfNobody,
            Some(_) | None => CachedAnswer::None,
        }
    }

    fn remember(&self, text: &str, found: Option<TenantId>, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = found {
            known.absent.remove(text);
            known.tenants.insert(text.to_owned(), tenant);
            return;
        }
        if known.absent.len() >= ABSENT_MAX {
            known.absent.clear();
        }
        let until = now.plus_seconds(ABSENT_SECONDS);
        known.absent.insert(text.to_owned(), until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_stays_and_who_is_not_is_asked_about_again() {
        let book = TenantIdCache::default();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(book.remembered("a", at(0)), CachedAnswer::None);
        book.remember("a", None, at(0));
        assert_eq!(book.remembered("a", at(9)), CachedAnswer::OfNobody);
        assert_eq!(book.remembered("a", at(10)), CachedAnswer::None);
        book.remember("a", Some(TenantId(1)), at(10));
        assert_eq!(
            book.remembered("a", at(9_999)),
            CachedAnswer::Of(TenantId(1))
        );
        for index in 0..ABSENT_MAX * 3 {
            book.remember(&format!("x{index}"), None, at(0));
        }
        assert!(book.known.lock().unwrap().absent.len() <= ABSENT_MAX);
        assert_eq!(book.remembered("a", at(0)), CachedAnswer::Of(TenantId(1)));
    }
}
