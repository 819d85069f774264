//! The service, as its apps see it: every call of customers and merchants that the demo makes, by
//! its public API only. Those of the office are in [`super::office`].

use std::sync::{PoisonError, RwLock};

use http::Method;
use reqwest::RequestBuilder;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    answer::{
        CollectionCode, PageOf, Payment, Refund, RefundsOf, Session, Shown, Statistics, Totals,
    },
    patience::{ApiError, Line, Repeated, Reply},
};
use zhangfang::{
    auth::{Principal, Tokens},
    primitives::{BusinessDay, Clock as _, Secret, SystemClock},
};

/// The demo's tenant. The simulator's phone page logs its customers in there too.
pub(super) const TENANT: &str = "demo";

/// A caller: a person who logs in with WeChat, or an operator with a token.
#[derive(Debug)]
pub(super) struct Person {
    way_in: WayIn,
    token: RwLock<Secret<String>>,
}

#[derive(Debug)]
enum WayIn {
    /// The login code and as whom.
    Wechat(String, LoginAs),
    /// As at the command line: signed with the tenant's own secret.
    Signed(Box<(Tokens, Principal)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LoginAs {
    Customer,
    Merchant,
}

impl Person {
    /// Logs in when first needed, and again when the token has ended.
    pub(super) fn new(login_code: String, audience: LoginAs) -> Self {
        Self {
            way_in: WayIn::Wechat(login_code, audience),
            token: RwLock::default(),
        }
    }

    /// Signs a token when first needed, and again when it has ended.
    pub(super) fn operator(tokens: Tokens, principal: Principal) -> Self {
        Self {
            way_in: WayIn::Signed(Box::new((tokens, principal))),
            token: RwLock::default(),
        }
    }

    /// The person as a customer, on their own phone; none for operators.
    pub(super) fn as_customer(&self) -> Option<Self> {
        match &self.way_in {
            WayIn::Wechat(code, _) => Some(Self::new(code.clone(), LoginAs::Customer)),
            WayIn::Signed(_) => None,
        }
    }

    fn keep(&self, token: Secret<String>) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn token(&self) -> Secret<String> {
        self.token
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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

    /// Whether somebody is there at all, asked once.
    pub(super) async fn greet(&self) -> Result<(), ApiError> {
        let url = with_path(&self.base, &["healthz"]);
        self.line.greet(self.line.http.get(url)).await
    }

    // --- customers

    /// Logs the person in. The session's token is kept with the person.
    pub(super) async fn log_in(&self, person: &Person) -> Result<(Session, Reply), ApiError> {
        let WayIn::Wechat(code, audience) = &person.way_in else {
            return Err(ApiError::Strange("an operator does not log in".to_owned()));
        };
        let body = json!({ "tenant": TENANT, "code": code, "as": audience });
        let request = self.request(Method::POST, &["auth", "wechat", "login"]);
        let reply = self.line.ask(request.json(&body)).await?;
        let session: Session = reply.read()?;
        person.keep(session.access_token.clone());
        Ok((session, reply))
    }

    /// A token for whoever has none that is good.
    async fn ensure_token(&self, person: &Person) -> Result<(), ApiError> {
        match &person.way_in {
            WayIn::Wechat(..) => self.log_in(person).await.map(|_| ()),
            WayIn::Signed(signer) => {
                let (tokens, principal) = &**signer;
                let token = tokens.issue(principal, SystemClock.now());
                person.keep(Secret::new(token.text));
                Ok(())
            }
        }
    }

    pub(super) async fn create_payment(
        &self,
        customer: &Person,
        key: &str,
        code: &str,
        amount_fen: i64,
    ) -> Result<(Payment, Reply), ApiError> {
        let body = json!({ "code": code, "amount_fen": amount_fen });
        let request = self.request(Method::POST, &["customer", "payments"]);
        let request = request.header("idempotency-key", key).json(&body);
        let reply = self.ask(customer, request).await?;
        Ok((reply.read()?, reply))
    }

    pub(super) async fn payment(
        &self,
        customer: &Person,
        order_no: &str,
    ) -> Result<Payment, ApiError> {
        self.get(customer, &["customer", "payments", order_no], &[])
            .await
    }

    /// Has the service ask WeChat.
    pub(super) async fn confirm(
        &self,
        customer: &Person,
        order_no: &str,
    ) -> Result<Payment, ApiError> {
        let path = ["customer", "payments", order_no, "confirm"];
        self.ask(customer, self.request(Method::POST, &path))
            .await?
            .read()
    }

    /// Closes the order. It is paid all the same if WeChat says so.
    pub(super) async fn close(
        &self,
        customer: &Person,
        order_no: &str,
    ) -> Result<Payment, ApiError> {
        let path = ["customer", "payments", order_no, "close"];
        self.ask(customer, self.request(Method::POST, &path))
            .await?
            .read()
    }

    /// Oldest first.
    pub(super) async fn refunds_of(
        &self,
        customer: &Person,
        order_no: &str,
    ) -> Result<Vec<Refund>, ApiError> {
        let path = ["customer", "payments", order_no, "refunds"];
        let refunds: RefundsOf = self.get(customer, &path, &[]).await?;
        Ok(refunds.items)
    }

    /// Newest first.
    pub(super) async fn payments(
        &self,
        customer: &Person,
        limit: &str,
        cursor: Option<&str>,
    ) -> Result<PageOf<Payment>, ApiError> {
        let mut query = vec![("limit", limit)];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.get(customer, &["customer", "payments"], &query).await
    }

    pub(super) async fn statistics(&self, customer: &Person) -> Result<Statistics, ApiError> {
        self.get(customer, &["customer", "points", "statistics"], &[])
            .await
    }

    // --- merchants

    pub(super) async fn register(
        &self,
        customer: &Person,
        key: &str,
        form: &Value,
    ) -> Result<(), ApiError> {
        let request = self.request(Method::POST, &["merchant", "registrations"]);
        let request = request.header("idempotency-key", key).json(form);
        self.ask(customer, request).await.map(|_| ())
    }

    pub(super) async fn codes(&self, staff: &Person) -> Result<Vec<CollectionCode>, ApiError> {
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
    ) -> Result<CollectionCode, ApiError> {
        let mut body = json!({ "label": label });
        if let Some(amount_fen) = amount_fen {
            body["amount_fen"] = json!(amount_fen);
        }
        let request = self.request(Method::POST, &["merchant", "codes"]);
        let request = request.header("idempotency-key", key).json(&body);
        self.ask(staff, request).await?.read()
    }

    pub(super) async fn totals(
        &self,
        staff: &Person,
        from: BusinessDay,
        to: BusinessDay,
    ) -> Result<Totals, ApiError> {
        let (from, to) = (from.to_string(), to.to_string());
        let query = [("from", from.as_str()), ("to", to.as_str())];
        self.get(staff, &["merchant", "totals"], &query).await
    }

    /// Has the service ask WeChat about a payment at the counter.
    pub(super) async fn confirm_at_counter(
        &self,
        staff: &Person,
        order_no: &str,
    ) -> Result<(), ApiError> {
        let path = ["merchant", "payments", order_no, "confirm"];
        self.ask(staff, self.request(Method::POST, &path))
            .await
            .map(|_| ())
    }

    /// Has the merchant's screen show something to scan.
    pub(super) async fn collect_payment(
        &self,
        staff: &Person,
        key: &str,
        amount_fen: i64,
    ) -> Result<(Shown, Reply), ApiError> {
        let request = self.request(Method::POST, &["merchant", "payments"]);
        let request = request.header("idempotency-key", key);
        let request = request.json(&json!({ "amount_fen": amount_fen }));
        let reply = self.ask(staff, request).await?;
        Ok((reply.read()?, reply))
    }

    /// What the process measures, in Prometheus's text format.
    pub(super) async fn metrics(&self) -> Result<String, ApiError> {
        let url = with_path(&self.base, &["metrics"]);
        let reply = self.line.ask(self.line.http.get(url)).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    // --- how

    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        self.line.http.request(method, with_path(&self.base, &path))
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        person: &Person,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        let mut url = with_path(&self.base, &path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(person, self.line.http.get(url)).await?.read()
    }

    /// Asks as somebody. A token that has ended is replaced once.
    pub(super) async fn ask(
        &self,
        person: &Person,
        request: RequestBuilder,
    ) -> Result<Reply, ApiError> {
        let again = request.try_clone();
        let token = person.token();
        match self.line.ask(request.bearer_auth(token.expose())).await {
            Err(error) if error.is_unauthorized() => {
                let Some(request) = again else {
                    return Err(error);
                };
                self.ensure_token(person).await?;
                self.line
                    .ask(request.bearer_auth(person.token().expose()))
                    .await
            }
            reply => reply,
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
