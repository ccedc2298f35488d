//! What goes out on HTTP/1: small writes are joined, responses are watched for a 101, and a WebSocket's frames are
//! followed. HTTP/2 does its own buffering and passes by.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::Wire;
use super::websocket::Frames;

/// The state of the writing side.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// Taken from pingora and not on the wire yet.
    buffer: BytesMut,
    response: Response,
    /// A WebSocket's frames, from the end of its 101 response.
    pub frames: Option<Frames>,
    pub closing: Closing,
    /// Our side of the stream has been ended.
    pub ended: bool,
}

/// Where in a response the next byte belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Response {
    /// At the start of a response head: pingora writes each head in one piece.
    #[default]
    Awaited,
    /// So many bytes of an interim response (100, 103) are to come.
    Interim(usize),
    /// Somewhere in the final response.
    Passing,
    /// In the head of a 101 response, so far into the line ends that close it.
    Switching(u8),
    Tunnel,
}

/// How far the end of a WebSocket has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Closing {
    #[default]
    No,
    /// So many bytes of the close frame are out.
    Frame(usize),
    Flush,
    Shutdown,
    /// Until the client has closed its side.
    Drain,
    Done,
}

/// A response head and a small body go out in one segment and one TLS record.
const JOIN: usize = 4096;

impl Outlet {
    /// A request has begun: what is written next starts its response.
    pub fn expect_response(&mut self) {
        if self.response != Response::Tunnel {
            self.response = Response::Awaited;
        }
    }

    /// Takes response bytes, to be sent now or with what follows.
    pub fn poll_put(&mut self, wire: &mut Wire, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.response != Response::Tunnel && self.buffer.len() + bytes.len() <= JOIN {
            self.buffer.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        while !self.buffer.is_empty() {
            let both = [IoSlice::new(&self.buffer), IoSlice::new(bytes)];
            let sent = ready!(Pin::new(&mut *wire).poll_write_vectored(cx, &both))?;
            if sent > self.buffer.len() {
                let sent = sent - self.buffer.len();
                self.buffer.clear();
                return Poll::Ready(Ok(sent));
            }
            self.sent(sent)?;
        }
        Pin::new(wire).poll_write(cx, bytes)
    }

    /// Sends what was held back.
    pub fn poll_empty(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let sent = ready!(Pin::new(&mut *wire).poll_write(cx, &self.buffer))?;
            self.sent(sent)?;
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.buffer.advance(bytes);
        Ok(())
    }

    /// Follows the response: the first `taken` of `bytes` were taken. True when the head of a 101 begins with them.
    pub fn follow(&mut self, bytes: &[u8], taken: usize) -> bool {
        if taken == 0 {
            return false;
        }
        match self.response {
            Response::Tunnel => {
                if let Some(frames) = &mut self.frames {
                    frames.advance(&bytes[..taken]);
                }
            }
            Response::Passing => {}
            Response::Interim(left) => {
                let left = left.saturating_sub(taken);
                self.response = if left == 0 { Response::Awaited } else { Response::Interim(left) };
            }
            Response::Switching(_) => self.follow_switch(&bytes[..taken]),
            Response::Awaited if bytes.starts_with(b"HTTP/1.1 101") => {
                self.response = Response::Switching(0);
                self.frames = Some(Frames::default());
                self.follow_switch(&bytes[..taken]);
                return true;
            }
            Response::Awaited if bytes.starts_with(b"HTTP/1.1 1") => {
                let left = bytes.len() - taken;
                self.response = if left == 0 { Response::Awaited } else { Response::Interim(left) };
            }
            Response::Awaited => self.response = Response::Passing,
        }
        false
    }

    fn follow_switch(&mut self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            let Response::Switching(matched) = self.response else { return };
            let matched = match (matched, byte) {
                (0 | 2, b'\r') | (1 | 3, b'\n') => matched + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            self.response = Response::Switching(matched);
            if matched == 4 {
                self.response = Response::Tunnel;
                if let Some(frames) = &mut self.frames {
                    frames.advance(&bytes[at + 1..]);
                }
            }
        }
    }

    /// The 101 response is out as a whole.
    pub fn in_tunnel(&self) -> bool {
        self.response == Response::Tunnel
    }
}
