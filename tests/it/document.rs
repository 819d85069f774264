//! The OpenAPI document by itself: its examples fit it, its names are one thing's, and what it
//! points to is there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::harness::{TestApp, document};

/// An example, the schema that it is one of, and the name of its place.
type Placed<'a> = (String, &'a Value, &'a Value);

/// Every example in the document: of schemas, and of whole bodies.
fn examples<'a>(value: &'a Value, at: &str, found: &mut Vec<Placed<'a>>) {
    match value {
        Value::Object(members) => {
            let is_schema = ["type", "$ref", "oneOf", "allOf", "enum"]
                .iter()
                .any(|word| members.contains_key(*word));
            let schema = members.get("schema").unwrap_or(value);
            if is_schema || members.contains_key("schema") {
                let named = members.get("examples").and_then(Value::as_object);
                let named = named.into_iter().flat_map(Map::values);
                let listed = members.get("examples").and_then(Value::as_array);
                let all = members.get("example").into_iter();
                let all = all.chain(named.map(|example| &example["value"]));
                for example in all.chain(listed.into_iter().flatten()) {
                    found.push((at.to_owned(), schema, example));
                }
            }
            for (name, member) in members {
                examples(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                examples(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_example_fits_its_own_schema() {
    let mut found = Vec::new();
    examples(document().whole(), "", &mut found);
    assert!(found.len() > 350, "{}", found.len());
    let mut wrong = Vec::new();
    for (at, schema, example) in found {
        for error in document().errors(schema, example) {
            wrong.push(format!("{at}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_text_of_a_known_kind_says_which_texts_it_takes() {
    let whole = document().whole();
    let mut bare = BTreeSet::new();
    let schemas = whole["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        let Some(properties) = schema["properties"].as_object() else {
            continue;
        };
        for (property, schema) in properties {
            let known = [
                "order_no",
                "refund_no",
                "customer_id",
                "merchant_id",
                "state",
            ];
            let text = schema["type"] == "string" || schema["type"][0] == "string";
            let said = ["pattern", "enum"]
                .iter()
                .any(|word| schema.get(word).is_some());
            if known.contains(&property.as_str()) && text && !said {
                bare.insert(format!("{name}.{property}"));
            }
        }
    }
    for (path, operations) in whole["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let known = [
                    "Idempotency-Key",
                    "cursor",
                    "order_no",
                    "refund_no",
                    "state",
                ];
                let schema = &parameter["schema"];
                let said = ["pattern", "enum"]
                    .iter()
                    .any(|word| schema.get(word).is_some());
                if known.contains(&name) && !said && schema.get("$ref").is_none() {
                    bare.insert(format!("{method} {path} {name}"));
                }
            }
        }
    }
    // A step of a history is in the state of whatever it is about.
    let steps = [
        "HistoryItem",
        "TimelineStep",
        "MerchantRefundStep",
        "RefundStep",
    ];
    // A field of a message's template is called like what it is for.
    bare.remove("MessageFields.order_no");
    bare.retain(|name| !steps.iter().any(|step| name.starts_with(step)));
    assert_eq!(bare, BTreeSet::new());
}

/// Of which types a value can be that fits the schema; none said: of all.
fn types<'a>(whole: &'a Value, schema: &'a Value) -> Option<BTreeSet<&'a str>> {
    let mut all: Vec<BTreeSet<&str>> = Vec::new();
    match &schema["type"] {
        Value::String(kind) => all.push(BTreeSet::from([kind.as_str()])),
        Value::Array(kinds) => all.push(kinds.iter().filter_map(Value::as_str).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        all.extend(types(whole, &whole["components"]["schemas"][name]));
    }
    let parts = |word: &str| schema[word].as_array().into_iter().flatten();
    all.extend(parts("allOf").filter_map(|part| types(whole, part)));
    for word in ["oneOf", "anyOf"] {
        let choices: Option<Vec<_>> = parts(word).map(|part| types(whole, part)).collect();
        let choices = choices.unwrap_or_default();
        if !choices.is_empty() {
            all.push(choices.into_iter().flatten().collect());
        }
    }
    all.into_iter().reduce(|one, other| &one & &other)
}

fn unsatisfiable(whole: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let is_schema = ["type", "$ref", "oneOf", "anyOf", "allOf"]
                .iter()
                .any(|word| members.contains_key(*word));
            if is_schema && types(whole, value).is_some_and(|kinds| kinds.is_empty()) {
                found.push(at.to_owned());
            }
            for (name, member) in members {
                unsatisfiable(whole, member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unsatisfiable(whole, item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_schema_can_be_satisfied() {
    let whole = document().whole();
    let mut found = Vec::new();
    unsatisfiable(whole, &whole["components"]["schemas"], "", &mut found);
    unsatisfiable(whole, &whole["paths"], "", &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// JSON Schema counts characters: where bytes are counted, it says nothing of how many characters
/// there may be.
#[test]
fn what_is_counted_in_bytes_is_not_said_in_characters() {
    let whole = document().whole();
    let mut counted = Vec::new();
    for (name, schema) in whole["components"]["schemas"].as_object().unwrap() {
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            let said = schema["description"].as_str().unwrap_or_default();
            if said.contains(" bytes") {
                let place = format!("{name}.{property}");
                assert_eq!(schema["x-max-bytes"], 80, "{place}: {schema}");
                assert!(schema.get("maxLength").is_none(), "{place}: {schema}");
                counted.push(place);
            }
        }
    }
    // Reasons of refunds and of what is decided on them, and what is written beside shares.
    assert!(counted.len() >= 5, "{counted:?}");
}

#[tokio::test]
async fn every_problem_has_a_page_where_its_type_leads() {
    let app = TestApp::start().await;
    let codes =
        &document().whole()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let codes = codes.as_array().unwrap();
    assert!(codes.len() > 90);
    for code in codes {
        let code = code.as_str().unwrap();
        let page = app.anyone().get(&format!("/problems/{code}")).await;
        assert_eq!(page.status, 200, "{code}");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(String::from_utf8(page.bytes).unwrap().contains(code));
    }
    let problem = app.anyone().get("/api/v1/customer/me").await.expect(401);
    let page = app.anyone().get(problem["type"].as_str().unwrap()).await;
    assert_eq!(page.status, 200);
    app.anyone()
        .get("/problems/no_such_code")
        .await
        .refused(404, "not_found");
    assert_eq!(app.anyone().get("/problems").await.status, 200);
    let served = app.anyone().get("/api/v1/openapi.json").await.expect(200);
    assert_eq!(&served, document().whole());
    app.finish().await;
}
