//! The place of a request in a trace, as `traceparent` has it.

use std::fmt::Write;

use http::HeaderMap;

/// Which trace, beneath which span of somebody else's, and whether it is recorded. Its own span stands for what the edge
/// does with the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    pub trace: u128,
    /// `None`: the trace begins here.
    pub parent: Option<u64>,
    pub span: u64,
    pub sampled: bool,
    /// The trace's id is random (W3C trace context level 2), so that whoever samples by it may.
    pub random: bool,
}

impl TraceContext {
    /// A trace that begins here, not sampled yet.
    pub(super) fn begin() -> Self {
        Self { trace: random_id(), parent: None, span: new_span(), sampled: false, random: true }
    }

    /// The trace that these headers carry on, if they say one and say it once. Whether they may be believed is for the
    /// caller to know.
    pub fn carried_on(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all("traceparent").iter();
        let (Some(text), None) = (given.next(), given.next()) else { return None };
        Self::parse(text.to_str().ok()?)
    }

    /// Version 00. A later one begins as this one does, and may have more behind it; `ff` is none.
    fn parse(text: &str) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let goes_on = version != "00" && more.starts_with('-');
        if parts.next().is_some() || !(more.is_empty() || goes_on) {
            return None;
        }
        let hex = |part: &str, length: usize| {
            let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            (part.len() == length && part.bytes().all(lower)).then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace) = (hex(version, 2)?, hex(trace, 32)?);
        let (parent, flags) = (hex(parent, 16)? as u64, hex(flags, 2)?);
        let sound = version != 0xff && trace != 0 && parent != 0;
        let (sampled, random) = (flags & SAMPLED != 0, flags & RANDOM != 0);
        sound.then(|| Self { trace, parent: Some(parent), span: new_span(), sampled, random })
    }

    /// The header for whoever works for `span` of this trace.
    pub fn header(&self, span: u64) -> String {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let flags = flag(self.sampled, SAMPLED) | flag(self.random, RANDOM);
        let mut text = String::with_capacity(LENGTH);
        let _ = write!(text, "00-{:032x}-{span:016x}-{flags:02x}", self.trace);
        text
    }
}

/// A new span's id: random, never 0.
pub fn new_span() -> u64 {
    rand::random::<u64>().max(1)
}

/// A new trace's id: random, never 0.
fn random_id() -> u128 {
    rand::random::<u128>().max(1)
}

/// Of version 00.
const LENGTH: usize = 55;
const SAMPLED: u128 = 0x01;
const RANDOM: u128 = 0x02;

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
        assert!(read.random && begun.header(1).ends_with("-02"));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let known = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        for (text, flags) in [("01-", "-01"), ("cc-", "-01-what the future will be like"), ("fe-", "-03-")] {
            let context = TraceContext::carried_on(&headers(&[&format!("{text}{known}{flags}")])).unwrap();
            assert_eq!((context.parent, context.sampled), (Some(0xb7ad_6b71_6920_3331), true), "{text}{flags}");
            assert!(context.header(1).starts_with("00-"), "what is sent on is of the version that is spoken here");
        }
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
            &["0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-"],
            &["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what"],
        ] {
            assert_eq!(TraceContext::carried_on(&headers(values)), None, "{values:?}");
        }
    }
}
