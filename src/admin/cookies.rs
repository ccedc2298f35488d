//! The cookies of people's sessions, and what keeps other sites from using them: `__Host-` names (RFC 6265bis §4.1.3.2), a
//! token that only our own pages can know, and what browsers say of where a request comes from.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::clock::Timestamp;
use crate::model::Hostname;
use crate::tenancy::csrf_token;

/// The session's secret.
pub const SESSION: &str = "__Host-tenantry";
/// What a browser brings back from a provider.
pub const FLOW: &str = "__Host-tenantry-oidc";
/// Where a page sends [`csrf_token`].
pub const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// An answer with cookies.
pub struct WithCookies<T>(pub Vec<String>, pub T);

impl<T: IntoResponse> IntoResponse for WithCookies<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for cookie in self.0 {
            if let Ok(mut value) = HeaderValue::try_from(cookie) {
                value.set_sensitive(true);
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
        response
    }
}

/// The value of the cookie of this name, if there is exactly one.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(key, value)| (key == name).then_some(value));
    found.next().filter(|_| found.next().is_none())
}

/// A cookie of this host alone, until `expires`.
pub fn own(name: &str, value: &str, now: Timestamp, expires: Timestamp) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", expires.since(now).as_secs())
}

/// What takes a cookie of this host away.
pub fn gone(name: &str) -> String {
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The cookie that the edge reads on the main site, as set by a page on `host`: `None` where a browser would not take it
/// from there, because the host is no part of the main site.
pub fn for_main_site(name: &str, value: &str, host: Option<&str>, base: &Hostname, life: u64) -> Option<String> {
    let host = Hostname::parse(host?.rsplit_once(':').map_or(host?, |(host, _)| host)).ok()?;
    let domain = match host == *base {
        true => String::new(),
        false if host.beneath(base).is_some() => format!(" Domain={base};"),
        false => return None,
    };
    Some(format!("{name}={value};{domain} Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={life}"))
}

/// The host that was asked for, with its port.
pub fn host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> Option<&'r str> {
    uri.authority().map(|authority| authority.as_str()).or_else(|| headers.get(header::HOST)?.to_str().ok())
}

/// Whether a call by this session's cookie was meant by its owner: it only reads, or it comes from a page of this very site
/// that knows the token.
pub fn is_meant(method: &Method, headers: &HeaderMap, uri: &Uri, secret: &str) -> bool {
    if method.is_safe() {
        return true;
    }
    let token = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    let expected = csrf_token(secret);
    aws_lc_rs::constant_time::verify_slices_are_equal(token, expected.as_bytes()).is_ok() && is_same_site(headers, uri)
}

/// Whether nothing that a browser says speaks of another site. `Sec-Fetch-Site` is the better witness; programs send neither.
pub fn is_same_site(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        None => true,
        Some(Ok(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == host(headers, uri)
        }
        Some(Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn one_cookie_counts_and_two_of_a_name_are_none() {
        let name = "__Host-tenantry";
        assert_eq!(cookie(&headers(&[("cookie", "a=1; __Host-tenantry=x; b=2")]), name), Some("x"));
        assert_eq!(cookie(&headers(&[("cookie", "__Host-tenantry=x; __Host-tenantry=y")]), name), None);
        assert_eq!(cookie(&headers(&[("cookie", "x__Host-tenantry=x")]), name), None);
    }

    #[test]
    fn a_write_needs_the_token_and_our_own_site() {
        let (uri, secret) = (Uri::from_static("/v1/session"), "s");
        let token = csrf_token(secret);
        let meant = |method: Method, pairs: &[(&'static str, &str)]| is_meant(&method, &headers(pairs), &uri, secret);
        let csrf = ("x-csrf-token", token.as_str());
        assert!(meant(Method::GET, &[("origin", "https://evil.example"), ("host", "ops.example")]));
        assert!(meant(Method::POST, &[csrf, ("host", "ops.example")]));
        assert!(meant(Method::DELETE, &[csrf, ("host", "ops.example:8443"), ("origin", "https://ops.example:8443")]));
        assert!(meant(Method::POST, &[csrf, ("sec-fetch-site", "same-origin")]));
        for (why, pairs) in [
            ("no token", vec![("host", "ops.example")]),
            ("another's token", vec![("x-csrf-token", "00"), ("host", "ops.example")]),
            ("another site", vec![csrf, ("host", "ops.example"), ("origin", "https://evil.example")]),
            ("no site", vec![csrf, ("host", "ops.example"), ("origin", "null")]),
            ("a sibling", vec![csrf, ("sec-fetch-site", "same-site")]),
            ("a stranger", vec![csrf, ("sec-fetch-site", "cross-site"), ("origin", "https://ops.example")]),
        ] {
            assert!(!meant(Method::POST, &pairs), "{why}");
        }
    }

    #[test]
    fn the_main_sites_cookie_is_set_from_the_main_site_alone() {
        let base = Hostname::parse("connect.example").unwrap();
        let set = |host| for_main_site("sid", "v", host, &base, 60);
        assert!(set(Some("connect.example:8443")).is_some_and(|cookie| !cookie.contains("Domain")));
        assert!(
            set(Some("ops.connect.example"))
                .is_some_and(|cookie| cookie.contains("; Domain=connect.example;") || cookie.contains("v; Domain"))
        );
        assert_eq!(set(Some("connect.example.evil.example")), None);
        assert_eq!(set(Some("127.0.0.1:9900")), None);
        assert_eq!(set(None), None);
    }
}
