//! Settings of a tenant: its own values, checked against the catalogue, and what holds over its parents. What a setting
//! means is the application's affair.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::{Fault, Faults, TenancyError};
use super::lineage::Known;
use super::{Actor, Done, Expect, Tenancy};
use crate::config::Config;
use crate::model::{Setting, Slug, Source, Tenant, holding};
use crate::store::{Profile, Write};

/// A setting of the catalogue, and what holds for one tenant.
#[derive(Clone, PartialEq, Debug)]
pub struct SettingState {
    pub setting: Setting,
    pub value: Value,
    pub from: Source,
    /// The slug of the one above it whose word it is.
    pub tenant: Option<Slug>,
}

/// All settings of one tenant, in the order of the configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct SettingsState {
    pub settings: Vec<SettingState>,
    /// The tenant's.
    pub revision: i64,
}

/// A tenant, then those above it, each with its profile.
pub(super) type Profiles = Vec<(Tenant, Profile)>;

/// How a tenant's own values change.
enum Edit {
    /// These, and no others.
    Replace,
    /// These beside the others; `null` takes one back.
    Patch,
}

impl Tenancy {
    pub async fn settings(&self, key: &str) -> Result<SettingsState, TenancyError> {
        let tenant = self.find(key).await?;
        let mut profiles = Vec::new();
        for tenant in self.line_of(tenant, &mut Known::default()).await? {
            let profile = self.store.profile(tenant.id).await?;
            profiles.push((tenant, profile));
        }
        Ok(settle(&self.config(), &profiles))
    }

    /// Replaces the tenant's own values. What only operators may set stays where somebody else replaces the rest.
    pub async fn set_settings(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        values: BTreeMap<String, Value>,
    ) -> Result<Done<SettingsState>, TenancyError> {
        self.edit_settings(actor, key, expect, values, Edit::Replace).await
    }

    /// Changes the values that are named; `null` takes one back, so that the parent's or the default counts again.
    pub async fn patch_settings(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        values: BTreeMap<String, Value>,
    ) -> Result<Done<SettingsState>, TenancyError> {
        self.edit_settings(actor, key, expect, values, Edit::Patch).await
    }

    async fn edit_settings(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        values: BTreeMap<String, Value>,
        edit: Edit,
    ) -> Result<Done<SettingsState>, TenancyError> {
        let config = self.config();
        check(&values, actor, &config)?;
        let (mut write, tenant) = self.open(key, expect).await?;
        let mut profile = write.profile(tenant.id).await?;
        let before = profile.settings.clone();
        if matches!(edit, Edit::Replace) {
            profile.settings.retain(|name, _| setting(&config, name).is_some_and(|known| !may_set(actor, known)));
        }
        for (name, value) in values {
            match value {
                Value::Null => drop(profile.settings.remove(&name)),
                value => drop(profile.settings.insert(name, value)),
            }
        }
        let after = json!(profile.settings);
        write.put_profile(tenant.id, &profile).await?;
        let tenant = self.put(&mut write, &tenant.clone(), tenant).await?;
        let entry =
            actor.entry("tenant.settings", Some(tenant.id), &tenant.slug, json!({})).changed(json!(before), after);
        let state = settle(&config, &profiles_in(&mut write, tenant).await?);
        self.finish(write, entry, state).await
    }
}

/// The profiles of a tenant and those above it, while nobody else can write.
async fn profiles_in(write: &mut Write, tenant: Tenant) -> Result<Profiles, TenancyError> {
    let parents = super::lineage::parents_in(write, &tenant).await?;
    let mut profiles = Vec::with_capacity(parents.len() + 1);
    for tenant in std::iter::once(tenant).chain(parents) {
        let profile = write.profile(tenant.id).await?;
        profiles.push((tenant, profile));
    }
    Ok(profiles)
}

/// What holds of each setting.
pub(super) fn settle(config: &Config, profiles: &Profiles) -> SettingsState {
    let line: Vec<_> = profiles.iter().map(|(_, profile)| &profile.settings).collect();
    let state = |setting: &Setting| {
        let (value, at) = holding(setting, &line);
        let (from, tenant) = match at {
            None => (Source::Default, None),
            Some(0) => (Source::Own, None),
            Some(at) => (Source::Parent, profiles.get(at).map(|(tenant, _)| tenant.slug.clone())),
        };
        SettingState { setting: setting.clone(), value: value.clone(), from, tenant }
    };
    let revision = profiles.first().map_or(0, |(tenant, _)| tenant.revision);
    SettingsState { settings: config.settings.iter().map(state).collect(), revision }
}

fn setting<'c>(config: &'c Config, name: &str) -> Option<&'c Setting> {
    config.settings.iter().find(|setting| setting.name == name)
}

/// Whoever is bound to one tenant is no operator.
fn may_set(actor: &Actor, setting: &Setting) -> bool {
    !setting.operators_only || actor.rights.only().is_none()
}

fn check(values: &BTreeMap<String, Value>, actor: &Actor, config: &Config) -> Result<(), TenancyError> {
    let mut faults = Faults::default();
    for (name, value) in values {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        faults.take(check_one(&pointer, name, value, actor, config));
    }
    faults.or(Some(()))
}

fn check_one(pointer: &str, name: &str, value: &Value, actor: &Actor, config: &Config) -> Result<(), Fault> {
    let Some(setting) = setting(config, name) else {
        let known: Vec<_> = config.settings.iter().map(|setting| setting.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let detail = format!("there is no setting {name:?}; there are {known}");
        // One that the catalogue has no more can still be taken back.
        return if value.is_null() { Ok(()) } else { Err(Fault::new(pointer, "unknown-setting", detail)) };
    };
    if !may_set(actor, setting) {
        return Err(Fault::new(pointer, "operators-only", format!("only operators may set {name}")));
    }
    if value.is_null() {
        return Ok(());
    }
    setting.accepts(value).map_err(|why| Fault::new(pointer, "invalid-value", why))
}
