//! What happens around every request.

use std::any::Any;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use tracing::Instrument as _;

use super::{incoming, limit, problem::Problem};
use crate::app::App;

/// From the inside out: body limits, time limit, panics, and around everything the trace.
pub(super) fn around(router: Router, app: App) -> Router {
    let time_limit = app.http().request_timeout;
    router
        .layer(DefaultBodyLimit::max(app.http().body_max_bytes))
        .layer(middleware::from_fn_with_state(app.clone(), incoming::bound))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            time_limit,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app, trace))
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    Problem::internal().into_response()
}

/// Names the request, measures it, writes its line, and gives problems their body.
async fn trace(State(app): State<App>, request: Request, next: Next) -> Response {
    let trace_id = trace_id(request.headers())
        .unwrap_or_else(|| format!("{:016x}{:016x}", app.db().random(), app.db().random()));
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "unmatched".to_owned(), |route| route.as_str().to_owned());
    let span = tracing::info_span!(
        "http.request",
        trace_id,
        http.method = method,
        http.route = route,
        caller = tracing::field::Empty,
    );
    let started = std::time::Instant::now();
    let again = RetryAdvice::of(&request);
    let response = next.run(request).instrument(span.clone()).await;
    let response = finish(response, &trace_id, again);
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    span.in_scope(|| {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        // Probes come every few seconds and say nothing.
        if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics") {
            tracing::debug!(
                http.status = status,
                elapsed_ms = ms,
                "{method} {route} {status}"
            );
        } else {
            tracing::info!(
                http.status = status,
                elapsed_ms = ms,
                "{method} {route} {status}"
            );
        }
    });
    metrics::histogram!(
        "http_requests_seconds",
        "method" => method,
        "route" => route,
        "status" => status.to_string(),
    )
    .record(elapsed);
    response
}

/// How a request is repeated whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryAdvice {
    /// It changes nothing.
    Read,
    /// With the same `Idempotency-Key`.
    Keyed,
    /// As it is: what has no key has a number or a reference of its own, or says what shall be.
    AsItIs,
    /// Not at all: a code of `wx.login` and a refresh token are good for one use, and who uses the
    /// latter twice is logged out.
    LogIn,
}

impl RetryAdvice {
    fn of(request: &Request) -> Self {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            Self::Read
        } else if request.headers().contains_key("idempotency-key") {
            Self::Keyed
        } else if request.uri().path().starts_with("/api/v1/auth/") {
            Self::LogIn
        } else {
            Self::AsItIs
        }
    }

    /// Titles speak of a key; where there is none, they say what else to do.
    fn title(self, problem: &Problem) -> &'static str {
        let unknown = matches!(problem.code, "unavailable" | "timeout" | "channel_unknown");
        match self {
            Self::Read if unknown => "No answer came in time: ask again",
            Self::AsItIs if unknown => {
                "The outcome is unknown: repeat the request as it is, nothing is done twice"
            }
            Self::LogIn if unknown => {
                "The outcome is unknown: log in again, with a fresh code of wx.login"
            }
            Self::AsItIs | Self::LogIn if problem.code == "risk_verification_required" => {
                "The person has to answer the challenge; then repeat the request. Nothing was done"
            }
            Self::Read | Self::Keyed | Self::AsItIs | Self::LogIn => problem.title,
        }
    }
}

/// A problem gets its body here, and so does an error that the framework made without one.
fn finish(mut response: Response, trace_id: &str, again: RetryAdvice) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_bare = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.or_else(|| (is_error && is_bare).then(|| Problem::of_status(status)));
    if let Some(mut problem) = problem {
        problem.title = again.title(&problem);
        let mut written = problem.write(trace_id);
        for name in limit::HEADERS
            .iter()
            .chain([&header::ALLOW, &header::CONNECTION])
        {
            if let Some(value) = response.headers_mut().remove(name) {
                written.headers_mut().insert(name, value);
            }
        }
        response = written;
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(trace_id) {
        headers.insert("x-request-id", value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The caller's own name for the request, if it is short and plain: `X-Request-Id`, or the trace of
/// W3C's `traceparent`.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if let Some(id) = text("x-request-id")
        && (8..=64).contains(&id.len())
        && id.bytes().all(is_plain)
    {
        return Some(id.to_owned());
    }
    let mut parts = text("traceparent")?.split('-');
    let (_version, id) = (parts.next()?, parts.next()?);
    let sound = id.len() == 32
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.bytes().any(|byte| byte != b'0');
    sound.then(|| id.to_owned())
}

/// Bounded, since it is a metric's label: a caller may invent methods.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_sane_trace_id_is_kept_and_another_is_not() {
        assert_eq!(
            trace_id(&headers("x-request-id", "req-12345")).as_deref(),
            Some("req-12345")
        );
        for bad in [
            "short",
            "with space and more",
            "<script>alert</script>",
            &"x".repeat(65),
        ] {
            assert_eq!(trace_id(&headers("x-request-id", bad)), None, "{bad}");
        }
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let id = trace_id(&headers("traceparent", parent));
        assert_eq!(id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let nothing = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        assert_eq!(trace_id(&headers("traceparent", &nothing)), None);
    }

    #[tokio::test]
    async fn an_error_of_the_framework_becomes_a_problem_and_keeps_its_allow_header() {
        let bare = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
        let response = finish(bare, "trace-1234", RetryAdvice::Read);
        assert_eq!(response.headers()[header::ALLOW], "GET");
        assert_eq!(response.headers()["x-request-id"], "trace-1234");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "method_not_allowed");
        assert_eq!(body["trace_id"], "trace-1234");
    }

    #[tokio::test]
    async fn a_panic_and_a_slow_handler_become_problems() {
        async fn boom() -> &'static str {
            panic!("account 17 is negative")
        }
        let time_limit = std::time::Duration::from_millis(5);
        let router = Router::new()
            .route("/boom", axum::routing::get(boom))
            .route(
                "/slow",
                axum::routing::get(std::future::pending::<&'static str>),
            )
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                time_limit,
            ))
            .layer(CatchPanicLayer::custom(panicked));
        for (path, status, code) in [("/boom", 500, "internal_error"), ("/slow", 504, "timeout")] {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(router.clone(), request)
                .await
                .unwrap();
            let response = finish(response, "trace-1234", RetryAdvice::Read);
            assert_eq!(response.status(), status);
            let body = axum::body::to_bytes(response.into_body(), 10_000)
                .await
                .unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains(code) && !body.contains("17"), "{body}");
        }
    }

    #[test]
    fn how_a_request_is_repeated_follows_from_its_method_and_its_key() {
        let again = |method: Method, keyed: bool| {
            let mut request = Request::builder()
                .method(method)
                .uri("/api/v1/customer/payments");
            if keyed {
                request = request.header("Idempotency-Key", "k");
            }
            RetryAdvice::of(&request.body(axum::body::Body::empty()).unwrap())
        };
        for keyed in [false, true] {
            assert_eq!(again(Method::GET, keyed), RetryAdvice::Read);
            assert_eq!(again(Method::HEAD, keyed), RetryAdvice::Read);
        }
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(again(method.clone(), true), RetryAdvice::Keyed);
            assert_eq!(again(method, false), RetryAdvice::AsItIs);
        }
        for path in ["/api/v1/auth/refresh", "/api/v1/auth/wechat/login"] {
            let request = Request::post(path).body(axum::body::Body::empty()).unwrap();
            assert_eq!(RetryAdvice::of(&request), RetryAdvice::LogIn);
        }
    }

    #[test]
    fn the_same_key_is_spoken_of_where_there_is_one() {
        let timeout = Problem::of_status(StatusCode::GATEWAY_TIMEOUT);
        assert!(RetryAdvice::Keyed.title(&timeout).contains("key"));
        assert!(RetryAdvice::LogIn.title(&timeout).contains("log in again"));
        for again in [RetryAdvice::Read, RetryAdvice::AsItIs, RetryAdvice::LogIn] {
            assert!(!again.title(&timeout).contains("key"));
            assert_eq!(again.title(&Problem::not_found()), "Not found");
        }
    }

    #[tokio::test]
    async fn what_is_json_already_is_left_alone() {
        let fail = (
            StatusCode::UNAUTHORIZED,
            axum::Json(serde_json::json!({ "code": "FAIL" })),
        );
        let response = finish(fail.into_response(), "trace-1234", RetryAdvice::Read);
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        assert_eq!(&body[..], br#"{"code":"FAIL"}"#);
    }
}
