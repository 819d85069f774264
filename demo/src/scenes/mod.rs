//! After the day: what risk stops, asks and holds, what others do with the money, and what becomes
//! of points. People of their own play it, so that the day's account stays what it is.
//!
//! Whether a scene can be played depends on the rules that the service has: what it needs is looked
//! up first, and a scene without its rule is left out and says so.

mod money;

use std::time::Duration;

use http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    check::Check,
    patience::ApiError,
    service::{LoginAs, Person},
    world::World,
};

/// The report of one scene.
#[derive(Debug, Serialize)]
pub(super) struct SceneReport {
    pub(super) title: &'static str,
    /// What happened, a line each.
    pub(super) lines: Vec<String>,
    #[serde(skip)]
    check: Option<Check>,
}

/// Two networks that nobody's traffic comes from (RFC 5737).
const AT_HOME: &str = "203.0.113.7";
const ABROAD: &str = "198.51.100.23";
/// More payments than anybody makes in a minute, and one.
const HASTY: usize = 11;
const FEN: i64 = 1_280;

impl SceneReport {
    fn new(title: &'static str) -> Self {
        Self {
            title,
            lines: Vec::new(),
            check: None,
        }
    }

    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn must(&mut self, what: &'static str, holds: bool, detail: impl Into<String>) {
        self.check = Some(Check::new(what, holds, detail));
    }
}

/// Plays every scene. What goes wrong in one is its check that fails.
pub(super) async fn play(world: World<'_>) -> (Vec<SceneReport>, Vec<Check>) {
    let stage = match Stage::set(world).await {
        Ok(stage) => stage,
        Err(error) => {
            let what = "what risk and points do can be shown";
            return (Vec::new(), vec![Check::new(what, false, error.to_string())]);
        }
    };
    let played = [
        ("too many payments in a minute", stage.hasty().await),
        ("from another network", stage.abroad().await),
        ("a merchant that pays itself", stage.own_merchant().await),
        ("a coupon", stage.coupon().await),
        ("a refund that was made elsewhere", stage.elsewhere().await),
        ("a refund that is withdrawn", stage.withdrawn().await),
        (
            "points that are awarded, held, spent and expired",
            stage.points().await,
        ),
    ];
    let mut checks = Vec::new();
    let reports = played.into_iter().map(|(title, played)| {
        let mut report = played.unwrap_or_else(|error| {
            let mut report = SceneReport::new(title);
            report.must(
                "every scene of risk and points was played",
                false,
                format!("{title}: {error}"),
            );
            report
        });
        checks.extend(report.check.take());
        report
    });
    (reports.collect(), checks)
}

/// Where the scenes are played, and by which rules.
struct Stage<'a> {
    world: World<'a>,
    /// Ids of the rules in force that decide.
    rules: Vec<String>,
    code: String,
    merchant: String,
    merchant_id: String,
}

impl<'a> Stage<'a> {
    async fn set(world: World<'a>) -> Result<Self, ApiError> {
        let rules: Result<Value, ApiError> = world
            .service
            .get(&world.operators.admin, &["admin", "risk", "rules"], &[])
            .await;
        // Risk may be switched off; that is no mistake.
        let rules = rules.unwrap_or_default();
        let rules = rules["rules"].as_array().cloned().unwrap_or_default();
        let live = rules.iter().filter(|rule| rule["shadow"] != json!(true));
        let rules = live.filter_map(|rule| rule["id"].as_str().map(str::to_owned));
        let open = world
            .tenant
            .counters
            .iter()
            .find(|counter| counter.amount_fen.is_none());
        let counter =
            open.ok_or_else(|| ApiError::Strange("no code with an open amount".to_owned()))?;
        Ok(Self {
            world,
            rules: rules.collect(),
            code: counter.code.clone(),
            merchant: world.tenant.merchants[counter.merchant].name.clone(),
            merchant_id: world.tenant.merchants[counter.merchant].id.clone(),
        })
    }

    fn somebody(&self, who: &str) -> Person {
        Person::new(self.login_code(who), LoginAs::Customer)
    }

    /// New people each time, so that nobody has a history from the demo before.
    fn login_code(&self, who: &str) -> String {
        format!("sim-{}-{who}", self.world.run)
    }

    async fn send(
        &self,
        person: &Person,
        path: &[&str],
        (key, from): (Option<&str>, Option<&str>),
        body: Value,
    ) -> Result<Value, ApiError> {
        let service = self.world.service;
        let mut request = service.request(Method::POST, path).json(&body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(from) = from {
            // The demo stands where a proxy would, on the service's own machine; otherwise the
            // service does not believe it, rightly.
            request = request.header("x-forwarded-for", from);
        }
        service.ask(person, request).await?.read()
    }

    async fn create(
        &self,
        customer: &Person,
        key: &str,
        from: Option<&str>,
    ) -> Result<Value, ApiError> {
        let key = format!("{}-{key}", self.world.run);
        let body = json!({ "code": self.code, "amount_fen": FEN });
        self.send(
            customer,
            &["customer", "payments"],
            (Some(&key), from),
            body,
        )
        .await
    }

    async fn close(&self, customer: &Person, order: &Value) -> Result<(), ApiError> {
        let number = order["order_no"].as_str().unwrap_or_default();
        self.world.service.close(customer, number).await.map(|_| ())
    }

    fn has(&self, rule: &str) -> bool {
        self.rules.iter().any(|known| known == rule)
    }

    async fn hasty(&self) -> Result<SceneReport, ApiError> {
        let mut report = SceneReport::new("too many payments in a minute");
        if !self.has(rule::HASTY) {
            report.line(format!(
                "left out: the service has no live rule {}",
                rule::HASTY
            ));
            return Ok(report);
        }
        let customer = self.somebody("hasty");
        let (mut made, mut stopped) = (Vec::new(), None);
        for number in 1..=HASTY {
            match self
                .create(&customer, &format!("hasty-{number}"), None)
                .await
            {
                Ok(order) => made.push(order),
                Err(error) if error.is("risk_blocked") => stopped = Some(number),
                Err(error) => return Err(error),
            }
        }
        for order in &made {
            self.close(&customer, order).await?;
        }
        report.line(format!(
            "a customer begins {HASTY} payments in a row at {}",
            self.merchant
        ));
        report.line(match stopped {
            Some(number) => format!(
                "payment {number} is refused: risk_blocked (403); the ones before were made"
            ),
            None => "none is refused".to_owned(),
        });
        report.must(
            "the eleventh payment of a customer in a minute is blocked, and none before it",
            stopped == Some(HASTY) && made.len() == HASTY - 1,
            format!("{} made, refused: {stopped:?}", made.len()),
        );
        Ok(report)
    }

    async fn abroad(&self) -> Result<SceneReport, ApiError> {
        let mut report = SceneReport::new("from another network");
        if !self.has(rule::NETWORK) {
            report.line(format!(
                "left out: the service has no live rule {}",
                rule::NETWORK
            ));
            return Ok(report);
        }
        let customer = self.somebody("traveller");
        let first = self.create(&customer, "home", Some(AT_HOME)).await?;
        self.close(&customer, &first).await?;
        report.line(format!("a customer pays from {AT_HOME}, as ever"));
        let asked = match self.create(&customer, "abroad", Some(ABROAD)).await {
            Err(ApiError::Refused {
                code,
                challenge: Some(challenge),
                ..
            }) if code == "risk_verification_required" => challenge,
            Err(error) => return Err(error),
            Ok(_) => {
                report.line(format!(
                    "and from {ABROAD}: nobody asks. Does the service trust 127.0.0.1 as a proxy?"
                ));
                report.must(
                    "a payment from an unknown network is verified",
                    false,
                    "it went through",
                );
                return Ok(report);
            }
        };
        report.line(format!(
            "and from {ABROAD}: risk_verification_required (403), answer {asked}"
        ));
        let wrong = json!({ "code": self.login_code("somebody-else") });
        let answer = ["customer", "challenges", &asked, "answer"];
        let refused = self.send(&customer, &answer, (None, None), wrong).await;
        report.line(match &refused {
            Ok(_) => "somebody else's wx.login answers it".to_owned(),
            Err(error) => format!("somebody else's wx.login does not: {error}"),
        });
        let right = json!({ "code": self.login_code("traveller") });
        self.send(&customer, &answer, (None, None), right).await?;
        let order = self.create(&customer, "abroad", Some(ABROAD)).await?;
        self.close(&customer, &order).await?;
        report.line("a fresh wx.login of their own does, and the same request goes through");
        report.must(
            "a payment from an unknown network is verified, by the customer alone",
            refused.is_err(),
            "verified",
        );
        Ok(report)
    }

    /// Pays, and waits until the service knows.
    async fn pay(&self, customer: &Person, key: &str) -> Result<String, ApiError> {
        self.pay_partly(customer, key, None).await
    }

    /// Pays, perhaps some of it with a coupon, and waits until the service knows.
    async fn pay_partly(
        &self,
        customer: &Person,
        key: &str,
        coupon_fen: Option<i64>,
    ) -> Result<String, ApiError> {
        let order = self.create(customer, key, None).await?;
        let number = order["order_no"].as_str().unwrap_or_default().to_owned();
        let package = order["wechat_pay"]["package"].as_str().unwrap_or_default();
        let prepay_id = package.strip_prefix("prepay_id=").unwrap_or_default();
        match coupon_fen {
            Some(fen) => self.world.wechat.pay_with_coupon(prepay_id, fen).await?,
            None => self.world.wechat.pay_with(prepay_id, &[]).await?,
        };
        for _ in 0..100 {
            if self
                .world
                .service
                .payment(customer, &number)
                .await?
                .is_paid()
            {
                return Ok(number);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(ApiError::Up(format!("{number} was not settled")))
    }

    async fn balance(&self, customer: &Person) -> Result<Value, ApiError> {
        self.world
            .service
            .get(customer, &["customer", "points"], &[])
            .await
    }

    async fn own_merchant(&self) -> Result<SceneReport, ApiError> {
        let mut report = SceneReport::new("a merchant that pays itself");
        if !self.has(rule::OWN_MERCHANT) {
            report.line(format!(
                "left out: the service has no live rule {}",
                rule::OWN_MERCHANT
            ));
            return Ok(report);
        }
        let counter = self
            .world
            .tenant
            .counters
            .iter()
            .find(|counter| counter.code == self.code);
        let merchant = counter.map_or(0, |counter| counter.merchant);
        let Some(owner) = self.world.tenant.merchants[merchant].owner.as_customer() else {
            return Err(ApiError::Strange(
                "a merchant without an owner who logs in".to_owned(),
            ));
        };
        let mut decided = Vec::new();
        for (word, path) in [("approved", "approve"), ("rejected", "reject")] {
            let before = self.balance(&owner).await?;
            let number = self.pay(&owner, path).await?;
            let held = self.balance(&owner).await?;
            let pending =
                held["pending"].as_i64().unwrap_or(0) - before["pending"].as_i64().unwrap_or(0);
            report.line(format!(
                "the owner of {} pays there: the money is booked, {pending} points are pending",
                self.merchant
            ));
            let review = self.review_of(&number).await?;
            let admin = &self.world.operators.admin;
            let base = ["admin", "risk", "reviews", review.as_str()];
            let claim = [&base[..], &["claim"]].concat();
            self.send(admin, &claim, (None, None), json!({})).await?;
            let key = format!("{}-{path}", self.world.run);
            let decide = [&base[..], &[path]].concat();
            self.send(
                admin,
                &decide,
                (Some(&key), None),
                json!({ "note": "演示" }),
            )
            .await?;
            let after = self.balance(&owner).await?;
            let came = after["posted"].as_i64().unwrap_or(0) - held["posted"].as_i64().unwrap_or(0);
            report.line(format!(
                "an operator claims the review and has it {word}: {came} points are credited"
            ));
            decided.push((pending, came));
        }
        let good = matches!(decided.as_slice(), [(held, came), (others, 0)] if *held > 0 && came == held && *others > 0);
        report.must(
            "points under review come with the approval, and not with the rejection",
            good,
            format!("{decided:?}"),
        );
        Ok(report)
    }

    async fn review_of(&self, order_no: &str) -> Result<String, ApiError> {
        let query = [("state", "open"), ("limit", "100")];
        let admin = &self.world.operators.admin;
        let page: Value = self
            .world
            .service
            .get(admin, &["admin", "risk", "reviews"], &query)
            .await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let of_order = items
            .iter()
            .find(|review| review["order_no"] == json!(order_no));
        let id = of_order.and_then(|review| review["id"].as_str());
        id.map(str::to_owned)
            .ok_or_else(|| ApiError::Strange(format!("{order_no} is not in the queue of reviews")))
    }

    async fn points(&self) -> Result<SceneReport, ApiError> {
        let mut report = SceneReport::new("points that are awarded, held, spent and expired");
        let customer = self.somebody("collector");
        let me: Value = self
            .world
            .service
            .get(&customer, &["customer", "me"], &[])
            .await?;
        let id = me["id"]
            .as_str()
            .or(me["customer_id"].as_str())
            .unwrap_or_default();
        let back_end = &self.world.operators.service;
        let today = zhangfang::primitives::Clock::now(&zhangfang::primitives::SystemClock)
            .business_day()
            .to_string();
        let reference = |what: &str| format!("{}-{what}", self.world.run);
        let award = json!({ "customer_id": id, "points": 100, "reference": reference("award"), "reason": "生日礼", "last_usable_on": today });
        self.send(
            back_end,
            &["open", "points", "awards"],
            (None, None),
            award.clone(),
        )
        .await?;
        let again = self
            .send(back_end, &["open", "points", "awards"], (None, None), award)
            .await?;
        let once = self.balance(&customer).await?["posted"] == json!(100);
        report.line(format!(
            "a back end gives 100 points, twice by one reference: {}",
            if once {
                "they come once"
            } else {
                "they come twice"
            }
        ));
        let keep = json!({ "customer_id": id, "points": 40, "reference": reference("keep"), "reason": "长期积分" });
        self.send(back_end, &["open", "points", "awards"], (None, None), keep)
            .await?;
        report.line("the 100 are good until midnight, 40 more for as long as the rule says");
        let done = again["state"] == json!("done");
        self.spend(report, &customer, id, (once, done)).await
    }

    /// What goes first is spent first, and the nightly expiry takes nothing before its day.
    async fn spend(
        &self,
        mut report: SceneReport,
        customer: &Person,
        id: &str,
        (once, done): (bool, bool),
    ) -> Result<SceneReport, ApiError> {
        let back_end = &self.world.operators.service;
        let reference = format!("{}-hold", self.world.run);
        let hold = json!({ "customer_id": id, "points": 30, "reference": reference, "reason": "购物车抵扣" });
        let hold = self
            .send(back_end, &["open", "points", "holds"], (None, None), hold)
            .await?;
        let is_aside = self.balance(customer).await?["held"] == json!(30);
        let hold_id = hold["id"].as_str().unwrap_or_default();
        let capture = ["open", "points", "holds", hold_id, "capture"];
        self.send(back_end, &capture, (None, None), json!({ "points": 20 }))
            .await?;
        report.line("30 are held for a cart, 20 of them captured, the rest released");
        let admin = &self.world.operators.admin;
        self.send(
            admin,
            &["admin", "points", "expiry-runs"],
            (None, None),
            json!({}),
        )
        .await?;
        let mut ran = false;
        for _ in 0..100 {
            let runs: Value = self
                .world
                .service
                .get(admin, &["admin", "points", "expiry-runs"], &[])
                .await?;
            ran = runs["items"][0]["state"] == json!("finished");
            if ran {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let left = self.balance(customer).await?;
        report.line(format!("an operator starts the nightly expiry early: what is good until midnight stays, {} points are left", left["posted"]));
        report.must(
            "points are awarded once, spent in part, and expire not before their day",
            once && done && is_aside && ran && left["posted"] == json!(120),
            left.to_string(),
        );
        Ok(report)
    }
}

/// Rules of the file at the top level that the scenes are about.
mod rule {
    pub(super) const HASTY: &str = "many-payments";
    pub(super) const NETWORK: &str = "unknown-network";
    pub(super) const OWN_MERCHANT: &str = "own-merchant";
}
