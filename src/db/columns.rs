//! Columns with their values: each is named once, beside what it gets, and both an `INSERT` and an
//! `UPDATE` are written from that. A value cannot slip into the column next to its own.

use super::{Sql, SqlValue};

/// Where the columns of a row are set.
#[derive(Debug)]
pub struct Columns<'s> {
    sql: &'s mut Sql,
    /// The names so far; of a later row of an `INSERT`, those of the first.
    names: &'s mut Vec<&'static str>,
    count: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The values of the first row: `a,b`. Its names head the statement.
    First,
    /// The values of another row.
    Further,
    /// `a = 1, b = 2`.
    Update,
}

impl Columns<'_> {
    /// The column is this. An `INSERT` sets the same columns in every row.
    pub fn set(&mut self, name: &'static str, value: impl SqlValue) -> &mut Self {
        match self.form {
            Form::First | Form::Further if self.count > 0 => _ = self.sql.push(","),
            Form::First | Form::Further => {}
            Form::Update if self.count > 0 => _ = self.sql.push(", ").push(name).push(" = "),
            Form::Update => _ = self.sql.push(name).push(" = "),
        }
        if self.form == Form::Further {
            debug_assert_eq!(self.names.get(self.count), Some(&name));
        } else {
            self.names.push(name);
        }
        self.count += 1;
        value.write(self.sql);
        self
    }
}

/// An `INSERT` under construction.
#[derive(Debug)]
pub(super) struct Insert {
    sql: Sql,
    names: Vec<&'static str>,
    rows: u64,
}

impl Insert {
    /// `INSERT /* slice.verb */ INTO table`.
    pub(super) fn new(head: &'static str) -> Self {
        Self {
            sql: Sql::new(head),
            names: Vec::new(),
            rows: 0,
        }
    }

    pub(super) fn row(&mut self, write: impl FnOnce(&mut Columns<'_>)) {
        let is_first = self.rows == 0;
        let mut first = Sql::default();
        let mut columns = Columns {
            sql: if is_first {
                &mut first
            } else {
                self.sql.push(",(")
            },
            names: &mut self.names,
            count: 0,
            form: if is_first { Form::First } else { Form::Further },
        };
        write(&mut columns);
        debug_assert_eq!(columns.count, columns.names.len());
        if is_first {
            let mut before = " (";
            for name in &self.names {
                self.sql.push(before).push(name);
                before = ",";
            }
            self.sql.push(") VALUES (").append(&first);
        }
        self.sql.push(")");
        self.rows += 1;
    }

    /// How many rows it has.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.sql.len()
    }

    pub(super) fn into_sql(self) -> Sql {
        self.sql
    }
}

impl Sql {
    /// An `INSERT` of `rows`, of which there is at least one. The head is `INSERT /* slice.verb */
    /// INTO table`.
    pub fn insert<T>(
        head: &'static str,
        rows: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Columns<'_>, T),
    ) -> Self {
        let mut insert = Insert::new(head);
        for row in rows {
            insert.row(|columns| write(columns, row));
        }
        insert.into_sql()
    }

    /// An `UPDATE` as far as its condition. The head is `UPDATE /* slice.verb */ table SET `.
    pub fn update(head: &'static str, write: impl FnOnce(&mut Columns<'_>)) -> Self {
        let mut sql = Self::new(head);
        write(&mut Columns {
            sql: &mut sql,
            names: &mut Vec::new(),
            count: 0,
            form: Form::Update,
        });
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(row: &mut Columns<'_>, (name, count): (Option<&str>, u32)) {
        row.set("name", name).set("count", count);
    }

    #[test]
    fn each_value_stands_with_its_column() {
        let rows = [(Some("it's"), 1), (None, 2)];
        let insert = Sql::insert("INSERT INTO things", rows, columns);
        assert_eq!(
            insert.into_statement().0,
            "INSERT INTO things (name,count) VALUES ('it''s',1),(NULL,2)"
        );
        let update = Sql::update("UPDATE things SET ", |row| columns(row, rows[0]));
        assert_eq!(
            update.into_statement().0,
            "UPDATE things SET name = 'it''s', count = 1"
        );
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn the_rows_of_an_insert_have_the_same_columns() {
        Sql::insert("INSERT INTO things", ["a", "b"], |row, name| {
            row.set(name, 1_u8);
        });
    }
}
