//! A database in memory, for tests of what operations decide and benchmarks of what a batch
//! computes: what they ask for is loaded, what they decide is kept, and no statement is sent.

use std::sync::Arc;

use super::{
    Cx, Operation, RowSet, SharedIds, Wanted, WorkingSet,
    encode::{Link, encode},
    operation::Events,
};
use crate::{
    db::{DbError, Sql},
    primitives::{CommitterId, SeededIds, Timestamp},
};

/// What is committed, and the batch that is being decided.
#[derive(Debug)]
pub struct Memory {
    disk: WorkingSet,
    batch: WorkingSet,
    /// What the batch tells.
    events: Events,
    ids: SharedIds,
}

impl Memory {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: WorkingSet::default(),
            batch: WorkingSet::default(),
            events: Events::default(),
            ids: Arc::new(SeededIds::new(seed)),
        }
    }

    pub fn random(&self) -> u64 {
        self.ids.random()
    }

    /// Decides one more operation of the batch.
    pub fn decide<O: Operation>(
        &mut self,
        now: Timestamp,
        operation: &O,
    ) -> Result<O::Reply, O::Refusal> {
        self.run(
            now,
            |want, set| operation.rows(want, set),
            |set, cx| operation.decide(set, cx),
        )
    }

    /// Runs a part of an operation: which rows, then decide.
    pub fn run<T, E>(
        &mut self,
        now: Timestamp,
        rows: impl Fn(&mut Wanted, &WorkingSet),
        decide: impl FnOnce(&mut WorkingSet, &mut Cx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self {
            disk,
            batch,
            events,
            ids,
        } = self;
        run(disk, (batch, events), ids, now, rows, decide)
    }

    /// What would be decided after all that is committed; nothing changes. Not while a batch is
    /// being decided.
    pub fn dry_run<T, E>(
        &self,
        now: Timestamp,
        rows: impl Fn(&mut Wanted, &WorkingSet),
        decide: impl FnOnce(&mut WorkingSet, &mut Cx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut batch = (WorkingSet::default(), Events::default());
        let batch = (&mut batch.0, &mut batch.1);
        run(&self.disk, batch, &self.ids, now, rows, decide)
    }

    /// The batch is written, row by row as it shall be.
    pub fn commit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.events = Events::default();
        batch.commit_to(&mut self.disk);
    }

    /// The text that a committer would send for the batch, with its first commit's row. Nothing
    /// changes. None when there is nothing to write.
    pub fn encode(&self, now: Timestamp) -> Result<Option<Sql>, DbError> {
        let link = Link {
            previous: &[0; 32],
            committer: CommitterId(1),
            seq: 1,
            at: now,
        };
        let encoded = encode(&self.batch, &self.events, &link)?;
        Ok(encoded.map(|encoded| encoded.into_text("").0))
    }

    /// What the batch tells, packed as in a commit's row.
    pub fn events(&self) -> &[u8] {
        &self.events.0
    }

    /// What the batch would write, in no order.
    pub fn changes<R: RowSet>(&self) -> Vec<(R::Key, R::Row)> {
        self.batch.changes::<R>()
    }

    /// A row that is committed.
    pub fn row<R: RowSet>(&self, key: R::Key) -> Option<R::Row> {
        self.disk.loaded::<R>(key)
    }

    /// A row as the batch would have it by now.
    pub fn now<R: RowSet>(&self, key: R::Key) -> Option<R::Row> {
        let written = self.batch.written::<R>(key).cloned();
        written.or_else(|| self.row::<R>(key))
    }

    /// What a statement would have made of a row, where the batch only says by how much it changes.
    pub fn overwrite<R: RowSet>(&mut self, key: R::Key, row: R::Row) {
        self.disk.put_loaded::<R>(key, row);
    }
}

fn run<T, E>(
    disk: &WorkingSet,
    (batch, events): (&mut WorkingSet, &mut Events),
    ids: &SharedIds,
    now: Timestamp,
    rows: impl Fn(&mut Wanted, &WorkingSet),
    decide: impl FnOnce(&mut WorkingSet, &mut Cx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    loop {
        let mut wanted = Wanted::default();
        rows(&mut wanted, batch);
        batch.want(&mut wanted);
        if !batch.load_from(disk) {
            break;
        }
    }
    let told = events.0.len();
    let mut cx = Cx {
        now,
        ids,
        events: &mut *events,
        inconsistent: None,
    };
    let decided = decide(batch, &mut cx);
    assert_eq!(cx.inconsistent, None);
    assert!(
        !batch.take_undeclared(),
        "it read a row that it had not asked for"
    );
    if decided.is_ok() {
        batch.keep();
    } else {
        batch.undo();
        events.0.truncate(told);
    }
    decided
}
