//! Risk where people meet it: at login, before a payment and before a refund.
//!
//! What the rules say is told by the test; what becomes of it is what these tests are about.

mod challenges;
mod login;
mod payments;
mod refunds;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use wechat_pay_simulator::openid_for;
use zhangfang::{
    facts::{Facts, Stage},
    primitives::{ChallengeId, CustomerId, DecisionId, OrderNo},
    risk::{Action, Risk},
};

use crate::harness::{ApiAnswer, Caller, Merchant, TestApp};

/// Risk that acts as a test says, and what it was asked.
#[derive(Default)]
struct ScriptedRisk {
    actions: Mutex<HashMap<Stage, Action>>,
    asked: Mutex<Vec<Facts>>,
}

impl ScriptedRisk {
    fn says(&self, stage: Stage, action: Action) {
        self.actions.lock().unwrap().insert(stage, action);
    }

    fn asked_at(&self, stage: Stage) -> Vec<Facts> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.retain(|facts| facts.stage == stage);
        asked
    }

    fn risk(self: &Arc<Self>) -> Risk {
        let scripted = Arc::clone(self);
        Risk::fixed(Arc::new(move |facts| {
            scripted.asked.lock().unwrap().push(facts.clone());
            let actions = scripted.actions.lock().unwrap();
            actions.get(&facts.stage).copied().unwrap_or(Action::Allow)
        }))
    }
}

/// A merchant, a customer and a scripted risk.
struct RiskSetup {
    app: TestApp,
    scripted: Arc<ScriptedRisk>,
    merchant: Merchant,
    customer: Caller,
}

const PAYMENTS: &str = "/api/v1/customer/payments";

impl RiskSetup {
    async fn open() -> Self {
        let scripted = Arc::new(ScriptedRisk::default());
        let app = TestApp::with_risk(scripted.risk()).await;
        let merchant = app.merchant("茶里巷", "1900000140").await;
        let customer = app.customer("li").await;
        Self {
            app,
            scripted,
            merchant,
            customer,
        }
    }

    fn says(&self, stage: Stage, action: Action) {
        self.scripted.says(stage, action);
    }

    async fn ask(&self, key: &str) -> ApiAnswer {
        self.ask_as(&self.customer, key).await
    }

    async fn ask_as(&self, customer: &Caller, key: &str) -> ApiAnswer {
        let body = json!({ "code": self.merchant.code, "amount_fen": 1200 });
        customer.keyed(key).post(PAYMENTS, &body).await
    }

    /// Asks with risk that wants an answer; the challenge.
    async fn challenged(&self, key: &str) -> String {
        self.says(Stage::PaymentCreate, Action::Verify);
        challenge_of(&self.ask(key).await)
    }

    async fn answer(&self, who: &Caller, challenge: &str, code: &str) -> ApiAnswer {
        let path = format!("/api/v1/customer/challenges/{challenge}/answer");
        who.post(&path, &json!({ "code": code })).await
    }

    async fn challenge(&self, challenge: &str) -> Value {
        let path = format!("/api/v1/customer/challenges/{challenge}");
        self.customer.get(&path).await.expect(200)
    }

    async fn log_in(&self, name: &str, challenge: Option<&str>) -> ApiAnswer {
        let mut body = json!({ "tenant": "demo", "code": format!("sim-{name}"), "as": "customer" });
        if let Some(challenge) = challenge {
            body["challenge"] = json!(challenge);
        }
        let path = "/api/v1/auth/wechat/login";
        self.app.anyone().post(path, &body).await
    }

    async fn refund(&self, order_no: &str, fen: i64, key: &str) -> ApiAnswer {
        let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
        let body = json!({ "amount_fen": fen, "reason": "不想要了" });
        self.merchant.owner.keyed(key).post(&path, &body).await
    }

    /// Decisions at a stage: id and action, oldest first.
    async fn decisions(&self, stage: Stage) -> Vec<(DecisionId, Action)> {
        let rows: Vec<(DecisionId, i8)> = sqlx::query_as(
            "SELECT id, action FROM risk_decisions WHERE stage = ? ORDER BY decided_at, id",
        )
        .bind(stage.code())
        .fetch_all(self.app.db().pool())
        .await
        .unwrap();
        let action = |code| Action::from_code(u8::try_from(code).unwrap()).unwrap();
        rows.into_iter()
            .map(|(id, code)| (id, action(code)))
            .collect()
    }

    async fn orders(&self) -> i64 {
        self.app.count("SELECT COUNT(*) FROM payment_orders").await
    }

    async fn customer_id(&self, name: &str) -> CustomerId {
        sqlx::query_scalar("SELECT id FROM customers WHERE openid = ?")
            .bind(openid_for(name))
            .fetch_one(self.app.db().pool())
            .await
            .unwrap()
    }
}

fn blocked(answer: &ApiAnswer) -> DecisionId {
    answer.refused(403, "risk_blocked");
    says_nothing_of_the_rule(answer);
    let body = answer.expect(403);
    assert!(body["challenge"].is_null(), "{body}");
    body["decision"].as_str().unwrap().parse().unwrap()
}

fn challenge_of(answer: &ApiAnswer) -> String {
    answer.refused(403, "risk_verification_required");
    says_nothing_of_the_rule(answer);
    let body = answer.expect(403);
    body["decision"]
        .as_str()
        .unwrap()
        .parse::<DecisionId>()
        .unwrap();
    let challenge = body["challenge"].as_str().unwrap().to_owned();
    challenge.parse::<ChallengeId>().unwrap();
    challenge
}

/// Neither its name nor its reason, as [`Risk::fixed`] gives them.
fn says_nothing_of_the_rule(answer: &ApiAnswer) {
    let text = String::from_utf8(answer.bytes.clone()).unwrap();
    assert!(
        !text.contains("fixed") && !text.contains("told so"),
        "{text}"
    );
}

fn order_of(answer: &ApiAnswer) -> OrderNo {
    answer.expect(201)["order_no"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn decision_on(order: OrderNo) -> DecisionId {
    DecisionId::of(order.id().id(), Stage::PaymentCreate.code())
}
