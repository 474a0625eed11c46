//! A stream that is still read for a moment after it was shut down.
//!
//! When a server closes a socket with unread bytes in it, the system sends a reset, and a client
//! that is still sending its body loses the answer (413, 401) that explains why (RFC 9112
//! section 9.6). So after the own end is closed, what still comes is read and dropped, within bounds.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits;

/// Wraps a stream; see the module.
pub(super) struct Lingering<S> {
    stream: S,
    shut: bool,
    dropped: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Lingering<S> {
    pub fn new(stream: S) -> Self {
        let deadline = Box::pin(tokio::time::sleep(Duration::ZERO));
        Lingering {
            stream,
            shut: false,
            dropped: 0,
            deadline,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shut = true;
            this.deadline
                .as_mut()
                .reset(Instant::now() + Duration::from_secs(limits::LINGER_SECONDS));
        }
        let mut bytes = [0; 8 * 1024];
        while this.dropped < limits::LINGER_BYTES {
            if this.deadline.as_mut().poll(context).is_ready() {
                break;
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => this.dropped += buffer.filled().len(),
                // The client has closed too, or is gone; both are an end.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
