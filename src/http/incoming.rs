//! What comes in is bounded before anything is done with it: its size, its time, and whether its
//! connection is good for it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::problem::Problem;
use crate::app::App;

/// The request came by a connection of the reserve: only some are answered there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserve;

/// Refuses at once what says that it is too large, or comes by a connection that is for others; and
/// after a while what does not come.
pub(super) async fn bound(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Reserve>().is_some() && !is_reserved(request.uri().path()) {
        return last(Problem::crowded());
    }
    let most = u64::try_from(app.http().body_max_bytes).unwrap_or(u64::MAX);
    if length(request.headers()).is_some_and(|length| length > most) {
        return last(Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let late = Arc::new(AtomicBool::new(false));
    let time = app.http().connections.body_timeout;
    let request = request.map(|body| {
        if body.is_end_stream() {
            body
        } else {
            Body::new(Timed {
                body,
                time,
                end: None,
                late: Arc::clone(&late),
            })
        }
    });
    let response = next.run(request).await;
    // Bodies are read whole before anything is done, so nothing was.
    if late.load(Ordering::Relaxed) {
        return last(Problem::too_slow());
    }
    response
}

/// Whom the reserve is for: those who tell us of money, and those who ask whether we live.
fn is_reserved(path: &str) -> bool {
    path.starts_with("/api/v1/wechat/notify/")
        || matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// What the caller says that it is going to send.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// An answer with which the connection ends: what is still on its way is not read.
fn last(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body that has to be there in time, from when it is first asked for.
struct Timed {
    body: Body,
    time: Duration,
    end: Option<Pin<Box<Sleep>>>,
    late: Arc<AtomicBool>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let time = self.time;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(time)));
        if end.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err("the body did not arrive in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
