//! The header contract with backends (design.md): everything that could be mistaken for our word is removed from the
//! client's request, then our word is added. It runs last, after pingora has dropped the headers that `Connection`
//! nominates, so that no client can have ours removed.

use std::fmt::Write;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::forwarded::{
    FORWARDED, Origin, TRACEPARENT, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO,
    X_REQUEST_ID, is_traceparent, new_traceparent,
};
use crate::directory::{Via, View};
use crate::model::Hostname;

/// What the edge tells a backend about one request.
pub struct Contract<'a> {
    pub origin: &'a Origin,
    pub peer: IpAddr,
    pub host: &'a Hostname,
    /// The port that the visitor sees.
    pub port: u16,
    pub tenant: Option<Identity<'a>>,
    /// The pool's own `Host`, where it wants one.
    pub host_header: Option<&'a HeaderValue>,
}

/// Who the tenant is.
pub struct Identity<'a> {
    pub view: &'a View,
    pub via: Via,
    pub assertion: HeaderValue,
}

/// Strips and injects.
pub fn apply(request: &mut RequestHeader, contract: &Contract<'_>) -> Result<()> {
    let traceparent =
        request.headers.get(&TRACEPARENT).filter(|v| contract.origin.trusted && is_traceparent(v)).cloned();
    let chain = contract.origin.trusted.then(|| joined(&request.headers, &X_FORWARDED_FOR)).flatten();
    strip(request, |name| match name {
        "tracestate" => traceparent.is_some(),
        name => contract.origin.trusted && is_extra_forwarded(name),
    });
    join_cookies(request)?;
    inject_tenant(request, contract)?;
    inject_forwarded(request, contract, chain)?;
    request.insert_header(X_REQUEST_ID, contract.origin.request_id.as_str())?;
    match traceparent {
        Some(value) => request.insert_header(TRACEPARENT, value),
        None => request.insert_header(TRACEPARENT, new_traceparent()),
    }
}

/// Removes every header whose name a backend could read as one of ours.
fn strip(request: &mut RequestHeader, keep: impl Fn(&str) -> bool) {
    let ours: Vec<HeaderName> =
        request.headers.keys().filter(|name| is_ours(name.as_str()) && !keep(name.as_str())).cloned().collect();
    for name in ours {
        request.remove_header(&name);
    }
}

/// HTTP/2 clients may send each cookie as a field of its own; towards HTTP/1 they have to be one again
/// (RFC 9113 §8.2.3), and no backend minds.
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let cookies: Vec<&[u8]> = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() < 2 {
        return Ok(());
    }
    let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]));
    let joined = joined.map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "cookies that cannot be joined"))?;
    request.insert_header(header::COOKIE, joined)
}

/// Whether a name means one of the headers that only the edge may set, in any spelling that CGI-style backends fold
/// together: `X-Tenant-Id`, `x_tenant.id`, …
pub fn is_ours(name: &str) -> bool {
    // The first byte rules out nearly everything.
    match name.as_bytes().first() {
        Some(b'x' | b'X') => {
            folded_eq(name, "x-tenant-", true)
                || folded_eq(name, X_FORWARDED, true)
                || folded_eq(name, "x-request-id", false)
                || folded_eq(name, "x-real-ip", false)
        }
        Some(b'f' | b'F') => folded_eq(name, "forwarded", false),
        Some(b't' | b'T') => folded_eq(name, "traceparent", false) || folded_eq(name, "tracestate", false),
        _ => false,
    }
}

/// `X-Forwarded-Prefix` and whatever else a trusted proxy adds to the family: not our word, but no stranger's either.
/// Only the plain spelling passes, so that it cannot stand for one of those that we set.
fn is_extra_forwarded(name: &str) -> bool {
    let rest = name.strip_prefix(X_FORWARDED).unwrap_or_default();
    !rest.contains(['_', '.']) && !matches!(rest, "" | "for" | "proto" | "host" | "port")
}

/// Compares with case folded and every `_` or `.` read as `-`; `prefix` compares only the beginning.
fn folded_eq(name: &str, own: &str, prefix: bool) -> bool {
    let long_enough = if prefix { name.len() >= own.len() } else { name.len() == own.len() };
    long_enough
        && name.bytes().zip(own.bytes()).all(|(n, o)| {
            let n = if matches!(n, b'_' | b'.') { b'-' } else { n.to_ascii_lowercase() };
            n == o
        })
}

/// A gRPC call, by its media type
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"))
}

fn inject_tenant(request: &mut RequestHeader, contract: &Contract<'_>) -> Result<()> {
    let Some(Identity { view, via, assertion }) = &contract.tenant else { return Ok(()) };
    request.insert_header(X_TENANT_ID, view.id.clone())?;
    request.insert_header(X_TENANT_SLUG, view.slug.clone())?;
    request.insert_header(X_TENANT_PLAN, view.plan.clone())?;
    request.insert_header(X_TENANT_STATUS, view.status.clone())?;
    request.insert_header(X_TENANT_FEATURES, view.features.clone())?;
    request.insert_header(X_TENANT_HOST, contract.host.as_str())?;
    request.insert_header(X_TENANT_VIA, HeaderValue::from_static(via.as_str()))?;
    request.insert_header(X_TENANT_ASSERTION, assertion.clone())
}

fn inject_forwarded(request: &mut RequestHeader, contract: &Contract<'_>, chain: Option<String>) -> Result<()> {
    let Contract { origin, host, .. } = contract;
    let proto = if origin.https { "https" } else { "http" };
    let default_port = if origin.https { 443 } else { 80 };
    // Behind a trusted proxy the visitor's port is that proxy's business; ours would be misleading.
    let port = if origin.trusted { default_port } else { contract.port };
    let authority = match port == default_port {
        true => HeaderValue::from_str(host.as_str()),
        false => HeaderValue::from_str(&format!("{host}:{port}")),
    };
    let authority = authority.unwrap_or_else(|_| HeaderValue::from_static(""));
    let mut list = chain.map(|chain| chain + ", ").unwrap_or_default();
    let _ = write!(list, "{}", contract.peer);
    request.insert_header(X_FORWARDED_FOR, list)?;
    request.insert_header(X_FORWARDED_PROTO, HeaderValue::from_static(proto))?;
    request.insert_header(X_FORWARDED_PORT, HeaderValue::from(port))?;
    request.insert_header(FORWARDED, forwarded(origin.client, host, proto))?;
    request.insert_header(X_FORWARDED_HOST, authority.clone())?;
    request.insert_header(header::HOST, contract.host_header.cloned().unwrap_or(authority))
}

/// RFC 7239: IPv6 addresses are quoted and bracketed.
fn forwarded(client: IpAddr, host: &Hostname, proto: &str) -> String {
    match client {
        IpAddr::V4(v4) => format!("for={v4};host={host};proto={proto}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\";host={host};proto={proto}"),
    }
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

const X_TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
const X_TENANT_SLUG: HeaderName = HeaderName::from_static("x-tenant-slug");
const X_TENANT_PLAN: HeaderName = HeaderName::from_static("x-tenant-plan");
const X_TENANT_STATUS: HeaderName = HeaderName::from_static("x-tenant-status");
const X_TENANT_FEATURES: HeaderName = HeaderName::from_static("x-tenant-features");
const X_TENANT_HOST: HeaderName = HeaderName::from_static("x-tenant-host");
const X_TENANT_VIA: HeaderName = HeaderName::from_static("x-tenant-via");
const X_TENANT_ASSERTION: HeaderName = HeaderName::from_static("x-tenant-assertion");

/// The family that only the edge, or a trusted proxy through it, may set.
const X_FORWARDED: &str = "x-forwarded-";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_could_pass_for_ours_are_ours() {
        for name in [
            "X-Tenant-Id",
            "x_tenant_id",
            "X.Tenant.Anything",
            "x-TENANT_",
            "X_Forwarded.For",
            "X-Forwarded-Prefix",
            "forwarded",
            "TraceParent",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["X-Tenants", "X-Tenant", "Host", "X-Forwardedness", "Tracer", "Accept", "Y-Tenant-Id", "x"] {
            assert!(!is_ours(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_escapes(
            name in prop::sample::select(vec!["x-tenant-id", "x-tenant-assertion", "x-forwarded-for", "traceparent"]),
            folds in prop::collection::vec((any::<bool>(), 0..3usize), 24),
        ) {
            let spelled: String = name.chars().zip(&folds).map(|(c, (upper, dash))| match c {
                '-' => ['-', '_', '.'][*dash],
                c if *upper => c.to_ascii_uppercase(),
                c => c,
            }).collect();
            prop_assert!(is_ours(&spelled), "{}", spelled);
        }
    }
}
