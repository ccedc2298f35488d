//! What holds for a tenant, each value with whose word it is. Reads only.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::TenancyError;
use super::lineage::Known;
use super::settings::settle;
use super::{Tenancy, TenantState};
use crate::model::{CapName, Origin, Provenance, SetBy, Slug, Source, Tenant, Traced};

/// A value, and where it comes from.
#[derive(Clone, PartialEq, Debug)]
pub struct Sourced {
    pub value: Value,
    pub from: Source,
    /// The slug of the one above it whose word it is.
    pub tenant: Option<Slug>,
}

/// Every value that holds for a tenant.
#[derive(Clone, Debug)]
pub struct Explained {
    pub state: TenantState,
    /// Those above it, nearest first.
    pub parents: Vec<Slug>,
    pub status: Sourced,
    pub plan: Sourced,
    pub features: BTreeMap<String, Sourced>,
    /// Caps by name; one that is no plan's with who has set it.
    pub caps: BTreeMap<CapName, (Sourced, Option<SetBy>)>,
    pub branding: BTreeMap<String, Sourced>,
    pub settings: BTreeMap<String, Sourced>,
    pub edge: BTreeMap<String, Sourced>,
}

impl Tenancy {
    pub async fn explain(&self, key: &str) -> Result<Explained, TenancyError> {
        let (config, now) = (self.config(), self.clock.now());
        let tenant = self.find(key).await?;
        let mut profiles = Vec::new();
        for tenant in self.line_of(tenant, &mut Known::default()).await? {
            let profile = self.store.profile(tenant.id).await?;
            profiles.push((tenant, profile));
        }
        let settings = settle(&config, &profiles).settings.into_iter().map(|state| {
            let sourced = Sourced { value: state.value, from: state.from, tenant: state.tenant };
            (state.setting.name, sourced)
        });
        let settings = settings.collect();
        let mut line: Vec<Tenant> = profiles.into_iter().map(|(tenant, _)| tenant).collect();
        let parents = line.split_off(1);
        let own = line.swap_remove(0);
        let state = self.assemble(own, &parents, &config)?;
        let chain: Vec<&Tenant> = std::iter::once(&state.tenant).chain(&parents).collect();
        let suspend = config.tenancy.suspend_expired_trials;
        let traced = Provenance::of(&chain, &config.catalogue, suspend, now, &state.effective);
        let sourced = |(value, origin): Traced| {
            let tenant = match origin {
                Origin::Line(at) if at > 0 => chain.get(at).map(|tenant| tenant.slug.clone()),
                _ => None,
            };
            Sourced { value, from: origin.source(), tenant }
        };
        let all = |values: BTreeMap<String, Traced>| values.into_iter().map(|(name, value)| (name, sourced(value)));
        let explained = Explained {
            status: sourced(traced.status),
            plan: sourced(traced.plan),
            features: all(traced.features).collect(),
            caps: traced.caps.into_iter().map(|(name, (value, by))| (name, (sourced(value), by))).collect(),
            branding: all(traced.branding).collect(),
            edge: all(traced.edge).collect(),
            settings,
            parents: parents.iter().map(|parent| parent.slug.clone()).collect(),
            state: state.clone(),
        };
        Ok(explained)
    }
}
