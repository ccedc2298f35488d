//! What of the client's HTTP/1 bytes may reach pingora, and when: a head once it is whole and sound, then the body it
//! announced, then nothing until that request is done. Knows no socket and no clock.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::HeadFault;
use super::chunked::{ChunkFault, Chunks};
use super::head::{Framing, Head, Scan};

/// What to do next when there is nothing to hand over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// Read into [`Gate::buffer`], then call [`Gate::judge`].
    Head,
    /// Read straight into pingora's buffer, then call [`Gate::took`].
    Body,
    /// The request is whole: wait until it has been answered.
    Answer,
    /// Read straight through: an upgraded connection.
    Tunnel,
    /// The head was refused: whatever comes is thrown away.
    Refused,
}

/// The gate of one connection.
#[derive(Debug)]
pub(super) struct Gate {
    buffer: BytesMut,
    step: Step,
    scan: Scan,
    websocket: bool,
    max_bytes: usize,
    max_fields: usize,
}

#[derive(Debug)]
enum Step {
    Head,
    /// So many bytes of a sound head are in the buffer, and then comes its body.
    Give(usize, Framing),
    Length(u64),
    Chunks(Chunks),
    Answer,
    Tunnel,
    /// The framing of a body broke: nothing more is handed over.
    Broken(ChunkFault),
    /// What of the stand-in for a refused head is still to be handed over.
    Refusal(&'static [u8]),
    Refused,
}

/// What pingora is given instead of a head that was refused. `HEAD` stays `HEAD`, so that the answer has no body.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n";
const STAND_IN_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n";

/// As much as pingora asks for when it reads a head.
const BUFFER: usize = 4096;

impl Gate {
    pub fn new(max_bytes: usize, max_fields: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            step: Step::Head,
            scan: Scan::default(),
            websocket: false,
            max_bytes,
            max_fields,
        }
    }

    /// Hands over what may be handed over now; false when that is nothing.
    pub fn give(&mut self, out: &mut ReadBuf<'_>) -> Result<bool, ChunkFault> {
        let before = out.filled().len();
        loop {
            let room = out.remaining();
            match &mut self.step {
                Step::Refusal(rest) => {
                    let taken = room.min(rest.len());
                    out.put_slice(&rest[..taken]);
                    *rest = &rest[taken..];
                    if rest.is_empty() {
                        self.step = Step::Refused;
                    }
                    break;
                }
                Step::Give(left, framing) => {
                    let taken = room.min(*left);
                    out.put_slice(&self.buffer[..taken]);
                    self.buffer.advance(taken);
                    *left -= taken;
                    if *left > 0 {
                        break;
                    }
                    self.step = match framing {
                        Framing::None => Step::Answer,
                        Framing::Length(length) => Step::Length(*length),
                        Framing::Chunked => Step::Chunks(Chunks::new(self.max_bytes)),
                    };
                }
                Step::Length(_) | Step::Chunks(_) | Step::Tunnel if room > 0 && !self.buffer.is_empty() => {
                    let taken = room.min(self.buffer.len());
                    match follow(&mut self.step, &self.buffer[..taken]) {
                        Ok(taken) => {
                            out.put_slice(&self.buffer[..taken]);
                            self.buffer.advance(taken);
                        }
                        Err(fault) => self.step = Step::Broken(fault),
                    }
                }
                // A head that came with the first bytes of a broken body is handed over first: without it there would be
                // no request to refuse.
                Step::Broken(fault) if out.filled().len() == before => return Err(*fault),
                _ => break,
            }
        }
        Ok(out.filled().len() > before)
    }

    pub fn want(&self) -> Want {
        match &self.step {
            Step::Head | Step::Give(..) => Want::Head,
            Step::Length(_) | Step::Chunks(_) => Want::Body,
            Step::Answer => Want::Answer,
            Step::Tunnel => Want::Tunnel,
            Step::Refusal(_) | Step::Refused | Step::Broken(_) => Want::Refused,
        }
    }

    /// Where the bytes before and of a head are gathered, with room for more.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < BUFFER / 4 {
            self.buffer.reserve(BUFFER);
        }
        &mut self.buffer
    }

    /// Bytes of a next request have come already.
    pub fn holds(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// A byte of the head that is awaited has come.
    pub fn begun(&self) -> bool {
        self.scan.begun(&self.buffer)
    }

    /// The request under way asked for a WebSocket.
    pub fn websocket(&self) -> bool {
        self.websocket
    }

    /// Looks at what has been gathered of a head. True when it is whole: [`Self::give`] hands it over.
    pub fn judge(&mut self) -> Result<bool, HeadFault> {
        let Some(Head { start, end, framing, websocket }) =
            self.scan.feed(&self.buffer, self.max_bytes, self.max_fields)?
        else {
            return Ok(false);
        };
        self.buffer.advance(start);
        self.scan = Scan::default();
        self.websocket = websocket;
        self.step = Step::Give(end - start, framing);
        Ok(true)
    }

    /// Puts the stand-in where the client's head was; nothing that the client sends is handed over any more.
    pub fn refuse(&mut self) {
        let head = self.buffer.starts_with(b"HEAD ");
        self.buffer.clear();
        self.step = Step::Refusal(if head { STAND_IN_HEAD } else { STAND_IN });
    }

    /// Body bytes were read straight into pingora's buffer. How many of them belong to this body: the rest is to be
    /// taken back with [`Self::hold`].
    pub fn took(&mut self, bytes: &[u8]) -> Result<usize, ChunkFault> {
        follow(&mut self.step, bytes)
    }

    pub fn hold(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The request has been answered: its successor may come.
    pub fn next(&mut self) {
        self.step = Step::Head;
    }

    /// The request has become a tunnel.
    pub fn open_tunnel(&mut self) {
        self.step = Step::Tunnel;
    }
}

/// How many of `bytes` belong to the body under way.
fn follow(step: &mut Step, bytes: &[u8]) -> Result<usize, ChunkFault> {
    let (taken, done) = match step {
        Step::Length(left) => {
            let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= taken as u64;
            (taken, *left == 0)
        }
        Step::Chunks(chunks) => (chunks.advance(bytes)?, chunks.done()),
        _ => (bytes.len(), false),
    };
    if done {
        *step = Step::Answer;
    }
    Ok(taken)
}
