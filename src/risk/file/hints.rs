//! Hints for mistakes that the YAML parser reports.
//!
//! A parser names the token that it expected; these hints speak of indentation, keyboard layout and
//! quotes instead.

use super::mistake::Position;
use crate::risk::keyboard;

/// Blanks that look like spaces.
const BLANKS: [(char, &str); 3] = [
    ('\t', "a tab"),
    ('\u{3000}', "a wide Chinese space"),
    ('\u{a0}', "a space of a word processor"),
];

/// What a YAML parser means with a sentence of its own.
const SENTENCES: [(&str, &str); 7] = [
    (
        "mapping values are not allowed",
        "a `:` stands where none can be: the line does not begin below the lines it belongs to, or it is an expression with a `:`, which is written as a block \
         (`when: |`, and the expression in the next line)",
    ),
    (
        "unsupported tag",
        "a text cannot begin with `!`: write an expression as a block (`when: |`, and the expression in the next line)",
    ),
    (
        "did not find expected key",
        "the line does not fit those above it: fields of one block begin below each other",
    ),
    (
        "did not find expected '-' indicator",
        "the line does not fit those above it: fields of a rule begin below its `id`, and each rule with a `-` below the others",
    ),
    (
        "simple key expected ':'",
        "there is no `:` behind the name of a field",
    ),
    ("',' or '}'", "a `,` or the closing `}` is missing here"),
    ("',' or ']'", "a `,` or the closing `]` is missing here"),
];

/// A better sentence, and a better place, for what is not YAML.
pub(super) fn not_yaml(text: &str, position: Position, said: &str) -> (Position, String) {
    let line = usize::try_from(position.line).unwrap_or(1);
    let lines = (1_u32..).zip(text.lines());
    let around: Vec<(u32, &str)> = lines.skip(line.saturating_sub(2)).take(3).collect();
    for (number, line) in &around {
        if let Some(what) = bad_indent(line) {
            let spaces = line.chars().take_while(|sign| *sign == ' ').count();
            let position = Position {
                line: *number,
                column: u32::try_from(spaces).unwrap_or(0).saturating_add(1),
            };
            return (position, what);
        }
    }
    let meant = SENTENCES
        .iter()
        .find(|(sentence, _)| said.contains(sentence));
    let mut what = meant.map_or_else(
        || format!("this is not YAML: {said}"),
        |(_, meant)| (*meant).to_owned(),
    );
    let near = around.iter().filter(|(number, _)| *number <= position.line);
    if let Some(hint) = near.rev().find_map(|(_, line)| keyboard::hint(line)) {
        what = format!("{what}; perhaps {hint}");
    }
    (position, what)
}

/// What to say of a blank behind the spaces in front of a line.
pub(super) fn bad_indent(line: &str) -> Option<String> {
    let first = line.trim_start_matches(' ').chars().next()?;
    let (_, blank) = BLANKS.iter().find(|(blank, _)| *blank == first)?;
    Some(format!(
        "lines are indented with spaces, and this is {blank}"
    ))
}

/// The name that was probably meant.
pub(super) fn meant<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let alike = known
        .iter()
        .map(|known| (known, strsim::damerau_levenshtein(name, known)));
    let (nearest, distance) = alike.min_by_key(|(_, distance)| *distance)?;
    if distance <= 2 && distance < name.len() {
        return Some(nearest);
    }
    // `amount` for amount_fen.
    let longer = known
        .iter()
        .find(|known| name.len() >= 4 && known.starts_with(name));
    longer.copied()
}
