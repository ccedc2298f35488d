//! The place of a request in a trace, as `traceparent` has it.

use http::HeaderMap;
use uuid::Uuid;

/// Which trace, beneath which span of somebody else's, and whether it is recorded. Its own span stands for what the edge
/// does with the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    pub trace: u128,
    /// `None`: the trace begins here.
    pub parent: Option<u64>,
    pub span: u64,
    pub sampled: bool,
}

impl TraceContext {
    /// A trace that begins here, not sampled yet.
    pub fn begin() -> Self {
        Self { trace: Uuid::now_v7().as_u128(), parent: None, span: new_span(), sampled: false }
    }

    /// The trace that these headers carry on, if they say one and say it once. Whether they may be believed is for the
    /// caller to know.
    pub fn carried_on(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all("traceparent").iter();
        let (Some(text), None) = (given.next(), given.next()) else { return None };
        Self::parse(text.to_str().ok()?)
    }

    /// Version 00; of any other nothing is known.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let hex = |part: &str, length: usize| {
            let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            (part.len() == length && part.bytes().all(lower)).then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (trace, parent, flags) = (hex(trace, 32)?, hex(parent, 16)? as u64, hex(flags, 2)?);
        let sound = trace != 0 && parent != 0;
        sound.then(|| Self { trace, parent: Some(parent), span: new_span(), sampled: flags & 1 == 1 })
    }

    /// The header for whoever works for `span` of this trace.
    pub fn header(&self, span: u64) -> String {
        format!("00-{:032x}-{span:016x}-{:02x}", self.trace, u8::from(self.sampled))
    }
}

/// A new span's id: random, never 0.
pub fn new_span() -> u64 {
    let [.., a, b, c, d, e, f, g, h] = Uuid::now_v7().into_bytes();
    // The two topmost bits are the UUID's variant, `10`: it cannot be 0.
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append("traceparent", value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_trace_is_carried_on_under_a_span_of_our_own() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = TraceContext::carried_on(&headers(&[text])).unwrap();
        assert_eq!(context.parent, Some(0xb7ad_6b71_6920_3331));
        assert!(context.sampled && context.span != 0xb7ad_6b71_6920_3331);
        assert_eq!(context.header(0xb7ad_6b71_6920_3331), text);
        // What we say ourselves, we understand.
        let begun = TraceContext::begin();
        let read = TraceContext::carried_on(&headers(&[&begun.header(begun.span)])).unwrap();
        assert_eq!((read.trace, read.parent, read.sampled), (begun.trace, Some(begun.span), false));
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for values in [
            &[][..],
            &[""],
            &[good, good],
            &["00-0-0-00"],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
            &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1"],
            &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        ] {
            assert_eq!(TraceContext::carried_on(&headers(values)), None, "{values:?}");
        }
    }
}
