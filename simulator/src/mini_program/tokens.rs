//! The access tokens of the mini-program.
//!
//! Asked again, WeChat gives the same token with less time left; in its last five minutes it gives
//! a new one, and both work until the old one ends. `force_refresh` ends the old one at once: at most 20
//! times a day, and within 30 seconds of the last time it changes nothing.

use std::collections::VecDeque;

use time::macros::offset;
use time::{Date, Duration, OffsetDateTime};

use super::super::clock::Ids;
use super::errcode::Errcode;

const LIFE: Duration = Duration::seconds(7200);
/// With less than this left, a new token is given out.
const RENEWED_BEFORE_END: Duration = Duration::minutes(5);
const FORCED_GAP: Duration = Duration::seconds(30);
const FORCED_PER_DAY_MAX: u32 = 20;
/// Tokens of which it is still known that they have ended. Older ones were never given out.
const REMEMBERED_MAX: usize = 16;

/// One token, by what is left of it.
#[derive(Clone)]
struct Token {
    text: String,
    ends_at: OffsetDateTime,
    killed: bool,
}

/// The tokens given out, newest last. They print as a count: a log is no place for them.
#[derive(Default)]
pub(super) struct Tokens {
    given: VecDeque<Token>,
    forced_at: Option<OffsetDateTime>,
    forced_today: Option<(Date, u32)>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.given.len())
    }
}

impl Tokens {
    /// The token in force, or a new one; with the seconds that it has left.
    pub(super) fn get(&mut self, ids: &Ids, now: OffsetDateTime) -> (String, i64) {
        match self.given.back() {
            Some(token) if !token.killed && token.ends_at - now > RENEWED_BEFORE_END => {
                (token.text.clone(), (token.ends_at - now).whole_seconds())
            }
            Some(_) | None => self.issue(ids, now),
        }
    }

    /// A new token; those before are dead.
    pub(super) fn force(
        &mut self,
        ids: &Ids,
        now: OffsetDateTime,
    ) -> Result<(String, i64), Errcode> {
        if self.forced_at.is_some_and(|at| now - at < FORCED_GAP) {
            return Ok(self.get(ids, now));
        }
        let today = now.to_offset(offset!(+8)).date();
        let before = match self.forced_today {
            Some((day, count)) if day == today => count,
            Some(_) | None => 0,
        };
        if before >= FORCED_PER_DAY_MAX {
            return Err(Errcode::new(45009, "reach max api daily quota limit"));
        }
        self.forced_today = Some((today, before + 1));
        self.forced_at = Some(now);
        for token in &mut self.given {
            token.killed = true;
        }
        Ok(self.issue(ids, now))
    }

    fn issue(&mut self, ids: &Ids, now: OffsetDateTime) -> (String, i64) {
        let text = format!(
            "98_{}{}{}{}",
            ids.token(),
            ids.token(),
            ids.token(),
            ids.token()
        );
        self.given.push_back(Token {
            text: text.clone(),
            ends_at: now.saturating_add(LIFE),
            killed: false,
        });
        if self.given.len() > REMEMBERED_MAX {
            self.given.pop_front();
        }
        (text, LIFE.whole_seconds())
    }

    /// Whether a call may come with this token.
    pub(super) fn check(&self, text: &str, now: OffsetDateTime) -> Result<(), Errcode> {
        if text.is_empty() {
            return Err(Errcode::new(41001, "access_token missing"));
        }
        match self.given.iter().find(|token| token.text == text) {
            Some(token) if !token.killed && now < token.ends_at => Ok(()),
            Some(token) if !token.killed => Err(Errcode::new(42001, "access_token expired")),
            Some(_) | None => {
                let message = "invalid credential, access_token is invalid or not latest";
                Err(Errcode::new(40001, message))
            }
        }
    }

    /// As if the two hours were over.
    pub(super) fn expire(&mut self, now: OffsetDateTime) {
        for token in &mut self.given {
            token.ends_at = token.ends_at.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn code(result: Result<(), Errcode>) -> i64 {
        result.map_or_else(|errcode| errcode.0, |()| 0)
    }

    #[test]
    fn the_same_token_counts_down_and_overlaps_with_the_next() {
        let (mut tokens, ids) = (Tokens::default(), Ids::new());
        let (first, seconds) = tokens.get(&ids, NOW);
        assert_eq!(seconds, 7200);
        let later = NOW + Duration::seconds(6899);
        assert_eq!(tokens.get(&ids, later), (first.clone(), 301));
        let last_minutes = NOW + Duration::seconds(6900);
        let (second, _) = tokens.get(&ids, last_minutes);
        assert_ne!(first, second);
        for token in [&first, &second] {
            assert_eq!(code(tokens.check(token, last_minutes)), 0);
        }
        let ended = NOW + LIFE;
        assert_eq!(code(tokens.check(&first, ended)), 42001);
        assert_eq!(code(tokens.check(&second, ended)), 0);
        assert_eq!(code(tokens.check("98_made-up", NOW)), 40001);
        assert_eq!(code(tokens.check("", NOW)), 41001);
    }

    #[test]
    fn force_kills_the_old_token_twenty_times_a_day_and_half_a_minute_apart() {
        let (mut tokens, ids) = (Tokens::default(), Ids::new());
        let (first, _) = tokens.get(&ids, NOW);
        let (second, _) = tokens.force(&ids, NOW).unwrap();
        assert_eq!(code(tokens.check(&first, NOW)), 40001);
        let soon = NOW + Duration::seconds(29);
        assert_eq!(tokens.force(&ids, soon).unwrap().0, second);
        for n in 1..20 {
            tokens.force(&ids, NOW + Duration::minutes(n)).unwrap();
        }
        let later = NOW + Duration::hours(1);
        assert_eq!(tokens.force(&ids, later).unwrap_err().0, 45009);
        // The day is Beijing's: it begins at 16:00 UTC.
        assert!(
            tokens
                .force(&ids, datetime!(2026-11-21 16:00:00 UTC))
                .is_ok()
        );
        assert_eq!(format!("{tokens:?}"), "Tokens(16)");
    }
}
