//! Answers that were kept, or are kept now.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::idempotency::OnceAnswer;

/// An answer of [`idempotency::once`](crate::idempotency::once), byte for byte, with
/// `Idempotency-Replayed: true` when it was given before.
#[derive(Debug)]
pub(super) struct Replayable(OnceAnswer);

impl From<OnceAnswer> for Replayable {
    fn from(answered: OnceAnswer) -> Self {
        Self(answered)
    }
}

impl IntoResponse for Replayable {
    fn into_response(self) -> Response {
        let OnceAnswer { answer, replayed } = self.0;
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}
