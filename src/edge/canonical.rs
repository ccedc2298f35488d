//! Redirects between the hosts of one tenant: to its primary domain, and between `example.com` and `www.example.com`.
//! Nobody is sent to a host that is not this very tenant's, or that has no certificate; the primary domain's word counts
//! before that of `www`, so the two never send a visitor in circles.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderValue, Method, header};
use pingora_http::RequestHeader;

use super::answer::Answer;
use super::headers::is_grpc;
use super::pipeline::Edge;
use super::rejection::Rejection;
use crate::config::Config;
use crate::directory::{Resolution, View};
use crate::model::{Feature, Hostname, Www};

/// A redirect, and what the access log calls its reason.
pub struct Canonical {
    pub answer: Answer,
    pub reason: &'static str,
}

impl Edge {
    /// The redirect to the host that this tenant would rather be visited at. 308 keeps method and body.
    pub(super) async fn canonical(
        &self,
        request: &RequestHeader,
        host: &Hostname,
        view: &View,
        config: &Config,
    ) -> Result<Option<Canonical>, Rejection> {
        let Some(port) = config.https_port() else { return Ok(None) };
        let edge = &view.effective.edge;
        let nothing_set = edge.primary_domain.is_none() && edge.www.is_none();
        // Nobody is sent to a domain that sends them back.
        if nothing_set || view.effective.domains_lapsed || !is_visit(request) {
            return Ok(None);
        }
        let Some((better, reason)) = self.better_host(host, view, config).await else { return Ok(None) };
        Ok(Some(Canonical { answer: for_now(request, &better, port)?, reason }))
    }

    async fn better_host(&self, host: &Hostname, view: &View, config: &Config) -> Option<(Hostname, &'static str)> {
        let edge = &view.effective.edge;
        if let Some(primary) = &edge.primary_domain {
            if primary == host {
                return None;
            }
            if self.is_served(primary, view, config).await {
                return Some((primary.clone(), "primary-domain"));
            }
        }
        let other = match edge.www? {
            Www::Add if !host.as_str().starts_with(WWW) => host.child("www").ok()?,
            Www::Remove => Hostname::parse(host.as_str().strip_prefix(WWW)?).ok()?,
            Www::Add | Www::Keep => return None,
        };
        self.is_served(&other, view, config).await.then_some((other, "www"))
    }

    /// Whether a host is this tenant's and can be visited. What cannot be found out is a no: the visitor is served where
    /// they are. The name is not the visitor's choice, so that it is not the visitor who pays for looking it up.
    pub(super) async fn is_served(&self, host: &Hostname, view: &View, config: &Config) -> bool {
        let ours = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let class = config.brand.classify(host);
        match self.resolve(host, &class, config, ours).await {
            Ok(Resolution::Tenant(there, _)) if there.tenant.id == view.tenant.id => {
                self.certificates.has(host, ours).await.unwrap_or(false)
            }
            _ => false,
        }
    }
}

/// The way from a domain of the tenant's own to its slug host, when its plan has not covered such domains for too long. What
/// follows no redirect is told why instead.
pub(super) fn lapsed(request: &RequestHeader, view: &View, config: &Config) -> Result<Canonical, Rejection> {
    let host = config.brand.tenant_host(&view.tenant.slug).ok();
    match (config.https_port(), host) {
        (Some(port), Some(host)) if is_visit(request) => {
            Ok(Canonical { answer: for_now(request, &host, port)?, reason: "domains-lapsed" })
        }
        _ => Err(Rejection::not_in_plan(Feature::CUSTOM_DOMAIN, config)),
    }
}

/// Browsers keep a 308 for good unless they are told otherwise, and these depend on what may change.
fn for_now(request: &RequestHeader, host: &Hostname, port: u16) -> Result<Answer, Rejection> {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut answer = Answer::to_https(host, port, target)?;
    answer.headers.retain(|(name, _)| name != header::CACHE_CONTROL);
    answer.headers.push((header::CACHE_CONTROL, HeaderValue::from_static("max-age=60")));
    Ok(answer)
}

/// What follows redirects: no preflight (Fetch §4.8 forbids it), no WebSocket, no gRPC call.
fn is_visit(request: &RequestHeader) -> bool {
    let preflight =
        request.method == Method::OPTIONS && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    !preflight && !request.headers.contains_key(header::UPGRADE) && !is_grpc(&request.headers)
}

const WWW: &str = "www.";
