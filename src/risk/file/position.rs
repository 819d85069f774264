//! Maps characters of a text to positions in the file, so that mistakes inside an expression are
//! shown at their place.

use super::mistake::Position;

/// The place of byte `at` of `value`, which was written in `text` from byte `start`, at `place`.
///
/// What is written differs from the value by quotes, escapes, and how lines are broken and
/// indented. None of that adds a letter, so the value's letters are found one after the other in
/// what is written. Where they are not (`"\u0061"`), the place is where the text begins.
pub(super) fn of(
    text: &str,
    start: Option<usize>,
    position: Position,
    value: &str,
    at: usize,
) -> Position {
    let Some(written) = start.and_then(|start| text.get(start..)) else {
        return position;
    };
    let mut written = written.chars();
    let mut here = position;
    let mut step = |add_expected: char| -> Option<Position> {
        for letter in written.by_ref() {
            let found = here;
            if letter == '\n' {
                here.line = here.line.saturating_add(1);
                here.column = 1;
            } else {
                here.column = here.column.saturating_add(1);
            }
            if letter == add_expected {
                return Some(found);
            }
        }
        None
    };
    let mut last = position;
    for (byte, letter) in value.char_indices() {
        if letter.is_whitespace() {
            continue;
        }
        let Some(found) = step(letter) else {
            return position;
        };
        if byte >= at {
            return found;
        }
        last = found;
    }
    // Behind the last letter.
    Position {
        column: last.column.saturating_add(1),
        ..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, line: u32, column: u32, value: &str, needle: &str) -> (u32, u32) {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let before = usize::try_from(line - 1).unwrap();
        let start: usize = lines[..before].iter().map(|line| line.len()).sum();
        let skip = usize::try_from(column - 1).unwrap();
        let start = start
            + text[start..]
                .chars()
                .take(skip)
                .map(char::len_utf8)
                .sum::<usize>();
        let at = value.find(needle).unwrap_or(value.len());
        let found = of(text, Some(start), Position { line, column }, value, at);
        (found.line, found.column)
    }

    #[test]
    fn letters_are_found_where_they_were_written() {
        assert_eq!(find("when: a > b\n", 1, 7, "a > b", "b"), (1, 11));
        assert_eq!(find("when: 'a == ''b'''\n", 1, 7, "a == 'b'", "b"), (1, 15));
        let folded = "when: >-\n  a &&\n  账 > b\n";
        assert_eq!(find(folded, 2, 3, "a && 账 > b", "b"), (3, 7));
        assert_eq!(
            find("k: \"账 \\\"x\\\" y\"\n", 1, 4, "账 \"x\" y", "y"),
            (1, 13)
        );
        assert_eq!(find("when: a >\n", 1, 7, "a >", "nowhere"), (1, 10));
        assert_eq!(find("k: \"\\u0061b\"\n", 1, 4, "ab", "b"), (1, 4));
    }
}
