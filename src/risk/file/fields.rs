//! Reads the fields of a block.

use super::{
    hints,
    mistake::{Mistakes, Position},
    node::{Node, NodeKind},
};

/// The fields of one block. Made with the names that are known there, so that what is left over is
/// told at once.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    pub(super) position: Position,
    found: Vec<(&'n str, Position, &'n Node)>,
    /// What the block is, for people: `a rule`.
    what: &'static str,
}

impl<'n> Fields<'n> {
    /// None, and a mistake, if the node is no block of fields. A field that is not known or there
    /// twice is a mistake, too.
    pub(super) fn of(
        node: &'n Node,
        what: &'static str,
        known: &[&str],
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let fields = Self::free(node, what, mistakes)?;
        for (name, position, _) in &fields.found {
            if !known.contains(name) {
                if let Some(blank) = hints::bad_indent(name) {
                    mistakes.add(*position, blank);
                    continue;
                }
                let meant = hints::meant(name, known);
                let meant = meant.map(|meant| format!(" (did you mean {meant}?)"));
                let (known, meant) = (known.join(", "), meant.unwrap_or_default());
                let name = shown(name);
                mistakes.add(
                    *position,
                    format!("{what} has no field {name}{meant}; it has {known}"),
                );
            }
        }
        Some(fields)
    }

    /// A block whose fields are names that the file itself chooses.
    pub(super) fn free(
        node: &'n Node,
        what: &'static str,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let NodeKind::Map(entries) = &node.kind else {
            let noun = node.describe();
            mistakes.add(
                node.position,
                format!("{what} is a block of fields (name: value, in lines below it that begin further right, or in {{ }}), and this is {noun}"),
            );
            return None;
        };
        let mut found: Vec<(&str, Position, &Node)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let NodeKind::Text(name) = &key.kind else {
                let noun = key.describe();
                mistakes.add(
                    key.position,
                    format!("the name of a field is text, and this is {noun}; numbers are written without commas"),
                );
                continue;
            };
            if let Some((_, first, _)) = found.iter().find(|(other, ..)| other == name) {
                let (line, name) = (first.line, shown(name));
                mistakes.add(
                    key.position,
                    format!("{name} is here twice; the first is in line {line}"),
                );
                continue;
            }
            found.push((name, key.position, value));
        }
        Some(Self {
            position: node.position,
            found,
            what,
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// A field and the place of its name.
    pub(super) fn entry(&self, name: &str) -> Option<(Position, &'n Node)> {
        let found = self.found.iter().find(|(other, ..)| *other == name);
        found.map(|(_, position, node)| (*position, *node))
    }

    /// A field that must be there.
    pub(super) fn need(&self, name: &str, mistakes: &mut Mistakes) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            let what = self.what;
            mistakes.add(self.position, format!("{what} needs the field {name}"));
        }
        found
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'n str, Position, &'n Node)> {
        self.found.iter().copied()
    }
}

/// Text of the file as a message shows it: not all of a long one, and nothing that a terminal
/// obeys.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", short.escape_debug())
}
