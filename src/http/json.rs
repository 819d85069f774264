//! JSON as it is taken: one rule for all bodies.
//!
//! serde alone is too kind. It reads an array as an object, by position; it takes a `null` for a
//! member that is not there; and which of two members of one name counts, depends on the type. So a
//! body is read in two steps. It becomes a tree first, in which there is no `null` and no name
//! twice: where absence means something, and often it means *everything*, it is said by leaving the
//! member out and in no other way. Then it becomes a type, and whatever a type reads as an object
//! has to be one.
//!
//! Two bodies are the same when their trees are, whatever their spaces and the order of their
//! members: that is what an idempotency key goes by ([`Tree::canonical`]).

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, SeqAccess,
        Visitor,
        value::{MapAccessDeserializer, StringDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Number;

/// A value without nothings.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    /// In the order in which they came, each name once.
    Object(Vec<(String, Tree)>),
}

/// Why a body is not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Not JSON.
    Syntax(String),
    /// JSON, and not what is expected: where, and what would be.
    Shape { at: String, expected: String },
}

/// Reads the text, and what it says.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<(T, Tree), Refusal> {
    let tree: Tree = serde_json::from_slice(text).map_err(|error| {
        if error.is_data() {
            // Of the tree's own making: its sentences begin with the place.
            let said = error.to_string();
            let (at, expected) = said.split_once(": ").unwrap_or(("", &said));
            Refusal::Shape {
                at: at.to_owned(),
                expected: without_place(expected).to_owned(),
            }
        } else {
            Refusal::Syntax(error.to_string())
        }
    })?;
    match T::deserialize(Strict(tree.clone())) {
        Ok(value) => Ok((value, tree)),
        Err(error) => Err(error.refusal()),
    }
}

/// `serde_json` says at which line and column; names are better.
fn without_place(said: &str) -> &str {
    said.rsplit_once(" at line ").map_or(said, |(said, _)| said)
}

impl Tree {
    /// A canonical text: equal for equal values.
    pub(super) fn canonical(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        let list = |out: &mut String, place: usize| {
            if place > 0 {
                out.push(',');
            }
        };
        match self {
            Self::Bool(value) => _ = write!(out, "{value}"),
            Self::Number(number) => _ = write!(out, "{number}"),
            Self::Text(text) => _ = write!(out, "{}", serde_json::Value::from(text.as_str())),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    list(out, place);
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name);
                out.push('{');
                for (place, (name, value)) in members.into_iter().enumerate() {
                    list(out, place);
                    _ = write!(out, "{}:", serde_json::Value::from(name.as_str()));
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Grower)
    }
}

struct Grower;

impl<'de> Visitor<'de> for Grower {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        let number = Number::from_f64(value);
        number
            .map(Tree::Number)
            .ok_or_else(|| E::custom("body: a finite number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Err(E::custom("body: no null; what is not said is left out"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Tree::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut all: Vec<(String, Tree)> = Vec::new();
        // Whoever sends it need not have signed it: so many members must not cost their square.
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("{name}: once")));
            }
            let Some(value) = members.next_value::<Maybe>()?.0 else {
                let problem = format!("{name}: a value; what is not said is left out, not null");
                return Err(de::Error::custom(problem));
            };
            all.push((name, value));
        }
        Ok(Tree::Object(all))
    }
}

/// A member's value, to say which member it was that has none.
struct Maybe(Option<Tree>);

impl<'de> Deserialize<'de> for Maybe {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self)
    }
}

/// A tree that is read as a type, and only as what it is.
struct Strict(Tree);

/// What was expected, and where, from the inside out.
#[derive(Debug)]
pub(super) struct Unexpected {
    said: String,
    path: Vec<String>,
}

impl Unexpected {
    fn within(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }

    fn refusal(mut self) -> Refusal {
        self.path.reverse();
        let at = if self.path.is_empty() {
            "body".to_owned()
        } else {
            self.path.join(".")
        };
        Refusal::Shape {
            at,
            expected: self.said,
        }
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for Unexpected {}

impl de::Error for Unexpected {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Self {
            said: said.to_string(),
            path: Vec::new(),
        }
    }

    // serde's own sentences name types of Rust, and say what was found before what is expected.

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Bool(_) => "a boolean",
            de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a whole number",
            de::Unexpected::Float(_) => {
                "a number that is too large or has a fraction or an exponent"
            }
            de::Unexpected::Str(_) | de::Unexpected::Char(_) => "text",
            de::Unexpected::Seq => "an array",
            de::Unexpected::Map => "an object",
            de::Unexpected::Bytes(_)
            | de::Unexpected::Unit
            | de::Unexpected::Option
            | de::Unexpected::NewtypeStruct
            | de::Unexpected::Enum
            | de::Unexpected::UnitVariant
            | de::Unexpected::NewtypeVariant
            | de::Unexpected::TupleVariant
            | de::Unexpected::StructVariant
            | de::Unexpected::Other(_) => "something else",
        };
        Self::custom(format_args!("{}, not {found}", plain(expected)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let is_whole = matches!(
            found,
            de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_)
        );
        if is_whole {
            Self::custom(format_args!(
                "{} that is not so large or so small",
                plain(expected)
            ))
        } else {
            Self::custom(plain(expected))
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        if expected.is_empty() {
            Self::custom("no members here")
        } else {
            Self::custom(format_args!(
                "no such member here, but {}",
                expected.join(", ")
            ))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom("a value: it is required").within(field)
    }
}

/// What serde's visitors expect, in JSON's words.
fn plain(expected: &dyn de::Expected) -> String {
    let said = expected.to_string();
    match said.as_str() {
        "i8" | "i16" | "i32" | "i64" | "i128" | "u8" | "u16" | "u32" | "u64" | "u128" => {
            "a whole number".to_owned()
        }
        "a string" => "text".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        _ => said,
    }
}

impl Strict {
    fn object<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        match self.0 {
            Tree::Object(members) => visitor.visit_map(Members::of(members)),
            other @ (Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_)) => Err(
                de::Error::custom(format_args!("an object, not {}", other.kind())),
            ),
        }
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Unexpected;

    /// For what looks before it knows; it sees no arrays, or it would read them as objects.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        match self.0 {
            Tree::Bool(value) => visitor.visit_bool(value),
            Tree::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, Some(value)) => visitor.visit_f64(value),
                (None, None, None) => Err(de::Error::custom("a number")),
            },
            Tree::Text(text) => visitor.visit_string(text),
            Tree::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            Tree::Object(members) => visitor.visit_map(Members::of(members)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        match self.0 {
            Tree::List(items) => visitor.visit_seq(Items {
                items: items.into_iter(),
                place: 0,
            }),
            other @ (Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Object(_)) => {
                Strict(other).deserialize_any(visitor)
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        self.object(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        match self.0 {
            Tree::Text(word) => visitor.visit_enum(StringDeserializer::<Unexpected>::new(word)),
            Tree::Object(members) => MapAccessDeserializer::new(Members::of(members))
                .deserialize_enum(name, variants, visitor),
            other @ (Tree::Bool(_) | Tree::Number(_) | Tree::List(_)) => {
                Strict(other).deserialize_any(visitor)
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple_struct identifier ignored_any
    }
}

struct Members {
    rest: std::vec::IntoIter<(String, Tree)>,
    value: Option<(String, Tree)>,
}

impl Members {
    fn of(members: Vec<(String, Tree)>) -> Self {
        Self {
            rest: members.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unexpected> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        let key: StringDeserializer<Unexpected> = name.clone().into_deserializer();
        self.value = Some((name.clone(), value));
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.within(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Unexpected> {
        let (name, value) = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value is read after its name"))?;
        seed.deserialize(Strict(value))
            .map_err(|error| error.within(name))
    }
}

struct Items {
    items: std::vec::IntoIter<Tree>,
    place: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Unexpected;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unexpected> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let place = self.place;
        self.place = place.saturating_add(1);
        seed.deserialize(Strict(item))
            .map(Some)
            .map_err(|error| error.within(place.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        code: String,
        #[serde(default)]
        amount_fen: Option<i64>,
        #[serde(default)]
        parts: Vec<Part>,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        tagged: Option<Tagged>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Part {
        share: u32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Half,
        Whole,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Tagged {
        Days { count: u32 },
    }

    fn place(text: &str) -> Result<Sample, String> {
        match read::<Sample>(text.as_bytes()) {
            Ok((value, _)) => Ok(value),
            Err(Refusal::Shape { at, .. }) => Err(at),
            Err(Refusal::Syntax(_)) => Err("syntax".to_owned()),
        }
    }

    #[test]
    fn what_is_meant_is_read() {
        let value = place(
            r#"{"amount_fen":5,"code":"a","parts":[{"share":1}],"kind":"half","tagged":{"count":3,"kind":"days"}}"#,
        );
        let expected = Sample {
            code: "a".to_owned(),
            amount_fen: Some(5),
            parts: vec![Part { share: 1 }],
            kind: Some(Kind::Half),
            tagged: Some(Tagged::Days { count: 3 }),
        };
        assert_eq!(value, Ok(expected));
    }

    #[test]
    fn an_array_is_no_object_anywhere() {
        for (text, at) in [
            (r#"["a",5]"#, "body"),
            (r#"{"code":"a","parts":[[1]]}"#, "parts.0"),
            (r#"{"code":"a","tagged":["days",3]}"#, "tagged"),
            (r#"{"code":"a","parts":{"share":1}}"#, "parts"),
            (r#"{"code":"a","kind":["half"]}"#, "kind"),
            (r#"{"code":["a"]}"#, "code"),
            (r#"{"code":"a","parts":[{"share":-1}]}"#, "parts.0.share"),
        ] {
            assert_eq!(place(text), Err(at.to_owned()), "{text}");
        }
    }

    #[test]
    fn nothing_is_said_by_saying_nothing() {
        for (text, at) in [
            ("null", "body"),
            (r#"{"code":"a","amount_fen":null}"#, "amount_fen"),
            (r#"{"code":"a","kind":null}"#, "kind"),
            (r#"{"code":"a","parts":[{"share":null}]}"#, "share"),
            (r#"{"code":"a","parts":[null]}"#, "body"),
            (r#"{"code":"a","unknown":null}"#, "unknown"),
            (r#"{"code":"a","code":"b"}"#, "code"),
            (r#"{"code":"a","unknown":1}"#, "unknown"),
            (r#"{"amount_fen":1}"#, "code"),
            (r#"{"code":"a","parts":[{}]}"#, "parts.0.share"),
            (r#"{"code":"a","amount_fen":1.0}"#, "amount_fen"),
            (
                r#"{"code":"a","amount_fen":99999999999999999999}"#,
                "amount_fen",
            ),
            (r#"{"code":"a""#, "syntax"),
            ("", "syntax"),
            (r#"{"code":"a"} x"#, "syntax"),
        ] {
            assert_eq!(place(text), Err(at.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_expected_is_said_in_the_words_of_json() {
        let expected = |text: &str| match read::<Sample>(text.as_bytes()) {
            Err(Refusal::Shape { expected, .. }) => expected,
            other => panic!("{text}: {other:?}"),
        };
        for (text, said) in [
            (
                r#"{"code":"a","amount_fen":"5"}"#,
                "a whole number, not text",
            ),
            (
                r#"{"code":"a","amount_fen":1e2}"#,
                "a whole number, not a number that is too large or has a fraction or an exponent",
            ),
            (
                r#"{"code":"a","amount_fen":9223372036854775808}"#,
                "a whole number that is not so large or so small",
            ),
            (
                r#"{"code":"a","parts":[{"share":-1}]}"#,
                "a whole number that is not so large or so small",
            ),
            (r#"{"code":5}"#, "text, not a whole number"),
            (r#"{"code":true}"#, "text, not a boolean"),
            (r#"{"code":{}}"#, "text, not an object"),
            (r#"{"code":"a","parts":5}"#, "an array, not a whole number"),
            (r#"{"code":"a","parts":[5]}"#, "an object, not a number"),
            (r#"{"code":"a","kind":"third"}"#, "one of half, whole"),
            (
                r#"{"code":"a","amount":5}"#,
                "no such member here, but code, amount_fen, parts, kind, tagged",
            ),
            ("{}", "a value: it is required"),
            (r#"["a"]"#, "an object, not an array"),
        ] {
            assert_eq!(expected(text), said, "{text}");
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_found_among_many() {
        let members: Vec<String> = (0..8_000)
            .map(|number| format!("\"n{number}\":1"))
            .collect();
        let members = members.join(",");
        let once = format!("{{{members}}}");
        assert!(read::<serde_json::Value>(once.as_bytes()).is_ok());
        let twice = format!("{{{members},\"n17\":2}}");
        let refused = read::<serde_json::Value>(twice.as_bytes());
        assert!(matches!(refused, Err(Refusal::Shape { at, .. }) if at == "n17"));
    }

    #[test]
    fn bodies_are_the_same_whatever_their_spaces_and_their_order() {
        let canonical = |text: &str| read::<Sample>(text.as_bytes()).unwrap().1.canonical();
        let one = canonical(r#"{"code":"a\n","amount_fen":5,"parts":[{"share":1}]}"#);
        let two =
            canonical("{ \"parts\": [{\"share\":1}],\n \"amount_fen\":5, \"code\":\"a\\u000a\"}");
        assert_eq!(one, two);
        assert_eq!(
            one,
            r#"{"amount_fen":5,"code":"a\n","parts":[{"share":1}]}"#
        );
        assert_ne!(one, canonical(r#"{"code":"a\n","parts":[{"share":1}]}"#));
        assert_ne!(
            canonical(r#"{"code":"a,b"}"#),
            canonical(r#"{"code":"a\",\"b"}"#)
        );
    }
}
