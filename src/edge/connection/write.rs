//! The writing side of a connection, and the close frame that goes between two of a WebSocket's own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn::{Conn, Protocol};
use super::outlet::Closing;
use super::read::Inlet;

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let conn = self.get_mut();
        let taken = match conn.protocol {
            Protocol::H2 => ready!(Pin::new(&mut conn.wire).poll_write(cx, bytes))?,
            Protocol::H1 => ready!(conn.poll_write_h1(cx, bytes))?,
        };
        conn.connection.add_out(taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.protocol == Protocol::H1 {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        let conn = self.get_mut();
        let taken = ready!(Pin::new(&mut conn.wire).poll_write_vectored(cx, bufs))?;
        conn.connection.add_out(taken);
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.protocol == Protocol::H2
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let conn = self.get_mut();
        if conn.poll_close_frame(cx) {
            return Poll::Ready(Ok(()));
        }
        ready!(conn.outlet.poll_empty(&mut conn.wire, cx))?;
        Pin::new(&mut conn.wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let conn = self.get_mut();
        ready!(conn.outlet.poll_empty(&mut conn.wire, cx))?;
        conn.outlet.ended = true;
        Pin::new(&mut conn.wire).poll_shutdown(cx)
    }
}

impl Conn {
    fn poll_write_h1(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.poll_close_frame(cx) {
            // Nothing may follow our close frame: swallowed.
            return Poll::Ready(Ok(bytes.len()));
        }
        let bytes = match &self.outlet.frames {
            Some(frames) if self.outlet.in_tunnel() && self.connection.closing().is_some() => {
                &bytes[..frames.to_boundary(bytes)]
            }
            _ => bytes,
        };
        let taken = ready!(self.outlet.poll_put(&mut self.wire, cx, bytes))?;
        if self.outlet.follow(bytes, taken) {
            self.switch_protocols();
        }
        if self.outlet.frames.is_some() && self.connection.closing().is_some() {
            // That may have been the end of a frame.
            self.poll_close_frame(cx);
        }
        Poll::Ready(Ok(taken))
    }

    /// A 101 response goes out.
    fn switch_protocols(&mut self) {
        let Inlet::H1(h1) = &mut self.inlet else { return };
        h1.open_tunnel();
        if h1.asked_for_websocket() {
            self.connection.set_framed();
        } else {
            self.outlet.frames = None;
        }
        // A read that waits for the answer is to look again.
        self.connection.waker().wake();
    }

    /// Ends a WebSocket that was told to close and stands between two frames: a close frame, our end of the stream,
    /// and then the client's. False when there is nothing of the kind to do.
    pub(super) fn poll_close_frame(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(frames) = &self.outlet.frames else { return false };
        let Some(reason) = self.connection.closing() else { return false };
        if self.outlet.closing == Closing::No {
            if !self.outlet.in_tunnel() || !frames.at_boundary() {
                return false;
            }
            // After the backend's own close frame no other may come (RFC 6455 §5.5.1).
            self.outlet.closing = if frames.closed() { Closing::Flush } else { Closing::Frame(0) };
        }
        // An error means that the client is gone already.
        if let Poll::Ready(Err(_)) = self.poll_closing(cx, reason.frame()) {
            self.outlet.closing = Closing::Done;
        }
        if self.outlet.closing == Closing::Done {
            self.connection.set_close_sent();
        }
        true
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>, frame: &[u8]) -> Poll<io::Result<()>> {
        let Conn { wire, outlet, .. } = self;
        loop {
            match outlet.closing {
                Closing::No | Closing::Done => return Poll::Ready(Ok(())),
                Closing::Frame(sent) if sent < frame.len() => {
                    ready!(outlet.poll_empty(wire, cx))?;
                    let more = ready!(Pin::new(&mut *wire).poll_write(cx, &frame[sent..]))?;
                    outlet.closing = Closing::Frame(sent + more);
                }
                Closing::Frame(_) => outlet.closing = Closing::Flush,
                Closing::Flush => {
                    ready!(outlet.poll_empty(wire, cx))?;
                    ready!(Pin::new(&mut *wire).poll_flush(cx))?;
                    outlet.closing = Closing::Shutdown;
                }
                Closing::Shutdown => {
                    ready!(Pin::new(&mut *wire).poll_shutdown(cx))?;
                    outlet.closing = Closing::Drain;
                }
                Closing::Drain => {
                    let mut scratch = [0; 1024];
                    let mut scratch = ReadBuf::new(&mut scratch);
                    ready!(Pin::new(&mut *wire).poll_read(cx, &mut scratch))?;
                    if scratch.filled().is_empty() {
                        outlet.closing = Closing::Done;
                    }
                }
            }
        }
    }
}
