//! HTTP/2 from the wire past the frame tracker, and the deadlines of the first request, of header blocks and of bodies.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::h2_frames::{Frames, Waiting};
use super::{Connection, Wire};
use crate::config::Limits;

#[derive(Debug)]
pub(super) struct H2 {
    frames: Frames,
    alarm: Alarm,
    head_timeout: Duration,
    body_timeout: Duration,
    born: Instant,
    /// Since when no byte has come; `None`: one had come when this was last looked at.
    silent: Option<Instant>,
    /// The frame or block that is awaited, and since when.
    turn: (u64, Instant),
}

impl H2 {
    /// Starts the clock of the first request.
    pub fn new(limits: Limits) -> Self {
        let born = Instant::now();
        Self {
            frames: Frames::new(limits.header_bytes),
            alarm: Alarm::default(),
            head_timeout: limits.head_timeout,
            body_timeout: limits.body_timeout,
            born,
            silent: None,
            turn: (0, born),
        }
    }

    pub fn poll(
        &mut self,
        wire: &mut Wire,
        connection: &Connection,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        if Pin::new(wire).poll_read(cx, out)?.is_pending() {
            let Some((deadline, why)) = self.deadline(connection) else { return Poll::Pending };
            ready!(self.alarm.poll(deadline, cx));
            connection.set_ended_because(why);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        self.silent = None;
        self.frames.advance(&out.filled()[before..]).map_err(|fault| {
            connection.set_ended_because(fault.reason());
            io::Error::new(io::ErrorKind::InvalidData, fault)
        })?;
        Poll::Ready(Ok(()))
    }

    /// By when something has to come, and the reason that is counted when it does not.
    fn deadline(&mut self, connection: &Connection) -> Option<(Instant, &'static str)> {
        let now = Instant::now();
        let silent = *self.silent.get_or_insert(now);
        let (waiting, turn) = self.frames.waiting();
        if self.turn.0 != turn {
            self.turn = (turn, now);
        }
        let head = match waiting {
            Waiting::FirstRequest => Some(self.born + self.head_timeout),
            Waiting::Block => Some(self.turn.1 + self.head_timeout),
            Waiting::Idle | Waiting::Data => None,
        };
        let body = waiting == Waiting::Data || connection.bodies() > 0;
        let body = body.then(|| silent + self.body_timeout);
        [(head, "head-timeout"), (body, "body-timeout")]
            .into_iter()
            .filter_map(|(deadline, why)| deadline.map(|deadline| (deadline, why)))
            .min()
    }
}
