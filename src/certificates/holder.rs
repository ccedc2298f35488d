//! Whose an uploaded certificate is, and which of its names it is served for.
//!
//! A certificate is either the operator's, for the base domain, what lies beneath it and the operator's own hosts, or one
//! tenant's. A tenant's has only names that the tenant holds. A wildcard is served as such when the tenant holds the
//! wildcard claim; in any case it is served for the tenant's own domains right beneath it, before a certificate of ours.
//! So a tenant that brings the company's wildcard gets it on its own domain, and nobody else's names are touched.

use std::collections::BTreeSet;

use super::Certificates;
use super::checks::Warning;
use crate::model::{Domain, DomainName, HostClass, TenantId};
use crate::store::Write;
use crate::tenancy::{Fault, TenancyError};

#[derive(Debug)]
pub(super) struct Holder {
    /// `None`: the operator's own.
    pub tenant: Option<TenantId>,
    /// What it is served for; not empty, none twice.
    pub names: Vec<String>,
    pub warnings: Vec<Warning>,
}

/// A name of the certificate, with the claims that it could be served for.
struct Candidate {
    name: DomainName,
    claim: Option<Domain>,
    beneath: Vec<Domain>,
}

impl Certificates {
    /// `tenant`: whose it is to be, where several hold names that a wildcard covers.
    pub(super) async fn holder(&self, names: &[String], tenant: Option<TenantId>) -> Result<Holder, TenancyError> {
        let names: Vec<_> = names.iter().filter_map(|name| DomainName::parse(name).ok()).collect();
        let brand = &self.tenancy.config().brand;
        let (own, others): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| brand.classify(name.host()) != HostClass::Custom);
        if others.is_empty() && tenant.is_none() {
            let names = own.iter().map(DomainName::to_string).collect();
            return Ok(Holder { tenant: None, names, warnings: Vec::new() });
        }
        if let Some(name) = own.first() {
            let detail = format!("{name} is the operator's own, and a certificate is the operator's or one tenant's");
            return Err(invalid(vec![fault("mixed-names", detail)]));
        }
        let mut candidates = Vec::new();
        for name in others {
            let claim = self.store().held_domain(&name).await?;
            let beneath = match name.is_wildcard() {
                true => self.store().held_beneath(name.host()).await?,
                false => Vec::new(),
            };
            candidates.push(Candidate { name, claim, beneath });
        }
        let tenant = match tenant {
            Some(tenant) => tenant,
            None => only_tenant(&candidates)?,
        };
        served(&candidates, tenant)
    }
}

/// Looks again inside the transaction: a name may have been released since.
pub(super) async fn still_held(write: &mut Write, holder: &Holder) -> Result<(), TenancyError> {
    let Some(tenant) = holder.tenant else { return Ok(()) };
    for name in holder.names.iter().filter_map(|name| DomainName::parse(name).ok()) {
        let claims = write.claims(&name).await?;
        if !claims.iter().any(|claim| claim.tenant == tenant && claim.state.is_held()) {
            return Err(TenancyError::conflict("/chain", "not-held", format!("{name} has been released just now")));
        }
    }
    Ok(())
}

fn only_tenant(candidates: &[Candidate]) -> Result<TenantId, TenancyError> {
    let named: BTreeSet<_> = candidates.iter().filter_map(|c| c.claim.as_ref()).map(|claim| claim.tenant).collect();
    let beneath = || candidates.iter().flat_map(|c| &c.beneath).map(|claim| claim.tenant).collect();
    let tenants: BTreeSet<TenantId> = if named.is_empty() { beneath() } else { named };
    let mut tenants = tenants.into_iter();
    match (tenants.next(), tenants.next()) {
        (Some(tenant), None) => Ok(tenant),
        (Some(_), Some(_)) => {
            let detail = "its names belong to several tenants, and a certificate is one tenant's; for a wildcard, say \
                          whose with `tenant`";
            Err(invalid(vec![fault("several-tenants", detail)]))
        }
        (None, _) => Err(invalid(candidates.iter().map(|candidate| not_held(&candidate.name)).collect())),
    }
}

fn served(candidates: &[Candidate], tenant: TenantId) -> Result<Holder, TenancyError> {
    let (mut names, mut warnings, mut faults) = (Vec::<String>::new(), Vec::new(), Vec::new());
    for Candidate { name, claim, beneath } in candidates {
        let claimed = claim.as_ref().is_some_and(|claim| claim.tenant == tenant);
        let own: Vec<_> = beneath.iter().filter(|c| c.tenant == tenant).map(|c| c.name.to_string()).collect();
        match (claimed, own.is_empty()) {
            (false, true) => faults.push(not_held(name)),
            (false, false) => {
                let detail = format!(
                    "{name} is no verified domain itself; of what it covers, it is served for {}",
                    own.join(", ")
                );
                warnings.push(Warning::new("name-not-served", detail));
            }
            (true, _) => names.push(name.to_string()),
        }
        names.extend(own);
    }
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(Holder { tenant: Some(tenant), names, warnings })
}

fn not_held(name: &DomainName) -> Fault {
    let detail = match name.is_wildcard() {
        true => format!("{name} is no verified domain of the tenant, and neither is a name right beneath it"),
        false => format!("{name} is no verified domain of the tenant; claim and verify it first"),
    };
    fault("not-held", detail)
}

fn fault(code: &'static str, detail: impl Into<String>) -> Fault {
    Fault::new("/chain", code, detail)
}

fn invalid(faults: Vec<Fault>) -> TenancyError {
    TenancyError::Invalid(faults)
}
