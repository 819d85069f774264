//! What every operation of the OpenAPI document has in common. The document says which there are,
//! so a new one is in these tests as soon as it is there.

use serde_json::{Map, Value, json};
use zhangfang::primitives::Clock as _;
use zhangfang::{
    auth::{OperatorRole, Principal, StaffRole, Tokens},
    primitives::{MerchantId, StaffId, SystemClock},
};

use crate::harness::{ApiAnswer, Caller, JWT_SECRET, TestApp};

/// One operation, with everything that a request needs to get as far as its body.
struct Operation {
    method: String,
    /// With something of the right form in place of parameters.
    path: String,
    audience: String,
    schema: Option<Value>,
    /// The parameters of its query.
    query: Vec<Value>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let audience = operation["tags"][0].as_str().unwrap();
            all.push(Operation {
                method: method.clone(),
                path: filled(path),
                audience: audience.to_owned(),
                schema: schema.is_object().then(|| schema.clone()),
                query: of_query(&operation["parameters"]),
            });
        }
    }
    all
}

fn of_query(parameters: &Value) -> Vec<Value> {
    let parameters = parameters.as_array().into_iter().flatten();
    let parameters = parameters.filter(|parameter| parameter["in"] == "query");
    parameters.cloned().collect()
}

fn filled(path: &str) -> String {
    let zeros = |count: usize| "0".repeat(count);
    let prefix = match path.split('{').next().unwrap() {
        "/api/v1/admin/merchants/" => "me_",
        "/api/v1/admin/risk/reviews/" => "rv_",
        "/api/v1/admin/exceptions/" => "ex_",
        "/api/v1/admin/sharing-receivers/" => "rc_",
        "/api/v1/open/points/holds/" | "/api/v1/open/points/transactions/" => "pt_",
        "/api/v1/customer/challenges/" => "ch_",
        _ => "",
    };
    path.replace("{order_no}", &zeros(24))
        .replace("{refund_no}", &zeros(24))
        .replace("{id}", &format!("{prefix}{}", zeros(32)))
        .replace("{customer_id}", &format!("cu_{}", zeros(32)))
        .replace("{code}", "7ZK3M9Q2W8XA")
        .replace("{number}", "1")
        .replace("{tenant}", "demo")
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let name = reference.rsplit('/').next().unwrap();
            resolved(document, &document["components"]["schemas"][name])
        }
        None => schema,
    }
}

/// A value as the document describes it: its examples, and where it has none something simple.
fn example(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    for said in [
        &schema["example"],
        &schema["examples"][0],
        &schema["enum"][0],
        &schema["const"],
    ] {
        if !said.is_null() {
            return said.clone();
        }
    }
    for several in ["oneOf", "anyOf"] {
        let choices = schema[several].as_array().into_iter().flatten();
        if let Some(choice) = choices.into_iter().find(|choice| choice["type"] != "null") {
            return example(document, choice);
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        // Some parts only describe.
        let words = ["type", "enum", "$ref", "oneOf", "allOf", "properties"];
        let says = |part: &&Value| words.iter().any(|word| part.get(word).is_some());
        let parts = all.iter().filter(says).map(|part| example(document, part));
        return parts
            .reduce(|mut whole, part| {
                if let (Some(whole), Some(part)) = (whole.as_object_mut(), part.as_object()) {
                    whole.extend(part.clone());
                }
                whole
            })
            .unwrap();
    }
    let kind = schema["type"]
        .as_array()
        .map_or(&schema["type"], |kinds| &kinds[0]);
    match kind.as_str() {
        Some("object") => {
            let properties = schema["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let values = properties
                .iter()
                .map(|(name, schema)| (name.clone(), example(document, schema)));
            Value::Object(values.collect())
        }
        Some("array") => json!([example(document, &schema["items"])]),
        Some("integer" | "number") => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            json!(least)
        }
        Some("boolean") => json!(false),
        _ if schema["format"] == "date-time" => json!("2026-12-01T00:00:00Z"),
        _ => json!("text"),
    }
}

/// Every object in it, as a path of names and places.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(at.to_owned());
            for (name, member) in members {
                objects(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

struct People {
    admin: Caller,
    auditor: Caller,
    service: Caller,
    owner: Caller,
    clerk: Caller,
    customer: Caller,
    anyone: Caller,
}

impl People {
    async fn of(app: &TestApp) -> Self {
        let merchant = app.merchant("茶里巷", "1900000170").await;
        let tokens = Tokens::new(JWT_SECRET.as_bytes(), 900);
        let clerk = Principal::Staff {
            tenant: app.tenant.id,
            id: format!("st_{}", "0".repeat(32)).parse::<StaffId>().unwrap(),
            merchant: format!("me_{}", "0".repeat(32))
                .parse::<MerchantId>()
                .unwrap(),
            role: StaffRole::Clerk,
        };
        let clerk = tokens.issue(&clerk, SystemClock.now());
        Self {
            admin: app.admin(),
            auditor: app.role("reader", OperatorRole::Auditor),
            service: app.role("back-end", OperatorRole::Service),
            owner: merchant.owner,
            clerk: app.anyone().with_token(&clerk.text),
            customer: app.customer("li").await,
            anyone: app.anyone(),
        }
    }

    /// Somebody who may.
    fn allowed(&self, operation: &Operation) -> &Caller {
        match operation.audience.as_str() {
            "admin" => &self.admin,
            "open" => &self.service,
            "customer" => &self.customer,
            // Whoever has no merchant yet opens one.
            "merchant" if operation.path.ends_with("/registrations") => &self.customer,
            "merchant" => &self.owner,
            _ => &self.anyone,
        }
    }

    /// Those who may not, though they are somebody.
    fn refused(&self, operation: &Operation) -> Vec<&Caller> {
        match operation.audience.as_str() {
            "admin" if operation.path.ends_with("/dry-run") => vec![&self.service, &self.owner],
            "admin" => vec![&self.auditor, &self.service, &self.customer],
            "open" => vec![&self.auditor, &self.owner],
            "customer" => vec![&self.owner, &self.admin],
            "merchant" if operation.path.ends_with("/registrations") => vec![&self.owner],
            "merchant"
                if operation.path.ends_with("/codes") || operation.path.contains("/refunds/") =>
            {
                vec![&self.clerk, &self.customer]
            }
            "merchant" => vec![&self.customer, &self.admin],
            _ => vec![],
        }
    }
}

async fn ask(caller: &Caller, operation: &Operation, query: &str, body: &str) -> ApiAnswer {
    let path = format!("{}{query}", operation.path);
    let kind = [("content-type", "application/json".to_owned())];
    caller
        .keyed(&format!("k-{:x}", rand::random::<u64>()))
        .call(&operation.method, &path, &kind, body.as_bytes().to_vec())
        .await
}

#[track_caller]
fn is_refused(answer: &ApiAnswer, status: u16, code: &str, about: &str) {
    let body: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
    assert_eq!(
        (answer.status, body["code"].as_str().unwrap_or("")),
        (status, code),
        "{about}: {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_is_read_by_one_rule() {
    let app = TestApp::start().await;
    let people = People::of(&app).await;
    let document: Value = zhangfang::http::document();
    let mut tried = 0;
    for operation in operations(&document) {
        let Some(schema) = &operation.schema else {
            continue;
        };
        if operation.audience == "wechat" {
            continue;
        }
        tried += 1;
        let name = format!("{} {}", operation.method, operation.path);
        let caller = people.allowed(&operation);
        let good = example(&document, schema);
        assert!(good.is_object(), "{name}: {good}");
        // Not a word about permissions is said too late.
        for stranger in people.refused(&operation) {
            for broken in ["{", "[]", "null", "{\"no_such_field\":1}"] {
                let answer = ask(stranger, &operation, "", broken).await;
                is_refused(&answer, 403, "forbidden", &format!("{name} {broken}"));
            }
        }
        let answer = ask(caller, &operation, "", "{").await;
        is_refused(&answer, 400, "json_invalid", &name);
        for wrong in ["null", "[]", "\"x\"", "5"] {
            let answer = ask(caller, &operation, "", wrong).await;
            is_refused(&answer, 422, "json_unexpected", &format!("{name} {wrong}"));
        }
        let mut places = Vec::new();
        objects(&good, "", &mut places);
        for place in places {
            let object = good.pointer(&place).unwrap().as_object().unwrap();
            let mut wrong = vec![
                // By position, as a careless reader takes it.
                Value::Array(object.values().cloned().collect()),
                Value::Object(with(object, "no_such_field", json!(1))),
                Value::Null,
            ];
            for member in object.keys() {
                wrong.push(Value::Object(with(object, member, Value::Null)));
            }
            for wrong in wrong {
                let mut body = good.clone();
                *body.pointer_mut(&place).unwrap() = wrong;
                let answer = ask(caller, &operation, "", &body.to_string()).await;
                is_refused(&answer, 422, "json_unexpected", &format!("{name} {body}"));
            }
        }
        // Nobody says which of two would count.
        for (member, value) in good.as_object().unwrap() {
            let twice = good
                .to_string()
                .replacen('{', &format!("{{\"{member}\":{value},"), 1);
            let answer = ask(caller, &operation, "", &twice).await;
            is_refused(&answer, 422, "json_unexpected", &format!("{name} {twice}"));
        }
        // And what the document describes is read, whatever is said of it then.
        let answer = ask(caller, &operation, "", &good.to_string()).await;
        let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        let unread = [
            "json_unexpected",
            "json_invalid",
            "content_type_unsupported",
        ];
        assert!(
            !unread.contains(&said["code"].as_str().unwrap_or("")),
            "{name} {good}: {said}"
        );
        assert_ne!(answer.status, 500, "{name} {good}: {said}");
    }
    assert!(tried >= 25, "{tried}");
    app.finish().await;
}

fn with(object: &Map<String, Value>, name: &str, value: Value) -> Map<String, Value> {
    let mut changed = object.clone();
    changed.insert(name.to_owned(), value);
    changed
}

/// What can be understood in two ways is understood in none, and the answer names it in words that
/// need no knowledge of how the service is made.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_packed_or_in_another_type_is_named() {
    let app = TestApp::start().await;
    let customer = app.customer("li").await;
    let payments = "/api/v1/customer/payments";
    let field = |answer: &ApiAnswer, status: u16, code: &str| {
        is_refused(answer, status, code, code);
        let said: Value = serde_json::from_slice(&answer.bytes).unwrap();
        let text = |name: &str| said["field"][name].as_str().unwrap_or_default().to_owned();
        (text("name"), text("expected"))
    };
    let answer = customer.get(&format!("{payments}?limit=1&limit=2")).await;
    let said = field(&answer, 400, "query_invalid");
    assert_eq!(said, ("limit".to_owned(), "once".to_owned()));
    // Written `+`, which is a space in an address.
    let path = "/api/v1/admin/payments?created_from=2026-11-21T12:34:56+08:00";
    let (name, expected) = field(&app.admin().get(path).await, 422, "field_invalid");
    assert_eq!(name, "created_from");
    assert!(expected.contains("%2B"), "{expected}");

    let body = br#"{"code":"7ZK3M9Q2W8XA","amount_fen":"5"}"#.to_vec();
    let json = ("content-type", "application/json".to_owned());
    let keyed = customer.keyed("k");
    let headers = std::slice::from_ref(&json);
    let answer = keyed.raw(payments, headers, body.clone()).await;
    let said = field(&answer, 422, "json_unexpected");
    let expected = "a whole number, not text".to_owned();
    assert_eq!(said, ("amount_fen".to_owned(), expected));
    for coding in ["gzip", "identity, gzip"] {
        let headers = [json.clone(), ("content-encoding", coding.to_owned())];
        let answer = keyed.raw(payments, &headers, body.clone()).await;
        field(&answer, 415, "content_encoding_unsupported");
    }
    let headers = [json.clone(), ("idempotency-key", "k".to_owned())];
    let answer = keyed.raw(payments, &headers, body.clone()).await;
    field(&answer, 400, "idempotency_key_invalid");
    let token = format!("Bearer {}", customer.token().unwrap());
    let headers = [json, ("authorization", token)];
    let answer = keyed.raw(payments, &headers, body).await;
    field(&answer, 401, "token_invalid");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_parameter_cannot_have_names_the_parameter() {
    let app = TestApp::start().await;
    let people = People::of(&app).await;
    let document: Value = zhangfang::http::document();
    // No number, no time, no word that is listed, and longer than any text.
    let wrong = "账".repeat(100);
    let mut tried = 0;
    for operation in operations(&document) {
        for parameter in &operation.query {
            let named = parameter["name"].as_str().unwrap();
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for other in &operation.query {
                let value = if other["name"] == named {
                    wrong.as_str()
                } else if other["required"] == true {
                    other["schema"]["example"].as_str().unwrap()
                } else {
                    continue;
                };
                query.append_pair(other["name"].as_str().unwrap(), value);
            }
            let query = format!("?{}", query.finish());
            let caller = people.allowed(&operation);
            let answer = ask(caller, &operation, &query, "{}").await;
            let (status, code) = match named {
                "cursor" => (400, "cursor_invalid"),
                _ => (422, "field_invalid"),
            };
            let name = format!("{} {} {named}", operation.method, operation.path);
            is_refused(&answer, status, code, &name);
            let body: Value = serde_json::from_slice(&answer.bytes).unwrap();
            assert_eq!(body["field"]["name"], named, "{name}");
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_nobody_listens_to_is_refused() {
    let app = TestApp::start().await;
    let people = People::of(&app).await;
    let document: Value = zhangfang::http::document();
    let mut tried = 0;
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let free = !operation.path.starts_with("/api/v1/") || operation.audience == "wechat";
        let caller = people.allowed(&operation);
        let answer = ask(caller, &operation, "?no_such_filter=1", "{}").await;
        if free {
            let said = String::from_utf8_lossy(&answer.bytes).into_owned();
            assert!(!said.contains("query_invalid"), "{name}: {said}");
        } else {
            tried += 1;
            is_refused(&answer, 400, "query_invalid", &name);
            let body: Value = serde_json::from_slice(&answer.bytes).unwrap();
            assert_eq!(body["field"]["name"], "no_such_filter", "{name}");
        }
    }
    assert!(tried > 100, "{tried}");
    // What people scan is theirs: others append to it.
    let code = people.anyone.get("/c/7ZK3M9Q2W8XA?from=timeline").await;
    assert_ne!(code.status, 400);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_by_what_a_body_says_and_not_by_how_it_is_written() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000171").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1000, "k").await;
    let kind = [("content-type", "application/json".to_owned())];
    let send = async |caller: &Caller, path: &str, body: String| {
        caller
            .keyed("the-key")
            .raw(path, &kind, body.into_bytes())
            .await
    };
    let refunds = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let payments = "/api/v1/customer/payments";
    let code = &merchant.code;
    for (caller, path, first, same, other) in [
        (
            &merchant.owner,
            refunds.as_str(),
            r#"{"amount_fen":100,"reason":"缺货"}"#.to_owned(),
            "{ \"reason\" : \"\\u7f3a货\",\n\t\"amount_fen\":100 }".to_owned(),
            r#"{"amount_fen":101,"reason":"缺货"}"#.to_owned(),
        ),
        (
            &li,
            payments,
            format!(r#"{{"code":"{code}","amount_fen":100}}"#),
            format!(r#"{{ "amount_fen": 100, "code": "{code}" }}"#),
            format!(r#"{{"code":"{code}","amount_fen":101}}"#),
        ),
        (
            &merchant.owner,
            "/api/v1/merchant/codes",
            r#"{"label":"二楼","amount_fen":5}"#.to_owned(),
            r#"{"amount_fen": 5, "label": "二楼"}"#.to_owned(),
            r#"{"label":"三楼","amount_fen":5}"#.to_owned(),
        ),
    ] {
        let first = send(caller, path, first).await.expect(201);
        let again = send(caller, path, same).await.expect(201);
        for name in ["refund_no", "order_no", "code"] {
            assert_eq!(first[name], again[name], "{path}");
        }
        let other = send(caller, path, other).await;
        other.refused(422, "idempotency_key_reused");
    }
    app.finish().await;
}

/// What some people write and others read.
const TEXTS: [&str; 9] = [
    "address",
    "contact_name",
    "description",
    "holder",
    "label",
    "name",
    "note",
    "reason",
    "resolution",
];

/// What of that comes back in WeChat's bills, where a backtick begins a column: ends of paths.
const IN_BILLS: [(&str, &str); 3] = [
    ("/registrations", "name"),
    ("/refunds", "reason"),
    ("/sharing-rule", "description"),
];

/// Every text of these names in it, as a path of names and places.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let at = format!("{at}/{name}");
                if member.is_string() && TEXTS.contains(&name.as_str()) {
                    found.push(at);
                } else {
                    texts(member, &at, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_that_others_read_hides_anything() {
    let app = TestApp::start().await;
    let people = People::of(&app).await;
    let document: Value = zhangfang::http::document();
    let (mut tried, mut taken) = (0, Vec::new());
    for operation in operations(&document) {
        let Some(schema) = &operation.schema else {
            continue;
        };
        let good = example(&document, schema);
        let mut places = Vec::new();
        texts(&good, "", &mut places);
        for place in places {
            let member = place.rsplit('/').next().unwrap();
            let in_bills = IN_BILLS
                .iter()
                .any(|(path, name)| operation.path.ends_with(path) && *name == member);
            // A filler of Hangul, which shows as nothing.
            for text in ["面\u{3164}馆", "面,`0.00馆"] {
                if text.contains('`') && !in_bills {
                    continue;
                }
                let mut body = good.clone();
                *body.pointer_mut(&place).unwrap() = json!(text);
                let caller = people.allowed(&operation);
                let answer = ask(caller, &operation, "", &body.to_string()).await;
                let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
                let named = said["field"]["name"].as_str().unwrap_or_default();
                tried += 1;
                let is_refused = answer.status == 422 && said["code"] == "field_invalid";
                if !is_refused || !named.ends_with(member) {
                    let (method, path) = (&operation.method, &operation.path);
                    taken.push(format!("{method} {path} {place}: {} {said}", answer.status));
                }
            }
        }
    }
    assert!(taken.is_empty(), "{}", taken.join("\n"));
    assert!(tried >= 20, "{tried}");
    app.finish().await;
}
