//! What the edge answers by itself: the closed list of its own paths, and redirects to HTTPS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use super::pipeline::Edge;
use super::rejection::Rejection;
use crate::config::{Action, Config, HeaderEdits, Route};
use crate::directory::{Network, Resolution, View};
use crate::model::{HostClass, Hostname, Standing};

/// An answer that needs no backend.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// The paths that the edge answers itself, on every host. Nothing under them is ever forwarded.
#[derive(Debug, PartialEq, Eq)]
pub enum OwnPath<'p> {
    /// `/.well-known/acme-challenge/<token>`: http-01 (RFC 8555 §8.3), also without TLS.
    AcmeChallenge(&'p str),
    /// `/.well-known/tenantry/jwks.json`: the public keys of assertions.
    Jwks,
    /// `/tenants/by-host/<host>`: whom a host leads to, for front ends.
    ByHost(&'p str),
}

impl<'p> OwnPath<'p> {
    pub fn of(path: &'p str) -> Option<Self> {
        if let Some(token) = path.strip_prefix("/.well-known/acme-challenge/") {
            return Some(Self::AcmeChallenge(token));
        }
        if path == "/.well-known/tenantry/jwks.json" {
            return Some(Self::Jwks);
        }
        path.strip_prefix("/tenants/by-host/").map(Self::ByHost)
    }
}

impl Answer {
    fn new(media_type: &'static str, cache: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![
                (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
                (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
            ],
            body: body.into(),
        }
    }

    /// What a route says without a backend.
    pub fn of_route(route: &Route, host: &Hostname, uri: &Uri) -> Result<Self, Rejection> {
        let mut answer = Self::new("text/plain", "no-store", Bytes::new());
        match &route.action {
            Action::Pool(_) => return Err(Rejection::Internal),
            Action::Redirect { status, to } => {
                answer.status = *status;
                let location = HeaderValue::from_str(&to.fill(host, uri.path(), uri.query()));
                let location = location.map_err(|_| Rejection::BadRequest("its target is not plain"))?;
                answer.headers = vec![(header::LOCATION, location)];
            }
            Action::Answer { status, content_type, body } => {
                answer.status = *status;
                answer.headers = vec![(header::CONTENT_TYPE, content_type.clone())];
                answer.body = body.clone();
            }
        }
        let HeaderEdits { set, .. } = &route.settings.response_headers;
        answer.headers.extend(set.iter().cloned());
        Ok(answer)
    }

    /// 308 keeps method and body (RFC 9110 §15.4.9).
    pub fn to_https(host: &Hostname, port: u16, path_and_query: &str) -> Result<Self, Rejection> {
        let target = if path_and_query.starts_with('/') { path_and_query } else { "/" };
        let location = match port {
            443 => format!("https://{host}{target}"),
            port => format!("https://{host}:{port}{target}"),
        };
        let location =
            HeaderValue::from_str(&location).map_err(|_| Rejection::BadRequest("its target is not plain"))?;
        let mut answer = Self::new("text/plain", "no-store", Bytes::new());
        answer.status = StatusCode::PERMANENT_REDIRECT;
        answer.headers.push((header::LOCATION, location));
        Ok(answer)
    }
}

impl Edge {
    /// The key authorization of a pending challenge. Never from a cache: a "no" of a second ago would fail a
    /// validation.
    pub(super) async fn answer_challenge(&self, token: &str, client: IpAddr) -> Result<Answer, Rejection> {
        let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if token.is_empty() || token.len() > 256 || !token.bytes().all(base64url) {
            return Err(Rejection::NotFound);
        }
        match self.directory.challenge(token, client).await? {
            Some(authorization) => Ok(Answer::new("application/octet-stream", "no-store", authorization)),
            None => Err(Rejection::NotFound),
        }
    }

    pub(super) fn answer_jwks(&self) -> Result<Answer, Rejection> {
        let jwks = self.assertions.jwks().ok_or(Rejection::LookupUnavailable)?;
        Ok(Answer::new("application/jwk-set+json", "public, max-age=300", jwks))
    }

    /// Only what visiting the host shows; the same 404 for a pending claim and for a name that nobody knows.
    pub(super) async fn answer_by_host(
        &self,
        host: &str,
        config: &Config,
        client: IpAddr,
    ) -> Result<Answer, Rejection> {
        if !self.by_host.take(Network::of(client)) {
            return Err(Rejection::RateLimited { retry_after: Duration::from_secs(1) });
        }
        let host = Hostname::parse(host).map_err(|_| Rejection::NotFound)?;
        let class = config.brand.classify(&host);
        if !matches!(class, HostClass::Tenant(_) | HostClass::Custom) {
            return Err(Rejection::NotFound);
        }
        match self.resolve(&host, &class, config, client).await? {
            Resolution::Tenant(view, _) => {
                let mut answer = Answer::new("application/json", "public, max-age=60", public_view(&view).to_string());
                answer.headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")));
                Ok(answer)
            }
            Resolution::Unknown => Err(Rejection::NotFound),
        }
    }
}

fn public_view(view: &Arc<View>) -> serde_json::Value {
    let status = match view.effective.standing {
        Standing::Served => "available",
        Standing::Pending => "pending",
        Standing::Suspended => "suspended",
        Standing::Cancelled => "cancelled",
    };
    json!({
        "slug": view.tenant.slug,
        "name": view.tenant.name,
        "status": status,
        "branding": view.effective.branding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_a_closed_list() {
        assert_eq!(OwnPath::of("/.well-known/acme-challenge/x"), Some(OwnPath::AcmeChallenge("x")));
        assert_eq!(OwnPath::of("/.well-known/tenantry/jwks.json"), Some(OwnPath::Jwks));
        assert_eq!(OwnPath::of("/tenants/by-host/a.example"), Some(OwnPath::ByHost("a.example")));
        for path in ["/", "/.well-known/acme-challenge", "/.well-known/other", "/tenants/", "/tenants/by-hosts/x"] {
            assert_eq!(OwnPath::of(path), None, "{path}");
        }
    }
}
