//! Cleaning up a backend's answer before the visitor sees it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

use super::context::RequestContext;
use super::cors;
use super::fields;
use super::forwarded::X_REQUEST_ID;
use super::route;
use crate::directory::Via;
use crate::metrics::Metrics;
use crate::model::Hostname;

/// What has more fields is no answer: HTTP/1's have 256 at most, by pingora's word, and a map of them has an end.
pub fn check(response: &ResponseHeader) -> Result<()> {
    const MOST_FIELDS: usize = 1024;
    match response.headers.len() {
        0..=MOST_FIELDS => Ok(()),
        _ => Err(Error::explain(ErrorType::InvalidHTTPHeader, "too many fields").into_up()),
    }
}

/// Drops what concerned only the hop to the backend, and cookies that would reach other tenants; adds the request id
/// and HSTS.
pub fn clean(response: &mut ResponseHeader, ctx: &RequestContext, metrics: &Metrics) -> Result<()> {
    let tunnel = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
    let interim = response.status.is_informational() && !tunnel;
    fields::edit_answer(response, |headers| {
        if !tunnel {
            drop_hop_by_hop(headers);
        }
        drop_wide_cookies(headers, &ctx.live.config.brand.base, metrics);
        // The rest is for the final response, which is still to come.
        if interim { Ok(()) } else { add_ours(headers, ctx) }
    })?
}

fn add_ours(headers: &mut HeaderMap, ctx: &RequestContext) -> Result<()> {
    add_hsts(headers, ctx);
    if let Some(quota) = &ctx.quota {
        quota.announce(headers)?;
    }
    if let Some(route) = ctx.route() {
        route::edit_response(headers, route);
    }
    if let Some(readers) = &ctx.readers {
        cors::replace(headers, readers);
    }
    if let Some(cookie) = &ctx.cookie {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
    let id = ctx.origin.as_ref().map(|origin| origin.request_id.value());
    headers.insert(X_REQUEST_ID, id.unwrap_or_else(|| HeaderValue::from_static("")));
    Ok(())
}

/// Whether it goes on for as long as both sides like: a WebSocket, or a stream of events.
pub fn is_endless(response: &ResponseHeader) -> bool {
    let media = response.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    response.status == http::StatusCode::SWITCHING_PROTOCOLS || media.starts_with(b"text/event-stream")
}

/// Says that the answer depends on this request header (RFC 9110 §12.5.5), once.
pub fn add_vary(headers: &mut HeaderMap, name: &'static str) {
    let said = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    if said
        .flat_map(|value| value.split(','))
        .any(|word| matches!(word.trim(), "*") || word.trim().eq_ignore_ascii_case(name))
    {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static(name));
}

/// RFC 9110 §7.6.1. Framing (`Transfer-Encoding`, `Content-Length`) is pingora's own.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // Names are mostly few: to compare them all is cheaper than to make the hash of one.
    let has = |headers: &HeaderMap, name: &HeaderName| headers.keys().any(|key| key == name);
    if has(headers, &header::CONNECTION) {
        let lines: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
        headers.remove(header::CONNECTION);
        for nominated in lines.iter().filter_map(|line| line.to_str().ok()).map(str::to_ascii_lowercase) {
            for name in nominated.split(',').map(str::trim).filter(|name| !KEPT.contains(name)) {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        if has(headers, name) {
            headers.remove(name);
        }
    }
}

/// A cookie for the base domain, or for anything above it, would be sent to every tenant's host.
fn drop_wide_cookies(headers: &mut HeaderMap, base: &Hostname, metrics: &Metrics) {
    let wide = |value: &HeaderValue| cookie_domain(value).is_some_and(|domain| covers(&domain, base));
    let cookies = headers.get_all(header::SET_COOKIE);
    if !cookies.iter().any(wide) {
        return;
    }
    let cookies: Vec<HeaderValue> = cookies.iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        if wide(&cookie) {
            metrics.cookies_dropped.inc();
        } else {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

/// The last `Domain` attribute counts (RFC 6265 §5.3).
fn cookie_domain(cookie: &HeaderValue) -> Option<String> {
    let text = String::from_utf8_lossy(cookie.as_bytes());
    let domain = text.split(';').skip(1).filter_map(|attribute| {
        let (name, value) = attribute.split_once('=')?;
        name.trim().eq_ignore_ascii_case("domain").then(|| value.trim().trim_matches('"'))
    });
    domain.last().map(|domain| domain.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase())
}

fn covers(domain: &str, base: &Hostname) -> bool {
    let base = base.as_str();
    !domain.is_empty() && (base == domain || base.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

/// A tenant's host says how long browsers insist on TLS for it, and never speaks for hosts beneath it.
fn add_hsts(headers: &mut HeaderMap, ctx: &RequestContext) {
    let https = ctx.origin.as_ref().is_some_and(|origin| origin.https);
    let Some((_, via @ (Via::CustomDomain | Via::Subdomain))) = ctx.tenant.as_ref().filter(|_| https) else { return };
    if let Some(age) = &ctx.live.hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, age.clone());
    } else if *via == Via::CustomDomain {
        headers.remove(header::STRICT_TRANSPORT_SECURITY);
    }
}

/// For the next hop alone, whether `Connection` names them or not.
static HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::UPGRADE,
    header::TE,
];

/// What `Connection` may name without taking it away: pingora frames with these itself.
const KEPT: [&str; 5] = ["", "close", "keep-alive", "content-length", "transfer-encoding"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_reach_other_tenants_are_dropped() {
        let base = Hostname::parse("connect.arythmatic.cloud").unwrap();
        for (cookie, wide) in [
            ("a=1", false),
            ("a=1; Domain=acme.connect.arythmatic.cloud", false),
            ("a=1; Domain=connect.arythmatic.cloud", true),
            ("a=1; domain=.Connect.Arythmatic.Cloud; Path=/", true),
            ("a=1; Domain=arythmatic.cloud", true),
            ("a=1; Domain=cloud", true),
            ("a=1; Domain=acme.example; DOMAIN=arythmatic.cloud", true),
            ("a=1; Domain=tic.cloud", false),
            ("domain=connect.arythmatic.cloud", false),
            ("a=1; Domain=", false),
        ] {
            let value = HeaderValue::from_static(cookie);
            assert_eq!(cookie_domain(&value).is_some_and(|d| covers(&d, &base)), wide, "{cookie}");
        }
    }

    #[test]
    fn hop_by_hop_headers_end_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close"),
            ("connection", "X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("x-kept", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        drop_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["x-kept"]);
    }
}
