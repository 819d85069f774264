//! Pages by cursor, never by offset: a page costs the same however far one has read.

use serde::Serialize;

/// How many items a page holds: 1 to 100, 20 unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    pub const MAX: u32 = 100;

    pub fn parse(limit: Option<u32>) -> Option<Self> {
        match limit {
            None => Some(Self(20)),
            Some(limit @ 1..=Self::MAX) => Some(Self(limit)),
            Some(_) => None,
        }
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    /// One more than the page, to learn whether another follows.
    pub const fn probe(self) -> u32 {
        self.0.saturating_add(1)
    }
}

/// Where the next page begins: opaque text for the caller.
pub type Cursor = String;

/// Some items, newest first, and where to go on.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it back as `cursor` to read on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// From up to `limit.probe()` items, where `cursor` names an item.
    pub fn cut(mut items: Vec<T>, limit: PageLimit, cursor: impl Fn(&T) -> Cursor) -> Self {
        let size = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Self { items, next_cursor }
    }

    pub fn map<U>(self, to: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(to).collect(),
            next_cursor: self.next_cursor,
        }
    }
}
