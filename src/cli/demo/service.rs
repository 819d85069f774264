//! The service, as its apps see it: every call that the demo makes, by its public API only.

use std::sync::{PoisonError, RwLock};

use http::Method;
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::patience::{Gave, Heard, Line, Repeated};
use crate::primitives::{BusinessDay, Secret};

/// The demo's platform. The simulator's phone page logs its customers in there too.
pub(super) const TENANT: &str = "demo";

/// A caller: a person who logs in with WeChat, or an operator with a token.
#[derive(Debug)]
pub(super) struct Person {
    /// The login code and as whom; none for an operator.
    login: Option<(String, LoginAs)>,
    token: RwLock<Secret<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LoginAs {
    Customer,
    Merchant,
}

#[derive(Debug, Deserialize)]
pub(super) struct Session {
    access_token: Secret<String>,
    pub(super) staff: Option<StaffOf>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StaffOf {
    pub(super) merchant_id: String,
    pub(super) merchant_name: String,
    pub(super) merchant_state: String,
}

/// An order as its customer sees it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Payment {
    pub(super) order_no: String,
    pub(super) state: String,
    pub(super) amount_fen: i64,
    pub(super) points_earned: Option<i64>,
    wechat_pay: Option<RequestPayment>,
}

#[derive(Debug, Clone, Deserialize)]
struct RequestPayment {
    package: String,
}

impl Payment {
    pub(super) fn is_paid(&self) -> bool {
        self.state == "paid"
    }

    /// What `wx.requestPayment` would be given.
    pub(super) fn prepay_id(&self) -> Option<&str> {
        self.wechat_pay.as_ref()?.package.strip_prefix("prepay_id=")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PageOf<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CollectionCode {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) amount_fen: Option<i64>,
    pub(super) state: String,
}

/// What a shop took in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Totals {
    pub(super) orders: i64,
    pub(super) paid_fen: i64,
    pub(super) points: i64,
}

impl Totals {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            orders: self.orders.saturating_sub(before.orders),
            paid_fen: self.paid_fen.saturating_sub(before.paid_fen),
            points: self.points.saturating_sub(before.points),
        }
    }
}

/// What a customer ever earned, and on the last days.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Statistics {
    pub(super) earned_total: i64,
    days: Vec<DayEarned>,
}

#[derive(Debug, Clone, Deserialize)]
struct DayEarned {
    day: String,
    earned: i64,
}

impl Statistics {
    pub(super) fn earned_on(&self, day: BusinessDay) -> i64 {
        let day = day.to_string();
        self.days.iter().filter(|row| row.day == day).map(|row| row.earned).sum()
    }
}

/// The rule in force, as the API writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PointsRule {
    pub(super) version: u32,
    pub(super) ratio: String,
    pub(super) amount_min_fen: i64,
    pub(super) amount_max_fen: Option<i64>,
    pub(super) daily_cap: Option<i64>,
    pub(super) total_cap: Option<i64>,
    pub(super) expiry_days: Option<u32>,
}

impl Person {
    /// Logs in when first needed, and again when the token has ended.
    pub(super) fn new(login_code: String, audience: LoginAs) -> Self {
        Self {
            login: Some((login_code, audience)),
            token: RwLock::default(),
        }
    }

    pub(super) fn operator(token: String) -> Self {
        Self {
            login: None,
            token: RwLock::new(Secret::new(token)),
        }
    }

    fn token(&self) -> Secret<String> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The service at the other end of a [`Line`].
#[derive(Debug)]
pub(super) struct Service {
    line: Line,
    base: Url,
}

impl Service {
    pub(super) fn new(base: Url, ending: CancellationToken) -> Result<Self, reqwest::Error> {
        let line = Line::new(ending)?;
        Ok(Self { line, base })
    }

    pub(super) fn repeated(&self) -> Repeated {
        self.line.repeated()
    }

    // --- customers

    /// Logs the person in. The session's token is kept with the person.
    pub(super) async fn log_in(&self, person: &Person) -> Result<(Session, Heard), Gave> {
        let Some((code, audience)) = &person.login else {
            return Err(Gave::Up("an operator's token has ended".to_owned()));
        };
        let body = json!({ "tenant": TENANT, "code": code, "as": audience });
        let request = self.request(Method::POST, &["auth", "wechat", "login"]);
        let heard = self.line.ask(request.json(&body)).await?;
        let session: Session = heard.read()?;
        *person.token.write().unwrap_or_else(PoisonError::into_inner) =
            session.access_token.clone();
        Ok((session, heard))
    }

    pub(super) async fn create_payment(
        &self,
        customer: &Person,
        key: &str,
        code: &str,
        amount_fen: i64,
    ) -> Result<(Payment, Heard), Gave> {
        let body = json!({ "code": code, "amount_fen": amount_fen });
        let request = self.request(Method::POST, &["customer", "payments"]);
        let request = request.header("idempotency-key", key).json(&body);
        let heard = self.ask(customer, request).await?;
        Ok((heard.read()?, heard))
    }

    pub(super) async fn payment(&self, customer: &Person, order_no: &str) -> Result<Payment, Gave> {
        self.get(customer, &["customer", "payments", order_no], &[]).await
    }

    /// Has the service ask WeChat.
    pub(super) async fn confirm(&self, customer: &Person, order_no: &str) -> Result<Payment, Gave> {
        let path = ["customer", "payments", order_no, "confirm"];
        self.ask(customer, self.request(Method::POST, &path)).await?.read()
    }

    /// Newest first.
    pub(super) async fn payments(
        &self,
        customer: &Person,
        limit: &str,
        cursor: Option<&str>,
    ) -> Result<PageOf<Payment>, Gave> {
        let mut query = vec![("limit", limit)];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.get(customer, &["customer", "payments"], &query).await
    }

    pub(super) async fn statistics(&self, customer: &Person) -> Result<Statistics, Gave> {
        self.get(customer, &["customer", "points", "statistics"], &[]).await
    }

    // --- shops

    pub(super) async fn register(
        &self,
        customer: &Person,
        key: &str,
        form: &Value,
    ) -> Result<(), Gave> {
        let request = self.request(Method::POST, &["merchant", "registrations"]);
        let request = request.header("idempotency-key", key).json(form);
        self.ask(customer, request).await.map(|_| ())
    }

    pub(super) async fn codes(&self, staff: &Person) -> Result<Vec<CollectionCode>, Gave> {
        let query = [("limit", "100")];
        let page: PageOf<CollectionCode> = self.get(staff, &["merchant", "codes"], &query).await?;
        Ok(page.items)
    }

    pub(super) async fn create_code(
        &self,
        staff: &Person,
        key: &str,
        label: &str,
        amount_fen: Option<i64>,
    ) -> Result<CollectionCode, Gave> {
        let body = json!({ "label": label, "amount_fen": amount_fen });
        let request = self.request(Method::POST, &["merchant", "codes"]);
        let request = request.header("idempotency-key", key).json(&body);
        self.ask(staff, request).await?.read()
    }

    pub(super) async fn totals(
        &self,
        staff: &Person,
        from: BusinessDay,
        to: BusinessDay,
    ) -> Result<Totals, Gave> {
        let (from, to) = (from.to_string(), to.to_string());
        let query = [("from", from.as_str()), ("to", to.as_str())];
        self.get(staff, &["merchant", "totals"], &query).await
    }

    // --- operators

    pub(super) async fn approve(
        &self,
        admin: &Person,
        key: &str,
        merchant: &str,
        sub_mchid: &str,
    ) -> Result<(), Gave> {
        let request = self.request(Method::POST, &["admin", "merchants", merchant, "approve"]);
        let request = request.header("idempotency-key", key);
        let request = request.json(&json!({ "sub_mchid": sub_mchid }));
        self.ask(admin, request).await.map(|_| ())
    }

    pub(super) async fn rule(&self, admin: &Person) -> Result<PointsRule, Gave> {
        self.get(admin, &["admin", "points-rule"], &[]).await
    }

    pub(super) async fn set_rule(&self, admin: &Person, terms: &Value) -> Result<PointsRule, Gave> {
        let request = self.request(Method::PUT, &["admin", "points-rule"]).json(terms);
        self.ask(admin, request).await?.read()
    }

    /// What the process measures, in Prometheus's text format.
    pub(super) async fn metrics(&self) -> Result<String, Gave> {
        let url = with_path(&self.base, &["metrics"]);
        let heard = self.line.ask(self.line.http.get(url)).await?;
        Ok(String::from_utf8_lossy(&heard.body).into_owned())
    }

    // --- how

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        self.line.http.request(method, with_path(&self.base, &path))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        person: &Person,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Gave> {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        let mut url = with_path(&self.base, &path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(person, self.line.http.get(url)).await?.read()
    }

    /// Asks as somebody. A token that has ended is replaced once.
    async fn ask(&self, person: &Person, request: RequestBuilder) -> Result<Heard, Gave> {
        let again = request.try_clone();
        let token = person.token();
        match self.line.ask(request.bearer_auth(token.expose())).await {
            Err(gave) if gave.is_unauthorized() && person.login.is_some() => {
                let Some(request) = again else { return Err(gave) };
                self.log_in(person).await?;
                self.line.ask(request.bearer_auth(person.token().expose())).await
            }
            heard => heard,
        }
    }
}

/// A path below a base address; each part is escaped.
pub(super) fn with_path(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Only addresses such as `mailto:` have no path; the settings refuse those.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}
