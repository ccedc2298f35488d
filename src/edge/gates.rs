//! The gates: what a tenant's status and plan allow. Only here is a [`Permit`] made, and without one nothing is
//! forwarded.

use std::sync::Arc;

use http::Method;

use super::rejection::Rejection;
use crate::config::{Action, Config, PoolId, Route};
use crate::directory::{Via, View};
use crate::model::{HostClass, Hostname, Standing, normal_path};

/// The decision to forward. It can only be made by [`permit`], and the upstream step demands it.
#[derive(Debug)]
pub struct Permit {
    pool: PoolId,
    route: Arc<str>,
    tenant: Option<(Arc<View>, Via)>,
}

impl Permit {
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    pub fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Whose request it is; `None` on the operator's own hosts.
    pub fn tenant(&self) -> Option<(&Arc<View>, Via)> {
        self.tenant.as_ref().map(|(view, via)| (view, *via))
    }
}

/// What the gates decide about.
pub struct Visit<'a> {
    pub host: &'a Hostname,
    pub class: &'a HostClass,
    pub method: &'a Method,
    pub path: &'a str,
    pub tenant: Option<(Arc<View>, Via)>,
}

/// Status, then route, then plan.
pub fn permit(config: &Config, visit: Visit<'_>) -> Result<Permit, Rejection> {
    if let Some((view, _)) = &visit.tenant {
        check_standing(view)?;
    }
    let path = normal_path(visit.path);
    let route = config
        .routing
        .choose(visit.class, visit.host, visit.tenant.is_some(), visit.method, &path)
        .ok_or(Rejection::RouteNotFound)?;
    check_plan(config, route, visit.tenant.as_ref().map(|(view, _)| view))?;
    let Action::Pool(pool) = route.action;
    Ok(Permit { pool, route: Arc::clone(&route.name), tenant: visit.tenant })
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
