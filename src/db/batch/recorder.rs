//! The statements of a batch and what each must have done.

use super::super::Sql;

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

    /// `head` + the rows + `tail`, as often as the length asks. With `counted`, each statement must
    /// match exactly its rows.
    pub fn rows<T>(
        &mut self,
        head: &'static str,
        rows: impl IntoIterator<Item = T>,
        tail: &'static str,
        counted: bool,
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
                self.statement(&sql, counted.then_some(count));
                sql = Sql::new(head);
                count = 0;
            }
        }
        if count > 0 {
            sql.push(tail);
            self.statement(&sql, counted.then_some(count));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    pub(super) fn into_parts(self) -> (Sql, Vec<Option<u64>>) {
        (self.text, self.expected)
    }
}
