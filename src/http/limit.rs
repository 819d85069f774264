//! Not too often: the limits, around the routes that have one.
//!
//! It runs before the handler, so that whoever asks too often costs no query. Limits by person and
//! merchant need to know who calls: the token is verified here and what it says is left for
//! [`Auth`](super::extract::Auth), so it is verified once. A request whose token is not valid is
//! not counted: the handler refuses it at the cost of one HMAC, which is what counting would cost.
//!
//! The headers are those of draft-ietf-httpapi-ratelimit-headers-06 (the later drafts have fields
//! that clients do not know yet): `RateLimit-Limit`, `-Remaining` and `-Reset`, the seconds in
//! which all of it is back, and `RateLimit-Policy` as `5;w=60`. They are on every answer of a
//! limited route, problems included;
//! `Retry-After` is on the 429 alone.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{client_address::client_address, extract, problem::Problem};
use crate::{
    app::App,
    auth::Principal,
    limits::{Limit, LimitDecision, Per, Subject},
};

/// What a limited answer carries.
pub(super) static HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("ratelimit-policy"),
];

/// Lets a request through to its handler, or not.
pub(super) async fn keep(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let limit = route
        .and_then(|route| limit_of(request.method(), route.as_str()))
        .filter(|limit| app.limits().has(*limit));
    let Some(limit) = limit else {
        return next.run(request).await;
    };
    let Some(subject) = subject(&app, limit, &mut request) else {
        return next.run(request).await;
    };
    let Some(decision) = app.limits().measure(limit, &subject).await else {
        return next.run(request).await;
    };
    let mut response = match decision.retry_after_seconds() {
        None => next.run(request).await,
        Some(seconds) => too_often(seconds).into_response(),
    };
    write_headers(&decision, response.headers_mut());
    response
}

const fn too_often(seconds: u32) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "Too many requests: wait as long as Retry-After says; nothing was done",
        "操作过于频繁，请稍后再试",
    )
    .retry_after(seconds)
}

/// For whom the request counts; none when the token is not valid.
fn subject(app: &App, limit: Limit, request: &mut Request) -> Option<Subject> {
    match limit.per() {
        Per::Address => client_address(app.limit_settings(), request).map(Subject::address),
        Per::Person => verified_principal(app, request).map(person),
        Per::Merchant => verified_principal(app, request).map(|principal| match principal {
            Principal::Staff { merchant, .. } => Subject::Merchant(*merchant),
            Principal::Customer { .. } | Principal::Operator { .. } => person(principal),
        }),
    }
}

/// Who calls, also for the handler.
fn verified_principal<'a>(app: &App, request: &'a mut Request) -> Option<&'a Principal> {
    let principal = extract::verified(request.headers(), app).ok()?;
    tracing::Span::current().record("caller", tracing::field::display(principal.actor()));
    Some(request.extensions_mut().get_or_insert(principal))
}

fn person(principal: &Principal) -> Subject {
    match principal {
        Principal::Customer { id, .. } => Subject::Person(id.id()),
        Principal::Staff { id, .. } => Subject::Person(id.id()),
        Principal::Operator { tenant, name, .. } => Subject::Operator {
            tenant: *tenant,
            name: name.clone(),
        },
    }
}

fn write_headers(decision: &LimitDecision, headers: &mut HeaderMap) {
    let quota = decision.quota();
    let policy = format!("{};w={}", quota.count(), quota.period_seconds());
    let values = [
        HeaderValue::from(quota.count().get()),
        HeaderValue::from(decision.remaining()),
        HeaderValue::from(decision.reset_seconds()),
        HeaderValue::try_from(policy).expect("digits and punctuation"),
    ];
    for (name, value) in HEADERS.iter().zip(values) {
        headers.insert(name, value);
    }
}

/// Which limit a route has, new ones included; how many that is, the table in `config/limits.rs`
/// says. WeChat's callbacks have none and never wait for one: what customers do must not keep their
/// payments from being told. Neither have probes.
#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "that callbacks have none is worth a line of its own")]
pub(super) fn limit_of(method: &Method, path: &str) -> Option<Limit> {
    let Some(route) = path.strip_prefix("/api/v1/") else {
        let is_page = path.starts_with("/c/") || path.starts_with("/problems");
        return is_page.then_some(Limit::Public);
    };
    let (audience, route) = route.split_once('/')?;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let is_picture = matches!(route.rsplit_once('.'), Some((_, "svg" | "png")));
    match (audience, route, reads) {
        ("wechat", ..)                                         => None,
        ("auth", "wechat/login", _)                            => Some(Limit::Login),
        ("auth", ..)                                           => Some(Limit::Refresh),
        ("codes", ..)                                          => Some(Limit::Public),
        ("customer", "payments", false)                        => Some(Limit::CreatePayment),
        ("customer", points, true) if points.starts_with("points") => Some(Limit::Points),
        ("customer", _, true)                                  => Some(Limit::CustomerRead),
        ("customer", _, false)                                 => Some(Limit::CustomerWrite),
        ("merchant", "payments", false)                        => Some(Limit::Collect),
        ("merchant", _, true) if is_picture                    => Some(Limit::Picture),
        ("merchant", _, true)                                  => Some(Limit::MerchantRead),
        ("merchant", _, false)                                 => Some(Limit::MerchantWrite),
        ("admin", _, true)                                     => Some(Limit::OperatorRead),
        ("admin", _, false)                                    => Some(Limit::OperatorWrite),
        ("open", _, true)                                      => Some(Limit::OpenRead),
        ("open", _, false)                                     => Some(Limit::OpenWrite),
        _                                                      => None,
    }
}
