//! The examples of the OpenAPI document, sent as they stand there.
//!
//! Every operation of the served document is tried in a world where it can succeed: a merchant that
//! takes payments, a customer who has paid, refunds and reviews that wait. Ids, numbers and codes
//! of the examples are nobody's, so they alone are put in. Whatever is added to the document is
//! tried too.

use serde_json::Value;

use super::{
    operation::{Operation, operations},
    world::World,
};
use crate::harness::ApiAnswer;

/// What does not succeed here: which operation, what it answers, and why.
const CANNOT: [(&str, u16, &str, &str); 3] = [
    (
        "admin_withdraw_refund",
        409,
        "refund_not_withdrawable",
        "this refund has succeeded; one that WeChat does not take can be withdrawn after a minute",
    ),
    (
        "wechat_payments",
        401,
        "FAIL",
        "nobody but WeChat can sign: no example has a signature that holds",
    ),
    (
        "wechat_refunds",
        401,
        "FAIL",
        "nobody but WeChat can sign: no example has a signature that holds",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_example_does_what_the_document_says_when_it_is_sent() {
    let world = World::open().await;
    let document = world.app.anyone().get("/api/v1/openapi.json").await;
    let document = document.expect(200);
    let (mut wrong, mut tried) = (Vec::new(), Vec::new());
    for operation in operations(&document) {
        for example in examples(&operation, &document) {
            let answer = send(&world, &operation, &example).await;
            wrong.extend(objection(&operation, &example, &answer));
        }
        tried.push(operation.id);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried.len() > 110, "{}", tried.len());
    let known = |(id, ..): &(&str, u16, &str, &str)| tried.contains(&(*id).to_owned());
    assert!(CANNOT.iter().all(known), "an operation that is no more");
    world.app.finish().await;
}

/// What is sent at once: a body, if there is one, and a query.
struct Example {
    body: Option<Value>,
    query: String,
    /// Which of the operation's examples it is. Another example is another intention, and has
    /// another key.
    number: usize,
}

/// Each body with what must be in the query, and with all that may be.
fn examples(operation: &Operation, document: &Value) -> Vec<Example> {
    let mut queries = vec![
        operation.query(false).unwrap(),
        operation.query(true).unwrap(),
    ];
    queries.dedup();
    let bodies = operation.bodies(document).unwrap();
    let mut bodies: Vec<_> = bodies.into_iter().map(|(_, body)| Some(body)).collect();
    if bodies.is_empty() {
        bodies.push(None);
    }
    let mut all = Vec::new();
    for query in queries {
        for body in &bodies {
            all.push(Example {
                body: body.clone(),
                query: query.clone(),
                number: all.len(),
            });
        }
    }
    all
}

/// Sends an example, with the headers that have one, in a world that is prepared for it.
async fn send(world: &World, operation: &Operation, example: &Example) -> ApiAnswer {
    let prepared = world.prepare(operation).await;
    let path = operation.path(&prepared.ids).unwrap();
    let mut headers = operation.headers().unwrap();
    for (header, value) in &mut headers {
        if header == "Idempotency-Key" {
            *value = format!("{value}-{}", example.number);
        }
    }
    let mut bytes = Vec::new();
    if let Some(mut body) = example.body.clone() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        prepared.put_in(&mut body);
        bytes = body.to_string().into_bytes();
    }
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let path = format!("{path}{}", example.query);
    let caller = &prepared.caller;
    caller.call(&operation.method, &path, &headers, bytes).await
}

/// What is wrong with the answer to an example.
fn objection(operation: &Operation, example: &Example, answer: &ApiAnswer) -> Option<String> {
    let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
    let known = CANNOT.iter().find(|(id, ..)| *id == operation.id);
    let as_expected = match known {
        Some((_, status, code, _)) => answer.status == *status && said["code"] == *code,
        None => operation.successes.contains(&answer.status),
    };
    let (id, query, status) = (&operation.id, &example.query, answer.status);
    let sent = example.body.as_ref().unwrap_or(&Value::Null);
    (!as_expected).then(|| format!("{id}{query} {sent}: {status} {said}"))
}
