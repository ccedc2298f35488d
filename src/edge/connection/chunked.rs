//! Where a chunked request body ends (RFC 9112 §7.1). Follows the framing strictly and changes no byte: what is wrong
//! here ends the connection, because whoever reads the rest could take it for another request.

/// The framing of a chunked body is broken; the connection has no trustworthy next request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the chunked request body is malformed: {0}")]
pub(super) struct ChunkFault(&'static str);

/// Follows one chunked body.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of this chunk's line or of the trailer section so far, which are bounded.
    line: usize,
    max_line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The size, and how many digits it has so far.
    Size(u64, u8),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    TrailerLine,
    TrailerLf,
    LastLf,
    Done,
}

impl Chunks {
    /// `max_line`: the most bytes of a chunk's size line, and of all trailers together.
    pub fn new(max_line: usize) -> Self {
        Self { state: State::Size(0, 0), line: 0, max_line }
    }

    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes as many of `bytes` as belong to this body, and says how many that is.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkFault> {
        let mut at = 0;
        while at < bytes.len() && !self.done() {
            if let State::Data(left) = self.state {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += taken;
                let left = left - taken as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkFault> {
        self.line += 1;
        if self.line > self.max_line {
            return Err(ChunkFault("a chunk's size line or the trailers are too long"));
        }
        Ok(match (self.state, byte) {
            (State::Size(_, digits), b) if b.is_ascii_hexdigit() && digits == 15 => {
                return Err(ChunkFault("a chunk's size has too many digits"));
            }
            (State::Size(size, digits), b) if b.is_ascii_hexdigit() => {
                let digit = char::from(b).to_digit(16).unwrap_or_default();
                State::Size(size * 16 + u64::from(digit), digits + 1)
            }
            (State::Size(size, 1..), b';') => State::Extension(size),
            (State::Size(size, 1..) | State::Extension(size), b'\r') => State::SizeLf(size),
            (State::Extension(size), b) if b == b'\t' || (b >= b' ' && b != 0x7f) => State::Extension(size),
            (State::SizeLf(size), b'\n') => {
                self.line = 0;
                if size == 0 { State::Trailer } else { State::Data(size) }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line = 0;
                State::Size(0, 0)
            }
            (State::Trailer, b'\r') => State::LastLf,
            (State::Trailer, b) if b.is_ascii_graphic() => State::TrailerLine,
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerLine, b) if b == b'\t' || (b >= b' ' && b != 0x7f) => State::TrailerLine,
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::LastLf, b'\n') => State::Done,
            (State::Size(..) | State::Extension(_) | State::SizeLf(_), _) => {
                return Err(ChunkFault("a chunk does not start with its size in hexadecimal and a line end"));
            }
            (State::DataCr | State::DataLf, _) => return Err(ChunkFault("a chunk is longer than its size")),
            _ => return Err(ChunkFault("a trailer is not a field line")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_is_found_and_what_follows_is_left() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;name=\"value\"\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n",
            "1\r\na\r\n0\r\nDigest: x\r\nOther: y\r\n\r\n",
        ] {
            let mut chunks = Chunks::new(1000);
            let stream = format!("{body}GET / HTTP/1.1");
            assert_eq!(chunks.advance(stream.as_bytes()), Ok(body.len()), "{body:?}");
            assert!(chunks.done());
        }
    }

    #[test]
    fn broken_framing_is_an_error() {
        for body in [
            "\r\n",
            "x\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-1\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "fffffffffffffffff\r\n",
            "5;a\x00b\r\nhello\r\n",
            "5;a\nb\r\nhello\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nA: b\n\r\n",
        ] {
            assert!(Chunks::new(1000).advance(body.as_bytes()).is_err(), "{body:?}");
        }
        let long = format!("5;{}\r\n", "a".repeat(1000));
        assert!(Chunks::new(1000).advance(long.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_end(
            parts in proptest::collection::vec("[a-z\r\n0]{1,40}", 0..6), cuts in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let mut body = String::new();
            for part in &parts {
                body.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
            }
            body.push_str("0\r\n\r\n");
            let stream = format!("{body}rest");
            let (mut chunks, mut at, mut cuts) = (Chunks::new(1000), 0, cuts.iter().cycle());
            while !chunks.done() {
                let end = (at + cuts.next().unwrap()).min(stream.len());
                at += chunks.advance(&stream.as_bytes()[at..end]).unwrap();
            }
            prop_assert_eq!(at, body.len());
        }
    }
}
