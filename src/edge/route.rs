//! What a route does to a request and its answer on the way: prefix, headers, limits. Which route it is was decided
//! before.

use http::{HeaderMap, Uri, uri};
use pingora_error::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::context::RequestContext;
use crate::config::{HeaderEdits, PathMatch, Route};
use crate::model::normal_path;

/// Backends get origin-form, whatever the client sent (RFC 9112 §3.2.2); the authority travels in `Host`. HTTP/1's absolute
/// form has become one with `fields::forget_spelling`.
pub fn to_origin_form(request: &mut RequestHeader) -> Result<()> {
    if request.uri.authority().is_some() {
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(match request.uri.path_and_query() {
            None => uri::PathAndQuery::from_static("/"),
            // A query alone, of which everybody before us has read the path as `/`: so it is shown, but not sent.
            Some(query) if query.as_str().starts_with('?') => {
                query.to_string().parse().or_err(ErrorType::InvalidHTTPHeader, "a query")?
            }
            Some(target) => target.clone(),
        });
        request.set_uri(Uri::from_parts(parts).or_err(ErrorType::InvalidHTTPHeader, "a target")?);
    }
    Ok(())
}

/// The request as the backend is to see it.
pub fn edit_request(request: &mut RequestHeader, route: &Route) -> Result<()> {
    if let (Some(to), PathMatch::Prefix(prefix)) = (&route.settings.rewrite_prefix, &route.path) {
        let path = rewritten(&normal_path(request.uri.path()), prefix, to);
        let target = match request.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        request.set_raw_path(target.as_bytes())?;
    }
    let HeaderEdits { remove, set } = &route.settings.request_headers;
    for name in remove {
        request.remove_header(name);
    }
    for (name, value) in set {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// The answer as the visitor is to see it.
pub fn edit_response(headers: &mut HeaderMap, route: &Route) {
    let HeaderEdits { remove, set } = &route.settings.response_headers;
    for name in remove {
        headers.remove(name);
    }
    for (name, value) in set {
        headers.insert(name.clone(), value.clone());
    }
}

/// As many segments as the prefix has make way, so that a path which only a gate's forgiving comparison took is
/// rewritten too.
fn rewritten(path: &str, prefix: &str, to: &str) -> String {
    let segments = prefix.strip_suffix('/').unwrap_or(prefix).matches('/').count();
    let mut rest = path;
    for _ in 0..segments {
        let behind = rest.get(1..).unwrap_or_default();
        rest = behind.find('/').map_or("", |at| &behind[at..]);
    }
    let to = to.strip_suffix('/').unwrap_or(to);
    if to.is_empty() && rest.is_empty() { "/".to_owned() } else { format!("{to}{rest}") }
}

impl RequestContext {
    pub fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// The largest request body, in bytes: the route's word, else that of `[limits]`; a tenant's own only narrows it.
    pub fn body_limit(&self) -> Option<u64> {
        let general = self.route().and_then(|route| route.settings.body_bytes).or(self.live.config.limits.body_bytes);
        let tenant = self.tenant.as_ref().and_then(|(view, _)| view.effective.edge.limits.body_bytes);
        match (general, tenant) {
            (Some(general), Some(tenant)) => Some(general.min(tenant)),
            (general, tenant) => general.or(tenant),
        }
    }

    /// How often a backend may be asked.
    pub fn most_tries(&self) -> u32 {
        1 + self.route().map_or(0, |route| route.settings.retries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_get_a_path_whatever_stood_before_it() {
        for (asked, expected) in [
            ("https://acme.example/a?b", "/a?b"),
            ("https://acme.example", "/"),
            ("https://acme.example?b", "/?b"),
            ("/a?b", "/a?b"),
            ("*", "*"),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.set_uri(asked.parse().unwrap());
            to_origin_form(&mut request).unwrap();
            assert_eq!(request.raw_path(), expected.as_bytes(), "{asked}");
        }
    }

    #[test]
    fn a_prefix_makes_way() {
        for (path, prefix, to, expected) in [
            ("/api/x/y", "/api", "/v2", "/v2/x/y"),
            ("/api", "/api", "/v2", "/v2"),
            ("/api/", "/api/", "/", "/"),
            ("/api", "/api", "/", "/"),
            ("/api/x", "/api", "/", "/x"),
            ("/x", "/", "/app", "/app/x"),
            ("/a/b/c", "/a/b", "/z/", "/z/c"),
            ("/API/x", "/api", "/v2", "/v2/x"),
            ("/a", "/a/b", "/z", "/z"),
        ] {
            assert_eq!(rewritten(path, prefix, to), expected, "{path} {prefix} {to}");
        }
    }
}
