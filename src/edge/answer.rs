//! What the edge answers by itself: the closed list of its own paths, and redirects to HTTPS.

mod listing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use super::look::PICTURES;
use super::pipeline::Edge;
use super::rejection::Rejection;
use crate::config::{Action, Config, HeaderEdits, Route};
use crate::directory::{Network, Resolution, View};
use crate::model::{Brand, Branding, HostClass, Hostname, Image, Standing};

/// An answer that needs no backend.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// The paths that the edge answers itself, on every host but for those of the main site. Nothing under them is ever
/// forwarded.
#[derive(Debug, PartialEq, Eq)]
pub enum OwnPath<'p> {
    /// `/.well-known/acme-challenge/<token>`: http-01 (RFC 8555 §8.3), also without TLS.
    AcmeChallenge(&'p str),
    /// `/.well-known/tenantry/jwks.json`: the public keys of assertions.
    Jwks,
    /// `/tenants/by-host/<host>`: whom a host leads to, for front ends.
    ByHost(&'p str),
    /// `/.well-known/tenantry/assets/<hash>`: a picture of the branding of the host's tenant.
    Picture(&'p str),
    /// `/directory` of the main site, where `brand.directory` is on.
    Directory,
    /// `/sitemap.xml` and `/sitemap-<n>.xml` of the main site, where `brand.directory` is on.
    Sitemap(Option<usize>),
}

impl<'p> OwnPath<'p> {
    pub fn of(path: &'p str, class: Option<&HostClass>, brand: &Brand) -> Option<Self> {
        if let Some(token) = path.strip_prefix("/.well-known/acme-challenge/") {
            return Some(Self::AcmeChallenge(token));
        }
        if path == "/.well-known/tenantry/jwks.json" {
            return Some(Self::Jwks);
        }
        if let Some(hash) = path.strip_prefix(PICTURES) {
            return Some(Self::Picture(hash));
        }
        if let Some(host) = path.strip_prefix("/tenants/by-host/") {
            return Some(Self::ByHost(host));
        }
        if brand.directory && class == Some(&HostClass::Apex) { Self::of_main_site(path) } else { None }
    }

    fn of_main_site(path: &str) -> Option<Self> {
        match path {
            "/directory" => Some(Self::Directory),
            "/sitemap.xml" => Some(Self::Sitemap(None)),
            _ => {
                let part = path.strip_prefix("/sitemap-")?.strip_suffix(".xml")?;
                let number = part.parse().ok().filter(|number: &usize| number.to_string() == part)?;
                Some(Self::Sitemap(Some(number)))
            }
        }
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

    /// A picture of the branding of the tenant that the host led to, its own or inherited; of nobody else's.
    pub(super) async fn answer_picture(&self, hash: &str, view: Option<&View>) -> Result<Answer, Rejection> {
        let known = view.and_then(|view| view.effective.branding.images.by_hash(hash));
        let image = known.ok_or(Rejection::NotFound)?;
        let picture = self.directory.picture(&image.hash).await?.ok_or(Rejection::NotFound)?;
        let mut answer = Answer::new(picture.media.as_str(), "public, max-age=31536000, immutable", picture.bytes);
        answer.headers.extend([
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PICTURE_POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            // Front ends of the tenant's on other hosts show it as well.
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
        ]);
        Ok(answer)
    }
}

/// A drawing that is opened by itself runs nothing and loads nothing. Its styles were cleaned.
const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

fn public_view(view: &Arc<View>) -> serde_json::Value {
    let status = match view.effective.standing {
        Standing::Served => "available",
        Standing::Pending => "pending",
        Standing::Suspended => "suspended",
        Standing::Cancelled => "cancelled",
    };
    let branding = &view.effective.branding;
    json!({
        "slug": view.tenant.slug,
        "name": branding.display_name.as_ref().unwrap_or(&view.tenant.name),
        "status": status,
        "branding": public_branding(branding),
    })
}

/// What the tenant's pages show, with pictures as paths on each of its hosts. The style sheet is made for the edge's own
/// pages alone.
fn public_branding(branding: &Branding) -> serde_json::Value {
    let path = |image: &Option<Image>| image.as_ref().map(|image| format!("{PICTURES}{}", image.hash));
    let images = &branding.images;
    let mut shown = json!({
        "tagline": branding.tagline,
        "blurb": branding.blurb,
        "primary_colour": branding.primary_colour,
        "secondary_colour": branding.secondary_colour,
        "header_colour": branding.header_colour,
        "text_colour": branding.text_colour,
        "link_colour": branding.link_colour,
        "button_colour": branding.button_colour,
        "logo_light": path(&images.logo_light),
        "logo_dark": path(&images.logo_dark),
        "social": path(&images.social),
    });
    if let Some(fields) = shown.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_a_closed_list() {
        let mut brand = Brand::for_base(Hostname::parse("connect.localhost").unwrap());
        let of = |path: &'static str, brand: &Brand| OwnPath::of(path, Some(&HostClass::Apex), brand);
        assert_eq!(of("/.well-known/acme-challenge/x", &brand), Some(OwnPath::AcmeChallenge("x")));
        assert_eq!(of("/.well-known/tenantry/jwks.json", &brand), Some(OwnPath::Jwks));
        assert_eq!(of("/.well-known/tenantry/assets/ab", &brand), Some(OwnPath::Picture("ab")));
        assert_eq!(of("/tenants/by-host/a.example", &brand), Some(OwnPath::ByHost("a.example")));
        for path in ["/", "/.well-known/acme-challenge", "/.well-known/other", "/tenants/", "/tenants/by-hosts/x"] {
            assert_eq!(of(path, &brand), None, "{path}");
        }
        for path in ["/directory", "/sitemap.xml", "/sitemap-1.xml"] {
            assert_eq!(of(path, &brand), None, "{path}: an application may have it");
        }
        brand.directory = true;
        assert_eq!(of("/directory", &brand), Some(OwnPath::Directory));
        assert_eq!(of("/sitemap.xml", &brand), Some(OwnPath::Sitemap(None)));
        assert_eq!(of("/sitemap-12.xml", &brand), Some(OwnPath::Sitemap(Some(12))));
        for path in ["/directory/", "/directory/x", "/sitemap-.xml", "/sitemap-01.xml", "/sitemap-x.xml"] {
            assert_eq!(of(path, &brand), None, "{path}");
        }
        assert_eq!(OwnPath::of("/directory", Some(&HostClass::Custom), &brand), None, "only on the main site");
    }
}
