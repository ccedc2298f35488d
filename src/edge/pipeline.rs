//! The way of a request from its head to a permit, an answer of our own, or a refusal. Steps run in one order, and each
//! stands in its own file; this one only joins them.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, header};
use pingora_http::RequestHeader;

use super::answer::{Answer, OwnPath};
use super::assertion::Assertions;
use super::canary::Visitor;
use super::connection::{Connection, HeadFault};
use super::context::RequestContext;
use super::forwarded::Origin;
use super::gates::{self, Decision, Permit, Visit};
use super::host;
use super::limits;
use super::rejection::Rejection;
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{Allowance, Directory, EndedSessions, Resolution, Via, View};
use crate::metrics::Metrics;
use crate::model::{HostClass, Hostname, normal_path};
use crate::tls::CertificateCache;
use crate::traces::Tracer;

/// What the steps need, shared by all requests.
pub struct Edge {
    pub directory: Arc<Directory>,
    /// The sessions of the main site that are over.
    pub ended: Arc<EndedSessions>,
    pub assertions: Arc<Assertions>,
    pub certificates: Arc<CertificateCache>,
    /// How often one client may ask `/tenants/by-host/`.
    pub by_host: Allowance,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// `None`: traces are only carried on.
    pub tracer: Option<Tracer>,
}

/// What becomes of a request that is not refused.
#[derive(Debug)]
pub enum Step {
    Forward(Permit),
    Answer(Answer),
}

impl Edge {
    /// Decides about one request. Fills in what it learns on the way, so that a refusal can be answered and logged
    /// with it.
    pub async fn admit(&self, request: &RequestHeader, ctx: &mut RequestContext) -> Result<Step, Rejection> {
        let connection = ctx.connection.clone().ok_or(Rejection::Internal)?;
        let live = Arc::clone(&ctx.live);
        let config = &live.config;
        let mut origin = Origin::of(
            connection.client.ip(),
            connection.tls.is_some(),
            &request.headers,
            &config.headers.trusted_proxies,
            self.clock.now(),
        );
        let (client, https) = (origin.client, origin.https);
        ctx.tracer = self.tracer.as_ref().filter(|tracer| origin.is_traced(tracer)).cloned();
        ctx.origin = Some(origin);
        if let Some(fault) = connection.take_head_fault() {
            return Err(of_fault(fault));
        }
        if field_count(&request.headers) > config.limits.header_count {
            return Err(Rejection::HeadersTooLarge);
        }
        if matches!(request.method, Method::TRACE | Method::CONNECT) {
            return Err(Rejection::MethodNotAllowed);
        }
        let host = host::of_request(&request.uri, &request.headers, connection.sni.as_ref())?;
        let host = ctx.host.insert(host).clone();
        let path = request.uri.path();
        // In normal form too, or a backend that normalises would answer in our name.
        let plain = normal_path(path);
        let class = config.brand.classify(&host);
        let own = [path, &*plain].into_iter().find_map(|path| OwnPath::of(path, Some(&class), &config.brand));
        if own.is_some() && !matches!(request.method, Method::GET | Method::HEAD) {
            return Err(Rejection::MethodNotAllowed);
        }
        if let Some(OwnPath::AcmeChallenge(token)) = own {
            return Ok(Step::Answer(self.answer_challenge(token, client).await?));
        }
        if connection.tls.is_some() && connection.sni.as_ref() != Some(&host) {
            return Err(Rejection::Misdirected);
        }
        if !https {
            let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
            if let Some(answer) = self.to_https(&host, target, config, client).await? {
                return Ok(Step::Answer(answer));
            }
        }
        if let Some(own) = &own
            && let Some(answer) = self.answer_own(own, request, config, client).await?
        {
            return Ok(Step::Answer(answer));
        }
        let tenant = self.find_tenant(&host, &class, request, config, client, &connection).await?;
        ctx.tenant.clone_from(&tenant);
        if let Some(OwnPath::Picture(hash)) = own {
            // Whatever has become of the tenant: its page shows it.
            let view = tenant.as_ref().filter(|_| https).map(|(view, _)| &**view);
            return Ok(Step::Answer(self.answer_picture(hash, view).await?));
        }
        // A session's tenant has no say over who comes to the operator's main site.
        if let Some((view, Via::CustomDomain | Via::Subdomain)) = &tenant {
            limits::check_access(view, client)?;
        }
        if !https && tenant.is_some() {
            // Nobody's pages go over the wire in the clear, not even for the minute until the certificate is there.
            return Err(Rejection::CertificatePending);
        }
        if let Some(answer) = self.apply_policies(request, ctx, config, client).await? {
            return Ok(Step::Answer(answer));
        }
        if let Some((view, _)) = &tenant {
            limits::enter(view, request, ctx)?;
        }
        choose(request, ctx, (&host, &class), tenant, client)
    }

    /// The answer to a path of the edge's own that needs no tenant.
    async fn answer_own(
        &self,
        own: &OwnPath<'_>,
        request: &RequestHeader,
        config: &Config,
        client: IpAddr,
    ) -> Result<Option<Answer>, Rejection> {
        Ok(Some(match own {
            OwnPath::Jwks => self.answer_jwks()?,
            OwnPath::ByHost(asked) => self.answer_by_host(asked, config, client).await?,
            OwnPath::Directory => self.answer_directory(request.uri.query(), &request.headers, config, client).await?,
            OwnPath::Sitemap(part) => self.answer_sitemap(*part, config, client).await?,
            OwnPath::AcmeChallenge(_) | OwnPath::Picture(_) => return Ok(None),
        }))
    }

    /// Whom a host leads to, under this configuration.
    pub async fn resolve(
        &self,
        host: &Hostname,
        class: &HostClass,
        config: &Config,
        client: IpAddr,
    ) -> Result<Resolution, Rejection> {
        let suspend_expired = config.tenancy.suspend_expired_trials;
        Ok(self.directory.resolve(host, class, client, &config.catalogue, suspend_expired).await?)
    }

    /// The tenant in the documented order: custom domain, subdomain, session on the main site. The operator's own
    /// hosts have none; every other host without one is refused.
    async fn find_tenant(
        &self,
        host: &Hostname,
        class: &HostClass,
        request: &RequestHeader,
        config: &Config,
        client: IpAddr,
        connection: &Connection,
    ) -> Result<Option<(Arc<View>, Via)>, Rejection> {
        match class {
            HostClass::Apex => self.session_tenant(request, config, connection).await,
            HostClass::Console | HostClass::Reserved => Ok(None),
            HostClass::Subdomain => Err(Rejection::TenantNotFound),
            HostClass::Tenant(_) | HostClass::Custom => {
                let unknown = match class {
                    HostClass::Custom => Rejection::DomainNotConfigured,
                    _ => Rejection::TenantNotFound,
                };
                let Resolution::Tenant(view, via) = self.resolve(host, class, config, client).await? else {
                    return Err(unknown);
                };
                if !connection.note_tenant(view.tenant.id) {
                    return Ok(Some((view, via)));
                }
                // From now on a suspension closes this connection. One that came just before was not told of it, so
                // the first request looks again.
                let (catalogue, suspend_expired) = (&config.catalogue, config.tenancy.suspend_expired_trials);
                match self.directory.resolve_again(host, via, client, catalogue, suspend_expired).await? {
                    Resolution::Tenant(view, via) => Ok(Some((view, via))),
                    Resolution::Unknown => Err(unknown),
                }
            }
        }
    }

    async fn session_tenant(
        &self,
        request: &RequestHeader,
        config: &Config,
        connection: &Connection,
    ) -> Result<Option<(Arc<View>, Via)>, Rejection> {
        let Some(name) = &config.tenancy.session_cookie else { return Ok(None) };
        let cookie = session::cookie(&request.headers, name);
        let Some(cookie) = cookie.and_then(|cookie| self.assertions.session(cookie)) else { return Ok(None) };
        let ended = || self.ended.contains(cookie.session, cookie.expires);
        // From now on its end closes this connection. One that came just before was not told of it.
        if ended() || connection.note_session(cookie) && ended() {
            return Ok(None);
        }
        let id = cookie.tenant;
        connection.note_tenant(id);
        let suspend_expired = config.tenancy.suspend_expired_trials;
        let view = self.directory.tenant(id, &config.catalogue, suspend_expired).await?;
        Ok(view.map(|view| (view, Via::Session)))
    }

    /// A redirect where a certificate exists; `None` where there is nothing to redirect to.
    async fn to_https(
        &self,
        host: &Hostname,
        target: &str,
        config: &Config,
        client: IpAddr,
    ) -> Result<Option<Answer>, Rejection> {
        let Some(port) = config.https_port() else { return Ok(None) };
        match self.certificates.has(host, client).await {
            Ok(true) => Answer::to_https(host, port, target).map(Some),
            Ok(false) => Ok(None),
            Err(trouble) => Err(trouble.into()),
        }
    }
}

/// Where a request goes that may come in.
fn choose(
    request: &RequestHeader,
    ctx: &mut RequestContext,
    (host, class): (&Hostname, &HostClass),
    tenant: Option<(Arc<View>, Via)>,
    client: IpAddr,
) -> Result<Step, Rejection> {
    let visitor = Visitor::of(tenant.as_ref().map(|(view, _)| &**view), &request.headers, client);
    let visit = Visit {
        host,
        class,
        method: &request.method,
        path: request.uri.path(),
        headers: &request.headers,
        tenant,
        bucket: visitor.bucket,
    };
    match gates::decide(&ctx.live.config, visit)? {
        Decision::Forward(permit) => {
            ctx.cookie = visitor.cookie();
            if let Some(pool) = permit.missing() {
                ctx.miss_pool(pool);
            }
            ctx.route = Some(Arc::clone(permit.route()));
            Ok(Step::Forward(permit))
        }
        Decision::Respond(route) => {
            let answer = Answer::of_route(&route, host, &request.uri);
            ctx.route = Some(route);
            answer.map(Step::Answer)
        }
    }
}

/// HTTP/2 clients may send each cookie as a field of its own (RFC 9113 §8.2.3): together they count as one.
fn field_count(headers: &HeaderMap) -> usize {
    let crumbs = headers.get_all(header::COOKIE).iter().count();
    headers.len() - crumbs.saturating_sub(1)
}

fn of_fault(fault: HeadFault) -> Rejection {
    match fault {
        HeadFault::Malformed(why) => Rejection::BadRequest(why),
        HeadFault::TooLarge | HeadFault::TooManyHeaders => Rejection::HeadersTooLarge,
        HeadFault::Timeout => Rejection::RequestTimeout,
    }
}
