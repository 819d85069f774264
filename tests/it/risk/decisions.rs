//! Decisions and rules over HTTP.

use serde_json::Value;
use zhangfang::{
    auth::OperatorRole,
    db::{Cx, DbError, Operation, Wanted, WorkingSet},
    facts::{Facts, Stage},
    primitives::{Id, Lane, MerchantId, Points},
    risk::Evaluation,
};

use super::{at_most, from, payment, somebody};
use crate::harness::TestApp;

/// Stores an evaluation on something, as whoever does the activity does.
#[derive(Debug)]
struct Store {
    evaluation: Evaluation,
    cause: Id,
}

impl Operation for Store {
    type Reply = String;
    type Refusal = DbError;
    const NAME: &'static str = "test.store";

    fn lane(&self) -> Lane {
        self.cause.lane()
    }

    fn rows(&self, _want: &mut Wanted, _set: &WorkingSet) {}

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<String, DbError> {
        let id = self.evaluation.store(set, cx, self.cause);
        Ok(id.unwrap().to_string())
    }
}

/// Decides and stores; the decision's id.
pub(super) async fn decided(app: &TestApp, facts: Facts) -> String {
    let evaluation = app.app.risk().evaluate(facts).await;
    let cause = app.db().new_id(app.db().new_lane());
    app.db().submit(Store { evaluation, cause }).await.unwrap()
}

async fn list(app: &TestApp, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/admin/risk/decisions?{query}");
    let page = app.admin().get(&path).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn decisions_are_found_by_their_subject_and_shown_with_their_reasons() {
    let app = TestApp::with_rules(&at_most(2, "1h")).await;
    let begin = app.db().now();
    let (busy, calm) = (somebody(), somebody());
    let merchant = MerchantId::new(Id::from_bytes([5; 16]));
    let mut stored = Vec::new();
    for number in 0..5 {
        let mut facts = from(payment(busy), "203.0.113.77");
        facts.at = begin.plus_seconds(number);
        facts.tenant = app.tenant.id;
        stored.push(decided(&app, facts).await);
    }
    let mut quiet = payment(calm);
    quiet.at = begin.plus_seconds(2);
    quiet.tenant = app.tenant.id;
    quiet.merchant = Some(merchant);
    quiet.stage = Stage::PointsCredit;
    quiet.points = Some(Points::parse(10).unwrap());
    let quiet = decided(&app, quiet).await;
    let mut foreign = payment(busy);
    foreign.at = begin;
    foreign.tenant = zhangfang::primitives::TenantId(app.tenant.id.0 + 1);
    let foreign = decided(&app, foreign).await;

    let until = begin.plus_seconds(100);
    let all = list(&app, &format!("to={until}")).await;
    assert_eq!(all.len(), 6, "{all:?}");
    assert_eq!(all[0]["id"], stored[4].as_str(), "the latest first");
    let ids = |items: Vec<Value>| -> Vec<String> {
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        items.iter().map(id).collect()
    };
    let newest_first = |numbers: &[usize]| -> Vec<String> {
        numbers
            .iter()
            .map(|number| stored[*number].clone())
            .collect()
    };
    assert_eq!(
        ids(list(&app, &format!("action=block&to={until}")).await),
        newest_first(&[4, 3, 2])
    );
    assert_eq!(
        ids(list(&app, &format!("rule=many-payments&to={until}")).await),
        newest_first(&[4, 3, 2])
    );
    assert!(
        list(&app, &format!("rule=many&to={until}"))
            .await
            .is_empty()
    );
    assert_eq!(
        ids(list(&app, &format!("customer_id={busy}&action=allow")).await),
        newest_first(&[1, 0])
    );
    let quiet_only = vec![quiet.clone()];
    for query in [
        format!("merchant_id={merchant}&to={until}"),
        format!("stage=points.credit&to={until}"),
        format!("customer_id={calm}"),
    ] {
        assert_eq!(ids(list(&app, &query).await), quiet_only, "{query}");
    }
    let (from, to) = (begin.plus_seconds(1), begin.plus_seconds(3));
    let between = ids(list(&app, &format!("customer_id={busy}&from={from}&to={to}")).await);
    assert_eq!(between, newest_first(&[2, 1]));

    // Page by page, also where two were decided in the same instant.
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/admin/risk/decisions?limit=1&to={until}&cursor={cursor}");
        let page = app.admin().get(&path).await.expect(200);
        walked.extend(ids(page["items"].as_array().unwrap().clone()));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(walked, ids(all));

    let path = format!("/api/v1/admin/risk/decisions/{}", stored[2]);
    let detail = app.admin().get(&path).await.expect(200);
    assert_eq!(detail["action"], "block");
    assert_eq!(detail["address"], "203.0.113.x");
    assert_eq!(detail["device"], "…name");
    assert_eq!(detail["amount_fen"], 1_000);
    assert_eq!(detail["fired"][0]["rule"], "many-payments");
    assert_eq!(detail["fired"][0]["effect"], "live");
    assert!(detail["fired"][0]["reason"].as_str().unwrap().contains('3'));
    assert_eq!(detail["measured"][0]["value"], 3);
    let counter = detail["measured"][0]["counter"].as_str().unwrap();
    assert_eq!(counter, "count of payment.create per customer within 1h");
    assert!(!detail.to_string().contains("203.0.113.77"));
    for missing in [
        foreign.as_str(),
        "rd_00",
        "or_019a8b3e5c5f7a0e8b6f1d2c3e4f2a02",
    ] {
        let path = format!("/api/v1/admin/risk/decisions/{missing}");
        app.admin().get(&path).await.refused(404, "not_found");
    }
    app.finish().await;
}

#[tokio::test]
async fn the_rules_in_force_say_how_often_they_fired_and_keep_their_text() {
    let rules = at_most(1, "1h");
    let app = TestApp::with_rules(&rules).await;
    let customer = somebody();
    for _ in 0..4 {
        let mut facts = payment(customer);
        facts.tenant = app.tenant.id;
        app.app.risk().evaluate(facts).await;
    }
    let shown = app
        .admin()
        .get("/api/v1/admin/risk/rules")
        .await
        .expect(200);
    assert_eq!(shown["rules"][0]["id"], "many-payments");
    assert_eq!(shown["rules"][0]["action"], "block");
    assert_eq!(shown["rules"][0]["stages"][0]["stage"], "payment.create");
    assert_eq!(shown["rules"][0]["fired"]["live"], 3);
    assert_eq!(shown["rules"][0]["fired"]["shadow"], 0);
    let number = shown["rule_set"].as_u64().unwrap();
    let sets = app
        .admin()
        .get("/api/v1/admin/risk/rule-sets")
        .await
        .expect(200);
    assert_eq!(sets["items"][0]["number"], number);
    assert_eq!(sets["items"][0]["hash"], shown["hash"]);
    let path = format!("/api/v1/admin/risk/rule-sets/{number}");
    let set = app.admin().get(&path).await.expect(200);
    assert_eq!(set["text"], rules.as_str());
    for missing in ["0", "4294967295", "99999999999", "x"] {
        let path = format!("/api/v1/admin/risk/rule-sets/{missing}");
        app.admin().get(&path).await.refused(404, "not_found");
    }

    // Without a file there is nothing new to read; the activity is on record all the same.
    let reload = "/api/v1/admin/risk/rules/reload";
    let body = serde_json::json!({});
    let loaded = app.operator("lin").post(reload, &body).await.expect(200);
    assert_eq!(loaded["changed"], false);
    let logs = app.admin().get("/api/v1/admin/audit-logs?limit=1").await;
    let log = &logs.expect(200)["items"][0];
    assert_eq!(log["action"], "risk_rules.reloaded");
    assert_eq!(log["actor"], "operator:lin");
    assert_eq!(log["detail"]["rule_set"], number);
    app.finish().await;
}

#[tokio::test]
async fn an_auditor_reads_and_does_not_reload_and_a_customer_sees_nothing() {
    let app = TestApp::with_rules(&at_most(1, "1h")).await;
    let reload = "/api/v1/admin/risk/rules/reload";
    let body = serde_json::json!({});
    let paths =
        ["rules", "rule-sets", "decisions"].map(|path| format!("/api/v1/admin/risk/{path}"));
    let auditor = app.role("eve", OperatorRole::Auditor);
    for path in &paths {
        auditor.get(path).await.expect(200);
    }
    auditor.post(reload, &body).await.refused(403, "forbidden");
    let back_end = app.role("merchant-system", OperatorRole::Service);
    let customer = app.customer("curious").await;
    for path in &paths {
        back_end.get(path).await.refused(403, "forbidden");
        customer.get(path).await.refused(403, "forbidden");
        app.anyone().get(path).await.refused(401, "token_missing");
    }
    for query in [
        "stage=lunch",
        "action=2",
        "customer_id=me",
        "from=yesterday",
        "limit=0",
    ] {
        let path = format!("/api/v1/admin/risk/decisions?{query}");
        app.admin().get(&path).await.refused(422, "field_invalid");
    }
    let path = "/api/v1/admin/risk/decisions?cursor=%27%20OR%201=1";
    app.admin().get(path).await.refused(400, "cursor_invalid");
    app.finish().await;
}

#[tokio::test]
async fn where_risk_is_off_there_are_no_rules() {
    let app = TestApp::without_jobs().await;
    let body = serde_json::json!({});
    let admin = app.admin();
    let shown = admin.get("/api/v1/admin/risk/rules").await;
    shown.refused(404, "risk_off");
    let reloaded = admin.post("/api/v1/admin/risk/rules/reload", &body).await;
    reloaded.refused(404, "risk_off");
    app.finish().await;
}
