//! A tenant in which every operation of the document can succeed.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use wechat_pay_simulator::{RefundElsewhere, RefundFate, RefundPlan};
use zhangfang::auth::OperatorRole;

use super::operation::Operation;
use crate::{
    harness::{Caller, Merchant, TestApp, eventually},
    refunds::{ask, clerk, policy, set_policy, text},
};

/// Payments of ¥77.70 want an answer, the points of those of ¥88.80 want a review.
const RULES: &str = "\
rules:
  - id: answered
    name: 需要验证
    stages: [payment.create]
    action: verify
    amount_fen: {above: 7769}
    when: amount_fen < 7771
    on_missing: allow
  - id: reviewed
    name: 需要审核
    stages: [points.credit]
    action: review
    amount_fen: {above: 8879}
    when: amount_fen < 8881
    on_missing: allow
";

/// A template that no customer has subscribed to: its messages are dropped.
const TEMPLATE: &str = "uDmJ3sZ0a1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r";

pub(super) struct World {
    pub(super) app: TestApp,
    customer: Caller,
    merchant: Merchant,
    clerk: Caller,
    service: Caller,
    admin: Caller,
    /// The ids of what there is once and for all, by the names of members and parameters.
    usual: Ids,
    next: AtomicU32,
}

pub(super) type Ids = BTreeMap<&'static str, String>;

/// Who sends an example, and what they put in the place of what is nobody's.
pub(super) struct Prepared {
    pub(super) caller: Caller,
    pub(super) ids: Ids,
}

impl Prepared {
    /// Puts what there is in the place of ids, numbers and codes that are nobody's.
    pub(super) fn put_in(&self, body: &mut Value) {
        match body {
            Value::Object(members) => {
                for (name, member) in members {
                    match (self.ids.get(name.as_str()), member.as_str()) {
                        (Some(there), Some(example)) if is_nobodys(example) => {
                            *member = json!(there);
                        }
                        _ => self.put_in(member),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.put_in(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn is_nobodys(example: &str) -> bool {
    let known = [
        "_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00",
        "06D8R5MKTS7J0T4V3C9Q2W00",
        "7ZK3M9Q2W8XA",
    ];
    example.starts_with("zfc_") || known.iter().any(|known| example.ends_with(known))
}

impl World {
    pub(super) async fn open() -> Self {
        let app = TestApp::with_rules(RULES).await;
        let customer = app.customer("demo-customer-1").await;
        let merchant = merchant_of(&app, "merchant-owner-1", "1900000160").await;
        let me = customer.get("/api/v1/customer/me").await.expect(200);
        let profile = merchant.owner.get("/api/v1/merchant/profile").await;
        let mut world = Self {
            clerk: clerk(&app, &merchant).await,
            service: app.role("merchant-crm", OperatorRole::Service),
            admin: app.role("lin", OperatorRole::Admin),
            usual: Ids::from([
                ("customer_id", text(&me, "id")),
                ("merchant_id", text(&profile.expect(200), "id")),
                ("code", merchant.code.clone()),
                ("tenant", "demo".to_owned()),
            ]),
            next: AtomicU32::new(0),
            app,
            customer,
            merchant,
        };
        let settings = json!({
            "payment_message": { "template_id": TEMPLATE, "fields": { "amount": "amount1" } },
        });
        let path = "/api/v1/admin/delivery-settings";
        world.admin.put(path, &settings).await.expect(200);
        let order_no = world.paid(50_000).await;
        let refund = ask(&world.merchant.owner, &order_no, "merchant", 100, "first").await;
        world.usual.insert("order_no", order_no);
        let refund_no = text(&refund, "refund_no");
        let path = format!("/api/v1/admin/refunds/{refund_no}");
        eventually("the refund has succeeded", || async {
            let refund = world.admin.get(&path).await.expect(200);
            (refund["state"] == "succeeded").then_some(())
        })
        .await;
        world.usual.insert("refund_no", refund_no);
        let rules = world
            .admin
            .get("/api/v1/admin/risk/rules")
            .await
            .expect(200);
        world.usual.insert("number", rules["rule_set"].to_string());
        let challenge = world.challenge().await;
        world.usual.insert("challenge", challenge);
        world
    }

    /// A name that nothing had before.
    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) async fn prepare(&self, operation: &Operation) -> Prepared {
        let mut ids = self.usual.clone();
        let caller = match operation.tag.as_str() {
            "customer" => self.for_customers(&operation.id, &mut ids).await,
            "merchant" => self.for_merchants(&operation.id, &mut ids).await,
            "admin" => {
                self.about_merchants(&operation.id, &mut ids).await;
                self.about_payments(&operation.id, &mut ids).await;
                self.about_risk(&operation.id, &mut ids).await;
                self.admin.clone()
            }
            "open" => self.for_back_ends(&operation.id, &mut ids).await,
            _ => {
                if operation.id == "refresh" {
                    ids.insert("refresh_token", self.refresh_token().await);
                }
                self.app.anyone()
            }
        };
        Prepared { caller, ids }
    }

    async fn for_customers(&self, operation: &str, ids: &mut Ids) -> Caller {
        match operation {
            "customer_close_payment" => _ = ids.insert("order_no", self.unpaid().await),
            "customer_get_challenge" | "customer_answer_challenge" => {
                _ = ids.insert("id", self.usual["challenge"].clone());
            }
            _ => {}
        }
        self.customer.clone()
    }

    async fn for_merchants(&self, operation: &str, ids: &mut Ids) -> Caller {
        match operation {
            "register" => return self.app.customer(&self.fresh("owner")).await,
            "merchant_disable_code" => {
                let label = json!({ "label": "二楼" });
                let codes = "/api/v1/merchant/codes";
                let owner = self.merchant.owner.keyed(&self.fresh("code"));
                let code = owner.post(codes, &label).await.expect(201);
                ids.insert("code", text(&code, "code"));
            }
            "merchant_close_payment" => _ = ids.insert("order_no", self.unpaid().await),
            "merchant_payment_code_png" | "merchant_payment_code_svg" => {
                let body = json!({ "amount_fen": 100 });
                let owner = self.merchant.owner.keyed(&self.fresh("collect"));
                let made = owner.post("/api/v1/merchant/payments", &body).await;
                ids.insert("order_no", text(&made.expect(201), "order_no"));
            }
            "merchant_get_payment_sharing" => _ = ids.insert("order_no", self.shared().await),
            "merchant_approve_refund" | "merchant_reject_refund" => {
                set_policy(&self.app, &policy(0, 1_000_000, "debt")).await;
                ids.insert("refund_no", self.refund(&self.clerk, "merchant").await);
            }
            _ => {}
        }
        self.merchant.owner.clone()
    }

    async fn about_merchants(&self, operation: &str, ids: &mut Ids) {
        match operation {
            "admin_approve_merchant" | "admin_reject_merchant" => {
                let registered = register(&self.app, &self.fresh("owner")).await;
                ids.insert("id", registered);
            }
            "admin_suspend_merchant" => {
                let merchant = merchant_of(&self.app, &self.fresh("owner"), "1900000161").await;
                let profile = merchant.owner.get("/api/v1/merchant/profile").await;
                ids.insert("id", text(&profile.expect(200), "id"));
            }
            "admin_withdraw_merchant_points_rule" => {
                ids.insert("id", self.usual["merchant_id"].clone());
                let path = format!("/api/v1/admin/merchants/{}/points-rule", ids["id"]);
                let rule = json!({ "ratio": "2" });
                self.admin.put(&path, &rule).await.expect(200);
            }
            "admin_set_sharing_rule" => {
                ids.insert("id", self.usual["merchant_id"].clone());
                ids.insert("receiver_id", self.receiver("1900000101").await);
            }
            "admin_remove_sharing_receiver" => {
                ids.insert("id", self.receiver("1900000102").await);
            }
            "admin_get_merchant"
            | "admin_get_merchant_points_rule"
            | "admin_set_merchant_points_rule"
            | "admin_list_sharing_receivers"
            | "admin_add_sharing_receiver"
            | "admin_get_sharing_rule" => {
                ids.insert("id", self.usual["merchant_id"].clone());
            }
            _ => {}
        }
    }

    async fn about_payments(&self, operation: &str, ids: &mut Ids) {
        match operation {
            "admin_close_payment" => _ = ids.insert("order_no", self.unpaid().await),
            "admin_note_foreign_refund" => {
                let order_no = self.paid(1_000).await;
                let number = "TK20261128000017";
                self.refunded_elsewhere(&order_no, number);
                ids.insert("order_no", order_no);
            }
            "admin_resolve_exception" => {
                let order_no = self.paid(1_000).await;
                let number = self.fresh("TK");
                self.refunded_elsewhere(&order_no, &number);
                let path = format!("/api/v1/admin/payments/{order_no}/foreign-refunds");
                let stated = json!({ "out_refund_no": number });
                self.admin.post(&path, &stated).await.expect(200);
                ids.insert("id", self.first("/api/v1/admin/exceptions?open=true").await);
            }
            "admin_get_callback" | "admin_replay_callback" => {
                ids.insert(
                    "id",
                    self.first("/api/v1/admin/callbacks?outcome=settled").await,
                );
            }
            "admin_retry_delivery" => {
                ids.insert(
                    "id",
                    self.first("/api/v1/admin/deliveries?state=dropped").await,
                );
            }
            "admin_get_payment_sharing" | "admin_retry_payment_sharing" => {
                ids.insert("order_no", self.shared().await);
            }
            "admin_approve_refund" | "admin_reject_refund" => {
                set_policy(&self.app, &policy(0, 0, "debt")).await;
                let wei = self.app.role("wei", OperatorRole::Admin);
                ids.insert("refund_no", self.refund(&wei, "admin").await);
                set_policy(&self.app, &policy(0, 1_000_000, "debt")).await;
            }
            "admin_redirect_refund" => _ = ids.insert("refund_no", self.abnormal().await),
            _ => {}
        }
    }

    async fn about_risk(&self, operation: &str, ids: &mut Ids) {
        match operation {
            "admin_get_risk_decision" => {
                ids.insert("id", self.first("/api/v1/admin/risk/decisions").await);
            }
            "admin_get_review"
            | "admin_claim_review"
            | "admin_release_review"
            | "admin_approve_review"
            | "admin_reject_review" => {
                ids.insert("id", self.review().await);
                if operation == "admin_release_review" {
                    let path = format!("/api/v1/admin/risk/reviews/{}/claim", ids["id"]);
                    self.admin.post(&path, &json!({})).await.expect(200);
                }
            }
            _ => {}
        }
    }

    async fn for_back_ends(&self, operation: &str, ids: &mut Ids) -> Caller {
        match operation {
            "open_capture_hold" | "open_release_hold" => {
                self.points("awards", 100).await;
                ids.insert("id", self.points("holds", 100).await);
            }
            "open_get_points_transaction" => _ = ids.insert("id", self.points("awards", 1).await),
            "open_return_points" => {
                self.points("awards", 20).await;
                ids.insert("points_transaction_id", self.points("deductions", 20).await);
            }
            _ => {
                // Something to take.
                self.points("awards", 100).await;
            }
        }
        self.service.clone()
    }

    async fn points(&self, what: &str, points: i64) -> String {
        let body = json!({
            "customer_id": self.usual["customer_id"], "points": points,
            "reference": self.fresh("points"), "reason": "测试",
        });
        let path = format!("/api/v1/open/points/{what}");
        text(&self.service.post(&path, &body).await.expect(201), "id")
    }

    async fn unpaid(&self) -> String {
        let (customer, code) = (&self.customer, &self.merchant.code);
        self.app
            .create(customer, code, 1_000, &self.fresh("order"))
            .await
    }

    async fn paid(&self, fen: i64) -> String {
        let (customer, code) = (&self.customer, &self.merchant.code);
        self.app
            .pay(customer, code, fen, &self.fresh("order"))
            .await
    }

    /// A refund that waits for somebody else than who asked.
    async fn refund(&self, by: &Caller, audience: &str) -> String {
        let order_no = self.paid(1_000).await;
        let refund = ask(by, &order_no, audience, 300, &self.fresh("refund")).await;
        assert_eq!(refund["state"], "awaiting_approval", "{refund}");
        text(&refund, "refund_no")
    }

    /// A refund that the customer's bank did not take.
    async fn abnormal(&self) -> String {
        set_policy(&self.app, &policy(0, 1_000_000, "debt")).await;
        let refund_no = self.refund(&self.clerk, "merchant").await;
        let plan = RefundPlan::ending(RefundFate::Abnormal);
        self.app.simulator.plan_refund(&refund_no, plan);
        let path = format!("/api/v1/merchant/refunds/{refund_no}/approve");
        let owner = self.merchant.owner.keyed(&self.fresh("approve"));
        owner.post(&path, &json!({})).await.expect(200);
        let path = format!("/api/v1/admin/refunds/{refund_no}");
        eventually("the refund is abnormal", || async {
            let refund = self.admin.get(&path).await.expect(200);
            (refund["state"] == "abnormal").then_some(())
        })
        .await;
        refund_no
    }

    fn refunded_elsewhere(&self, order_no: &str, number: &str) {
        let elsewhere = RefundElsewhere {
            out_trade_no: order_no.to_owned(),
            refund_fen: Some(250),
            out_refund_no: Some(number.to_owned()),
            fate: Some(RefundFate::Success),
            ..RefundElsewhere::default()
        };
        self.app.simulator.refund_elsewhere(elsewhere).unwrap();
    }

    async fn receiver(&self, account: &str) -> String {
        let path = format!(
            "/api/v1/admin/merchants/{}/sharing-receivers",
            self.usual["merchant_id"]
        );
        let form = json!({
            "kind": "merchant", "account": account,
            "name": "账房科技有限公司", "relation": "SERVICE_PROVIDER",
        });
        let admin = self.admin.keyed(&self.fresh("receiver"));
        text(&admin.post(&path, &form).await.expect(201), "id")
    }

    /// A payment that was made while a sharing rule was in force.
    async fn shared(&self) -> String {
        let receiver = self.receiver("1900000103").await;
        let rule_path = format!(
            "/api/v1/admin/merchants/{}/sharing-rule",
            self.usual["merchant_id"]
        );
        let part = json!({ "receiver_id": receiver, "ratio_ppm": 10_000, "description": "服务费" });
        let rule = json!({ "active": true, "parts": [part] });
        self.admin.put(&rule_path, &rule).await.expect(200);
        let order_no = self.paid(1_000).await;
        let path = format!("/api/v1/admin/payments/{order_no}/sharing");
        eventually("the payment is shared", || async {
            (self.admin.get(&path).await.status == 200).then_some(())
        })
        .await;
        // What comes after it is not shared.
        let stopped = json!({ "active": false });
        self.admin.put(&rule_path, &stopped).await.expect(200);
        order_no
    }

    /// A challenge of the customer's.
    async fn challenge(&self) -> String {
        let body = json!({ "code": self.merchant.code, "amount_fen": 7_770 });
        let customer = self.customer.keyed(&self.fresh("order"));
        let asked = customer.post("/api/v1/customer/payments", &body).await;
        asked.refused(403, "risk_verification_required");
        text(&asked.expect(403), "challenge")
    }

    /// A review that nobody has decided or claimed.
    async fn review(&self) -> String {
        self.paid(8_880).await;
        self.first("/api/v1/admin/risk/reviews?state=open").await
    }

    /// The id of the first that there is in a list, as soon as there is one.
    async fn first(&self, path: &str) -> String {
        eventually(path, || async {
            let page = self.admin.get(path).await.expect(200);
            let first = &page["items"][0]["id"];
            first.as_str().map(str::to_owned)
        })
        .await
    }

    async fn refresh_token(&self) -> String {
        let body = json!({ "tenant": "demo", "code": "sim-demo-customer-1", "as": "customer" });
        let session = self
            .app
            .anyone()
            .post("/api/v1/auth/wechat/login", &body)
            .await;
        text(&session.expect(200), "refresh_token")
    }
}

/// Registers a merchant whose owner is this person; its id.
async fn register(app: &TestApp, person: &str) -> String {
    let body = json!({
        "name": "老王面馆", "contact_name": "王伟", "contact_phone": "13800001234",
        "business_license": "91310000MA1K35X123", "address": "上海市黄浦区人民路1号",
    });
    let owner = app
        .customer(person)
        .await
        .keyed(&format!("register-{person}"));
    let made = owner.post("/api/v1/merchant/registrations", &body).await;
    text(&made.expect(201)["merchant"], "id")
}

/// A merchant of this person's that takes payments.
async fn merchant_of(app: &TestApp, person: &str, sub_mchid: &str) -> Merchant {
    let id = register(app, person).await;
    let path = format!("/api/v1/admin/merchants/{id}/approve");
    let admin = app.admin().keyed(&format!("approve-{person}"));
    let body = json!({ "sub_mchid": sub_mchid });
    admin.post(&path, &body).await.expect(200);
    let owner = app.login(person, "merchant").await;
    let label = json!({ "label": "一号柜台" });
    let made = owner
        .keyed("code")
        .post("/api/v1/merchant/codes", &label)
        .await;
    Merchant {
        code: text(&made.expect(201), "code"),
        owner,
    }
}
