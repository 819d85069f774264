//! The statements of a batch and what each must have done.

use super::super::{Columns, Sql, columns::Insert};

/// A statement longer than this is cut between rows. (All statements of a batch go out as one text.
/// Over TLS, where sqlx stalls on long texts, what helps is a smaller batch:
/// `ZHANGFANG_DATABASE__BATCH_MAX`.)
const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Collects what a batch writes.
#[derive(Debug, Default)]
pub struct Recorder {
    text: Sql,
    /// Per statement: how many rows it must have matched, where that says something.
    expected: Vec<Option<u64>>,
}

impl Recorder {
    /// Up to this many rows a plain `UPDATE` each is cheaper than one that unpacks JSON (measured:
    /// 0.2 ms for the JSON of one row).
    pub const FEW: usize = 4;

    /// A statement of its own, which must match `rows` rows if that is given.
    pub fn statement(&mut self, sql: &Sql, rows: Option<u64>) {
        if !self.expected.is_empty() {
            self.text.push(";");
        }
        self.text.append(sql);
        self.expected.push(rows);
    }

    /// An `INSERT` of `rows`, none of which may be there, as often as the length asks. The head is
    /// `INSERT /* slice.verb */ INTO table`.
    pub fn insert<T>(
        &mut self,
        head: &'static str,
        rows: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Columns<'_>, T),
    ) {
        self.insert_rows(head, rows, None, write);
    }

    /// An `INSERT` of `rows`; `on_duplicate` says what becomes of those that are there.
    pub fn upsert<T>(
        &mut self,
        head: &'static str,
        rows: impl IntoIterator<Item = T>,
        on_duplicate: &'static str,
        write: impl FnMut(&mut Columns<'_>, T),
    ) {
        self.insert_rows(head, rows, Some(on_duplicate), write);
    }

    fn insert_rows<T>(
        &mut self,
        head: &'static str,
        rows: impl IntoIterator<Item = T>,
        on_duplicate: Option<&'static str>,
        mut write: impl FnMut(&mut Columns<'_>, T),
    ) {
        let mut end = |insert: Insert| {
            let rows = on_duplicate.is_none().then_some(insert.rows());
            let mut sql = insert.into_sql();
            sql.push(on_duplicate.unwrap_or_default());
            self.statement(&sql, rows);
        };
        let mut insert = Insert::new(head);
        for row in rows {
            if insert.len() > STATEMENT_BYTES_MAX {
                end(std::mem::replace(&mut insert, Insert::new(head)));
            }
            insert.row(|columns| write(columns, row));
        }
        if insert.rows() > 0 {
            end(insert);
        }
    }

    /// An `UPDATE` that unpacks a row of JSON for each of `rows`: `head` + the rows + `tail`, as
    /// often as the length asks. Each statement must match exactly its rows.
    pub fn update<T>(
        &mut self,
        head: &'static str,
        rows: impl IntoIterator<Item = T>,
        tail: &'static str,
        mut write: impl FnMut(&mut Sql, T),
    ) {
        let mut sql = Sql::new(head);
        let mut count = 0_u64;
        for row in rows {
            if count > 0 {
                sql.push(",");
            }
            write(&mut sql, row);
            count += 1;
            if sql.len() > STATEMENT_BYTES_MAX {
                sql.push(tail);
                self.statement(&sql, Some(count));
                sql = Sql::new(head);
                count = 0;
            }
        }
        if count > 0 {
            sql.push(tail);
            self.statement(&sql, Some(count));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    pub(super) fn into_parts(self) -> (Sql, Vec<Option<u64>>) {
        (self.text, self.expected)
    }
}
