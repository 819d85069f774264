//! A decided batch as text: the commit's row, the statements of each table, and the seal.

use super::{
    super::{DbError, Sql},
    Recorder, WorkingSet,
    lease::seal,
    operation::{Events, commit_row, commit_there},
};
use crate::primitives::{CommitterId, Timestamp};

/// Where in its committer's chain a commit stands.
#[derive(Debug)]
pub(super) struct Link<'a> {
    /// The seal of the commit before it.
    pub(super) previous: &'a [u8; 32],
    pub(super) committer: CommitterId,
    pub(super) seq: u64,
    pub(super) at: Timestamp,
}

/// What a batch writes.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The insert of the commit's row.
    head: Sql,
    changes: Recorder,
    /// Asks whether the commit's row is there.
    there: Sql,
    pub(super) seal: [u8; 32],
}

/// None when there is nothing to write: duplicates and refusals only.
pub(super) fn encode(
    set: &WorkingSet,
    events: &Events,
    link: &Link<'_>,
) -> Result<Option<Encoded>, DbError> {
    let Link {
        previous,
        committer,
        seq,
        at,
    } = *link;
    let mut changes = Recorder::default();
    let mut sealing = seal(previous, committer, seq, at, &events.0);
    set.record(&mut changes, &mut sealing);
    if changes.is_empty() && events.0.is_empty() {
        return Ok(None);
    }
    let seal: [u8; 32] = sealing
        .finish()
        .as_ref()
        .try_into()
        .map_err(|_| DbError::Inconsistent("SHA-256 of a strange length"))?;
    Ok(Some(Encoded {
        head: commit_row(committer.0, seq, at, &events.0, &seal),
        changes,
        there: commit_there(committer.0, seq),
        seal,
    }))
}

impl Encoded {
    /// One text of all: `before`, which ends what was open, the commit's row, the changes, and last
    /// the question whether that row is still there. With it how many rows each statement but the
    /// question must have matched, where that says something.
    pub(super) fn into_text(self, before: &'static str) -> (Sql, Vec<Option<u64>>) {
        let (statements, changed) = self.changes.into_parts();
        let mut text = Sql::default();
        let mut expected = Vec::with_capacity(changed.len() + 2);
        if !before.is_empty() {
            text.push(before);
            expected.push(None);
        }
        text.append(&self.head).push(";");
        expected.push(Some(1));
        if !changed.is_empty() {
            text.append(&statements).push(";");
            expected.extend(changed);
        }
        text.append(&self.there);
        (text, expected)
    }
}
