//! The rest of the calls: refunds, whoever asks for them, and what operators do.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{
    answer::{Exception, KeptCallback, PageOf, PaymentPolicy, PointsRule, Refund, Replayed},
    patience::ApiError,
    service::{Person, Service},
};

impl Service {
    // --- refunds

    /// Asks for a refund: `desk` is `merchant` for a merchant's own person, `admin` for an
    /// operator.
    pub(super) async fn request_refund(
        &self,
        (desk, person): (&str, &Person),
        key: &str,
        order_no: &str,
        (amount_fen, reason): (i64, &str),
    ) -> Result<Refund, ApiError> {
        let path = [desk, "payments", order_no, "refunds"];
        let request = self.request(Method::POST, &path);
        let request = request.header("idempotency-key", key);
        let request = request.json(&json!({ "amount_fen": amount_fen, "reason": reason }));
        self.ask(person, request).await?.read()
    }

    /// The second person's word on a refund that waits for it.
    pub(super) async fn decide_refund(
        &self,
        operator: &Person,
        key: &str,
        refund_no: &str,
        agreed: bool,
    ) -> Result<Refund, ApiError> {
        let (word, body) = if agreed {
            ("approve", json!({ "note": "已核对" }))
        } else {
            ("reject", json!({ "reason": "商品已使用" }))
        };
        let request = self.request(Method::POST, &["admin", "refunds", refund_no, word]);
        let request = request.header("idempotency-key", key).json(&body);
        self.ask(operator, request).await?.read()
    }

    /// With its history.
    pub(super) async fn refund(
        &self,
        operator: &Person,
        refund_no: &str,
    ) -> Result<Refund, ApiError> {
        self.get(operator, &["admin", "refunds", refund_no], &[])
            .await
    }

    /// To the merchant's own account, since the customer's bank does not take it.
    pub(super) async fn redirect_refund(
        &self,
        operator: &Person,
        refund_no: &str,
    ) -> Result<(), ApiError> {
        let request = self.request(Method::POST, &["admin", "refunds", refund_no, "redirect"]);
        self.ask(operator, request.json(&json!({})))
            .await
            .map(|_| ())
    }

    // --- operators

    pub(super) async fn policy(&self, admin: &Person) -> Result<PaymentPolicy, ApiError> {
        self.get(admin, &["admin", "payment-policy"], &[]).await
    }

    pub(super) async fn set_policy(
        &self,
        admin: &Person,
        policy: &PaymentPolicy,
    ) -> Result<PaymentPolicy, ApiError> {
        let request = self.request(Method::PUT, &["admin", "payment-policy"]);
        let set = self.ask(admin, request.json(policy)).await?.read();
        in_force_everywhere().await;
        set
    }

    /// The newest callback of which this became.
    pub(super) async fn newest_callback(
        &self,
        admin: &Person,
        outcome: &str,
    ) -> Result<Option<KeptCallback>, ApiError> {
        let query = [("outcome", outcome), ("limit", "1")];
        let page: PageOf<KeptCallback> = self.get(admin, &["admin", "callbacks"], &query).await?;
        Ok(page.items.into_iter().next())
    }

    pub(super) async fn replay(
        &self,
        admin: &Person,
        callback: &str,
    ) -> Result<Replayed, ApiError> {
        let request = self.request(Method::POST, &["admin", "callbacks", callback, "replay"]);
        self.ask(admin, request).await?.read()
    }

    /// What a person should look at, newest first.
    pub(super) async fn exceptions(
        &self,
        admin: &Person,
        cursor: Option<&str>,
    ) -> Result<PageOf<Exception>, ApiError> {
        let mut query = vec![("limit", "100")];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.get(admin, &["admin", "exceptions"], &query).await
    }

    pub(super) async fn resolve_exception(
        &self,
        admin: &Person,
        (key, id): (&str, &str),
        resolution: &str,
    ) -> Result<(), ApiError> {
        let request = self.request(Method::POST, &["admin", "exceptions", id, "resolve"]);
        let request = request.header("idempotency-key", key);
        let request = request.json(&json!({ "resolution": resolution }));
        self.ask(admin, request).await.map(|_| ())
    }

    /// Has every review that waits approved: the demo's customers are honest. Gives how many there
    /// were.
    pub(super) async fn approve_reviews(
        &self,
        operator: &Person,
        run: &str,
    ) -> Result<usize, ApiError> {
        let query = [("state", "open"), ("limit", "100")];
        let mut approved = 0;
        loop {
            let page: PageOf<Value> = self
                .get(operator, &["admin", "risk", "reviews"], &query)
                .await?;
            if page.items.is_empty() {
                return Ok(approved);
            }
            for review in page.items {
                let id = review["id"].as_str().unwrap_or_default();
                let path = ["admin", "risk", "reviews", id, "approve"];
                let request = self.request(Method::POST, &path);
                let request = request.header("idempotency-key", format!("{run}-review-{id}"));
                let said = self
                    .ask(operator, request.json(&json!({ "note": "演示" })))
                    .await;
                match said {
                    Ok(_) => approved += 1,
                    // A refund or the time-out was faster.
                    Err(error) if error.is("review_already_decided") => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    pub(super) async fn approve(
        &self,
        admin: &Person,
        key: &str,
        merchant: &str,
        sub_mchid: &str,
    ) -> Result<(), ApiError> {
        let request = self.request(Method::POST, &["admin", "merchants", merchant, "approve"]);
        let request = request.header("idempotency-key", key);
        let request = request.json(&json!({ "sub_mchid": sub_mchid }));
        self.ask(admin, request).await.map(|_| ())
    }

    pub(super) async fn rule(&self, admin: &Person) -> Result<PointsRule, ApiError> {
        self.get(admin, &["admin", "points-rule"], &[]).await
    }

    pub(super) async fn set_rule(
        &self,
        admin: &Person,
        terms: &Value,
    ) -> Result<PointsRule, ApiError> {
        let request = self
            .request(Method::PUT, &["admin", "points-rule"])
            .json(terms);
        let set = self.ask(admin, request).await?.read();
        in_force_everywhere().await;
        set
    }
}

/// Another process behind the same address believes what was in force for a second more: what is
/// asked next may be asked there.
async fn in_force_everywhere() {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}
