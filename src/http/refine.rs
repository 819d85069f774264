//! The OpenAPI document says for programs what types and descriptions say for people.
//!
//! utoipa writes an id as a string, and a state as a string with its words in the description. What
//! follows is done once, for all operations, by rules over names and descriptions, so that no
//! attribute has to be repeated a hundred times and none can be forgotten:
//!
//! - an id or a number has its pattern, and an example that fits it;
//! - where the description of a word lists its words (in backticks, without *such as* and *..*),
//!   they are its `enum`;
//! - keys, device ids and cursors have theirs;
//! - a length that is counted in bytes is no `maxLength`, which counts characters, but
//!   `x-max-bytes`;
//! - `code` of a problem is one of the codes that have a page;
//! - what a request must have and is the same everywhere has its example: codes, keys, the headers
//!   of a callback. The example of what may be left out is `examples`, since Swagger UI sends each
//!   `example` with a request that is tried;
//! - an endpoint's `security` names a permission, which becomes the roles that have it, for people
//!   in the description.
//!
//! Tests hold the result against every answer that any of them gets, and every example against its
//! own schema.

use serde_json::{Map, Value, json};

use super::problems;
use crate::auth::Permission;

const HEX: &str = "019a8b3e5c5f7a0e8b6f1d2c3e4f2a00";
const NUMBER: &str = "06D8R5MKTS7J0T4V3C9Q2W00";
const NUMBER_PATTERN: &str = "^[0-9A-HJKMNP-TV-Z]{24}$";

/// What a property or a parameter of this name is the id of.
const IDS: [(&str, &str); 7] = [
    ("customer_id", "cu"),
    ("merchant_id", "me"),
    ("staff_id", "st"),
    ("receiver_id", "rc"),
    ("decision", "rd"),
    ("decision_id", "rd"),
    ("challenge", "ch"),
];

/// Properties that are called `id` have an example that begins with one of these.
const PREFIXES: [&str; 11] = [
    "cu", "me", "st", "rc", "ex", "pt", "rd", "ch", "rv", "xr", "dl",
];

/// What `id` in a path is the id of.
const PATHS: [(&str, &str); 8] = [
    ("/api/v1/admin/merchants/{id}", "me"),
    ("/api/v1/admin/exceptions/{id}", "ex"),
    ("/api/v1/admin/deliveries/{id}", "dl"),
    ("/api/v1/admin/risk/reviews/{id}", "rv"),
    ("/api/v1/admin/risk/decisions/{id}", "rd"),
    ("/api/v1/admin/sharing-receivers/{id}", "rc"),
    ("/api/v1/customer/challenges/{id}", "ch"),
    ("/api/v1/open/points/", "pt"),
];

/// Parameters that mean the same in every operation, each with an example.
const PARAMETERS: [(&str, &str); 9] = [
    ("Device-Id", "3f1c9a52-mini-program"),
    ("Idempotency-Key", "0b6f1d2c-3e4f-4a00-8e5c-5f7a0e8b6f1d"),
    ("Wechatpay-Nonce", "593BEC0C930BF1AFEB40B4A08C8FB242"),
    (
        "Wechatpay-Serial",
        "PUB_KEY_ID_0119000000012026112100000000000000",
    ),
    ("Wechatpay-Signature", "c2lnbmF0dXJl"),
    ("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048"),
    ("Wechatpay-Timestamp", "1795235696"),
    ("code", "7ZK3M9Q2W8XA"),
    ("tenant", "demo"),
];

/// Names of properties and parameters that are one of a few words.
const WORDS: [&str; 18] = [
    "asset",
    "handover",
    "kind",
    "late",
    "late_payment",
    "method",
    "of",
    "outcome",
    "phase",
    "points_shortfall",
    "points_state",
    "review",
    "rounding",
    "sharing",
    "stage",
    "standing",
    "state",
    "what",
];

pub(super) fn refine(document: &mut Value) {
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas {
            of_schema(schema);
            if name == "Problem" {
                let code = &mut schema["properties"]["code"];
                code["enum"] = problems::codes().collect();
            }
        }
    }
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for (path, operations) in paths {
        let operations = operations.as_object_mut();
        for operation in operations.into_iter().flat_map(Map::values_mut) {
            say_roles(operation);
            let parameters = operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                of_parameter(path, parameter);
            }
        }
    }
}

/// Says the roles instead of the permission that an operation needs. A permission that there is
/// not leaves nobody.
fn say_roles(operation: &mut Value) {
    let Some(needed) = operation["security"][0]["access_token"][0].as_str() else {
        return;
    };
    let roles = Permission::from_name(needed).map_or_else(Vec::new, Permission::roles);
    let listed: Vec<_> = roles.iter().map(|role| format!("`{role}`")).collect();
    let listed = format!("For {}.", listed.join(", "));
    operation["security"][0]["access_token"] = json!(roles);
    operation["description"] = match operation["description"].as_str() {
        Some(description) => json!(format!("{description}\n\n{listed}")),
        None => json!(listed),
    };
}

fn of_parameter(path: &str, parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let description = parameter["description"].as_str().map(str::to_owned);
    let is_required = parameter["required"] == true;
    let example = parameter
        .as_object_mut()
        .and_then(|object| object.remove("example"));
    let schema = &mut parameter["schema"];
    // Beside the schema an example is checked by nobody.
    if let Some(example) = example
        && schema.is_object()
    {
        schema["example"] = example;
    }
    let within = PATHS.iter().find(|(begin, _)| path.starts_with(begin));
    match (name.as_str(), parameter["in"].as_str()) {
        ("Idempotency-Key", _) => {
            let schema = &mut parameter["schema"];
            schema["pattern"] = json!("^[!-~]{1,255}$");
            (schema["minLength"], schema["maxLength"]) = (json!(1), json!(255));
        }
        ("Device-Id", _) => parameter["schema"]["pattern"] = json!("^[A-Za-z0-9._:-]{1,64}$"),
        ("cursor", _) => cursor(&mut parameter["schema"]),
        ("code", Some("path")) => {
            parameter["schema"]["pattern"] = json!("^[0-9A-HJKMNP-TV-Z]{12}$");
        }
        ("id", Some("path")) => {
            if let Some((_, prefix)) = within {
                id(&mut parameter["schema"], prefix);
            }
        }
        _ => of_property(&name, description.as_deref(), &mut parameter["schema"]),
    }
    let schema = &mut parameter["schema"];
    if let Some((_, example)) = PARAMETERS.iter().find(|(known, _)| *known == name) {
        schema["example"] = json!(example);
    }
    if !is_required
        && let Some(schema) = schema.as_object_mut()
        && let Some(example) = schema.remove("example")
    {
        schema.insert("examples".to_owned(), json!([example]));
    }
}

fn of_schema(schema: &mut Value) {
    // Beside other schemas utoipa writes `object`, whatever these are: nothing would be both.
    let is_whole = ["allOf", "oneOf", "anyOf"]
        .iter()
        .any(|word| schema.get(word).is_some());
    if is_whole
        && schema.get("properties").is_none()
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("type");
    }
    for several in ["allOf", "oneOf", "anyOf"] {
        let parts = schema.get_mut(several).and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            // A part without members that calls itself an object only carries a description or a
            // default.
            let members = ["properties", "additionalProperties", "required"];
            let is_bare =
                part["type"] == "object" && !members.iter().any(|word| part.get(word).is_some());
            if is_bare
                && several == "allOf"
                && let Some(part) = part.as_object_mut()
            {
                part.remove("type");
            }
            of_schema(part);
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            of_schema(property);
            let description = property["description"].as_str().map(str::to_owned);
            of_property(name, description.as_deref(), property);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        of_schema(items);
    }
}

fn is_text(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn of_property(name: &str, description: Option<&str>, schema: &mut Value) {
    if let Some(most) = description.and_then(bytes)
        && let Some(schema) = schema.as_object_mut()
    {
        // JSON Schema counts characters.
        schema.remove("maxLength");
        schema.insert("x-max-bytes".to_owned(), json!(most));
    }
    if !is_text(schema) || schema.get("enum").is_some() || schema.get("pattern").is_some() {
        return;
    }
    if let Some((_, prefix)) = IDS.iter().find(|(known, _)| *known == name) {
        return id(schema, prefix);
    }
    // A field of a message's template may be called like what it is for.
    let is_other = schema["example"]
        .as_str()
        .is_some_and(|example| example.len() != NUMBER.len());
    if matches!(name, "order_no" | "refund_no" | "sharing_no" | "return_no") && !is_other {
        schema["pattern"] = json!(NUMBER_PATTERN);
        schema["example"] = json!(NUMBER);
        return;
    }
    if name == "next_cursor" {
        return cursor(schema);
    }
    if name == "id" {
        let example = schema["example"].as_str().unwrap_or_default();
        let prefix = example.split_once('_').map(|(prefix, _)| prefix.to_owned());
        if let Some(prefix) = prefix.filter(|prefix| PREFIXES.contains(&prefix.as_str())) {
            id(schema, &prefix);
        }
        return;
    }
    if WORDS.contains(&name)
        && let Some(words) = description.and_then(listed)
    {
        let nullable = schema["type"].is_array();
        let mut all: Vec<Value> = words.into_iter().map(Value::from).collect();
        all.extend(nullable.then_some(Value::Null));
        schema["enum"] = Value::Array(all);
    }
}

fn id(schema: &mut Value, prefix: &str) {
    schema["pattern"] = json!(format!("^{prefix}_[0-9a-f]{{32}}$"));
    schema["example"] = json!(format!("{prefix}_{HEX}"));
}

/// Opaque, and of few letters.
fn cursor(schema: &mut Value) {
    schema["pattern"] = json!("^[0-9A-Za-z_.:~-]{0,128}$");
}

/// How many bytes a text may have, where its description says so.
fn bytes(description: &str) -> Option<u32> {
    let (before, _) = description.split_once(" bytes")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// The words that a description lists: at least two, all of them in backticks.
fn listed(description: &str) -> Option<Vec<&str>> {
    if description.contains("such as") || description.contains("..") {
        return None;
    }
    let plain = |word: &&str| {
        !word.is_empty()
            && *word != "null"
            && word
                .bytes()
                .all(|letter| letter.is_ascii_lowercase() || letter == b'_')
    };
    let words: Vec<_> = description
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(plain)
        .collect();
    (words.len() >= 2).then_some(words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        http::document,
        payments::{ExceptionKind, OrderStateKind, RefundStateKind},
    };

    fn words(schema: &str, property: &str) -> BTreeSet<String> {
        let document = document();
        let words = &document["components"]["schemas"][schema]["properties"][property]["enum"];
        let words = words
            .as_array()
            .unwrap_or_else(|| panic!("{schema}.{property}"));
        words
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    }

    #[test]
    fn words_of_descriptions_are_the_programs_words() {
        let orders = OrderStateKind::ALL.map(|kind| kind.name().to_owned());
        let refunds = RefundStateKind::ALL.map(|kind| kind.name().to_owned());
        for schema in ["AdminPayment", "MerchantPayment", "CustomerPayment"] {
            assert_eq!(
                words(schema, "state"),
                BTreeSet::from(orders.clone()),
                "{schema}"
            );
        }
        for schema in ["AdminRefund", "MerchantRefund"] {
            assert_eq!(
                words(schema, "state"),
                BTreeSet::from(refunds.clone()),
                "{schema}"
            );
        }
        let kinds = ExceptionKind::ALL.map(|kind| kind.name().to_owned());
        assert_eq!(words("PaymentException", "kind"), BTreeSet::from(kinds));
        let document = document();
        for path in ["/api/v1/admin/refunds", "/api/v1/merchant/refunds"] {
            let parameters = &document["paths"][path]["get"]["parameters"];
            let mut parameters = parameters.as_array().unwrap().iter();
            let state = parameters.find(|parameter| parameter["name"] == "state");
            let asked = state.unwrap()["schema"]["enum"].as_array().unwrap().iter();
            let asked = asked.filter_map(|word| word.as_str().map(str::to_owned));
            assert_eq!(
                asked.collect::<BTreeSet<_>>(),
                refunds.clone().into(),
                "{path}"
            );
        }
    }

    #[test]
    fn lists_are_distinguished_from_examples() {
        assert_eq!(
            listed("Only these: `created`, `paid` or `closed`."),
            Some(vec!["created", "paid", "closed"])
        );
        assert_eq!(listed("`a`, such as `b`"), None);
        assert_eq!(listed("`a`, `b`, .."), None);
        assert_eq!(listed("`null` or `a`"), None);
        assert_eq!(listed("`Idempotency-Key` and `a`"), None);
        assert_eq!(bytes("Why not, at most 80 bytes."), Some(80));
        assert_eq!(bytes("At most 80 characters."), None);
    }
}
