//! The header contract with backends (design.md): everything that could be mistaken for our word is removed from the
//! client's request, then our word is added. It runs last, after pingora has dropped the headers that `Connection`
//! nominates, so that no client can have ours removed.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::forwarded::{
    FORWARDED, Origin, TRACEPARENT, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO,
    X_REQUEST_ID,
};
use super::value::value;
use crate::directory::{Via, View};
use crate::model::{Hostname, X_FORWARDED, is_contract_header};

/// What the edge tells a backend about one request.
pub struct Contract<'a> {
    pub origin: &'a Origin,
    pub peer: IpAddr,
    pub host: &'a Hostname,
    /// The port that the visitor sees.
    pub port: u16,
    pub tenant: Option<Identity<'a>>,
    /// The span of this try: the backend's are to be beneath it.
    pub span: u64,
    /// The pool's own `Host`, where it wants one.
    pub host_header: Option<&'a HeaderValue>,
    /// The name of the main site's session cookie: it is for the edge, and no backend gets it.
    pub session_cookie: Option<&'a str>,
}

/// Who the tenant is.
pub struct Identity<'a> {
    pub view: &'a View,
    pub via: Via,
    pub assertion: HeaderValue,
}

/// Strips and injects.
pub fn apply(request: &mut RequestHeader, contract: &Contract<'_>) -> Result<()> {
    let trace = contract.origin.trace.as_ref();
    let chain = contract.origin.trusted.then(|| joined(&request.headers, X_FORWARDED_FOR)).flatten();
    strip(request, |name| match name {
        "tracestate" => trace.is_some_and(|trace| trace.parent.is_some()),
        name => contract.origin.trusted && is_extra_forwarded(name),
    });
    join_cookies(request, contract.session_cookie)?;
    // One for all headers that say nothing else.
    let host = HeaderValue::from_maybe_shared(Bytes::from_owner(contract.host.clone()));
    let host = host.unwrap_or_else(|_| HeaderValue::from_static(""));
    inject_tenant(request, contract, &host)?;
    inject_forwarded(request, contract, chain, host)?;
    request.insert_header(X_REQUEST_ID, contract.origin.request_id.value())?;
    // Without one whoever comes next begins a trace, and decides about it. One of ours that is not sampled would decide
    // for all that no trace ever is.
    trace.map_or(Ok(()), |trace| request.insert_header(TRACEPARENT, trace.header(contract.span)))
}

/// Removes every header whose name a backend could read as one of ours.
fn strip(request: &mut RequestHeader, keep: impl Fn(&str) -> bool) {
    let ours: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_contract_header(name.as_str()) && !keep(name.as_str()))
        .cloned()
        .collect();
    for name in ours {
        request.remove_header(&name);
    }
}

/// HTTP/2 clients may send each cookie as a field of its own; towards HTTP/1 they have to be one again
/// (RFC 9113 §8.2.3), and no backend minds. The one named `hidden` stays here.
fn join_cookies(request: &mut RequestHeader, hidden: Option<&str>) -> Result<()> {
    let lines = || request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let is_hidden = |pair: &[u8]| {
        let (name, pair) = (hidden.unwrap_or_default().as_bytes(), pair.trim_ascii_start());
        !name.is_empty() && pair.strip_prefix(name).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    };
    let pairs = || lines().flat_map(|line| line.split(|b| *b == b';'));
    let hides = pairs().any(is_hidden);
    if lines().nth(1).is_none() && !hides {
        return Ok(());
    }
    let kept: Vec<&[u8]> = match hides {
        true => pairs().filter(|pair| !is_hidden(pair)).map(<[u8]>::trim_ascii).collect(),
        false => lines().collect(),
    };
    if kept.is_empty() {
        request.remove_header(&header::COOKIE);
        return Ok(());
    }
    let joined = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    let joined = joined.map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "cookies that cannot be joined"))?;
    request.insert_header(header::COOKIE, joined)
}

/// `X-Forwarded-Prefix` and whatever else a trusted proxy adds to the family: not our word, but no stranger's either.
/// Only the plain spelling passes, so that it cannot stand for one of those that we set.
fn is_extra_forwarded(name: &str) -> bool {
    let rest = name.strip_prefix(X_FORWARDED).unwrap_or_default();
    !rest.contains(['_', '.']) && !matches!(rest, "" | "for" | "proto" | "host" | "port")
}

/// A gRPC call, by its media type
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"))
}

fn inject_tenant(request: &mut RequestHeader, contract: &Contract<'_>, host: &HeaderValue) -> Result<()> {
    let Some(Identity { view, via, assertion }) = &contract.tenant else { return Ok(()) };
    request.insert_header(X_TENANT_ID, view.id.clone())?;
    request.insert_header(X_TENANT_SLUG, view.slug.clone())?;
    request.insert_header(X_TENANT_PLAN, view.plan.clone())?;
    request.insert_header(X_TENANT_STATUS, view.status.clone())?;
    request.insert_header(X_TENANT_FEATURES, view.features.clone())?;
    request.insert_header(X_TENANT_HOST, host.clone())?;
    request.insert_header(X_TENANT_VIA, HeaderValue::from_static(via.as_str()))?;
    request.insert_header(X_TENANT_ASSERTION, assertion.clone())
}

fn inject_forwarded(
    request: &mut RequestHeader,
    contract: &Contract<'_>,
    chain: Option<String>,
    named: HeaderValue,
) -> Result<()> {
    let Contract { origin, host, peer, .. } = contract;
    let proto = if origin.https { "https" } else { "http" };
    let default_port = if origin.https { 443 } else { 80 };
    // Behind a trusted proxy the visitor's port is that proxy's business; ours would be misleading.
    let port = if origin.trusted { default_port } else { contract.port };
    let authority = if port == default_port { named } else { value(format_args!("{host}:{port}"))? };
    let list = match chain {
        None => value(format_args!("{peer}"))?,
        Some(chain) => value(format_args!("{chain}, {peer}"))?,
    };
    request.insert_header(X_FORWARDED_FOR, list)?;
    request.insert_header(X_FORWARDED_PROTO, HeaderValue::from_static(proto))?;
    request.insert_header(X_FORWARDED_PORT, HeaderValue::from(port))?;
    request.insert_header(FORWARDED, forwarded(origin.client, host, proto)?)?;
    request.insert_header(X_FORWARDED_HOST, authority.clone())?;
    request.insert_header(header::HOST, contract.host_header.cloned().unwrap_or(authority))
}

/// RFC 7239: IPv6 addresses are quoted and bracketed.
fn forwarded(client: IpAddr, host: &Hostname, proto: &str) -> Result<HeaderValue> {
    match client {
        IpAddr::V4(v4) => value(format_args!("for={v4};host={host};proto={proto}")),
        IpAddr::V6(v6) => value(format_args!("for=\"[{v6}]\";host={host};proto={proto}")),
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

// As texts: pingora keeps the spelling of each, and has to copy that of a `HeaderName`.
const X_TENANT_ID: &str = "x-tenant-id";
const X_TENANT_SLUG: &str = "x-tenant-slug";
const X_TENANT_PLAN: &str = "x-tenant-plan";
const X_TENANT_STATUS: &str = "x-tenant-status";
const X_TENANT_FEATURES: &str = "x-tenant-features";
const X_TENANT_HOST: &str = "x-tenant-host";
const X_TENANT_VIA: &str = "x-tenant-via";
const X_TENANT_ASSERTION: &str = "x-tenant-assertion";
