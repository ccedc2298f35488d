//! One answer's bytes in, coded bytes out. It holds back what it needs for its own sake, and where the length of an answer
//! is not known, nothing at all: whoever streams wants each piece to arrive.

use std::io::{Result, Write};
use std::sync::{Mutex, PoisonError};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::config::Coding;

/// An answer under way.
pub struct Encoder {
    kind: Kind,
    flush: bool,
    pub coding: Coding,
    /// Bytes of the answer so far, and of what became of them.
    pub taken: u64,
    pub given: u64,
}

enum Kind {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    /// The mutex is never locked: zstd's context may move between threads, but not be shared, as pingora wants it.
    Zstd(Box<Mutex<zstd::Encoder<'static, Vec<u8>>>>),
}

impl Encoder {
    /// `length` is that of the whole answer, in bytes, if it is known.
    pub fn new(coding: Coding, level: u32, length: Option<u64>) -> Result<Self> {
        let kind = match coding {
            Coding::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(level))),
            Coding::Brotli => Kind::Brotli(Box::new(CompressorWriter::new(Vec::new(), BUFFER, level, WINDOW))),
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), level.cast_signed())?;
                encoder.window_log(WINDOW)?;
                Kind::Zstd(Box::new(Mutex::new(encoder)))
            }
        };
        Ok(Self { kind, flush: length.is_none(), coding, taken: 0, given: 0 })
    }

    /// What there is to send after this piece; it may be nothing yet.
    pub fn push(&mut self, piece: &[u8]) -> Result<Bytes> {
        self.taken += piece.len() as u64;
        let flush = self.flush && !piece.is_empty();
        let coded = match &mut self.kind {
            Kind::Gzip(encoder) => {
                write(encoder, piece, flush)?;
                std::mem::take(encoder.get_mut())
            }
            Kind::Brotli(encoder) => {
                write(encoder.as_mut(), piece, flush)?;
                std::mem::take(encoder.get_mut())
            }
            Kind::Zstd(encoder) => {
                let encoder = encoder.get_mut().unwrap_or_else(PoisonError::into_inner);
                write(encoder, piece, flush)?;
                std::mem::take(encoder.get_mut())
            }
        };
        self.given += coded.len() as u64;
        Ok(coded.into())
    }

    /// The last piece, and the end.
    pub fn finish(mut self, last: &[u8]) -> Result<(Bytes, Totals)> {
        self.flush = false;
        let before = self.push(last)?;
        let after = match self.kind {
            Kind::Gzip(encoder) => encoder.finish()?,
            Kind::Brotli(encoder) => encoder.into_inner(),
            Kind::Zstd(encoder) => encoder.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?,
        };
        let totals = Totals { coding: self.coding, taken: self.taken, given: self.given + after.len() as u64 };
        let coded = if before.is_empty() { after.into() } else { [&before[..], &after].concat().into() };
        Ok((coded, totals))
    }
}

/// What an encoder has done in its life, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    pub coding: Coding,
    pub taken: u64,
    pub given: u64,
}

fn write(encoder: &mut impl Write, piece: &[u8], flush: bool) -> Result<()> {
    encoder.write_all(piece)?;
    if flush { encoder.flush() } else { Ok(()) }
}

/// The window as a power of two: 256 KiB, so that an answer under way costs 1.2 MiB at most at the default levels (gzip:
/// 0.3 MiB). Far below the 8 MiB that
/// every browser can be expected to have for zstd (RFC 9659).
const WINDOW: u32 = 18;

/// What brotli writes at once, in bytes.
const BUFFER: usize = 4096;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use proptest::prelude::*;

    /// Reads as much as there is: a stream without its end is no error here.
    fn decode(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
            Coding::Brotli => Box::new(brotli::Decompressor::new(coded, BUFFER)),
            Coding::Zstd => Box::new(zstd::Decoder::new(coded).unwrap()),
        };
        let (mut plain, mut buffer) = (Vec::new(), [0; 512]);
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            plain.extend_from_slice(&buffer[..read]);
        }
        plain
    }

    #[test]
    fn each_piece_of_a_stream_can_be_read_as_soon_as_it_was_pushed() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, 4, None).unwrap();
            let (mut sent, mut plain) = (Vec::new(), Vec::new());
            for number in 0..5 {
                let piece = format!("event {number}\n");
                plain.extend_from_slice(piece.as_bytes());
                sent.extend_from_slice(&encoder.push(piece.as_bytes()).unwrap());
                assert_eq!(decode(coding, &sent), plain, "{coding:?}");
            }
            let (rest, totals) = encoder.finish(b"").unwrap();
            sent.extend_from_slice(&rest);
            assert_eq!(decode(coding, &sent), plain, "{coding:?}");
            assert_eq!((totals.taken, totals.given), (plain.len() as u64, sent.len() as u64));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_comes_out_is_what_went_in(
            pieces in prop::collection::vec(prop::collection::vec(0u8..4, 0..3000), 1..6), known: bool,
        ) {
            let plain = pieces.concat();
            for coding in Coding::ALL {
                let mut encoder = Encoder::new(coding, 3, known.then_some(plain.len() as u64)).unwrap();
                let (last, first) = pieces.split_last().unwrap();
                let mut sent = Vec::new();
                for piece in first {
                    sent.extend_from_slice(&encoder.push(piece).unwrap());
                }
                sent.extend_from_slice(&encoder.finish(last).unwrap().0);
                prop_assert_eq!(&decode(coding, &sent), &plain, "{:?}", coding);
            }
        }
    }
}
