//! The body of an answer as hyper takes it: in pieces, each made only when the client has taken
//! the one before. A step of a stream is computed on the blocking pool under a permit of its
//! own, which is given back with the step, so a slow reader holds no thread and no permit.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Span;

use super::metrics::Metrics;
use super::pulse::Beat;
use super::receive::Held;
use crate::dav;
use crate::limits;
use crate::seal::wiped;
use crate::vault::VaultError;

/// A body to send.
pub(super) struct Answer {
    content: Content,
    beat: Option<Beat>,
    pace: Pace,
    /// Where its bytes are counted.
    metrics: Option<Arc<Metrics>>,
    /// What it takes of the memory for bodies, if it is large.
    _held: Option<Held>,
}

/// How long the client has kept this answer waiting, and what it took meanwhile: one that takes a
/// byte now and then is never idle, and would hold a large answer for hours.
#[derive(Debug, Default)]
struct Pace {
    handed_over: Option<Instant>,
    waited: Duration,
    sent: usize,
}

impl Pace {
    /// The client came for more. Whether it takes at least `limits::ANSWER_BYTES_PER_SECOND`, the
    /// first `limits::IDLE_SECONDS` aside.
    fn is_kept(&mut self) -> bool {
        self.waited += self
            .handed_over
            .take()
            .map_or(Duration::ZERO, |since| since.elapsed());
        let due = self.sent as u64 / limits::ANSWER_BYTES_PER_SECOND;
        self.waited <= Duration::from_secs(limits::IDLE_SECONDS + due)
    }

    fn handed_over(&mut self, bytes: usize) {
        self.sent += bytes;
        self.handed_over = Some(Instant::now());
    }
}

enum Content {
    Bytes(Bytes),
    Steps(dav::Steps, Workshop),
    /// A step is being computed.
    Step(StepFuture, Workshop),
    Over,
}

/// Where steps are computed: under a permit, and under the request's name in the log.
#[derive(Clone)]
struct Workshop {
    permits: Arc<Semaphore>,
    span: Span,
}

type StepFuture = Pin<Box<dyn Future<Output = Option<StepDone>> + Send>>;

/// The rest of the steps, and the one that was computed.
type StepDone = (dav::Steps, Option<Result<Bytes, Broken>>);

/// A step failed, or the client is too slow: the connection is cut, since the head of the answer
/// is gone already.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the answer was cut")
    }
}

impl std::error::Error for Broken {}

impl Answer {
    pub fn bytes(bytes: Bytes) -> Answer {
        Answer {
            content: Content::Bytes(bytes),
            beat: None,
            pace: Pace::default(),
            metrics: None,
            _held: None,
        }
    }

    /// From a body of the dav floor; `permits` are shared by the steps of all answers, and `span`
    /// tells in the log whose a step is.
    pub fn of(body: dav::Body, permits: &Arc<Semaphore>, span: Span) -> Answer {
        let permits = Arc::clone(permits);
        let content = match body {
            dav::Body::Empty => Content::Bytes(Bytes::new()),
            dav::Body::Full(bytes) => Content::Bytes(bytes),
            dav::Body::Stream(steps) => Content::Steps(steps, Workshop { permits, span }),
        };
        Answer {
            content,
            beat: None,
            pace: Pace::default(),
            metrics: None,
            _held: None,
        }
    }

    /// Bytes that stay in memory until the client has taken the last of them.
    pub fn buffered(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) if bytes.len() > limits::STREAM_STEP_BYTES => bytes.len(),
            _ => 0,
        }
    }

    /// With the memory that it takes, given back when it was sent or is given up.
    pub fn holding(mut self, held: Held) -> Answer {
        self._held = Some(held);
        self
    }

    /// With what counts its bytes.
    pub fn counted(mut self, metrics: Arc<Metrics>) -> Answer {
        self.metrics = Some(metrics);
        self
    }

    /// From now on the connection waits for the client to take this.
    pub fn with(mut self, beat: Beat) -> Answer {
        beat.waiting();
        self.beat = Some(beat);
        self
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match std::mem::replace(&mut self.content, Content::Over) {
                Content::Over => return Poll::Ready(None),
                Content::Bytes(bytes) if bytes.is_empty() => return Poll::Ready(None),
                Content::Bytes(mut bytes) => {
                    let piece = bytes.split_to(bytes.len().min(limits::STREAM_STEP_BYTES));
                    self.content = Content::Bytes(bytes);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Content::Steps(steps, workshop) => {
                    let step = Box::pin(compute(steps, workshop.clone()));
                    self.content = Content::Step(step, workshop);
                }
                Content::Step(mut step, workshop) => {
                    let Poll::Ready(done) = step.as_mut().poll(context) else {
                        self.content = Content::Step(step, workshop);
                        return Poll::Pending;
                    };
                    let Some((steps, piece)) = done else {
                        return Poll::Ready(Some(Err(Broken)));
                    };
                    match piece {
                        Some(Ok(piece)) => {
                            self.content = Content::Steps(steps, workshop);
                            if !piece.is_empty() {
                                return Poll::Ready(Some(Ok(piece)));
                            }
                        }
                        end => return Poll::Ready(end),
                    }
                }
            }
        }
    }
}

async fn compute(mut steps: dav::Steps, workshop: Workshop) -> Option<StepDone> {
    let Workshop { permits, span } = workshop;
    let permit = permits.acquire_owned().await.ok()?;
    let named = span.clone();
    let work = move || {
        let _permit = permit;
        let step = span.in_scope(|| {
            let step = wiped(|| steps.next());
            step.map(|result| {
                result.map_err(|error| {
                    match error {
                        VaultError::Missing => tracing::info!(
                            "a streamed answer was cut: what it tells of was overwritten or deleted"
                        ),
                        error => tracing::error!(
                            ?error,
                            "a streamed answer was cut: its next step failed"
                        ),
                    }
                    Broken
                })
            })
        });
        (steps, step)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(_) => {
            named.in_scope(|| {
                tracing::error!("a streamed answer was cut: its next step panicked");
            });
            None
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Some(beat) = &this.beat {
            beat.working();
        }
        if !this.pace.is_kept() {
            tracing::debug!("an answer was cut: the client takes it too slowly");
            this.content = Content::Over;
            return Poll::Ready(Some(Err(Broken)));
        }
        let piece = ready!(this.poll_piece(context));
        if let Some(Ok(piece)) = &piece {
            this.pace.handed_over(piece.len());
            if let Some(metrics) = &this.metrics {
                metrics.bytes_out.more(piece.len() as u64);
            }
        }
        if let Some(beat) = &this.beat {
            beat.waiting();
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_empty(),
            Content::Over => true,
            Content::Steps(..) | Content::Step(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Over => SizeHint::with_exact(0),
            Content::Steps(..) | Content::Step(..) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_trickles_is_cut_and_a_slow_one_is_not() {
        // (bytes a piece, seconds between pieces, whether it may go on)
        for (piece, seconds, kept) in [(65_536, 10, true), (65_536, 20, false), (64, 1, false)] {
            let mut pace = Pace::default();
            let all = (0..500).all(|_| {
                let kept = pace.is_kept();
                pace.handed_over(piece);
                pace.waited += Duration::from_secs(seconds);
                kept
            });
            assert_eq!(all, kept, "{piece} bytes each {seconds} s");
        }
    }
}
