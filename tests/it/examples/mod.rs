//! What the OpenAPI document says of each operation beside its answers: an example of everything
//! that must be sent, which does what is said when it is sent, and who may.

mod operation;
mod sent;
mod world;

use std::collections::BTreeMap;

use serde_json::Value;
use zhangfang::auth::OperatorRole;

use self::operation::{Operation, operations};
use crate::{
    harness::{ApiAnswer, Caller, TestApp, document},
    refunds::clerk,
};

/// Swagger UI sends them when an operation is tried.
#[test]
fn every_operation_has_an_example_of_all_that_must_be_sent() {
    let whole = document().whole();
    let (mut missing, mut bodies) = (Vec::new(), 0);
    for operation in operations(whole) {
        let mut note = |what: String| missing.push(format!("{}: {what}", operation.id));
        for sent in [
            operation.path(&BTreeMap::new()).map(drop),
            operation.headers().map(drop),
            operation.query(false).map(drop),
        ] {
            sent.err().into_iter().for_each(&mut note);
        }
        match operation.bodies(whole) {
            Ok(found) => {
                for (name, body) in found {
                    bodies += 1;
                    for error in operation.errors(&body) {
                        note(format!("{name}: {error}"));
                    }
                }
            }
            Err(member) => note(member),
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(bodies > 45, "{bodies}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_for_the_roles_that_the_document_names() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000172").await;
    let roles = [
        ("customer", app.customer("li").await),
        ("owner", merchant.owner.clone()),
        ("clerk", clerk(&app, &merchant).await),
        ("admin", app.role("lin", OperatorRole::Admin)),
        ("auditor", app.role("wei", OperatorRole::Auditor)),
        ("service", app.role("crm", OperatorRole::Service)),
    ];
    let document = app.anyone().get("/api/v1/openapi.json").await.expect(200);
    let (mut wrong, mut guarded) = (Vec::new(), 0);
    for operation in operations(&document) {
        if operation.tag == "wechat" {
            continue;
        }
        let answer = knock(&app.anyone(), &operation).await;
        let needs_token = code(&answer) == "token_missing";
        if needs_token == operation.roles.is_empty() {
            wrong.push(format!("{} without a token: {answer:?}", operation.id));
        }
        if operation.roles.is_empty() {
            continue;
        }
        guarded += 1;
        for (role, caller) in &roles {
            let answer = knock(caller, &operation).await;
            let may = code(&answer) != "forbidden";
            if may != operation.roles.contains(&(*role).to_owned()) {
                wrong.push(format!("{} as {role}: {}", operation.id, answer.status));
            }
        }
        let said = operation
            .description
            .rsplit("\n\n")
            .next()
            .unwrap_or_default();
        for role in &operation.roles {
            assert!(
                said.contains(&format!("`{role}`")),
                "{}: {said}",
                operation.id
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(guarded > 100, "{guarded}");
    app.finish().await;
}

/// A request that gets as far as the question who asks, and does nothing.
async fn knock(caller: &Caller, operation: &Operation) -> ApiAnswer {
    let path = operation.path(&BTreeMap::new()).unwrap();
    let path = format!("{path}{}", operation.query(false).unwrap());
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.push(("Idempotency-Key", "k".to_owned()));
    caller
        .call(&operation.method, &path, &headers, b"{".to_vec())
        .await
}

fn code(answer: &ApiAnswer) -> String {
    let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
    said["code"].as_str().unwrap_or_default().to_owned()
}
