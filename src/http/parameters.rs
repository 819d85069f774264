//! Refuses query parameters that an operation does not know, or that come twice.
//!
//! Whoever misspells a filter would else be shown everything, and believe that it is what was asked
//! for; of two values nobody would know which counts. What an operation knows is what the OpenAPI
//! document says that it knows, so the two cannot differ. WeChat's callbacks and what people scan
//! are left alone: what others append there does not concern us.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use super::problem::Problem;

/// The parameters of each operation's query.
pub(super) struct Parameters(HashMap<(Method, String), BTreeSet<String>>);

impl Parameters {
    pub(super) fn of(document: &Value) -> Self {
        let mut all = HashMap::new();
        let none = serde_json::Map::new();
        for (path, operations) in document["paths"].as_object().unwrap_or(&none) {
            if !path.starts_with("/api/v1/") || path.starts_with("/api/v1/wechat/notify/") {
                continue;
            }
            for (method, operation) in operations.as_object().unwrap_or(&none) {
                let Ok(method) = method.to_uppercase().parse() else {
                    continue;
                };
                all.insert((method, path.clone()), of_query(&operation["parameters"]));
            }
        }
        Self(all)
    }

    /// The first parameter that the operation does not know or that came before, and what is
    /// expected instead.
    fn wrong_parameter(
        &self,
        method: &Method,
        path: &str,
        query: &str,
    ) -> Option<(String, String)> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let known = self.0.get(&(method.clone(), path.to_owned()))?;
        let mut seen = BTreeSet::new();
        for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
            let name = name.into_owned();
            if !known.contains(&name) {
                return Some((name, expected_of(known)));
            }
            if !seen.insert(name.clone()) {
                return Some((name, "once".to_owned()));
            }
        }
        None
    }
}

fn expected_of(known: &BTreeSet<String>) -> String {
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    if known.is_empty() {
        "no parameters in the query".to_owned()
    } else {
        format!("one of {}", known.join(", "))
    }
}

fn of_query(parameters: &Value) -> BTreeSet<String> {
    let all = parameters.as_array().map_or(&[][..], Vec::as_slice);
    all.iter()
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
        .collect()
}

/// Lets a request through whose query is understood.
pub(super) async fn keep(
    State(known): State<Arc<Parameters>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(query) = request.uri().query()
        && let Some(route) = request.extensions().get::<MatchedPath>()
        && let Some((name, expected)) =
            known.wrong_parameter(request.method(), route.as_str(), query)
    {
        return Problem::query(name, expected).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operation_knows_is_what_the_document_says() {
        let known = Parameters::of(&crate::http::document());
        let wrong_parameter = |path: &str, query: &str| {
            known
                .wrong_parameter(&Method::GET, path, query)
                .map(|(name, _)| name)
        };
        let payments = "/api/v1/merchant/payments";
        assert_eq!(
            wrong_parameter(payments, "state=paid&limit=5&cursor="),
            None
        );
        assert_eq!(
            wrong_parameter(payments, "limit=5&stat=paid"),
            Some("stat".to_owned())
        );
        assert_eq!(
            wrong_parameter(payments, "Limit=5"),
            Some("Limit".to_owned())
        );
        assert_eq!(
            wrong_parameter(payments, "limit=5&state=paid&%6cimit=5"),
            Some("limit".to_owned())
        );
        assert_eq!(
            wrong_parameter("/api/v1/customer/points", "a"),
            Some("a".to_owned())
        );
        assert_eq!(
            known.wrong_parameter(
                &Method::POST,
                "/api/v1/wechat/notify/{tenant}/payments",
                "a=1"
            ),
            None
        );
    }
}
