//! Connections: who gets one, for how long, and who gets none.
//!
//! hyper speaks HTTP; what is around it is here, since whoever serves strangers has to say how long
//! it waits for them and how many it keeps.
//!
//! A connection is *waiting* (for a request's head, or between two requests) or *served* (its head
//! was read and its answer is not yet written). Only what waits can be taken away from somebody;
//! what is served ends by the time limits of bodies and requests.
//!
//! | | how long | then |
//! |---|---|---|
//! | a request's head | `head_timeout` from its first byte, or from the connection's begin | 408 `request_too_slow`, closed |
//! | nothing, after an answer | `idle_timeout` | closed |
//! | a request's body | `body_timeout` (the middleware's) | 408 `request_too_slow`, closed |
//! | an answer that is not taken | [`STALLED`] without a byte | closed |
//!
//! Bounds (`connections`): so many in all, so many of one address (a network of 64 bits for IPv6).
//! At a bound the connection that has waited longest makes room, of that address or of all;
//! connections of trusted proxies last, and are not counted by address, since a proxy brings
//! everybody. So whoever opens connections and says nothing loses them to whoever has something to
//! say. Where nobody waits, all being served, a few more are taken, the *reserve*: their requests
//! are answered 503 `too_many_connections` at once unless they are WeChat's callbacks or probes.
//! Whether a request is a callback is only known once its head was read, hence this way round. When
//! the reserve is full as well, what comes is left to the kernel's queue.
//!
//! The bound is lowered to what the process's file descriptors allow, so that the database, Redis
//! and WeChat never go without because of callers. Should descriptors run out all the same,
//! accepting rests for a while, longer each time.
//!
//! What hyper refuses by itself (a head that is not HTTP, one too large) it answers without a body;
//! `stream` puts a problem in its place. All of this is counted in
//! `http_connections_refused_total{reason}`, and logged, a few lines a minute for each reason.
//! Addresses are neither logged nor told.

mod connections;
mod refused;
mod served;
mod stream;

use std::{convert::Infallible, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use self::{
    connections::{Admission, Connections, Overdue, Seat},
    refused::{Reason, Refusals},
    served::{Served, ServedBody},
    stream::Stream,
};
use super::{incoming::Reserve, problem::Problem, router::router};
use crate::app::App;

/// How long an answer may find no taker.
const STALLED: Duration = Duration::from_secs(30);

/// How long the other side may go on talking after the last word to it.
const LINGER: Duration = Duration::from_secs(1);

/// The most of a head, give or take what is read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long accepting rests after it failed for want of something, the first time and at most.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Answers until `stopping`, and then what was taken: ends when the last connection did.
pub async fn serve(listener: TcpListener, app: App, stopping: CancellationToken) {
    let edge = Arc::new(ServerState {
        connections: Connections::new(app.http(), &app.limit_settings().trusted_proxies),
        refusals: Refusals::default(),
        router: router(app.clone()),
        app,
    });
    let tasks = TaskTracker::new();
    let mut rest = REST.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            accepted = edge.next(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                rest = REST.0;
                edge.admit(stream, peer, &tasks, &stopping);
            }
            // The caller hung up in the queue.
            Err(error) if is_callers(&error) => {}
            Err(error) => {
                edge.refusals.note(Reason::NotAccepted(error.kind()));
                edge.connections.make_room();
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = sleep(rest) => rest = (rest * 2).min(REST.1),
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

fn is_callers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// What all connections share.
struct ServerState {
    app: App,
    router: Router,
    connections: Arc<Connections>,
    refusals: Refusals,
}

impl ServerState {
    /// The next connection, once there is room for it.
    async fn next(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        self.connections.room().await;
        listener.accept().await
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) {
        // Small answers go out at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        match self.connections.admit(peer.ip(), Instant::now()) {
            Admission::Admitted(seat) => {
                let (edge, stopping) = (Arc::clone(self), stopping.clone());
                tasks.spawn(async move { edge.keep(stream, peer, seat, stopping).await });
            }
            Admission::Refused(reason) => {
                self.refusals.note(reason);
                // Into the empty buffer of a new connection, or not at all: nobody waits for this
                // one.
                let _ = stream.try_write(&refused::write(Problem::crowded(), &self.trace_id()));
            }
        }
    }

    /// One connection, from its first byte to its last.
    async fn keep(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        seat: Seat,
        stopping: CancellationToken,
    ) {
        let slot = seat.slot();
        let stream = Stream::new(stream, Arc::clone(slot), self.trace_id());
        let service = service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            if self.connections.is_reserve(slot) {
                request.extensions_mut().insert(Reserve);
            }
            let (router, served) = (self.router.clone(), Served::begin(slot));
            let answer: ServedResponse = Box::pin(async move {
                let Ok(response) = router.oneshot(request).await;
                Ok(response.map(|body| served.with(body)))
            });
            answer
        });
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut told = false;
        let end = loop {
            tokio::select! {
                biased;
                () = slot.taken().cancelled() => break End::Taken,
                ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
                    break match ended {
                        Ok(()) => End::Done,
                        Err(error) => End::Broken(error),
                    };
                }
                () = stopping.cancelled(), if !told => {
                    Pin::new(&mut connection).graceful_shutdown();
                    told = true;
                }
                () = sleep_until(slot.deadline(&self.connections)) => {
                    if let Some(overdue) = slot.overdue(&self.connections) {
                        break End::Overdue(overdue);
                    }
                }
            }
        };
        let stream = connection.into_parts().io.into_inner();
        self.part(stream, end).await;
    }

    /// Says what there is to say, and hangs up.
    async fn part(&self, stream: Stream, end: End) {
        let (mut stream, refused) = stream.into_parts();
        let reason = match end {
            // The bare answer went through the stream, which knows it.
            End::Done | End::Broken(_) if refused.is_some() => refused.map(Reason::Refused),
            End::Done => None,
            End::Broken(error) if error.is_parse_version_h2() => {
                let problem = refused::write(Problem::http_1_only(), &self.trace_id());
                let _ = timeout(LINGER, stream.write_all(&problem)).await;
                Some(Reason::Http2)
            }
            End::Broken(error) => {
                tracing::debug!(%error, "a connection broke");
                None
            }
            End::Taken => {
                self.refusals.note(Reason::Crowded);
                return;
            }
            End::Overdue(Overdue::Head { begun }) => {
                let problem = refused::write(Problem::too_slow(), &self.trace_id());
                let _ = timeout(LINGER, stream.write_all(&problem)).await;
                begun.then_some(Reason::SlowHead)
            }
            End::Overdue(Overdue::Idle) => return,
            End::Overdue(Overdue::Stalled) => {
                self.refusals.note(Reason::Stalled);
                return;
            }
        };
        if let Some(reason) = reason {
            self.refusals.note(reason);
        }
        // What has not been read yet would make the kernel take the answer back.
        let _ = timeout(LINGER, async {
            stream.shutdown().await?;
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    }

    fn trace_id(&self) -> String {
        format!(
            "{:016x}{:016x}",
            self.app.db().random(),
            self.app.db().random()
        )
    }
}

type ServedResponse =
    Pin<Box<dyn Future<Output = Result<Response<ServedBody>, Infallible>> + Send>>;

/// How a connection ends.
enum End {
    /// Closed in order, by either side.
    Done,
    Broken(hyper::Error),
    /// Somebody else needs its place.
    Taken,
    Overdue(Overdue),
}
