//! A database in memory, for tests of what operations decide: what they ask for is loaded, what
//! they decide is kept, and no statement is made.

use std::sync::Arc;

use super::{Cx, Operation, RowSet, SharedIds, Wanted, WorkingSet, operation::Events};
use crate::primitives::{SeededIds, Timestamp};

/// What is committed, and the batch that is being decided.
#[derive(Debug)]
pub(crate) struct Memory {
    disk: WorkingSet,
    batch: WorkingSet,
    ids: SharedIds,
}

impl Memory {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: WorkingSet::default(),
            batch: WorkingSet::default(),
            ids: Arc::new(SeededIds::new(seed)),
        }
    }

    pub(crate) fn random(&self) -> u64 {
        self.ids.random()
    }

    /// Decides one more operation of the batch.
    pub(crate) fn decide<O: Operation>(
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
    pub(crate) fn run<T, E>(
        &mut self,
        now: Timestamp,
        rows: impl Fn(&mut Wanted, &WorkingSet),
        decide: impl FnOnce(&mut WorkingSet, &mut Cx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { disk, batch, ids } = self;
        run(disk, batch, ids, now, rows, decide)
    }

    /// What would be decided after all that is committed; nothing changes. Not while a batch is
    /// being decided.
    pub(crate) fn dry_run<T, E>(
        &self,
        now: Timestamp,
        rows: impl Fn(&mut Wanted, &WorkingSet),
        decide: impl FnOnce(&mut WorkingSet, &mut Cx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut batch = WorkingSet::default();
        run(&self.disk, &mut batch, &self.ids, now, rows, decide)
    }

    /// The batch is written, row by row as it shall be.
    pub(crate) fn commit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        batch.commit_to(&mut self.disk);
    }

    /// What the batch would write, in no order.
    pub(crate) fn changes<R: RowSet>(&self) -> Vec<(R::Key, R::Row)> {
        self.batch.changes::<R>()
    }

    /// A row that is committed.
    pub(crate) fn row<R: RowSet>(&self, key: R::Key) -> Option<R::Row> {
        self.disk.loaded::<R>(key)
    }

    /// A row as the batch would have it by now.
    pub(crate) fn now<R: RowSet>(&self, key: R::Key) -> Option<R::Row> {
        let written = self.batch.written::<R>(key).cloned();
        written.or_else(|| self.row::<R>(key))
    }

    /// What a statement would have made of a row, where the batch only says by how much it changes.
    pub(crate) fn overwrite<R: RowSet>(&mut self, key: R::Key, row: R::Row) {
        self.disk.put_loaded::<R>(key, row);
    }
}

fn run<T, E>(
    disk: &WorkingSet,
    batch: &mut WorkingSet,
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
    let mut events = Events::default();
    let mut cx = Cx {
        now,
        ids,
        events: &mut events,
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
    }
    decided
}
