//! The header contract with backends (design.md): everything that could be mistaken for our word is removed from the
//! client's request, then our word is added. It runs last, after pingora has dropped the headers that `Connection`
//! nominates, so that no client can have ours removed.

use std::net::IpAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::fields;
use super::forwarded::{Origin, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_REQUEST_ID};
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
    pub lasting: &'a Lasting,
    /// The name of the main site's session cookie: it is for the edge, and no backend gets it.
    pub session_cookie: Option<&'a str>,
}

/// Who the tenant is.
pub struct Identity<'a> {
    pub view: &'a View,
    pub via: Via,
    pub assertion: HeaderValue,
}

/// What is told alike with every request of a connection, but for those of trusted proxies: made with the first of them.
#[derive(Default)]
pub struct Lasting(OnceLock<Forwarded>);

/// The fields about the way that a request came.
#[derive(Clone)]
struct Forwarded {
    host: Hostname,
    https: bool,
    /// The host, for all fields that say nothing else.
    name: HeaderValue,
    /// The host with its port where that is not the usual one.
    authority: HeaderValue,
    list: HeaderValue,
    port: HeaderValue,
    forwarded: HeaderValue,
}

/// Strips and injects.
pub fn apply(request: &mut RequestHeader, contract: &Contract<'_>) -> Result<()> {
    fields::edit_request(request, |headers| edit(headers, contract))
}

fn edit(headers: &mut HeaderMap, contract: &Contract<'_>) -> Result<()> {
    let origin = contract.origin;
    let chain = origin.trusted.then(|| joined(headers, X_FORWARDED_FOR)).flatten();
    strip(headers, |name| match name {
        "tracestate" => origin.trace.as_ref().is_some_and(|trace| trace.parent.is_some()),
        name => origin.trusted && is_extra_forwarded(name),
    });
    join_cookies(headers, contract.session_cookie)?;
    // All that follow, so that the map grows once.
    headers.try_reserve(OURS).or_err(ErrorType::InvalidHTTPHeader, "too many headers")?;
    let made;
    let told = match contract.lasting.0.get() {
        Some(told) if !origin.trusted && told.host == *contract.host && told.https == origin.https => told,
        kept => {
            made = Forwarded::make(contract, chain)?;
            if kept.is_none() && !origin.trusted {
                // Whoever was faster has made the same.
                let _ = contract.lasting.0.set(made.clone());
            }
            &made
        }
    };
    inject_tenant(headers, contract, &told.name);
    told.inject(headers, contract.host_header);
    headers.insert(X_REQUEST_ID, origin.request_id.value());
    // Without one whoever comes next begins a trace, and decides about it. One of ours that is not sampled would decide
    // for all that no trace ever is.
    if let Some(trace) = &origin.trace {
        let parent = HeaderValue::try_from(trace.header(contract.span));
        headers.insert(TRACEPARENT, parent.or_err(ErrorType::InvalidHTTPHeader, "a trace")?);
    }
    Ok(())
}

/// Removes every header whose name a backend could read as one of ours.
fn strip(headers: &mut HeaderMap, keep: impl Fn(&str) -> bool) {
    let ours = headers.keys().filter(|name| is_contract_header(name.as_str()) && !keep(name.as_str()));
    for name in ours.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// HTTP/2 clients may send each cookie as a field of its own; towards HTTP/1 they have to be one again
/// (RFC 9113 §8.2.3), and no backend minds. The one named `hidden` stays here.
fn join_cookies(headers: &mut HeaderMap, hidden: Option<&str>) -> Result<()> {
    let lines = || headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
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
        headers.remove(header::COOKIE);
        return Ok(());
    }
    let joined = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    let joined = joined.map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "cookies that cannot be joined"))?;
    headers.insert(header::COOKIE, joined);
    Ok(())
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

fn inject_tenant(headers: &mut HeaderMap, contract: &Contract<'_>, host: &HeaderValue) {
    let Some(Identity { view, via, assertion }) = &contract.tenant else { return };
    headers.insert(X_TENANT_ID, view.id.clone());
    headers.insert(X_TENANT_SLUG, view.slug.clone());
    headers.insert(X_TENANT_PLAN, view.plan.clone());
    headers.insert(X_TENANT_STATUS, view.status.clone());
    headers.insert(X_TENANT_FEATURES, view.features.clone());
    headers.insert(X_TENANT_HOST, host.clone());
    headers.insert(X_TENANT_VIA, HeaderValue::from_static(via.as_str()));
    headers.insert(X_TENANT_ASSERTION, assertion.clone());
}

impl Forwarded {
    /// `chain`: what trusted proxies have said so far.
    fn make(contract: &Contract<'_>, chain: Option<String>) -> Result<Self> {
        let Contract { origin, host, peer, .. } = contract;
        let default_port = if origin.https { 443 } else { 80 };
        // Behind a trusted proxy the visitor's port is that proxy's business; ours would be misleading.
        let port = if origin.trusted { default_port } else { contract.port };
        let name = HeaderValue::from_maybe_shared(Bytes::from_owner((*host).clone()));
        let name = name.unwrap_or_else(|_| HeaderValue::from_static(""));
        Ok(Self {
            host: (*host).clone(),
            https: origin.https,
            authority: if port == default_port { name.clone() } else { value(format_args!("{host}:{port}"))? },
            name,
            list: match chain {
                None => value(format_args!("{peer}"))?,
                Some(chain) => value(format_args!("{chain}, {peer}"))?,
            },
            port: HeaderValue::from(port),
            forwarded: forwarded(origin.client, host, proto(origin.https))?,
        })
    }

    fn inject(&self, headers: &mut HeaderMap, host_header: Option<&HeaderValue>) {
        headers.insert(X_FORWARDED_FOR, self.list.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto(self.https)));
        headers.insert(X_FORWARDED_PORT, self.port.clone());
        headers.insert(header::FORWARDED, self.forwarded.clone());
        headers.insert(X_FORWARDED_HOST, self.authority.clone());
        headers.insert(header::HOST, host_header.unwrap_or(&self.authority).clone());
    }
}

fn proto(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// RFC 7239: IPv6 addresses are quoted and bracketed.
fn forwarded(client: IpAddr, host: &Hostname, proto: &str) -> Result<HeaderValue> {
    match client {
        IpAddr::V4(v4) => value(format_args!("for={v4};host={host};proto={proto}")),
        IpAddr::V6(v6) => value(format_args!("for=\"[{v6}]\";host={host};proto={proto}")),
    }
}

fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
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
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// More than the fields that are added to a request.
const OURS: usize = 20;
