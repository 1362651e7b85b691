//! A channel in memory whose far end said everything beforehand, in pieces of its own choosing, and then left.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The channel. What is written to it is counted, taken a few bytes at a time, and dropped.
pub(crate) struct Wire {
    pieces: VecDeque<Vec<u8>>,
    write_bytes: usize,
    rest: bool,
}

impl Wire {
    /// Gives `pieces` one a read, then the end; takes at most `write_bytes` a write, and makes every other one wait.
    pub(crate) fn new(pieces: &[&[u8]], write_bytes: usize) -> Self {
        Self {
            pieces: pieces.iter().map(|piece| piece.to_vec()).collect(),
            write_bytes: write_bytes.max(1),
            rest: false,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.pieces.pop_front() {
            let taken = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece[..taken]);
            if taken < piece.len() {
                self.pieces.push_front(piece.split_off(taken));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.rest = !self.rest;
        if self.rest && !self.pieces.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(bytes.len().min(self.write_bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
