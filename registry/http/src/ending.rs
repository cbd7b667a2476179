//! When an answer is complete: a request lasts until the last byte of its answer is known.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::connection::{Activity, Phase};

/// The body of an answer. Its connection is in the phase of a request while the body makes more of
/// it, in that of a piece while what was made is sent, and in that of an answer after its end.
pub(crate) struct Ending<B> {
    body: B,
    activity: Option<Arc<Activity>>,
}

impl<B> Ending<B> {
    pub(crate) fn new(body: B, activity: Arc<Activity>) -> Self {
        Self { body, activity: Some(activity) }
    }

    fn enter(&self, phase: Phase) {
        if let Some(activity) = &self.activity {
            activity.enter(phase);
        }
    }

    fn end(&mut self) {
        if let Some(activity) = self.activity.take() {
            activity.enter(Phase::Answer);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.enter(Phase::Request);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.end();
        } else {
            // The body is not asked for more before its client has read some.
            self.enter(Phase::Piece);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that is not read to its end, such as that of a `HEAD`, ends here.
impl<B> Drop for Ending<B> {
    fn drop(&mut self) {
        self.end();
    }
}
