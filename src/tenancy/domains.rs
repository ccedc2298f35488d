//! Custom domains as an operator handles them: claim, list, show, remove. Ownership checks are not made here; a claim is
//! pending until someone verifies it, or an operator vouches for it, which the ledger says.

use serde_json::json;

use super::error::{Fault, Faults, Kind, TenancyError};
use super::records::{Record, wanted};
use super::tenants::current;
use super::{Actor, Done, Tenancy, TenantState, shown, tokens};
use crate::config::Config;
use crate::model::{BrandError, Domain, DomainName, DomainState, Feature, Hostname, Scope, Tenant, TenantId};
use crate::store::{Event, Found, Page, StoreError, Write};

/// The feature that lets a tenant have domains of its own.
pub const CUSTOM_DOMAIN: &str = Feature::CUSTOM_DOMAIN;

pub(super) const TOKEN_BYTES: usize = 16;

/// A claim with the DNS records that its tenant is to set.
#[derive(Clone, Debug)]
pub struct DomainClaim {
    pub domain: Domain,
    pub records: Vec<Record>,
    /// False when a claim that was there already has been verified instead.
    pub is_new: bool,
}

/// What is claimed, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct NewDomain {
    /// Any spelling.
    pub domain: String,
    /// The operator vouches that the tenant owns it.
    pub verified: bool,
}

impl Tenancy {
    /// Claims a name for a tenant. With `verified`, a claim of this tenant's that is not held yet becomes so.
    pub async fn add_domain(
        &self,
        actor: &Actor,
        key: &str,
        new: &NewDomain,
    ) -> Result<Done<DomainClaim>, TenancyError> {
        if new.verified && !actor.rights.has(Scope::TenantsManage) {
            return Err(TenancyError::Forbidden(vec![Scope::TenantsManage]));
        }
        let config = self.config();
        let mut faults = Faults::default();
        let name = faults.take(check_name("/domain", &new.domain, &config));
        let name = faults.or(name)?;
        let token = hex::encode(tokens::random::<TOKEN_BYTES>()?);
        let id = self.find(key).await?.id;
        let mut write = self.store.write().await?;
        let tenant = current(&mut write, id, key).await?;
        let state = self.state_in(&mut write, tenant).await?;
        require_feature(CUSTOM_DOMAIN, &state, &config)?;
        let wanted = if new.verified { DomainState::Verified } else { DomainState::Pending };
        let (domain, before) = claim(&mut write, &state.tenant, name, wanted, token, self.clock.now()).await?;
        let action = if new.verified { "domain.add-verified" } else { "domain.add" };
        let kind = if new.verified { "domain.verified" } else { "domain.added" };
        write.event(&event(kind, &domain)).await?;
        let entry = actor.entry(action, Some(id), &domain.name, json!({ "tenant": state.tenant.slug }));
        let entry = match &before {
            Some(before) => entry.changed(shown::domain(before), shown::domain(&domain)),
            None => entry.made(shown::domain(&domain)),
        };
        self.finish(write, entry, described(domain, &config, before.is_none())).await
    }

    /// A tenant's claims in the order of their names; `page.after` is the last name of the page before.
    pub async fn domains(&self, key: &str, page: &Page) -> Result<Vec<DomainClaim>, TenancyError> {
        let tenant = self.find(key).await?;
        let config = self.config();
        let rows = self.store.domains(tenant.id, page).await?;
        Ok(rows.into_iter().map(|domain| described(domain, &config, false)).collect())
    }

    pub(super) fn described(&self, found: Found<Domain>) -> Found<DomainClaim> {
        let config = self.config();
        let rows = found.rows.into_iter().map(|domain| described(domain, &config, false)).collect();
        Found { rows, next: found.next }
    }

    /// The claim that holds the name; else the only one there is; else that of the tenant named.
    pub async fn domain(&self, name: &str, tenant: Option<&str>) -> Result<DomainClaim, TenancyError> {
        let host = parse(name)?;
        let tenant = self.optional_tenant(tenant).await?;
        let domain = pick(self.store.claims(&host).await?, name, tenant)?;
        Ok(described(domain, &self.config(), false))
    }

    /// Gives a claim up: the one that [`Tenancy::domain`] would show. A held one is served no more from this moment, its
    /// certificate is renewed no more, and the name rests before another tenant can have it.
    pub async fn remove_domain(
        &self,
        actor: &Actor,
        name: &str,
        tenant: Option<&str>,
    ) -> Result<Done<()>, TenancyError> {
        let host = parse(name)?;
        let tenant = self.optional_tenant(tenant).await?;
        let mut write = self.store.write().await?;
        let domain = pick(write.claims(&host).await?, name, tenant)?;
        write.delete_domain(&domain.name, domain.tenant).await?;
        if domain.state.is_held() {
            write.drop_order(&domain.name.to_string()).await?;
            let until = write.now() + self.config().domains.cooldown;
            write.set_cooldown(&domain.name, domain.tenant, until).await?;
        }
        let was_primary = write.forget_primary_domain(&domain.name, domain.tenant).await?;
        write.event(&event("domain.removed", &domain)).await?;
        let detail = json!({ "was_primary": was_primary });
        let entry = actor.entry("domain.remove", Some(domain.tenant), &domain.name, detail);
        let entry = entry.gone(shown::domain(&domain));
        self.finish(write, entry, ()).await
    }

    async fn optional_tenant(&self, key: Option<&str>) -> Result<Option<TenantId>, TenancyError> {
        match key {
            Some(key) => Ok(Some(self.find(key).await?.id)),
            None => Ok(None),
        }
    }
}

/// Writes the claim, or verifies the one that this tenant has; answers with that one as it was, too.
async fn claim(
    write: &mut Write,
    tenant: &Tenant,
    name: DomainName,
    wanted: DomainState,
    token: String,
    now: crate::clock::Timestamp,
) -> Result<(Domain, Option<Domain>), TenancyError> {
    let claims = write.claims(&name).await?;
    if wanted.is_held() && claims.iter().any(|c| c.state.is_held() && c.tenant != tenant.id) {
        return Err(TenancyError::conflict("/domain", "domain-taken", format!("{name} belongs to another tenant")));
    }
    if wanted.is_held()
        && let Some((last, until)) = write.cooldown(&name).await?
        && last != tenant.id
        && until > now
    {
        let detail = format!("{name} was given up lately, and rests until {until}");
        return Err(TenancyError::conflict("/domain", "domain-resting", detail));
    }
    let revision = write.revision();
    match claims.into_iter().find(|c| c.tenant == tenant.id) {
        Some(own) if wanted.is_held() && !own.state.is_held() => {
            write.set_domain_state(&name, tenant.id, wanted).await?;
            // Whatever was seen of it before, it is looked at from now on as any held one.
            write.set_domain_progress(&name, tenant.id, Some(now), "{}").await?;
            write.want_order(&[name.to_string()], Some(tenant.id), now).await?;
            Ok((Domain { state: wanted, updated: now, revision, ..own.clone() }, Some(own)))
        }
        Some(own) => {
            let detail = format!("{} has {name} already; its state is {}", tenant.slug, own.state);
            Err(TenancyError::conflict("/domain", "domain-exists", detail))
        }
        None => {
            let domain = Domain { name, tenant: tenant.id, state: wanted, token, created: now, updated: now, revision };
            write.insert_domain(&domain).await.map_err(taken)?;
            if wanted.is_held() {
                write.want_order(&[domain.name.to_string()], Some(tenant.id), now).await?;
            }
            Ok((domain, None))
        }
    }
}

fn event(kind: &str, domain: &Domain) -> Event {
    Event {
        kind: kind.into(),
        tenant: Some(domain.tenant),
        subject: domain.name.to_string(),
        detail: json!({ "state": domain.state }),
    }
}

fn taken(error: StoreError) -> TenancyError {
    match error {
        StoreError::Conflict(what) => TenancyError::conflict("/domain", "domain-taken", what),
        other => other.into(),
    }
}

pub(super) fn check_name(pointer: &str, text: &str, config: &Config) -> Result<DomainName, Fault> {
    let brand = &config.brand;
    let name = DomainName::parse(text).map_err(|e| Fault::new(pointer, "invalid-domain", format!("{text:?}: {e}")))?;
    brand.claimable(name.host()).map_err(|why| {
        let code = match why {
            BrandError::OwnBase | BrandError::OwnHost => "reserved",
            BrandError::PublicSuffix => "public-suffix",
            BrandError::SingleLabel => "single-label",
        };
        Fault::new(pointer, code, format!("{name} cannot be claimed: {why}"))
    })?;
    let delegates = config.acme.dns.as_ref().is_some_and(|dns| dns.delegation.is_some());
    if name.is_wildcard() && !delegates {
        let why =
            "a wildcard needs [acme.dns] with a delegation, and this installation has none; claim the names one by one";
        return Err(Fault::new(pointer, "wildcard-unavailable", why));
    }
    // The proof hangs beneath it, and is a name of the DNS too.
    if name.host().as_str().len() + brand.verification_label.len() + 1 > Hostname::MAX {
        let why = format!("{name} leaves no room for {} before it", brand.verification_label);
        return Err(Fault::new(pointer, "too-long", why));
    }
    Ok(name)
}

/// A name in a path: one that is no host name is a domain that does not exist.
fn parse(name: &str) -> Result<DomainName, TenancyError> {
    DomainName::parse(name).map_err(|_| TenancyError::NotFound(Kind::Domain, name.to_owned()))
}

fn pick(claims: Vec<Domain>, name: &str, tenant: Option<TenantId>) -> Result<Domain, TenancyError> {
    let mut claims: Vec<_> = claims.into_iter().filter(|c| tenant.is_none_or(|id| c.tenant == id)).collect();
    if let Some(held) = claims.iter().position(|claim| claim.state.is_held()) {
        return Ok(claims.swap_remove(held));
    }
    match claims.len() {
        0 => Err(TenancyError::NotFound(Kind::Domain, name.to_owned())),
        1 => Ok(claims.swap_remove(0)),
        n => {
            let detail = format!("{n} tenants claim {name} and none holds it; say whose claim with ?tenant=");
            Err(TenancyError::conflict("", "ambiguous-domain", detail))
        }
    }
}

pub(super) fn require_feature(name: &str, state: &TenantState, config: &Config) -> Result<(), TenancyError> {
    if state.effective.features.contains(name) {
        return Ok(());
    }
    let catalogue = &config.catalogue;
    let feature = Feature::parse(name).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let licensed = catalogue.licence.as_ref().is_none_or(|licence| licence.contains(&feature));
    let plans = if licensed { catalogue.plans_with(&feature) } else { Vec::new() };
    Err(TenancyError::PlanRequired { feature, plans, upgrade_url: catalogue.upgrade_url.clone() })
}

fn described(domain: Domain, config: &Config, is_new: bool) -> DomainClaim {
    let records = wanted(&domain, config).records(&domain);
    DomainClaim { domain, records, is_new }
}
