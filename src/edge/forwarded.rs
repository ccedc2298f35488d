//! Who the visitor is and how it came here, from the connection and, if a trusted proxy stands in front, from what
//! that proxy says. A stranger's own words about this are never believed.

use std::net::IpAddr;
use std::ops::Deref;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use uuid::Builder;

use crate::clock::Timestamp;
use crate::traces::{TraceContext, Tracer};

/// What is known about a request before anything of it is interpreted.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The visitor's address.
    pub client: IpAddr,
    /// Whether the visitor speaks TLS, to us or to a trusted proxy.
    pub https: bool,
    /// Whether the peer is a trusted proxy, so that its `Forwarded` family counts.
    pub trusted: bool,
    pub request_id: RequestId,
    /// The trace that it belongs to: a trusted proxy's, or one that begins here. `None`: nobody would tell of one that
    /// began here, so none does, and whether one begins behind us is for the backends to say.
    pub trace: Option<TraceContext>,
}

impl Origin {
    /// `peer` is the address that the connection comes from (after PROXY protocol), `tls` whether it is encrypted.
    pub fn of(peer: IpAddr, tls: bool, headers: &HeaderMap, trusted_proxies: &[IpNet], now: Timestamp) -> Self {
        let peer = peer.to_canonical();
        let is_trusted = |address: IpAddr| trusted_proxies.iter().any(|net| net.contains(&address));
        if !is_trusted(peer) {
            return Self { client: peer, https: tls, trusted: false, request_id: RequestId::new(now), trace: None };
        }
        Self {
            client: visitor(headers, peer, is_trusted),
            https: last_token(headers, X_FORWARDED_PROTO).map_or(tls, |proto| proto.eq_ignore_ascii_case("https")),
            trusted: true,
            request_id: RequestId::given(headers).unwrap_or_else(|| RequestId::new(now)),
            trace: TraceContext::carried_on(headers),
        }
    }

    /// Begins a trace where none is carried on; whether spans are to tell of the request. Who begins a trace decides for
    /// all; of one that begins here, the tracer.
    pub fn is_traced(&mut self, tracer: &Tracer) -> bool {
        self.trace.get_or_insert_with(|| tracer.begin()).sampled
    }
}

/// Walks `X-Forwarded-For` from the right, past every trusted proxy, to the first address that is none. An entry that
/// is no address ends the walk: what stands left of it cannot be believed.
fn visitor(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let values: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let hops = values.iter().rev().filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
    for hop in hops.take(MOST_HOPS) {
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

fn last_token(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

/// The name of one request: what backend and visitor are told, made once, and what is logged.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A UUID of version 7, which sorts by time. Its random part is of the thread's own generator: no two requests wait
    /// for each other here.
    fn new(now: Timestamp) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or_default();
        let mut text = [0; 32];
        Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid().simple().encode_lower(&mut text);
        // Copies of it are not copied.
        let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
        Self(value.unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// A trusted proxy's id is kept when it is short and plain, so that it cannot forge lines in anybody's log.
    fn given(headers: &HeaderMap) -> Option<Self> {
        let given = headers.get(X_REQUEST_ID)?;
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
        let sound = !given.is_empty() && given.len() <= 128 && given.as_bytes().iter().all(plain);
        HeaderValue::from_bytes(given.as_bytes()).ok().filter(|_| sound).map(Self)
    }

    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl Deref for RequestId {
    type Target = str;
    fn deref(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Longer chains of proxies than this are somebody's joke.
const MOST_HOPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn origin(peer: &str, pairs: &[(&'static str, &str)]) -> Origin {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:ff::/48".parse().unwrap()];
        Origin::of(peer.parse().unwrap(), false, &headers(pairs), &trusted, Timestamp(1_700_000_000_000))
    }

    #[test]
    fn a_strangers_word_is_not_believed() {
        let origin = origin(
            "192.0.2.1",
            &[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https"), ("x-request-id", "mine")],
        );
        assert_eq!(origin.client.to_string(), "192.0.2.1");
        assert!(!origin.https && !origin.trusted && &*origin.request_id != "mine");
    }

    #[test]
    fn a_requests_id_says_when_it_came_and_nothing_else() {
        let (one, other) = (origin("192.0.2.1", &[]).request_id, origin("192.0.2.1", &[]).request_id);
        let read = uuid::Uuid::parse_str(&one).unwrap();
        assert_eq!((read.get_version_num(), read.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(read.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
        assert!(one.len() == 32 && *one != *other, "{one:?} {other:?}");
    }

    #[test]
    fn a_trace_begins_only_where_somebody_tells_of_it() {
        let given = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(origin("192.0.2.1", &[given]).trace.is_none(), "a stranger's is no trace");
        assert!(origin("10.0.0.1", &[]).trace.is_none());
        assert!(origin("10.0.0.1", &[given]).trace.unwrap().sampled);
    }

    #[test]
    fn trusted_hops_are_walked_from_the_right() {
        for (list, expected) in [
            (vec!["198.51.100.1"], "198.51.100.1"),
            (vec!["198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (vec!["203.0.113.9, 198.51.100.1", "10.1.1.1"], "198.51.100.1"),
            (vec!["198.51.100.1:4711"], "198.51.100.1"),
            (vec!["[2001:db8::7]:80"], "2001:db8::7"),
            (vec!["198.51.100.1, junk"], "10.0.0.1"),
            (vec!["10.9.9.9"], "10.9.9.9"),
            (vec![], "10.0.0.1"),
        ] {
            let pairs: Vec<_> = list.iter().map(|value| ("x-forwarded-for", *value)).collect();
            assert_eq!(origin("10.0.0.1", &pairs).client.to_string(), expected, "{list:?}");
        }
    }

    #[test]
    fn a_trusted_proxy_may_name_the_request_within_reason() {
        assert_eq!(&*origin("10.0.0.1", &[("x-request-id", "abc-1")]).request_id, "abc-1");
        assert_ne!(&*origin("10.0.0.1", &[("x-request-id", "a b\"")]).request_id, "a b\"");
        assert!(origin("10.0.0.1", &[("x-forwarded-proto", "http, https")]).https);
    }
}
