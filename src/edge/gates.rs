//! The gates: what a tenant's status and plan allow. Only here is a [`Permit`] made, and without one nothing is
//! forwarded.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::rejection::Rejection;
use crate::config::{Action, Asked, Config, PoolId, Route, Routing};
use crate::directory::{Via, View};
use crate::model::{HostClass, Hostname, Standing, normal_path};

/// The decision to forward. It can only be made by [`decide`], and the upstream step demands it.
#[derive(Debug)]
pub struct Permit {
    pool: PoolId,
    missing: Option<String>,
    route: Arc<Route>,
    tenant: Option<(Arc<View>, Via)>,
}

impl Permit {
    /// Where it goes: the route's pool, or the one that the tenant has in its place.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// The pool that the tenant has been given and that the configuration does not have any more: it was passed over.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whose request it is; `None` on the operator's own hosts.
    pub fn tenant(&self) -> Option<(&Arc<View>, Via)> {
        self.tenant.as_ref().map(|(view, via)| (view, *via))
    }
}

/// What becomes of a request that is not refused.
#[derive(Debug)]
pub enum Decision {
    Forward(Permit),
    /// The route answers by itself.
    Respond(Arc<Route>),
}

/// What the gates decide about.
pub struct Visit<'a> {
    pub host: &'a Hostname,
    pub class: &'a HostClass,
    pub method: &'a Method,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub tenant: Option<(Arc<View>, Via)>,
    /// 0–99, the same for one visitor each time: whether it is among a canary's share.
    pub bucket: u8,
}

/// Status, then route, then plan.
pub fn decide(config: &Config, visit: Visit<'_>) -> Result<Decision, Rejection> {
    let view = visit.tenant.as_ref().map(|(view, _)| view);
    if let Some(view) = view {
        check_standing(view)?;
    }
    let path = normal_path(visit.path);
    let asked = Asked {
        class: visit.class,
        host: visit.host,
        features: view.map(|view| &view.effective.features),
        method: visit.method,
        path: &path,
        headers: visit.headers,
    };
    let route = config.routing.choose(&asked).ok_or(Rejection::RouteNotFound)?;
    check_plan(config, route, view)?;
    let Action::Pool(pool) = route.action else { return Ok(Decision::Respond(Arc::clone(route))) };
    let (pool, missing) = view.map_or((pool, None), |view| choose_pool(&config.routing, pool, view, visit.bucket));
    Ok(Decision::Forward(Permit { pool, missing, route: Arc::clone(route), tenant: visit.tenant }))
}

/// The pool that takes the place of a route's for this tenant: its canary's for those in its share, else its own. One
/// that the configuration no longer has is passed over, and named: the next of these serves.
fn choose_pool(routing: &Routing, pool: PoolId, view: &View, bucket: u8) -> (PoolId, Option<String>) {
    let edge = &view.effective.edge;
    if edge.pools.is_empty() && edge.canary.is_none() {
        return (pool, None);
    }
    let Some(name) = routing.pool(pool).map(|pool| pool.name.as_str()) else { return (pool, None) };
    let canary = edge.canary.as_ref().filter(|canary| canary.of == name && bucket < canary.percent);
    let wanted = [canary.map(|canary| &canary.pool), edge.pools.get(name)];
    let mut missing = None;
    for name in wanted.into_iter().flatten() {
        match routing.names.get(name) {
            Some(pool) => return (*pool, missing),
            None => missing = missing.or(Some(name.clone())),
        }
    }
    (pool, missing)
}

/// Whether a tenant of this standing is served at all.
pub fn check_standing(view: &View) -> Result<(), Rejection> {
    match view.effective.standing {
        Standing::Served => Ok(()),
        Standing::Pending => Err(Rejection::TenantPending),
        Standing::Suspended => Err(Rejection::TenantSuspended { reason: view.effective.public_reason.clone() }),
        Standing::Cancelled => Err(Rejection::TenantCancelled),
    }
}

/// A gated route lets nobody through who is not a tenant with the feature.
fn check_plan(config: &Config, route: &Route, tenant: Option<&Arc<View>>) -> Result<(), Rejection> {
    let Some(feature) = &route.requires else { return Ok(()) };
    if tenant.is_some_and(|view| view.effective.features.contains(feature)) {
        return Ok(());
    }
    Err(Rejection::PlanRequired {
        feature: feature.clone(),
        plans: config.catalogue.plans_with(feature),
        upgrade_url: config.catalogue.upgrade_url.clone(),
    })
}
