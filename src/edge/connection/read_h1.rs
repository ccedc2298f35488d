//! HTTP/1 from the wire through the gate, and the deadlines of heads, bodies and idle connections.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::chunked::ChunkFault;
use super::gate::{Gate, Want};
use super::{Connection, HeadFault, Wire};
use crate::config::Limits;

#[derive(Debug)]
pub(super) struct H1 {
    gate: Gate,
    limits: Limits,
    alarm: Alarm,
    /// Since when the connection waits for what it waits for; `None`: it did not wait when it was last looked at.
    since: Option<Instant>,
    /// The first request has not come yet.
    first: bool,
    /// A byte of the awaited head has come, and its deadline runs.
    begun: bool,
    /// A head has passed since this was last asked.
    passed: bool,
}

impl H1 {
    /// Starts the clock of the first request.
    pub fn new(limits: Limits) -> Self {
        Self {
            gate: Gate::new(limits.header_bytes, limits.header_count),
            limits,
            alarm: Alarm::default(),
            since: Some(Instant::now()),
            first: true,
            begun: false,
            passed: false,
        }
    }

    /// A 101 response has gone out.
    pub fn open_tunnel(&mut self) {
        self.gate.open_tunnel();
    }

    pub fn asked_for_websocket(&self) -> bool {
        self.gate.websocket()
    }

    /// Whether a request has begun since this was last asked.
    pub fn take_begun(&mut self) -> bool {
        std::mem::take(&mut self.passed)
    }

    pub fn poll(
        &mut self,
        wire: &mut Wire,
        connection: &Connection,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.gate.give(out) {
                Ok(false) => {}
                Ok(true) => return self.progress(Ok(())),
                Err(fault) => return Poll::Ready(Err(broken(connection, fault))),
            }
            match self.gate.want() {
                Want::Head => {
                    if !ready!(self.poll_head(wire, connection, cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Want::Body => return self.poll_body(wire, connection, cx, out),
                Want::Answer => {
                    if !self.answered(connection) && !ready!(self.poll_answer(wire, connection, cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Want::Tunnel => {
                    connection.waker().register(cx.waker());
                    return Pin::new(wire).poll_read(cx, out);
                }
                Want::Refused => return self.poll_refused(wire, connection, cx),
            }
        }
    }

    fn progress<T>(&mut self, result: T) -> Poll<T> {
        self.since = None;
        Poll::Ready(result)
    }

    /// Gathers a head. False: there will be none, the connection ends here.
    fn poll_head(&mut self, wire: &mut Wire, connection: &Connection, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if self.gate.holds() {
                match self.gate.judge() {
                    Ok(false) => {}
                    Ok(true) => {
                        connection.reset_request_done();
                        (self.first, self.begun, self.passed) = (false, false, true);
                        return self.progress(Ok(true));
                    }
                    Err(fault) => return self.refuse(connection, fault),
                }
            }
            if !self.begun && self.gate.begun() {
                self.begun = true;
                if !self.first {
                    self.since = Some(Instant::now());
                }
            }
            match pin!(wire.read_buf(self.gate.buffer())).poll(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(false)),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    let wait =
                        if self.begun || self.first { self.limits.head_timeout } else { self.limits.idle_timeout };
                    ready!(self.poll_deadline(wait, cx));
                    if self.begun {
                        return self.refuse(connection, HeadFault::Timeout);
                    }
                    connection.set_ended_because("idle");
                    return Poll::Ready(Ok(false));
                }
            }
        }
    }

    fn refuse(&mut self, connection: &Connection, fault: HeadFault) -> Poll<io::Result<bool>> {
        connection.set_head_fault(fault);
        self.gate.refuse();
        self.passed = true;
        self.progress(Ok(true))
    }

    /// Body bytes go straight into pingora's buffer; what follows the body is taken back and held.
    fn poll_body(
        &mut self,
        wire: &mut Wire,
        connection: &Connection,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        if Pin::new(wire).poll_read(cx, out)?.is_pending() {
            ready!(self.poll_deadline(self.limits.body_timeout, cx));
            connection.set_ended_because("body-timeout");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request body stands still")));
        }
        let read = &out.filled()[before..];
        match self.gate.took(read) {
            Ok(taken) => {
                self.gate.hold(&read[taken..]);
                out.set_filled(before + taken);
                self.progress(Ok(()))
            }
            Err(fault) => {
                out.set_filled(before);
                Poll::Ready(Err(broken(connection, fault)))
            }
        }
    }

    /// Moves on when the request has been answered, or has become a tunnel.
    fn answered(&mut self, connection: &Connection) -> bool {
        if connection.is_upgraded() {
            self.gate.open_tunnel();
        } else if connection.take_request_done() {
            self.gate.next();
            self.since = None;
        } else {
            return false;
        }
        true
    }

    /// Waits for the answer to go out, and notices a client that leaves meanwhile (false). A next request that comes
    /// early is held: pingora would take it for an error.
    fn poll_answer(
        &mut self,
        wire: &mut Wire,
        connection: &Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        connection.waker().register(cx.waker());
        // Asked again because it may have happened before the waker was there to tell.
        if self.answered(connection) {
            return Poll::Ready(Ok(true));
        }
        if !self.gate.holds() && ready!(pin!(wire.read_buf(self.gate.buffer())).poll(cx)?) == 0 {
            return Poll::Ready(Ok(false));
        }
        Poll::Pending
    }

    /// Throws away what comes. Not even the client's end is passed on, so that the refusal goes out.
    fn poll_refused(&mut self, wire: &mut Wire, connection: &Connection, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 1024];
        loop {
            let mut scratch = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut *wire).poll_read(cx, &mut scratch)?;
            if read.is_pending() || scratch.filled().is_empty() {
                break;
            }
        }
        ready!(self.poll_deadline(self.limits.head_timeout, cx));
        connection.set_ended_because("refusal-timeout");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the refusal was not written in time")))
    }

    fn poll_deadline(&mut self, wait: std::time::Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.alarm.poll(since + wait, cx)
    }
}

fn broken(connection: &Connection, fault: ChunkFault) -> io::Error {
    connection.set_ended_because("malformed-body");
    io::Error::new(io::ErrorKind::InvalidData, fault)
}
