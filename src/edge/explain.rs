//! What the edge would do with a request, and why: the pipeline itself decides about a request that nobody sent, and the
//! steps are told beside it. Nothing is forwarded, counted or logged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header;
use pingora_http::RequestHeader;

use super::canary::Visitor;
use super::connection::{Connection, Facts};
use super::context::RequestContext;
use super::live::Live;
use super::pipeline::{Edge, Step};
use super::rejection::Rejection;
use super::route;
use crate::config::{Asked, Config, HeaderEdits, Listener, Mismatch, Route};
use crate::directory::View;
use crate::model::{Explanation, HostClass, Hostname, Question, Told, Unclear, Verdict, folded_path, normal_path};
use crate::tls::{TlsFacts, TlsVersion};

impl Edge {
    /// Decides about a request as if it had come through the first listener of its scheme.
    pub async fn explain(&self, live: &Arc<Live>, question: &Question) -> Result<Explanation, Unclear> {
        let https = question.url.scheme_str() == Some("https");
        let host = question.url.host().and_then(|host| Hostname::parse_authority(host.as_bytes()).ok());
        let host = host.ok_or_else(|| Unclear::Url(question.url.to_string()))?;
        let listener = live.config.listeners.iter().find(|listener| listener.tls == https);
        let listener = listener.ok_or(Unclear::Listener(if https { "TLS" } else { "plain" }))?;
        let mut request = made(question, &host)?;
        let mut ctx = RequestContext::new(Arc::clone(live), Arc::clone(&self.metrics));
        ctx.rehearse();
        ctx.connection = Some(rehearsed(listener, &host, question.client));
        let outcome = self.admit(&request, &mut ctx).await;
        let mut steps = vec![Told::new("listener", format!("{} at {}", listener.name, listener.address))];
        tell_host(&mut steps, &ctx, &live.config, &host);
        match ctx.policy {
            // It stands in the place of a route.
            Some(policy) => steps.push(Told::new("policy", format!("the tenant's {policy} answers"))),
            None if is_routed(&outcome, &ctx) => tell_routes(&mut steps, &ctx, &live.config, &request, &host),
            None => {}
        }
        let mut verdict = Verdict { route: ctx.route().map(|route| route.name.to_string()), ..Verdict::default() };
        match outcome {
            Ok(Step::Forward(permit)) => {
                ctx.permit = Some(permit);
                tell_pool(&mut steps, &ctx, &request, question.client);
                if let Some(route) = ctx.route() {
                    let edited = route::edit_request(&mut request, route);
                    edited.map_err(|error| Unclear::Request(error.to_string()))?;
                    steps.push(Told::new("request", request_edits(route, ctx.body_limit())));
                    steps.push(Told::new("answer", answer_edits(route)));
                }
                verdict.action = "forward";
                if !tell_backends(&mut steps, &ctx) {
                    let rejection = Rejection::UpstreamUnavailable;
                    verdict.action = "refuse";
                    verdict.status = Some(rejection.status().as_u16());
                    verdict.code = Some(rejection.code());
                }
                verdict.target = request.uri.path_and_query().map(ToString::to_string);
                verdict.pool = pool_name(&ctx);
            }
            Ok(Step::Answer(answer)) => {
                let location = answer.headers.iter().find(|(name, _)| *name == header::LOCATION);
                verdict.action = "answer";
                verdict.status = Some(answer.status.as_u16());
                verdict.location = location.and_then(|(_, value)| value.to_str().ok()).map(str::to_owned);
            }
            Err(rejection) => {
                steps.push(Told::new("refusal", format!("{}: {}", rejection.title(), rejection.detail())));
                verdict.action = "refuse";
                verdict.status = Some(rejection.status().as_u16());
                verdict.code = Some(rejection.code());
            }
        }
        Ok(Explanation { steps, verdict })
    }
}

fn made(question: &Question, host: &Hostname) -> Result<RequestHeader, Unclear> {
    let unclear = |error: Box<pingora_error::Error>| Unclear::Request(error.to_string());
    let target = question.url.path_and_query().map_or("/", |target| target.as_str());
    let mut request = RequestHeader::build(question.method.clone(), target.as_bytes(), None).map_err(unclear)?;
    for (name, value) in &question.headers {
        request.append_header(name.clone(), value.clone()).map_err(unclear)?;
    }
    if !question.headers.contains_key(header::HOST) {
        request.insert_header(header::HOST, host.as_str()).map_err(unclear)?;
    }
    Ok(request)
}

fn rehearsed(listener: &Listener, host: &Hostname, client: IpAddr) -> Arc<Connection> {
    let address = SocketAddr::new(client, 0);
    Connection::new(Facts {
        id: 0,
        listener: Arc::new(listener.clone()),
        peer: address,
        client: address,
        local: listener.address,
        sni: listener.tls.then(|| host.clone()),
        tls: listener.tls.then_some(TLS),
    })
}

fn tell_host(steps: &mut Vec<Told>, ctx: &RequestContext, config: &Config, asked: &Hostname) {
    let host = ctx.host.as_ref().unwrap_or(asked);
    steps.push(Told::new("host", format!("{host} is {}", kind(&config.brand.classify(host)))));
    let Some((view, via)) = &ctx.tenant else {
        steps.push(Told::new("tenant", "none"));
        return;
    };
    let effective = &view.effective;
    let features: Vec<_> = effective.features.iter().map(|feature| feature.as_str()).collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    let (slug, via, status, plan) = (&view.tenant.slug, via.as_str(), effective.status, &effective.plan);
    steps.push(Told::new("tenant", format!("{slug} by {via}, {status}, plan {plan}, features: {features}")));
    if let Some(quota) = &ctx.quota {
        steps.push(Told::new("limits", quota.to_string()));
    }
}

/// Every route up to the one that was taken, but for those of other hosts.
fn tell_routes(steps: &mut Vec<Told>, ctx: &RequestContext, config: &Config, request: &RequestHeader, host: &Hostname) {
    const MOST: usize = 50;
    let path = normal_path(request.uri.path());
    let folded = folded_path(&path);
    let class = config.brand.classify(host);
    let view = ctx.tenant.as_ref().map(|(view, _)| &**view);
    let asked = Asked {
        class: &class,
        host,
        features: view.map(|view| &view.effective.features),
        method: &request.method,
        path: &path,
        headers: &request.headers,
    };
    if *path != *request.uri.path() {
        steps.push(Told::new("route", format!("compared as {path}")));
    }
    let mut passed = 0;
    for route in &config.routing.routes {
        match route.mismatch(&asked, || &*folded) {
            None => {
                tell_more(steps, passed, MOST);
                steps.push(Told::new("route", format!("{} takes it", route.name)));
                tell_gate(steps, route, view);
                return;
            }
            Some(Mismatch::Host) => {}
            Some(why) => {
                passed += 1;
                if passed <= MOST {
                    steps.push(Told::new("route", format!("{} does not: {}", route.name, describe(&why))));
                }
            }
        }
    }
    tell_more(steps, passed, MOST);
    steps.push(Told::new("route", "none takes it"));
}

fn tell_more(steps: &mut Vec<Told>, passed: usize, told: usize) {
    if let Some(more) = passed.checked_sub(told).filter(|more| *more > 0) {
        steps.push(Told::new("route", format!("and {more} more that do not")));
    }
}

/// Whether it came as far as the routes: what is refused or answered before was compared with none.
fn is_routed(outcome: &Result<Step, Rejection>, ctx: &RequestContext) -> bool {
    match outcome {
        Ok(Step::Forward(_)) => true,
        Ok(Step::Answer(_)) => ctx.route().is_some(),
        Err(rejection) => matches!(rejection, Rejection::RouteNotFound | Rejection::PlanRequired { .. }),
    }
}

fn describe(mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Host => "another host".into(),
        Mismatch::Method => "another method".into(),
        Mismatch::Path => "another path".into(),
        Mismatch::Header(name) => format!("the header {name} is missing or has another value"),
        Mismatch::Feature(feature) => format!("the tenant does not have the feature {feature}"),
    }
}

fn tell_gate(steps: &mut Vec<Told>, route: &Route, view: Option<&View>) {
    let Some(feature) = &route.requires else { return };
    let has = view.is_some_and(|view| view.effective.features.contains(feature));
    let what = if has { "has it" } else { "does not have it" };
    steps.push(Told::new("gate", format!("the route needs the feature {feature}; the tenant {what}")));
}

fn tell_pool(steps: &mut Vec<Told>, ctx: &RequestContext, request: &RequestHeader, client: IpAddr) {
    let routing = &ctx.live.config.routing;
    let Some(permit) = &ctx.permit else { return };
    let Some(pool) = routing.pool(permit.pool()) else { return };
    let view = permit.tenant().map(|(view, _)| &**view);
    let canary = view.and_then(|view| view.effective.edge.canary.as_ref()).filter(|canary| canary.pool == pool.name);
    let bucket = Visitor::of(view, &request.headers, client).bucket;
    let why = match (&permit.route().action, canary) {
        (crate::config::Action::Pool(own), _) if *own == permit.pool() => "the route's".to_owned(),
        (_, Some(canary)) => format!("the tenant's canary: visitor {bucket} of 100 is below {}", canary.percent),
        _ => "the tenant's own".to_owned(),
    };
    if let Some(missing) = permit.missing() {
        let text =
            format!("{missing}, which the tenant has been given, is not in the configuration and is passed over");
        steps.push(Told::new("pool", text));
    }
    steps.push(Told::new("pool", format!("{} ({why}): {}", pool.name, pool.backends.join(", "))));
    let (route, total) = (&permit.route().settings, permit.route().settings.total_timeout.or(pool.total_timeout));
    let total = total.map_or_else(|| "none".to_owned(), |total| format!("{total:?}"));
    let (connect, read) = (route.connect_timeout.unwrap_or(pool.connect_timeout), route.read_timeout);
    let read = read.unwrap_or(pool.read_timeout);
    steps.push(Told::new("timeouts", format!("connect {connect:?}, read {read:?}, total {total}")));
}

/// How the backends are; answers whether one of them would be asked.
fn tell_backends(steps: &mut Vec<Told>, ctx: &RequestContext) -> bool {
    let pool = ctx.permit.as_ref().and_then(|permit| ctx.live.pools.get(permit.pool()));
    let Some(pool) = pool else { return false };
    let all = pool.status().backends;
    let well = all.iter().filter(|backend| backend.healthy).count();
    let mut text = format!("{well} of {} healthy", all.len());
    for backend in all.iter().filter(|backend| !backend.healthy) {
        text.push_str(&format!("; {}: {}", backend.backend, backend.why.as_deref().unwrap_or("unhealthy")));
    }
    steps.push(Told::new("backends", text));
    pool.has_another(None)
}

fn pool_name(ctx: &RequestContext) -> Option<String> {
    let pool = ctx.permit.as_ref()?.pool();
    ctx.live.config.routing.pool(pool).map(|pool| pool.name.clone())
}

fn request_edits(route: &Route, body_limit: Option<u64>) -> String {
    let settings = &route.settings;
    let mut parts = vec![format!("retries: {}", settings.retries)];
    parts.push(body_limit.map_or_else(|| "body: any length".into(), |limit| format!("body: at most {limit} bytes")));
    if let Some(prefix) = &settings.rewrite_prefix {
        parts.push(format!("prefix becomes {prefix}"));
    }
    header_edits(&mut parts, &settings.request_headers);
    parts.join(", ")
}

fn answer_edits(route: &Route) -> String {
    let settings = &route.settings;
    let compressed = if settings.compress { "compressed where that is of use" } else { "never compressed" };
    let mut parts = vec![compressed.to_owned()];
    header_edits(&mut parts, &settings.response_headers);
    parts.join(", ")
}

/// Names alone: a value may be a secret.
fn header_edits(parts: &mut Vec<String>, edits: &HeaderEdits) {
    parts.extend(edits.remove.iter().map(|name| format!("without {name}")));
    parts.extend(edits.set.iter().map(|(name, _)| format!("with {name}")));
}

fn kind(class: &HostClass) -> &'static str {
    match class {
        HostClass::Apex => "the main site",
        HostClass::Console => "the operators' console",
        HostClass::Reserved => "a host of the operator's own",
        HostClass::Tenant(_) => "a tenant's slug host",
        HostClass::Subdomain => "beneath the base domain, and no slug host",
        HostClass::Custom => "outside the base domain: a custom domain, if it is somebody's",
    }
}

/// A connection that nobody made speaks the newest version.
const TLS: TlsFacts = TlsFacts { version: TlsVersion::Tls13, resumed: false, alpn: None, cipher: "", group: None };
