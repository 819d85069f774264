//! A bill as a table: lines, columns, cells. Nothing is copied until a value is kept.

use std::ops::Range;

use super::BillError;
use crate::payments::BillSummary;

/// The file from the line after its header on.
#[derive(Debug)]
pub(super) struct Table<'a> {
    lines: Lines<'a>,
    columns: Vec<&'a str>,
    /// The columns, side by side, in which people's text stands.
    free: Range<usize>,
    /// The first line that is not a row, once it was met.
    after: Option<(usize, &'a str)>,
}

/// Lines with their numbers, from 1.
#[derive(Debug)]
struct Lines<'a> {
    rest: Option<&'a [u8]>,
    number: usize,
}

/// One line of values.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) line: usize,
    cells: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<(usize, &'a str)>, BillError> {
        let Some(rest) = self.rest else {
            return Ok(None);
        };
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end.and_then(|end| rest.split_at_checked(end)) {
            Some((line, rest)) => (line, rest.get(1..)),
            None => (rest, None),
        };
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = str::from_utf8(line).map_err(|_| BillError::Encoding { line: self.number })?;
        Ok(Some((self.number, text)))
    }
}

impl<'a> Table<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, BillError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut lines = Lines {
            rest: Some(bytes),
            number: 0,
        };
        let Some((line, header)) = lines.next()?.filter(|(_, header)| !header.is_empty()) else {
            return Err(BillError::Empty);
        };
        Ok(Self {
            lines,
            columns: names(line, header)?,
            free: 0..0,
            after: None,
        })
    }

    /// Where the column is that has one of these names: the first that there is.
    pub(super) fn find(&self, called: &[&'static str]) -> Option<usize> {
        let at = |name: &&str| self.columns.iter().position(|column| column == name);
        called.iter().find_map(at)
    }

    /// The column that has one of these names; an error when there is none.
    pub(super) fn need(&self, called: &[&'static str]) -> Result<usize, BillError> {
        let column = called.first().copied().unwrap_or_default();
        self.find(called)
            .ok_or(BillError::NoColumn { line: 1, column })
    }

    /// Says in which columns people's text stands, separators and all. They must be side by side;
    /// if not, no text may hold one.
    pub(super) fn set_free(&mut self, columns: &[usize]) {
        let (first, last) = (columns.iter().min(), columns.iter().max());
        if let (Some(first), Some(last)) = (first, last)
            && last - first + 1 == columns.len()
        {
            self.free = *first..last.saturating_add(1);
        }
    }

    /// The next line of values, until something else comes.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'a>>, BillError> {
        if self.after.is_some() {
            return Ok(None);
        }
        match self.lines.next()? {
            Some((line, text)) if text.starts_with('`') => {
                let cells = values(line, text, self.columns.len(), &self.free)?;
                Ok(Some(Row { line, cells }))
            }
            other => {
                self.after = other;
                Ok(None)
            }
        }
    }

    /// The sums, whose first is called `first`, and nothing after them.
    pub(super) fn summary(mut self, first: &str) -> Result<BillSummary, BillError> {
        let read = self.lines.number;
        let Some((line, header)) = self.after else {
            return Err(BillError::Truncated { line: read });
        };
        let columns = names(line, header)?;
        if columns.first() != Some(&first) {
            return Err(BillError::Misplaced { line });
        }
        let Some((line, sums)) = self.lines.next()? else {
            return Err(BillError::Truncated { line });
        };
        let sums = values(line, sums, columns.len(), &(0..0))?;
        while let Some((line, text)) = self.lines.next()? {
            if !text.is_empty() {
                return Err(BillError::Misplaced { line });
            }
        }
        let pair = |(name, sum): (&str, &str)| (name.to_owned(), sum.to_owned());
        Ok(BillSummary(
            columns.into_iter().zip(sums).map(pair).collect(),
        ))
    }
}

impl<'a> Row<'a> {
    /// The value in a column that was found by name.
    pub(super) fn text(&self, column: usize) -> &'a str {
        self.cells.get(column).copied().unwrap_or_default()
    }
}

/// Bare names between commas.
fn names(line: usize, header: &str) -> Result<Vec<&str>, BillError> {
    let columns: Vec<_> = header.split(',').map(str::trim).collect();
    let sound = columns.iter().enumerate().all(|(index, name)| {
        let earlier = columns.get(..index).unwrap_or_default();
        !name.is_empty() && !name.contains('`') && !earlier.contains(name)
    });
    if sound {
        Ok(columns)
    } else {
        Err(BillError::Columns { line })
    }
}

/// Values after backticks, between commas. Where there are more than columns, people's text holds a
/// separator: the columns before it are counted from the front, those after it from the back. Of
/// several such columns the first is taken to hold it.
fn values<'a>(
    line: usize,
    text: &'a str,
    expected: usize,
    free: &Range<usize>,
) -> Result<Vec<&'a str>, BillError> {
    let Some(text) = text.strip_prefix('`') else {
        return Err(BillError::Misplaced { line });
    };
    let mut cells = Vec::with_capacity(expected);
    cells.extend(text.split(SEPARATOR));
    let width = BillError::Width {
        line,
        found: cells.len(),
        expected,
    };
    if cells.len() > expected && !free.is_empty() {
        let more = cells.len().saturating_sub(expected);
        let end = free.start.saturating_add(more);
        let length = |cells: &[&str]| -> usize {
            let each = |cell: &&str| cell.len().saturating_add(SEPARATOR.len());
            cells.iter().map(each).sum()
        };
        let whole = cells.get(free.start..=end).and_then(|torn| {
            let from = length(cells.get(..free.start)?);
            let to = from
                .saturating_add(length(torn))
                .checked_sub(SEPARATOR.len())?;
            text.get(from..to)
        });
        match whole {
            Some(whole) => drop(cells.splice(free.start..=end, [whole])),
            None => return Err(width),
        }
    }
    if cells.len() == expected {
        Ok(cells)
    } else {
        Err(width)
    }
}

const SEPARATOR: &str = ",`";
