//! The parameters of a query, read as a type; what is wrong is said of the parameter.
//!
//! A value that a parameter cannot have is a wrong field, as in a body (422 `field_invalid`).
//! 400 `query_invalid` is for what cannot be read at all: a parameter that is missing, that is
//! there twice, or that the operation does not know ([`parameters`](super::parameters)).

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, Visitor,
        value::{MapAccessDeserializer, StringDeserializer},
    },
    forward_to_deserialize_any,
};
use url::form_urlencoded::{Parse, parse};

use super::problem::Problem;
use crate::primitives::Timestamp;

pub(super) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let words = Words {
        rest: parse(query.as_bytes()),
        next: None,
    };
    T::deserialize(MapAccessDeserializer::new(words)).map_err(|wrong| match wrong {
        Wrong::Value { name, expected } => Problem::field(name, expected),
        Wrong::Query { name, expected } => Problem::query(name, expected),
    })
}

/// What is wrong, and what was expected.
#[derive(Debug)]
enum Wrong {
    /// A value.
    Value { name: String, expected: String },
    /// Which parameters there are.
    Query {
        name: &'static str,
        expected: String,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { expected, .. } | Self::Query { expected, .. } => f.write_str(expected),
        }
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(expected: T) -> Self {
        Self::Query {
            name: "query",
            expected: expected.to_string(),
        }
    }

    fn missing_field(name: &'static str) -> Self {
        let expected = "a value: it is required".to_owned();
        Self::Query { name, expected }
    }

    fn duplicate_field(name: &'static str) -> Self {
        let expected = "once".to_owned();
        Self::Query { name, expected }
    }
}

impl Wrong {
    /// What was wrong while the value of this parameter was read, whoever said so.
    fn of(self, name: String) -> Self {
        let mut expected = self.to_string();
        // The usual mistake with a time: a `+` that stands for itself is a blank.
        if expected == Timestamp::EXPECTED {
            expected.push_str("; in an address `+` is written `%2B`");
        }
        Self::Value { name, expected }
    }
}

/// The parameters of a query, one after the other.
struct Words<'q> {
    rest: Parse<'q>,
    /// Whose name was read and whose value was not.
    next: Option<(Cow<'q, str>, Cow<'q, str>)>,
}

impl<'de> MapAccess<'de> for Words<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        self.next = self.rest.next();
        let name = self.next.as_ref().map(|(name, _)| name.clone());
        name.map(|name| seed.deserialize(name.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, text) = self.next.take().unwrap_or_default();
        let word = Word(text.into_owned());
        seed.deserialize(word)
            .map_err(|wrong| wrong.of(name.into_owned()))
    }
}

/// The value of a parameter.
struct Word(String);

/// What is written as text and is none.
macro_rules! parsed {
    ($($read:ident, $visit:ident, $expected:literal;)+) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::custom($expected)),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Word {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if variants.contains(&self.0.as_str()) {
            visitor.visit_enum(StringDeserializer::new(self.0))
        } else {
            let expected = format_args!("one of {}", variants.join(", "));
            Err(de::Error::custom(expected))
        }
    }

    parsed! {
        deserialize_bool, visit_bool, "true or false";
        deserialize_u32, visit_u32, "a whole number, 0 or more";
        deserialize_i64, visit_i64, "a whole number";
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{facts::Stage, primitives::MerchantId};

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Sample {
        text: String,
        count: Option<u32>,
        amount: Option<i64>,
        #[serde(default)]
        only: bool,
        stage: Option<Stage>,
        merchant: Option<MerchantId>,
        from: Option<Timestamp>,
    }

    fn refused(query: &str) -> (u16, &'static str, serde_json::Value) {
        let problem = read::<Sample>(query).unwrap_err();
        let field = serde_json::to_value(problem.field).unwrap();
        (problem.status.as_u16(), problem.code, field)
    }

    #[test]
    fn values_are_read_by_their_types() {
        let id = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00";
        let query =
            format!("text=5+%26&count=7&amount=-8&only=true&stage=redeem&merchant={id}&x=1");
        let read = read::<Sample>(&query).unwrap();
        assert_eq!((read.text.as_str(), read.count), ("5 &", Some(7)));
        assert_eq!((read.amount, read.only), (Some(-8), true));
        assert_eq!(read.stage, Some(Stage::Redeem));
        assert_eq!(read.merchant.map(|id| id.to_string()).as_deref(), Some(id));
    }

    #[test]
    fn a_wrong_value_is_a_wrong_field() {
        let stages = "one of login, payment.create, points.credit, redeem, refund";
        for (query, name, expected) in [
            ("count=x", "count", "a whole number, 0 or more"),
            ("count=-1", "count", "a whole number, 0 or more"),
            ("count=4294967296", "count", "a whole number, 0 or more"),
            ("amount=1.5", "amount", "a whole number"),
            ("only=1", "only", "true or false"),
            ("stage=", "stage", stages),
            (
                "merchant=cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00",
                "merchant",
                "me_ and 32 hex digits",
            ),
            (
                "from=2026-11-21T08:00:00+08:00",
                "from",
                "a time such as 2026-11-21T08:00:00+08:00; in an address `+` is written `%2B`",
            ),
        ] {
            let (status, code, field) = refused(&format!("text=a&{query}"));
            assert_eq!((status, code), (422, "field_invalid"), "{query}");
            let said = json!({ "name": name, "expected": expected });
            assert_eq!(field, said, "{query}");
        }
    }

    #[test]
    fn what_is_missing_or_there_twice_is_no_query() {
        for (query, name) in [("count=1", "text"), ("text=a&count=1&count=1", "count")] {
            let (status, code, field) = refused(query);
            assert_eq!((status, code), (400, "query_invalid"), "{query}");
            assert_eq!(field["name"], name);
        }
    }
}
