//! The time in which a connection is served: from the head of a request to the end of its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::connections::Slot;

/// Until it is dropped.
pub(super) struct Served(Arc<Slot>);

impl Served {
    pub(super) fn begin(slot: &Arc<Slot>) -> Self {
        slot.serve();
        Self(Arc::clone(slot))
    }

    /// As long as this body is not all given.
    pub(super) const fn with(self, body: Body) -> ServedBody {
        ServedBody {
            body,
            _served: self,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// An answer's body that ends the serving when it ends.
pub(super) struct ServedBody {
    body: Body,
    _served: Served,
}

impl HttpBody for ServedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
