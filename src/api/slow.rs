//! Bodies that take too long: one that never ends would hold its place for ever.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::ApiState;

/// The body was not complete in time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not complete within {} s", .limit.as_secs())]
pub(super) struct TooSlow {
    limit: Duration,
}

impl TooSlow {
    /// The time that a body had, if that is what `error` is about.
    pub fn limit_of(error: &(dyn Error + 'static)) -> Option<Duration> {
        let mut link = Some(error);
        while let Some(error) = link {
            if let Some(slow) = error.downcast_ref::<Self>() {
                return Some(slow.limit);
            }
            link = error.source();
        }
        None
    }
}

/// Gives a body its time.
pub(super) async fn limit_body(State(state): State<ApiState>, request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let limit = state.body_time_max;
    request.map(|body| Body::new(Limited { body, limit, over: Box::pin(tokio::time::sleep(limit)) }))
}

/// A body that fails when its time is over.
struct Limited {
    body: Body,
    limit: Duration,
    over: Pin<Box<Sleep>>,
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // What is there is taken first, so that the timer costs nothing where nobody waits.
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {}
            Poll::Ready(frame) => return Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
        }
        match self.over.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Box::new(TooSlow { limit: self.limit })))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
