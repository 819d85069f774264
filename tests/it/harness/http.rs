//! Talking to the service as its callers do.

use serde_json::Value;

/// Someone who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    key: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct ApiAnswer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Caller {
    pub(crate) fn new(http: reqwest::Client, base: &str) -> Self {
        Self {
            http,
            base: base.to_owned(),
            token: None,
            key: None,
        }
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// To be the same person elsewhere.
    pub(crate) fn token(&self) -> Option<String> {
        self.token.clone()
    }

    /// The same caller with an `Idempotency-Key`.
    pub(crate) fn keyed(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiAnswer {
        self.send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> ApiAnswer {
        self.send(self.http.post(self.url(path)).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> ApiAnswer {
        self.send(self.http.put(self.url(path)).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> ApiAnswer {
        self.send(self.http.delete(self.url(path))).await
    }

    /// Any bytes under any headers: what a stranger might send.
    pub(crate) async fn raw(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> ApiAnswer {
        let mut request = self.http.post(self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(request).await
    }

    /// Any method, any headers, any bytes.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> ApiAnswer {
        let method = method.to_uppercase().parse().unwrap();
        let mut request = self.http.request(method, self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(request).await
    }

    /// A GET under any headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> ApiAnswer {
        let request = self.http.get(self.url(path));
        let add = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        self.send(headers.iter().fold(request, add)).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> ApiAnswer {
        self.try_send(request).await.unwrap()
    }

    /// None when nobody answers: the service may have been killed.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<ApiAnswer> {
        self.try_send(self.http.post(self.url(path)).json(body))
            .await
            .ok()
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<ApiAnswer> {
        self.try_send(self.http.get(self.url(path))).await.ok()
    }

    async fn try_send(
        &self,
        mut request: reqwest::RequestBuilder,
    ) -> Result<ApiAnswer, reqwest::Error> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = &self.key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request.build()?;
        let (method, path) = (
            request.method().to_string(),
            request.url().path().to_owned(),
        );
        let answer = self.http.execute(request).await?;
        let answer = ApiAnswer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            bytes: answer.bytes().await?.to_vec(),
        };
        let kind = answer.headers.get("content-type");
        let kind = kind.map_or("", |kind| kind.to_str().unwrap());
        let objection =
            super::document().objection(&method, &path, answer.status, kind, &answer.bytes);
        assert_eq!(
            objection, None,
            "an answer that the document does not describe"
        );
        Ok(answer)
    }
}

impl ApiAnswer {
    /// The body, when the status is the expected one.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        if self.bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&self.bytes).unwrap()
        }
    }

    /// A refusal with this status and this stable code, as RFC 9457 wants it.
    pub(crate) fn refused(&self, status: u16, code: &str) {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert!(
            body["title"].is_string() && body["detail"].is_string() && body["trace_id"].is_string(),
            "{body}"
        );
    }
}
