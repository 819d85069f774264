//! `GET /healthz`, `/readyz`, `/metrics`

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde::Serialize;

use crate::{app::App, telemetry};

/// Alive
///
/// The process answers. Says nothing about what it needs.
#[utoipa::path(get, path = "/healthz", tag = "public", responses((status = 200, description = "Alive", body = String)))]
pub(in crate::http) async fn healthz() -> &'static str {
    "ok"
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Readiness {
    /// The database answers, every committer holds its lease, and this machine's clock is the
    /// database's to within a minute. Required.
    database: bool,
    /// Without it everything works, some of it slower.
    redis: bool,
}

/// Ready
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "public",
    responses(
        (status = 200, description = "Send requests", body = Readiness),
        (status = 503, description = "Send none", body = Readiness),
    ),
)]
pub(in crate::http) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let database = app.db().is_ready().await;
    let status = if database {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Readiness {
            database,
            redis: app.cache().is_up(),
        }),
    )
}

/// Metrics in Prometheus's text format
#[utoipa::path(get, path = "/metrics", tag = "public", responses((status = 200, description = "Metrics", body = String)))]
pub(in crate::http) async fn metrics() -> ([(HeaderName, &'static str); 1], String) {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        telemetry::render(),
    )
}
