//! A YAML text as a tree whose nodes know their positions.
//!
//! A parser that filled our own structs would stop at the first mistake. This tree takes any shape,
//! and the readers beside it can continue after a mistake.
//!
//! Dangerous features of YAML are refused before there is a tree: anchors and aliases (by which a
//! few lines become gigabytes), deep nesting, several documents, very many nodes.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Error, Spanned,
    options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy},
};

use super::{
    hints,
    mistake::{Mistake, Position},
};

/// A file is at most so long, in bytes: some thousand rules' worth.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// Deeper than any rule: file, rules, rule, condition, list.
const DEPTH_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    /// Where in the text a scalar begins, in bytes.
    pub(super) start: Option<usize>,
    pub(super) kind: NodeKind,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    Nothing,
    Bool(bool),
    Number(i64),
    /// With a fraction, or too large: nothing in a rule file is such a number.
    OtherNumber,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        if text.len() > BYTES_MAX {
            let what = format!(
                "the file has {} bytes; {BYTES_MAX} are the most",
                text.len()
            );
            return Err(mistake(Position::START, what));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_anchors: 0,
                max_aliases: 0,
                max_depth: DEPTH_MAX,
                flow_nesting_limit: DEPTH_MAX,
                max_documents: 1,
            },
            // The readers tell a key that is there twice, with the others.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::AsOrdinary,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            // `no` and `on` are words.
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options::<Spanned<RawNode>>(text, options)
            .map(Self::from)
            .map_err(|error| {
                let position = error.location().map_or(Position::START, Position::of);
                let (position, what) = explain(&error, text, position);
                mistake(position, what)
            })
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Nothing => "nothing",
            NodeKind::Bool(_) => "true or false",
            NodeKind::Number(_) => "a number",
            NodeKind::OtherNumber => "a number with a fraction, or too large a one",
            NodeKind::Text(_) => "text",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a block of fields",
        }
    }
}

impl Position {
    fn of(location: serde_saphyr::Location) -> Self {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        Self {
            line: count(location.line()),
            column: count(location.column()),
        }
    }
}

fn mistake(position: Position, what: String) -> Mistake {
    Mistake {
        position,
        rule: None,
        what,
    }
}

/// The parser's sentence without its own mention of the place, or ours where we know what it means.
fn explain(error: &Error, text: &str, position: Position) -> (Position, String) {
    let said = error.to_string();
    let ours = if said.contains("Anchors") || said.contains("Aliases") {
        "anchors (&) and aliases (*) are not used here: write text in quotes, and an expression as a block (`when: |`, and the expression in the next line)".to_owned()
    } else if said.contains("Depth") || said.contains("nesting") || said.contains("recursion limit")
    {
        format!("more than {DEPTH_MAX} levels deep; no rule needs that")
    } else if said.contains("Documents") {
        "a second document begins here (---); a rule file is one".to_owned()
    } else {
        let said = said.split(" at line ").next().unwrap_or_default();
        return hints::not_yaml(text, position, said);
    };
    (position, ours)
}

/// What serde is given to fill.
enum RawNode {
    Nothing,
    Bool(bool),
    Number(i64),
    OtherNumber,
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl From<Spanned<RawNode>> for Node {
    fn from(raw: Spanned<RawNode>) -> Self {
        let span = raw.referenced.span();
        Self {
            position: Position::of(raw.referenced),
            start: span
                .byte_offset()
                .and_then(|byte| usize::try_from(byte).ok()),
            kind: match raw.value {
                RawNode::Nothing => NodeKind::Nothing,
                RawNode::Bool(value) => NodeKind::Bool(value),
                RawNode::Number(number) => NodeKind::Number(number),
                RawNode::OtherNumber => NodeKind::OtherNumber,
                RawNode::Text(text) => NodeKind::Text(text),
                RawNode::List(items) => NodeKind::List(items.into_iter().map(Self::from).collect()),
                RawNode::Map(fields) => NodeKind::Map(
                    fields
                        .into_iter()
                        .map(|(key, value)| (Self::from(key), Self::from(value)))
                        .collect(),
                ),
            },
        }
    }
}

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawNodeVisitor)
    }
}

struct RawNodeVisitor;

impl<'de> Visitor<'de> for RawNodeVisitor {
    type Value = RawNode;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<RawNode, E> {
        Ok(RawNode::Nothing)
    }

    fn visit_none<E>(self) -> Result<RawNode, E> {
        Ok(RawNode::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawNode, E> {
        Ok(RawNode::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<RawNode, E> {
        Ok(RawNode::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<RawNode, E> {
        Ok(i64::try_from(number).map_or(RawNode::OtherNumber, RawNode::Number))
    }

    fn visit_i128<E>(self, _: i128) -> Result<RawNode, E> {
        Ok(RawNode::OtherNumber)
    }

    fn visit_u128<E>(self, _: u128) -> Result<RawNode, E> {
        Ok(RawNode::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawNode, E> {
        Ok(RawNode::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<RawNode, E> {
        Ok(RawNode::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawNode, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawNode::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<RawNode, A::Error> {
        let mut map = Vec::new();
        while let Some(field) = fields.next_entry()? {
            map.push(field);
        }
        Ok(RawNode::Map(map))
    }
}
