//! A connection's bytes: what comes and goes is noted, and what hyper answers by itself becomes a
//! problem.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{connections::Slot, refused};
use crate::http::problem::Problem;

pub(super) struct Stream {
    inner: TcpStream,
    slot: Arc<Slot>,
    /// For a problem in hyper's place.
    trace_id: String,
    /// What goes out instead of what hyper wrote, and how much of it has.
    instead: Option<(Vec<u8>, usize)>,
    refused: Option<StatusCode>,
}

impl Stream {
    pub(super) const fn new(inner: TcpStream, slot: Arc<Slot>, trace_id: String) -> Self {
        Self {
            inner,
            slot,
            trace_id,
            instead: None,
            refused: None,
        }
    }

    /// The connection, and with what hyper refused a request of its own accord.
    pub(super) fn into_parts(self) -> (TcpStream, Option<StatusCode>) {
        (self.inner, self.refused)
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &mut self.instead {
            let rest = bytes.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                self.instead = None;
                break;
            }
            match Pin::new(&mut self.inner).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => {
                    *written = written.saturating_add(more);
                    self.slot.wrote(true);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.slot.wrote(false);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that is not one of ours: all of those have an `x-request-id`, and
/// hyper's own have no body.
fn bare(answer: &[u8]) -> Option<StatusCode> {
    let text = answer.strip_prefix(b"HTTP/1.")?;
    let status = StatusCode::from_bytes(text.get(2..5)?).ok()?;
    let head = answer.strip_suffix(b"\r\n\r\n")?;
    let head = std::str::from_utf8(head).ok()?;
    let ours = head
        .lines()
        .any(|line| line.to_ascii_lowercase().starts_with("x-request-id:"));
    (status.is_client_error() && !ours && !head.contains("\r\n\r\n")).then_some(status)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.slot.received();
        }
        Poll::Ready(read)
    }
}

/// One buffer at a time: answers are small, and hyper's own are then seen whole.
impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none()
            && self.refused.is_none()
            && let Some(status) = bare(buf)
        {
            let problem = refused::write(Problem::of_status(status), &self.trace_id);
            self.refused = Some(status);
            self.instead = Some((problem, 0));
        }
        if self.instead.is_some() {
            return Poll::Ready(ready!(self.poll_instead(cx)).map(|()| buf.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.slot.wrote(written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_says_by_itself_is_bare() {
        let hypers = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert_eq!(bare(hypers), Some(StatusCode::BAD_REQUEST));
        for ours in [
            b"HTTP/1.1 401 Unauthorized\r\nx-request-id: abc\r\ncontent-length: 0\r\n\r\n"
                .as_slice(),
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"{\"HTTP/1.1 400\": 1}",
            b"",
        ] {
            assert_eq!(bare(ours), None);
        }
    }
}
