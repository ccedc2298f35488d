//! The frame headers of what a client sends over HTTP/2 (RFC 9113 §4.1), read just far enough to know what the edge is
//! waiting for. Pure: no payload is kept, and protocol errors are left to the h2 implementation behind.

/// What the connection waits for in the middle of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// Nothing: the last frame is whole, and so is the last header block.
    Idle,
    /// The preface or the first request.
    FirstRequest,
    /// The rest of a header block, or of a frame that is no DATA.
    Block,
    /// The rest of a DATA frame.
    Data,
}

/// Why a connection is not worth keeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum FrameFault {
    #[error("an HTTP/2 header block is larger than this server takes")]
    BlockTooLarge,
    /// Rapid reset (CVE-2023-44487): asking costs the client nothing when it cancels at once, and the edge a request.
    #[error("most of the HTTP/2 requests were cancelled by the client that made them")]
    Resets,
}

impl FrameFault {
    /// For the metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BlockTooLarge => "header-block",
            Self::Resets => "reset-flood",
        }
    }
}

/// So many cancelled streams say nothing yet; more of them must not be more than half of all.
const RESETS: u64 = 500;

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames of one connection from its first byte.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    preface: usize,
    head: [u8; 9],
    seen: usize,
    payload: u32,
    /// A HEADERS frame came whose block has not ended; how many bytes the block has so far.
    block: Option<usize>,
    /// The frame under way ends its block.
    ends_block: bool,
    requests: u64,
    resets: u64,
    max_block: usize,
    /// Grows with each block and frame that begins, so that a deadline belongs to one of them.
    turn: u64,
}

impl Frames {
    pub fn new(max_block: usize) -> Self {
        Self {
            preface: PREFACE,
            head: [0; 9],
            seen: 0,
            payload: 0,
            block: None,
            ends_block: false,
            requests: 0,
            resets: 0,
            max_block,
            turn: 0,
        }
    }

    /// What is awaited, and a number that is another one for each thing awaited.
    pub fn waiting(&self) -> (Waiting, u64) {
        let waiting = if self.requests == 0 {
            return (Waiting::FirstRequest, 0);
        } else if self.block.is_some() || self.seen > 0 {
            Waiting::Block
        } else if self.payload == 0 {
            Waiting::Idle
        } else if self.head[3] == DATA {
            Waiting::Data
        } else {
            Waiting::Block
        };
        (waiting, self.turn)
    }

    pub fn advance(&mut self, mut bytes: &[u8]) -> Result<(), FrameFault> {
        while !bytes.is_empty() {
            let taken = if self.preface > 0 {
                let taken = self.preface.min(bytes.len());
                self.preface -= taken;
                taken
            } else if self.payload > 0 {
                let taken = bytes.len().min(self.payload as usize);
                self.payload -= taken as u32;
                taken
            } else {
                self.head(bytes)?
            };
            bytes = &bytes[taken..];
            if self.payload == 0 && self.seen == 0 && self.ends_block {
                (self.ends_block, self.block) = (false, None);
                self.requests += 1;
            }
        }
        Ok(())
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, FrameFault> {
        if self.seen == 0 && self.block.is_none() {
            self.turn += 1;
        }
        let taken = (self.head.len() - self.seen).min(bytes.len());
        self.head[self.seen..self.seen + taken].copy_from_slice(&bytes[..taken]);
        self.seen += taken;
        if self.seen == self.head.len() {
            self.seen = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            self.payload = u32::from_be_bytes([0, a, b, c]);
            if kind == RST_STREAM {
                self.resets += 1;
                if self.resets > RESETS && self.resets * 2 > self.requests {
                    return Err(FrameFault::Resets);
                }
            }
            if kind == HEADERS || (kind == CONTINUATION && self.block.is_some()) {
                let block = self.block.unwrap_or(0) + self.payload as usize;
                if block > self.max_block {
                    return Err(FrameFault::BlockTooLarge);
                }
                self.block = Some(block);
                self.ends_block = flags & END_HEADERS != 0;
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, len: usize) -> Vec<u8> {
        let mut bytes = (len as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(vec![1; len]);
        bytes
    }

    fn after(frames: &[Vec<u8>]) -> Result<Waiting, FrameFault> {
        let mut tracker = Frames::new(1000);
        tracker.advance(&[b'P'; PREFACE])?;
        tracker.advance(&frames.concat())?;
        Ok(tracker.waiting().0)
    }

    #[test]
    fn it_says_what_the_connection_waits_for() {
        let (settings, request) = (frame(4, 0, 12), frame(HEADERS, END_HEADERS, 30));
        let open = frame(HEADERS, 0, 30);
        let cases = [
            (vec![], Ok(Waiting::FirstRequest)),
            (vec![settings.clone()], Ok(Waiting::FirstRequest)),
            (vec![settings.clone(), open.clone()], Ok(Waiting::FirstRequest)),
            (vec![settings.clone(), request.clone()], Ok(Waiting::Idle)),
            (vec![settings.clone(), open.clone(), frame(CONTINUATION, END_HEADERS, 0)], Ok(Waiting::Idle)),
            (vec![request.clone(), open.clone(), frame(CONTINUATION, 0, 10)], Ok(Waiting::Block)),
            (vec![request.clone(), frame(DATA, 0, 10)[..12].to_vec()], Ok(Waiting::Data)),
            (vec![request.clone(), frame(6, 0, 8)[..12].to_vec()], Ok(Waiting::Block)),
            (vec![request.clone(), open.clone(), frame(CONTINUATION, 0, 980)], Err(FrameFault::BlockTooLarge)),
        ];
        for (at, (frames, expected)) in cases.into_iter().enumerate() {
            assert_eq!(after(&frames), expected, "case {at}");
        }
    }

    #[test]
    fn a_client_may_cancel_but_not_nearly_everything() {
        let (request, reset) = (frame(HEADERS, END_HEADERS, 30), frame(RST_STREAM, 0, 4));
        let often =
            |requests: usize, resets: usize| after(&[request.repeat(requests), reset.repeat(resets)]).map(|_| ());
        assert_eq!(often(500, 500), Ok(()));
        assert_eq!(often(2_000, 1_000), Ok(()));
        assert_eq!(often(501, 501), Err(FrameFault::Resets));
    }

    proptest! {
        #[test]
        fn any_cutting_ends_the_same(
            list in proptest::collection::vec((0u8..10, any::<u8>(), 0usize..60), 0..12),
            cuts in proptest::collection::vec(1usize..40, 1..20), keep in 0usize..1000,
        ) {
            let mut stream = vec![0; PREFACE];
            for (kind, flags, len) in list {
                stream.extend(frame(kind, flags, len));
            }
            stream.truncate(keep);
            let (mut whole, mut cut) = (Frames::new(100_000), Frames::new(100_000));
            whole.advance(&stream).unwrap();
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < stream.len() {
                let end = (at + cuts.next().unwrap()).min(stream.len());
                cut.advance(&stream[at..end]).unwrap();
                at = end;
            }
            prop_assert_eq!(whole.waiting(), cut.waiting());
        }
    }
}
