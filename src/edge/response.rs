//! Cleaning up a backend's answer before the visitor sees it.

use http::{HeaderValue, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::context::RequestContext;
use super::cors;
use super::forwarded::X_REQUEST_ID;
use super::route;
use super::value::value;
use crate::directory::Via;
use crate::metrics::Metrics;
use crate::model::Hostname;

/// Drops what concerned only the hop to the backend, and cookies that would reach other tenants; adds the request id
/// and HSTS.
pub fn clean(response: &mut ResponseHeader, ctx: &RequestContext, metrics: &Metrics) -> Result<()> {
    match response.status {
        http::StatusCode::SWITCHING_PROTOCOLS => {}
        // The final response is still to come and will be cleaned.
        interim if interim.is_informational() => return Ok(()),
        _ => drop_hop_by_hop(response),
    }
    drop_wide_cookies(response, &ctx.live.config.brand.base, metrics)?;
    add_hsts(response, ctx)?;
    if let Some(quota) = &ctx.quota {
        quota.announce(response)?;
    }
    if let Some(route) = ctx.route() {
        route::edit_response(response, route)?;
    }
    if let Some(readers) = &ctx.readers {
        cors::replace(response, readers)?;
    }
    if let Some(cookie) = &ctx.cookie {
        response.append_header(header::SET_COOKIE, cookie.clone())?;
    }
    let id = ctx.origin.as_ref().map(|origin| origin.request_id.value());
    response.insert_header(X_REQUEST_ID, id.unwrap_or_else(|| HeaderValue::from_static("")))
}

/// Whether it goes on for as long as both sides like: a WebSocket, or a stream of events.
pub fn is_endless(response: &ResponseHeader) -> bool {
    let media = response.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    response.status == http::StatusCode::SWITCHING_PROTOCOLS || media.starts_with(b"text/event-stream")
}

/// Says that the answer depends on this request header (RFC 9110 §12.5.5), once.
pub fn add_vary(response: &mut ResponseHeader, name: &'static str) -> Result<()> {
    let said = response.headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    if said
        .flat_map(|value| value.split(','))
        .any(|word| matches!(word.trim(), "*") || word.trim().eq_ignore_ascii_case(name))
    {
        return Ok(());
    }
    response.append_header("vary", HeaderValue::from_static(name)).map(|_| ())
}

/// RFC 9110 §7.6.1. Framing (`Transfer-Encoding`, `Content-Length`) is pingora's own.
fn drop_hop_by_hop(response: &mut ResponseHeader) {
    if let Some(connection) = response.remove_header(&header::CONNECTION) {
        let nominated = connection.to_str().unwrap_or_default().to_ascii_lowercase();
        for name in nominated.split(',').map(str::trim).filter(|name| !KEPT.contains(name)) {
            response.remove_header(name);
        }
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "upgrade", "te"] {
        response.remove_header(name);
    }
}

/// A cookie for the base domain, or for anything above it, would be sent to every tenant's host.
fn drop_wide_cookies(response: &mut ResponseHeader, base: &Hostname, metrics: &Metrics) -> Result<()> {
    let wide = |value: &HeaderValue| cookie_domain(value).is_some_and(|domain| covers(&domain, base));
    let cookies: Vec<HeaderValue> = response.headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    if !cookies.iter().any(wide) {
        return Ok(());
    }
    response.remove_header(&header::SET_COOKIE);
    for cookie in cookies {
        if wide(&cookie) {
            metrics.cookies_dropped.inc();
        } else {
            response.append_header(header::SET_COOKIE, cookie)?;
        }
    }
    Ok(())
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
fn add_hsts(response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    let https = ctx.origin.as_ref().is_some_and(|origin| origin.https);
    let Some((_, via @ (Via::CustomDomain | Via::Subdomain))) = ctx.tenant.as_ref().filter(|_| https) else {
        return Ok(());
    };
    match ctx.live.config.tenancy.hsts {
        Some(age) => {
            response.insert_header("strict-transport-security", value(format_args!("max-age={}", age.as_secs()))?)
        }
        None if *via == Via::CustomDomain => {
            response.remove_header(&header::STRICT_TRANSPORT_SECURITY);
            Ok(())
        }
        None => Ok(()),
    }
}

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
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in
            [("connection", "close, X-Hop"), ("x-hop", "1"), ("keep-alive", "timeout=5"), ("x-kept", "1")]
        {
            response.append_header(name, value).unwrap();
        }
        drop_hop_by_hop(&mut response);
        let left: Vec<_> = response.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["x-kept"]);
    }
}
