//! Back ends award, deduct, redeem and hold points, each under its own references.

mod damage;
mod debts;
mod holds;
mod races;
mod reads;
mod returns;
mod reviews;
mod timeouts;

use serde_json::{Value, json};
use zhangfang::{
    auth::{OperatorRole, Principal, Tokens},
    primitives::{
        Clock as _, CustomerId, EntryId, EntryKind, Points, PointsTransactionId, SystemClock,
        TenantId,
    },
};

use crate::{
    expiry::{Change, Move},
    harness::{ApiAnswer, Caller, JWT_SECRET, Site, TestApp},
};

/// A back end of the tenant.
fn back_end(site: &Site, tenant: TenantId, name: &str) -> Caller {
    let principal = Principal::Operator {
        tenant,
        name: name.to_owned(),
        role: OperatorRole::Service,
    };
    let tokens = Tokens::new(JWT_SECRET.as_bytes(), 900);
    let token = tokens.issue(&principal, SystemClock.now());
    site.anyone().with_token(&token.text)
}

/// A back end at work, and a customer.
struct Counter {
    app: TestApp,
    crm: Caller,
    li: Caller,
    id: CustomerId,
}

async fn id_of(customer: &Caller) -> CustomerId {
    let profile = customer.get("/api/v1/customer/me").await.expect(200);
    profile["id"].as_str().unwrap().parse().unwrap()
}

impl Counter {
    async fn open() -> Self {
        Self::at(TestApp::start().await).await
    }

    /// Without jobs, so that no nightly run sweeps what has expired.
    async fn without_jobs() -> Self {
        Self::at(TestApp::without_jobs().await).await
    }

    async fn at(app: TestApp) -> Self {
        let crm = back_end(&app, app.tenant.id, "merchant-crm");
        let li = app.customer("li").await;
        let id = id_of(&li).await;
        Self { app, crm, li, id }
    }

    fn body(&self, points: i64, reference: &str) -> Value {
        json!({ "customer_id": self.id, "points": points, "reference": reference, "reason": "测试" })
    }

    /// `awards`, `deductions`, `redemptions` or `holds`.
    async fn ask(&self, what: &str, points: i64, reference: &str) -> ApiAnswer {
        let path = format!("/api/v1/open/points/{what}");
        self.crm.post(&path, &self.body(points, reference)).await
    }

    async fn award(&self, points: i64, reference: &str) -> Value {
        self.ask("awards", points, reference).await.expect(201)
    }

    /// To be used until this day.
    async fn award_until(&self, points: i64, reference: &str, day: &str) -> Value {
        let mut body = self.body(points, reference);
        body["last_usable_on"] = json!(day);
        let given = self.crm.post("/api/v1/open/points/awards", &body).await;
        given.expect(201)
    }

    async fn hold(&self, points: i64, reference: &str) -> PointsTransactionId {
        let held = self.ask("holds", points, reference).await.expect(201);
        assert_eq!(held["state"], "held");
        held["id"].as_str().unwrap().parse().unwrap()
    }

    async fn capture(&self, transaction: PointsTransactionId, body: &Value) -> ApiAnswer {
        let path = format!("/api/v1/open/points/holds/{transaction}/capture");
        self.crm.post(&path, body).await
    }

    async fn release(&self, transaction: PointsTransactionId) -> ApiAnswer {
        let path = format!("/api/v1/open/points/holds/{transaction}/release");
        self.crm.post(&path, &json!({})).await
    }

    /// Posted, pending, held, available and debt.
    async fn balance(&self) -> [i64; 5] {
        let path = format!("/api/v1/open/points/customers/{}/balance", self.id);
        let balance = self.crm.get(&path).await.expect(200);
        ["posted", "pending", "held", "available", "debt"]
            .map(|name| balance[name].as_i64().unwrap())
    }

    /// The hold was made so long ago that it has timed out.
    async fn age(&self, transaction: PointsTransactionId) {
        sqlx::query(
            "UPDATE points_transactions SET hold_until = created_at, due_at = created_at WHERE id = ?",
        )
        .bind(transaction)
        .execute(&mut self.app.sql().await)
        .await
        .unwrap();
    }
}

/// The customer has expired points that no sweep has taken yet.
async fn grant_expired(counter: &Counter, points: i64) {
    let db = counter.app.db();
    let grant = Move {
        tenant: counter.app.tenant.id,
        customer: counter.id,
        entry: EntryId::of(db.new_id(counter.id.lane()), EntryKind::Adjustment),
        change: Change::Grant(db.now().business_day()),
        points,
    };
    db.submit(grant).await.unwrap();
}

fn yesterday() -> String {
    let today = SystemClock.now().business_day();
    today.0.previous_day().unwrap().to_string()
}

fn today_plus(days: u32) -> String {
    let today = SystemClock.now().business_day();
    today.plus_days(days).to_string()
}

fn expects(answer: &ApiAnswer, status: u16, code: &str, expected: &str) {
    answer.refused(status, code);
    assert_eq!(answer.expect(status)["field"]["expected"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_award_is_given_once_per_reference_for_ever() {
    let counter = Counter::open().await;
    let first = counter.award(100, "gift-1").await;
    assert_eq!(
        (
            &first["kind"],
            &first["state"],
            &first["source"],
            &first["points"]
        ),
        (
            &json!("award"),
            &json!("done"),
            &json!("merchant-crm"),
            &json!(100)
        )
    );
    // The tenant's rule: a year, the day of the credit not counted.
    assert_eq!(first["last_usable_on"], today_plus(365));
    let again = counter.ask("awards", 100, "gift-1").await.expect(200);
    assert_eq!(again, first);
    let reused = counter.ask("awards", 101, "gift-1").await;
    let expected = "one that was not used for another request";
    expects(&reused, 422, "reference_reused", expected);
    assert_eq!(reused.expect(422)["points_transaction_id"], first["id"]);
    assert_eq!(counter.balance().await, [100, 0, 0, 100, 0]);

    // Another kind and another back end have references of their own.
    counter.ask("deductions", 30, "gift-1").await.expect(201);
    let other = back_end(&counter.app, counter.app.tenant.id, "game");
    let path = "/api/v1/open/points/awards";
    let theirs = other.post(path, &counter.body(5, "gift-1")).await;
    assert_eq!(theirs.expect(201)["source"], "game");
    assert_eq!(counter.balance().await, [75, 0, 0, 75, 0]);
    // A hold and a redemption are one kind.
    counter.hold(10, "r").await;
    counter
        .ask("redemptions", 10, "r")
        .await
        .refused(422, "reference_reused");
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_taken_and_the_reference_stays_free() {
    let counter = Counter::open().await;
    for what in ["deductions", "redemptions", "holds"] {
        let refused = counter.ask(what, 10, "r").await;
        expects(&refused, 409, "points_insufficient", "at most 0");
    }
    counter.award(15, "a").await;
    counter.hold(5, "h").await;
    for what in ["deductions", "redemptions", "holds"] {
        let refused = counter.ask(what, 11, "r").await;
        expects(&refused, 409, "points_insufficient", "at most 10");
    }
    counter.ask("redemptions", 10, "r").await.expect(201);
    assert_eq!(counter.balance().await, [5, 0, 5, 0, 0]);
    let transactions = counter
        .app
        .count("SELECT COUNT(*) FROM points_transactions")
        .await;
    assert_eq!(
        transactions, 3,
        "what was refused for want of points is not kept"
    );
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_are_for_payments_and_not_for_awards() {
    let counter = Counter::open().await;
    let points = |units| Some(Points::parse(units).unwrap());
    counter
        .app
        .set_rule(|terms| (terms.daily_cap, terms.total_cap) = (points(5), points(5)))
        .await;
    counter.award(100, "a").await;
    let merchant = counter.app.merchant("茶里巷", "1900000170").await;
    counter
        .app
        .pay(&counter.li, &merchant.code, 1_000, "k")
        .await;
    // The payment earns what the cap leaves, as if nothing had been awarded.
    assert_eq!(counter.balance().await, [105, 0, 0, 105, 0]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_award_repays_what_the_customer_owes() {
    let counter = Counter::open().await;
    let merchant = counter.app.merchant("茶里巷", "1900000171").await;
    let order_no = counter
        .app
        .pay(&counter.li, &merchant.code, 1_000, "k")
        .await;
    let mut body = counter.body(10, "r");
    body["order_no"] = json!(order_no);
    let path = "/api/v1/open/points/redemptions";
    let spent = counter.crm.post(path, &body).await.expect(201);
    assert_eq!(spent["order_no"], json!(order_no));
    assert!(
        spent["merchant_id"].is_string(),
        "the order's merchant: {spent}"
    );
    let refunds = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let refund = merchant
        .owner
        .keyed("f")
        .post(&refunds, &json!({ "reason": "缺货" }))
        .await;
    refund.expect(201);
    let [.., debt] = counter.balance().await;
    assert_eq!(debt, 10);
    counter.award(4, "a").await;
    let [.., debt] = counter.balance().await;
    assert_eq!(debt, 6);
    counter.award(10, "b").await;
    let [.., available, debt] = counter.balance().await;
    assert_eq!((available, debt), (4, 0));
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_points_transaction_is_about_the_customers_own_order() {
    let counter = Counter::open().await;
    let (merchant, other_merchant) = (
        counter.app.merchant("茶里巷", "1900000172").await,
        counter.app.merchant("面馆", "1900000173").await,
    );
    let wang = counter.app.customer("wang").await;
    let mine = counter
        .app
        .pay(&counter.li, &merchant.code, 1_000, "k")
        .await;
    let theirs = counter.app.pay(&wang, &merchant.code, 1_000, "k").await;
    let path = "/api/v1/open/points/redemptions";
    let about = |name: &'static str, value: Value| {
        let mut body = counter.body(1, "r");
        body[name] = value;
        body
    };
    let wrong = counter
        .crm
        .post(path, &about("order_no", json!(theirs)))
        .await;
    wrong.refused(422, "order_not_of_customer");
    let none = "0".repeat(24);
    let wrong = counter
        .crm
        .post(path, &about("order_no", json!(none)))
        .await;
    wrong.refused(422, "order_not_of_customer");
    let nowhere = format!("me_{}", "0".repeat(32));
    let wrong = counter
        .crm
        .post(path, &about("merchant_id", json!(nowhere)))
        .await;
    wrong.refused(422, "merchant_not_of_points_transaction");
    let profile = other_merchant
        .owner
        .get("/api/v1/merchant/profile")
        .await
        .expect(200);
    let mut body = about("order_no", json!(mine));
    body["merchant_id"] = profile["id"].clone();
    assert!(body["merchant_id"].is_string(), "{profile}");
    let wrong = counter.crm.post(path, &body).await;
    wrong.refused(422, "merchant_not_of_points_transaction");
    let nobody = format!("cu_{}", "0".repeat(32));
    let wrong = counter
        .crm
        .post(path, &about("customer_id", json!(nobody)))
        .await;
    wrong.refused(404, "customer_not_found");
    counter
        .crm
        .post(path, &about("order_no", json!(mine)))
        .await
        .expect(201);

    // Whoever is blocked gets and spends nothing; what must be taken can be.
    counter
        .app
        .execute("UPDATE customers SET status = 'blocked'")
        .await;
    for what in ["awards", "redemptions", "holds"] {
        let refused = counter.ask(what, 1, "blocked").await;
        refused.refused(403, "customer_blocked");
    }
    counter.ask("deductions", 1, "blocked").await.expect(201);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_back_ends_may_and_only_what_is_theirs() {
    let counter = Counter::open().await;
    let app = &counter.app;
    let merchant = app.merchant("茶里巷", "1900000174").await;
    counter.award(50, "a").await;
    let transaction = counter.hold(10, "h").await;
    let (body, nothing) = (counter.body(1, "x"), json!({}));
    let writes = [
        ("awards".to_owned(), &body),
        ("deductions".to_owned(), &body),
        ("redemptions".to_owned(), &body),
        ("holds".to_owned(), &body),
        ("returns".to_owned(), &body),
        (format!("holds/{transaction}/capture"), &nothing),
        (format!("holds/{transaction}/release"), &nothing),
    ];
    let reads = [
        "transactions".to_owned(),
        format!("transactions/{transaction}"),
        format!("customers/{}/balance", counter.id),
    ];
    for caller in [&counter.li, &merchant.owner] {
        for (path, body) in &writes {
            let path = format!("/api/v1/open/points/{path}");
            caller.post(&path, body).await.refused(403, "forbidden");
        }
        for path in &reads {
            let path = format!("/api/v1/open/points/{path}");
            caller.get(&path).await.refused(403, "forbidden");
        }
    }
    let nobody = app.anyone();
    nobody
        .post("/api/v1/open/points/awards", &body)
        .await
        .refused(401, "token_missing");

    // A back end is no admin.
    for path in ["points-rule", "payments", "audit-logs", "points/statistics"] {
        let path = format!("/api/v1/admin/{path}");
        let answer = counter.crm.get(&path).await;
        if path.ends_with("statistics") {
            answer.refused(400, "query_invalid"); // without days; what it may read, it may read here too
        } else {
            answer.refused(403, "forbidden");
        }
    }
    // An admin gives and takes, but does not spend in a customer's place.
    let admin = app.operator("lin");
    let given = admin.post("/api/v1/open/points/awards", &body).await;
    assert_eq!(given.expect(201)["source"], "lin");
    admin
        .post("/api/v1/open/points/holds", &body)
        .await
        .refused(403, "forbidden");
    // Nobody calls themselves what statistics call us.
    let impostor = back_end(app, app.tenant.id, "payment");
    impostor
        .post("/api/v1/open/points/awards", &body)
        .await
        .refused(403, "source_not_allowed");

    // Another back end's hold does not exist; another tenant's customer neither.
    let game = back_end(app, app.tenant.id, "game");
    for path in ["capture", "release"] {
        let path = format!("/api/v1/open/points/holds/{transaction}/{path}");
        game.post(&path, &nothing)
            .await
            .refused(404, "points_transaction_not_found");
    }
    let elsewhere = zhangfang::points::create_tenant(app.db(), "other", "别处")
        .await
        .unwrap();
    let stranger = back_end(app, elsewhere.id, "merchant-crm");
    let path = "/api/v1/open/points/awards";
    stranger
        .post(path, &body)
        .await
        .refused(404, "customer_not_found");
    for path in &reads[1..] {
        let path = format!("/api/v1/open/points/{path}");
        assert_eq!(stranger.get(&path).await.status, 404);
    }
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_by_name_and_changes_nothing() {
    let counter = Counter::open().await;
    counter.award(50, "a").await;
    let wrong = |name: &str, value: Value| {
        let mut body = counter.body(1, "x");
        body[name] = value;
        body
    };
    let long = "x".repeat(65);
    for (what, name, value, code) in [
        ("awards", "points", json!(0), "field_invalid"),
        ("awards", "points", json!(-5), "field_invalid"),
        (
            "awards",
            "points",
            json!(1_000_000_001_i64),
            "field_invalid",
        ),
        ("awards", "points", json!(1.5), "json_unexpected"),
        ("awards", "points", json!("5"), "json_unexpected"),
        (
            "awards",
            "points",
            json!(i128::from(i64::MAX) + 1),
            "json_unexpected",
        ),
        ("awards", "reference", json!(""), "field_invalid"),
        ("awards", "reference", json!("a b"), "field_invalid"),
        ("awards", "reference", json!("单号"), "field_invalid"),
        ("awards", "reference", json!(long), "field_invalid"),
        ("awards", "reason", json!(" "), "field_invalid"),
        ("awards", "reason", json!("a\nb"), "field_invalid"),
        ("awards", "reason", json!("账".repeat(201)), "field_invalid"),
        (
            "awards",
            "last_usable_on",
            json!("2020-01-01"),
            "field_invalid",
        ),
        (
            "awards",
            "last_usable_on",
            json!(yesterday()),
            "field_invalid",
        ),
        (
            "awards",
            "last_usable_on",
            json!("2026-02-30"),
            "field_invalid",
        ),
        ("awards", "customer_id", json!("me_00"), "json_unexpected"),
        ("awards", "source", json!("bank"), "json_unexpected"),
        ("awards", "minutes", json!(5), "json_unexpected"),
        ("holds", "minutes", json!(0), "field_invalid"),
        ("holds", "minutes", json!(43_201), "field_invalid"),
        ("holds", "minutes", json!(-1), "json_unexpected"),
        (
            "deductions",
            "last_usable_on",
            json!("2030-01-01"),
            "json_unexpected",
        ),
        ("redemptions", "points", json!(0), "field_invalid"),
    ] {
        let path = format!("/api/v1/open/points/{what}");
        let refused = counter.crm.post(&path, &wrong(name, value.clone())).await;
        refused.refused(422, code);
        if code == "field_invalid" {
            assert_eq!(refused.expect(422)["field"]["name"], name, "{value}");
        }
    }
    for what in ["awards", "holds"] {
        let path = format!("/api/v1/open/points/{what}");
        let headers = [("content-type", "application/json".to_owned())];
        let bytes = counter
            .crm
            .raw(&path, &headers, b"{\"points\": 5".to_vec())
            .await;
        bytes.refused(400, "json_invalid");
    }
    for path in [
        "transactions?state=gone",
        "transactions?kind=gift",
        "transactions?source=A",
        "transactions?reference=%20",
        "transactions?limit=0",
        "transactions?customer_id=x",
    ] {
        let path = format!("/api/v1/open/points/{path}");
        counter.crm.get(&path).await.refused(422, "field_invalid");
    }
    let page = counter
        .crm
        .get("/api/v1/open/points/transactions?cursor=x")
        .await;
    page.refused(400, "cursor_invalid");
    let balance = format!("/api/v1/open/points/customers/{}/balance", counter.id);
    for days in ["0", "367"] {
        let path = format!("{balance}?expiring_within_days={days}");
        counter.crm.get(&path).await.refused(422, "field_invalid");
    }
    // Text that means something to the database is only text, also as a name for ever.
    let mut body = counter.body(1, "'/**/OR/**/1=1;--\\");
    body["reason"] = json!("'; DROP TABLE points_transactions; -- \\");
    let path = "/api/v1/open/points/awards";
    let first = counter.crm.post(path, &body).await.expect(201);
    assert_eq!(counter.crm.post(path, &body).await.expect(200), first);
    let found = counter
        .crm
        .get("/api/v1/open/points/transactions?kind=award&source=merchant-crm&reference=%27%2F%2A%2A%2FOR%2F%2A%2A%2F1%3D1%3B--%5C")
        .await
        .expect(200);
    assert_eq!(found["items"], json!([first]));
    assert_eq!(counter.balance().await, [51, 0, 0, 51, 0]);
    counter.app.finish().await;
}
