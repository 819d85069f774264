//! The OpenAPI document, held against every answer that any test gets.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock},
};

use regex::Regex;
use serde_json::{Value, json};
use zhangfang::primitives::{BusinessDay, Timestamp};

pub(crate) struct Document {
    whole: Value,
    patterns: Mutex<HashMap<String, Regex>>,
}

pub(crate) fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| Document {
        whole: zhangfang::http::document(),
        patterns: Mutex::default(),
    })
}

impl Document {
    pub(crate) fn whole(&self) -> &Value {
        &self.whole
    }

    /// What is wrong with an answer to this request, as the document sees it.
    pub(crate) fn objection(
        &self,
        method: &str,
        path: &str,
        status: u16,
        content_type: &str,
        body: &[u8],
    ) -> Option<String> {
        let path = path.split('?').next().unwrap();
        let kind = content_type.split(';').next().unwrap().trim();
        if kind == "application/problem+json" {
            let problem = json!({ "$ref": "#/components/schemas/Problem" });
            return self.mismatch("problem", &problem, body);
        }
        let (template, operation) = self.operation(method, path)?;
        let name = format!("{method} {template} {status}");
        let responses = &operation["responses"];
        let response = &responses[status.to_string()];
        if !response.is_object() {
            return Some(format!("{name}: the document knows no such answer"));
        }
        let content = response["content"].as_object();
        match content.and_then(|content| content.get(kind)) {
            Some(content) if kind == "application/json" => {
                self.mismatch(&name, &content["schema"], body)
            }
            Some(_) => None,
            None if body.is_empty() => None,
            None => Some(format!("{name}: the document knows no {kind}")),
        }
    }

    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let method = method.to_lowercase();
        let paths = self.whole["paths"].as_object().unwrap();
        let fitting = paths.iter().filter(|(template, _)| fits(template, path));
        // What is written out goes before what is a parameter.
        let (template, operations) =
            fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        let operation = operations.get(&method)?;
        Some((template.as_str(), operation))
    }

    fn mismatch(&self, name: &str, schema: &Value, body: &[u8]) -> Option<String> {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Some(format!("{name}: not JSON"));
        };
        let errors = self.errors(schema, &body);
        (!errors.is_empty()).then(|| format!("{name}: {}: {body}", errors.join("; ")))
    }

    /// Where a value is not as a schema of the document says. By hand, since a crate for all of
    /// JSON Schema would build half of the others anew: it knows the words that the document uses,
    /// and panics at one that it does not know rather than pass it over.
    pub(crate) fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        self.check(schema, value, "", &mut errors);
        errors
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        let schema = schema.as_object().expect("a schema is an object");
        let mut wrong = |says: String| errors.push(format!("{at}: {says}"));
        for (word, said) in schema {
            match word.as_str() {
                "type" => {
                    let kinds = said.as_array().map_or(std::slice::from_ref(said), Vec::as_slice);
                    if !kinds.iter().any(|kind| is(value, kind.as_str().unwrap())) {
                        wrong(format!("{value} is not {said}"));
                    }
                }
                "enum" if !said.as_array().unwrap().contains(value) => {
                    wrong(format!("{value} is none of {said}"));
                }
                "const" if said != value => wrong(format!("{value} is not {said}")),
                "pattern" => {
                    let text = value.as_str();
                    if text.is_some_and(|text| !self.matches(said.as_str().unwrap(), text)) {
                        wrong(format!("{value} does not match {said}"));
                    }
                }
                "format" => {
                    let text = value.as_str();
                    let sound = match (said.as_str().unwrap(), text) {
                        ("date-time", Some(text)) => Timestamp::parse_rfc3339(text).is_some(),
                        ("date", Some(text)) => BusinessDay::parse(text).is_some(),
                        ("int32", None) => value.as_i64().is_none_or(|n| i32::try_from(n).is_ok()),
                        ("date-time" | "date" | "int32" | "int64" | "uri", _) => true,
                        (strange, _) => panic!("{at}: the format {strange}"),
                    };
                    if !sound {
                        wrong(format!("{value} is not a {said}"));
                    }
                }
                "minimum" if value.as_i64().is_some_and(|n| n < said.as_i64().unwrap()) => {
                    wrong(format!("{value} is below {said}"));
                }
                "maximum" if value.as_i64().is_some_and(|n| n > said.as_i64().unwrap()) => {
                    wrong(format!("{value} is above {said}"));
                }
                "minLength" if length(value).is_some_and(|n| n < said.as_u64().unwrap()) => {
                    wrong(format!("{value} is shorter than {said}"));
                }
                "maxLength" if length(value).is_some_and(|n| n > said.as_u64().unwrap()) => {
                    wrong(format!("{value} is longer than {said}"));
                }
                "required" if value.is_object() => {
                    for name in said.as_array().unwrap() {
                        if value.get(name.as_str().unwrap()).is_none() {
                            wrong(format!("{name} is not there"));
                        }
                    }
                }
                "additionalProperties" if *said == json!(false) && value.is_object() => {
                    let known = schema.get("properties");
                    for name in value.as_object().unwrap().keys() {
                        if known.is_none_or(|known| known.get(name).is_none()) {
                            wrong(format!("{name} is one too many"));
                        }
                    }
                }
                "enum" | "const" | "minimum" | "maximum" | "minLength" | "maxLength" | "required" | "minItems" | "maxItems"
                | "$ref" | "allOf" | "oneOf" | "anyOf" | "properties" | "items" | "additionalProperties" | "propertyNames"
                // These say nothing about values.
                | "description" | "title" | "example" | "examples" | "default" | "deprecated" | "x-max-bytes" => {}
                strange => panic!("{at}: the word {strange}"),
            }
        }
        self.check_parts(schema, value, at, errors);
    }

    /// What a schema says by other schemas.
    fn check_parts(
        &self,
        schema: &serde_json::Map<String, Value>,
        value: &Value,
        at: &str,
        errors: &mut Vec<String>,
    ) {
        if let Some(name) = schema.get("$ref") {
            let name = name.as_str().unwrap().rsplit('/').next().unwrap();
            self.check(
                &self.whole["components"]["schemas"][name],
                value,
                at,
                errors,
            );
        }
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.check(part, value, at, errors);
        }
        for (word, most) in [("oneOf", 1), ("anyOf", usize::MAX)] {
            let Some(choices) = schema.get(word).and_then(Value::as_array) else {
                continue;
            };
            let tried: Vec<_> = choices
                .iter()
                .map(|choice| self.errors(choice, value))
                .collect();
            let fitting = tried.iter().filter(|errors| errors.is_empty()).count();
            if fitting == 0 || fitting > most {
                errors.push(format!("{at}: {fitting} of {word} fit: {tried:?}"));
            }
        }
        if let (Some(properties), Some(members)) = (schema.get("properties"), value.as_object()) {
            for (name, member) in members {
                if let Some(property) = properties.get(name) {
                    self.check(property, member, &format!("{at}/{name}"), errors);
                }
            }
        }
        if let (Some(every), Some(members)) =
            (schema.get("additionalProperties"), value.as_object())
            && every.is_object()
        {
            for (name, member) in members {
                let known = schema
                    .get("properties")
                    .is_some_and(|known| known.get(name).is_some());
                if !known {
                    self.check(every, member, &format!("{at}/{name}"), errors);
                }
            }
        }
        if let (Some(every), Some(items)) = (schema.get("items"), value.as_array()) {
            for (index, item) in items.iter().enumerate() {
                self.check(every, item, &format!("{at}/{index}"), errors);
            }
        }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.lock().unwrap();
        let known = patterns
            .entry(pattern.to_owned())
            .or_insert_with(|| Regex::new(pattern).unwrap());
        known.is_match(text)
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        strange => panic!("the type {strange}"),
    }
}

fn length(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    Some(u64::try_from(text.chars().count()).unwrap())
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(there)) if wanted == there || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}
