//! Kinds of rows and the working set of a batch.

use std::{
    any::{Any, TypeId},
    cell::Cell,
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt::Debug,
    hash::Hash,
};

use aws_lc_rs::digest::Context;
use sqlx::mysql::MySqlRow;

use super::{super::Sql, Fault, Recorder};

/// A kind of row that batches load ([`LoadRows`]), write ([`RecordRows`]), or both, set-wise. Each
/// slice implements it for its hot tables, in its `store.rs`.
pub trait RowSet: Sized + Send + Sync + 'static {
    type Key: Copy + Ord + Hash + Debug + Send + Sync;
    type Row: Clone + Debug + Send + Sync;

    /// Where the table stands in the order in which every batch writes: the contended last.
    const LOCK_ORDER: u8;
}

/// Rows that batches load.
pub trait LoadRows: RowSet {
    /// One `SELECT` for all `keys`, ending without a semicolon.
    fn load(keys: &[Self::Key], sql: &mut Sql);

    /// One row of that `SELECT`.
    fn read(row: &MySqlRow) -> Result<(Self::Key, Self::Row), sqlx::Error>;

    /// Puts a loaded row to what is known of its key: in its place, unless the kind of row is made
    /// of several.
    fn merge(known: &mut Option<Self::Row>, row: Self::Row) {
        *known = Some(row);
    }
}

/// Rows that batches write. Those that are never loaded are increments, and facts whose uniqueness
/// their key decides.
pub trait RecordRows: RowSet {
    /// The statements that write `changes`, which come in the order of their keys.
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder);

    /// What of `changes` the commit's seal covers, if anything.
    fn seal(_changes: &[Change<'_, Self>], _seal: &mut Context) {}
}

/// A row as it was loaded and as it shall be.
#[derive(Debug)]
pub struct Change<'a, R: RowSet> {
    pub key: R::Key,
    pub before: Option<&'a R::Row>,
    pub after: &'a R::Row,
}

/// Which rows an operation names.
#[derive(Debug, Default)]
pub struct Wanted {
    tables: BTreeMap<(u8, TypeId), Box<dyn AnyWanted>>,
}

impl Wanted {
    pub fn row<R: LoadRows>(&mut self, key: R::Key) {
        let table = self
            .tables
            .entry((R::LOCK_ORDER, TypeId::of::<R>()))
            .or_insert_with(|| Box::new(WantedKeys::<R>(Vec::new())));
        if let Some(keys) = table.as_any_mut().downcast_mut::<WantedKeys<R>>() {
            keys.0.push(key);
        }
    }
}

struct WantedKeys<R: RowSet>(Vec<R::Key>);

trait AnyWanted: Send {
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// Adds what is not there yet to the table; makes the table if need be.
    fn drain_into(&mut self, set: &mut WorkingSet);
}

impl Debug for dyn AnyWanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wanted")
    }
}

impl<R: LoadRows> AnyWanted for WantedKeys<R> {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn drain_into(&mut self, set: &mut WorkingSet) {
        let table = set.table_mut::<R>();
        table.loader = Some(Loader::of());
        for key in self.0.drain(..) {
            if let Entry::Vacant(slot) = table.slots.entry(key) {
                slot.insert(Slot {
                    base: None,
                    now: None,
                });
                table.missing.push(key);
            }
        }
    }
}

struct Slot<R: RowSet> {
    base: Option<R::Row>,
    now: Option<R::Row>,
}

struct Table<R: RowSet> {
    slots: HashMap<R::Key, Slot<R>>,
    /// Keys to be loaded.
    missing: Vec<R::Key>,
    /// What the current operation overwrote, in order.
    undo: Vec<(R::Key, Option<R::Row>)>,
    /// There once an operation has wanted such a row.
    loader: Option<Loader<R>>,
    /// There once an operation has put such a row.
    writer: Option<Writer<R>>,
}

type ReadRow<K, R> = fn(&MySqlRow) -> Result<(K, R), sqlx::Error>;

/// [`LoadRows`] of a kind of row, for those that are it.
struct Loader<R: RowSet> {
    load: fn(&[R::Key], &mut Sql),
    read: ReadRow<R::Key, R::Row>,
    merge: fn(&mut Option<R::Row>, R::Row),
}

impl<R: LoadRows> Loader<R> {
    fn of() -> Self {
        Self {
            load: R::load,
            read: R::read,
            merge: R::merge,
        }
    }
}

/// [`RecordRows`] of a kind of row, for those that are it.
struct Writer<R: RowSet> {
    record: fn(&[Change<'_, R>], &mut Recorder),
    seal: fn(&[Change<'_, R>], &mut Context),
}

impl<R: RecordRows> Writer<R> {
    fn of() -> Self {
        Self {
            record: R::record,
            seal: R::seal,
        }
    }
}

trait AnyTable: Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn load(&mut self, sql: &mut Sql) -> bool;
    fn absorb(&mut self, row: &MySqlRow) -> Result<(), sqlx::Error>;
    fn keep(&mut self);
    fn undo(&mut self);
    fn record(&self, out: &mut Recorder, seal: &mut Context);
    /// Takes what is missing from a database in memory; true if anything was missing.
    fn load_from(&mut self, disk: &WorkingSet) -> bool;
    fn commit_to(&self, disk: &mut WorkingSet);
}

impl Debug for dyn AnyTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

impl<R: RowSet> AnyTable for Table<R> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn load(&mut self, sql: &mut Sql) -> bool {
        let Some(loader) = self.loader.as_ref().filter(|_| !self.missing.is_empty()) else {
            return false;
        };
        self.missing.sort_unstable();
        (loader.load)(&self.missing, sql);
        self.missing.clear();
        true
    }

    fn absorb(&mut self, row: &MySqlRow) -> Result<(), sqlx::Error> {
        let Some(loader) = &self.loader else {
            return Ok(());
        };
        let (key, row) = (loader.read)(row)?;
        let slot = self.slots.entry(key).or_insert(Slot {
            base: None,
            now: None,
        });
        (loader.merge)(&mut slot.base, row);
        Ok(())
    }

    fn keep(&mut self) {
        self.undo.clear();
    }

    fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.now = before;
            }
        }
    }

    fn record(&self, out: &mut Recorder, seal: &mut Context) {
        let Some(writer) = &self.writer else {
            return;
        };
        let mut changes: Vec<Change<'_, R>> = self
            .slots
            .iter()
            .filter_map(|(key, slot)| {
                let after = slot.now.as_ref()?;
                Some(Change {
                    key: *key,
                    before: slot.base.as_ref(),
                    after,
                })
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        changes.sort_unstable_by_key(|change| change.key);
        (writer.record)(&changes, out);
        (writer.seal)(&changes, seal);
    }

    fn load_from(&mut self, disk: &WorkingSet) -> bool {
        let missing = std::mem::take(&mut self.missing);
        for key in &missing {
            if let Some(slot) = self.slots.get_mut(key) {
                slot.base = disk.loaded::<R>(*key);
            }
        }
        !missing.is_empty()
    }

    fn commit_to(&self, disk: &mut WorkingSet) {
        for (key, slot) in &self.slots {
            if let Some(row) = &slot.now {
                disk.put_loaded::<R>(*key, row.clone());
            }
        }
    }
}

/// The rows of a batch in memory: as loaded, and as the operations so far would have them.
#[derive(Debug, Default)]
pub struct WorkingSet {
    tables: BTreeMap<(u8, TypeId), Box<dyn AnyTable>>,
    undeclared: Cell<bool>,
}

impl WorkingSet {
    /// The row as it stands now. The operation must have wanted it: "absent" and "not looked for"
    /// are not the same.
    pub fn get<R: LoadRows>(&self, key: R::Key) -> Option<&R::Row> {
        let slot = self.table::<R>().and_then(|table| table.slots.get(&key));
        if slot.is_none() {
            self.undeclared.set(true);
        }
        slot.and_then(|slot| slot.now.as_ref().or(slot.base.as_ref()))
    }

    /// True once the row was looked for, found or not. For
    /// [`Operation::rows`](super::Operation::rows).
    pub fn has_loaded<R: LoadRows>(&self, key: R::Key) -> bool {
        self.table::<R>()
            .is_some_and(|table| table.slots.contains_key(&key))
    }

    /// The row as it stands now, once it was looked for and is there. For
    /// [`Operation::rows`](super::Operation::rows), where one row leads to the next.
    pub fn get_loaded<R: LoadRows>(&self, key: R::Key) -> Option<&R::Row> {
        if self.has_loaded::<R>(key) {
            self.get::<R>(key)
        } else {
            None
        }
    }

    /// The row shall be this.
    pub fn put<R: RecordRows>(&mut self, key: R::Key, row: R::Row) {
        self.replace::<R>(key, row).writer = Some(Writer::of());
    }

    /// The row is this for the rest of the batch, which writes it as rows of another kind. For
    /// kinds that are not [`RecordRows`]: nothing writes what is only shown.
    pub fn show<R: LoadRows>(&mut self, key: R::Key, row: R::Row) {
        self.replace::<R>(key, row);
    }

    fn replace<R: RowSet>(&mut self, key: R::Key, row: R::Row) -> &mut Table<R> {
        let table = self.table_mut::<R>();
        let slot = table.slots.entry(key).or_insert(Slot {
            base: None,
            now: None,
        });
        let before = slot.now.replace(row);
        table.undo.push((key, before));
        table
    }

    /// The row as this batch would write it, whether or not it was loaded.
    pub fn written<R: RowSet>(&self, key: R::Key) -> Option<&R::Row> {
        self.table::<R>()
            .and_then(|table| table.slots.get(&key))
            .and_then(|slot| slot.now.as_ref())
    }

    fn table<R: RowSet>(&self) -> Option<&Table<R>> {
        self.tables
            .get(&(R::LOCK_ORDER, TypeId::of::<R>()))?
            .as_any()
            .downcast_ref()
    }

    fn table_mut<R: RowSet>(&mut self) -> &mut Table<R> {
        self.tables
            .entry((R::LOCK_ORDER, TypeId::of::<R>()))
            .or_insert_with(|| {
                Box::new(Table::<R> {
                    slots: HashMap::new(),
                    missing: Vec::new(),
                    undo: Vec::new(),
                    loader: None,
                    writer: None,
                })
            })
            .as_any_mut()
            .downcast_mut()
            .expect("a table is stored under its own type")
    }

    /// Notes what is wanted and not there; true if anything must be loaded.
    pub(super) fn want(&mut self, wanted: &mut Wanted) {
        for table in wanted.tables.values_mut() {
            table.drain_into(self);
        }
    }

    /// The statements that load what is missing, and the tables whose rows they bring, in order.
    pub(super) fn load(&mut self) -> Option<(Sql, Vec<(u8, TypeId)>)> {
        let mut sql = Sql::default();
        let mut order = Vec::new();
        for (key, table) in &mut self.tables {
            let mut statement = Sql::default();
            if table.load(&mut statement) {
                if !order.is_empty() {
                    sql.push(";");
                }
                sql.append(&statement);
                order.push(*key);
            }
        }
        (!order.is_empty()).then_some((sql, order))
    }

    pub(super) fn absorb(&mut self, key: (u8, TypeId), row: &MySqlRow) -> Result<(), Fault> {
        if let Some(table) = self.tables.get_mut(&key) {
            table.absorb(row)?;
        }
        Ok(())
    }

    /// The operation's changes stand.
    pub(super) fn keep(&mut self) {
        self.tables.values_mut().for_each(|table| table.keep());
    }

    /// The operation's changes never were.
    pub(super) fn undo(&mut self) {
        self.tables.values_mut().for_each(|table| table.undo());
    }

    /// Whether a row was read that nobody had asked for; a mistake in the program.
    pub(super) fn take_undeclared(&self) -> bool {
        self.undeclared.take()
    }

    pub(super) fn record(&self, out: &mut Recorder, seal: &mut Context) {
        for table in self.tables.values() {
            table.record(out, seal);
        }
    }
}

/// For [`Memory`](super::Memory).
impl WorkingSet {
    pub(super) fn load_from(&mut self, disk: &Self) -> bool {
        let mut missing = false;
        for table in self.tables.values_mut() {
            missing |= table.load_from(disk);
        }
        missing
    }

    pub(super) fn commit_to(&self, disk: &mut Self) {
        for table in self.tables.values() {
            table.commit_to(disk);
        }
    }

    pub(super) fn changes<R: RowSet>(&self) -> Vec<(R::Key, R::Row)> {
        let slots = self.table::<R>().into_iter().flat_map(|table| &table.slots);
        let changed = slots.filter_map(|(key, slot)| Some((*key, slot.now.clone()?)));
        changed.collect()
    }

    pub(super) fn loaded<R: RowSet>(&self, key: R::Key) -> Option<R::Row> {
        let slot = self.table::<R>()?.slots.get(&key)?;
        slot.base.clone()
    }

    pub(super) fn put_loaded<R: RowSet>(&mut self, key: R::Key, row: R::Row) {
        let base = Some(row);
        let slot = Slot { base, now: None };
        self.table_mut::<R>().slots.insert(key, slot);
    }
}
