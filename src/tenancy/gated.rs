//! The routes of the configuration that ask for a feature: named for those who want to know what a plan opens. Whether a
//! request comes through is the edge's word alone.

use std::sync::Arc;

use super::{Tenancy, TenancyError};
use crate::config::{Config, HostMatch, PathMatch, Route};
use crate::model::{DomainName, Feature, Hostname, Tenant};

/// A route with a gate: 402 for a tenant without the feature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatedRoute {
    pub name: String,
    pub feature: Feature,
    /// As it is configured: `any`, `apex`, `console`, `reserved`, `tenant` or a host's name.
    pub host: String,
    /// Empty: any.
    pub methods: Vec<String>,
    pub path: GatedPath,
}

/// Which paths a gate is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatedPath {
    Any,
    Exact(String),
    /// Whole segments.
    Prefix(String),
    Regex(String),
}

impl Tenancy {
    /// The gates for these features that visitors of this tenant can come to, in the order of the configuration.
    pub(super) async fn gates_of(
        &self,
        tenant: &Tenant,
        config: &Config,
        features: impl Fn(&Feature) -> bool,
    ) -> Result<Vec<GatedRoute>, TenancyError> {
        let mut gates = Vec::new();
        for (route, feature) in gated(config).filter(|(_, feature)| features(feature)) {
            let concerned = match &route.host {
                HostMatch::Any | HostMatch::Tenant => true,
                HostMatch::Apex => config.tenancy.session_cookie.is_some(),
                HostMatch::Console | HostMatch::Reserved => false,
                HostMatch::Exact(host) => self.is_theirs(tenant, host, config).await?,
            };
            if concerned {
                gates.push(GatedRoute::of(route, feature));
            }
        }
        Ok(gates)
    }

    async fn is_theirs(&self, tenant: &Tenant, host: &Hostname, config: &Config) -> Result<bool, TenancyError> {
        if config.brand.tenant_host(&tenant.slug).is_ok_and(|own| own == *host) {
            return Ok(true);
        }
        let held = self.store.held_domain(&DomainName::from(host.clone())).await?;
        Ok(held.is_some_and(|domain| domain.tenant == tenant.id))
    }
}

/// Every route with a gate, and the feature that it asks for.
pub(super) fn gated(config: &Config) -> impl Iterator<Item = (&Arc<Route>, &Feature)> {
    config.routing.routes.iter().filter_map(|route| Some((route, route.requires.as_ref()?)))
}

impl GatedRoute {
    pub(super) fn of(route: &Route, feature: &Feature) -> Self {
        let host = match &route.host {
            HostMatch::Any => "any",
            HostMatch::Apex => "apex",
            HostMatch::Console => "console",
            HostMatch::Reserved => "reserved",
            HostMatch::Tenant => "tenant",
            HostMatch::Exact(host) => host.as_str(),
        };
        let path = match &route.path {
            PathMatch::Any => GatedPath::Any,
            PathMatch::Exact(path) => GatedPath::Exact(path.clone()),
            PathMatch::Prefix(prefix) => GatedPath::Prefix(prefix.clone()),
            PathMatch::Regex(regex) => GatedPath::Regex(regex.as_str().to_owned()),
        };
        Self {
            name: route.name.to_string(),
            feature: feature.clone(),
            host: host.to_owned(),
            methods: route.methods.iter().map(ToString::to_string).collect(),
            path,
        }
    }
}
