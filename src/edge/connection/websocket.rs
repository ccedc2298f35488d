//! Where frames end in what a backend sends down a WebSocket (RFC 6455 §5.2), so that a close frame of ours can go
//! between two of them. Pure: it counts bytes and never looks into a payload.

/// Why the edge ends a connection; on a WebSocket the code of its close frame (RFC 6455 §7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The tenant may no longer be served: 1008.
    Policy,
    /// This process is ending: 1001.
    GoingAway,
    /// The tenant is under maintenance: 1013.
    TryLater,
}

impl CloseReason {
    pub(super) fn frame(self) -> &'static [u8] {
        match self {
            Self::Policy => &[0x88, 2, 0x03, 0xf0],
            Self::GoingAway => &[0x88, 2, 0x03, 0xe9],
            Self::TryLater => &[0x88, 2, 0x03, 0xf5],
        }
    }
}

/// Follows the frames of one direction, from the end of the 101 response.
#[derive(Clone, Default, Debug)]
pub(super) struct Frames {
    head: [u8; 14],
    /// Bytes of the frame's head that have been seen.
    seen: usize,
    /// Bytes of the payload that are still to come.
    payload: u64,
    /// A close frame has begun: nothing may follow it.
    closed: bool,
}

impl Frames {
    /// Nothing of a frame has been sent that is not whole.
    pub fn at_boundary(&self) -> bool {
        self.seen == 0 && self.payload == 0
    }

    /// The backend has sent a close frame of its own.
    pub fn closed(&self) -> bool {
        self.closed
    }

    pub fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.one(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// How many of `bytes` finish the frame that is under way: all of them when it goes on.
    pub fn to_boundary(&self, bytes: &[u8]) -> usize {
        let (mut ahead, mut at) = (self.clone(), 0);
        while at < bytes.len() && !ahead.at_boundary() {
            at += ahead.one(&bytes[at..]);
        }
        at
    }

    /// Takes bytes up to the end of a frame's head or payload at most, and at least one.
    fn one(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let taken = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= taken as u64;
            return taken;
        }
        let taken = (self.head_len() - self.seen).min(bytes.len());
        self.head[self.seen..self.seen + taken].copy_from_slice(&bytes[..taken]);
        self.seen += taken;
        if self.seen >= 2 && self.seen == self.head_len() {
            self.closed |= self.head[0] & 0x0f == 8;
            self.payload = self.payload_len();
            self.seen = 0;
        }
        taken
    }

    /// 2 until the second byte has told more (RFC 6455 §5.2: length and mask).
    fn head_len(&self) -> usize {
        if self.seen < 2 {
            return 2;
        }
        let mask = if self.head[1] & 0x80 != 0 { 4 } else { 0 };
        mask + match self.head[1] & 0x7f {
            127 => 10,
            126 => 4,
            _ => 2,
        }
    }

    fn payload_len(&self) -> u64 {
        let [_, len, a, b, c, d, e, f, g, h, ..] = self.head;
        match len & 0x7f {
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            126 => u64::from(u16::from_be_bytes([a, b])),
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, mask: bool, len: usize) -> Vec<u8> {
        let bit = if mask { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match len {
            0..=125 => bytes.push(bit | len as u8),
            126..=65535 => {
                bytes.push(bit | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0x88; if mask { 4 } else { 0 } + len]);
        bytes
    }

    #[test]
    fn a_close_frame_is_seen_only_where_a_frame_begins() {
        let mut frames = Frames::default();
        frames.advance(&frame(1, false, 70_000));
        assert!(frames.at_boundary() && !frames.closed());
        frames.advance(&frame(8, false, 2)[..3]);
        assert!(!frames.at_boundary() && frames.closed());
    }

    proptest! {
        #[test]
        fn boundaries_are_the_same_however_the_bytes_arrive(
            sizes in proptest::collection::vec((prop_oneof![0usize..200, 60_000usize..70_000], any::<bool>()), 1..6),
            cuts in proptest::collection::vec(1usize..5000, 1..20),
        ) {
            let (mut stream, mut ends) = (Vec::new(), vec![0]);
            for (len, mask) in sizes {
                stream.extend(frame(2, mask, len));
                ends.push(stream.len());
            }
            let (mut frames, mut at, mut cuts) = (Frames::default(), 0, cuts.iter().cycle());
            while at < stream.len() {
                prop_assert_eq!(frames.at_boundary(), ends.contains(&at));
                let next = ends.iter().find(|end| **end >= at).unwrap();
                prop_assert_eq!(frames.to_boundary(&stream[at..]), next - at);
                let end = (at + cuts.next().unwrap()).min(stream.len());
                frames.advance(&stream[at..end]);
                at = end;
            }
            prop_assert!(frames.at_boundary() && !frames.closed());
        }
    }
}
