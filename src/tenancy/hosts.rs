//! Whom a host leads to and what the edge would do with a visitor: the operator's question. Reads only, and from the
//! system of record, not from a node's caches.

use super::error::{Fault, TenancyError};
use super::lineage::Known;
use super::{Tenancy, TenantState};
use crate::model::{HostClass, Hostname, Standing};

/// The answer about one host.
#[derive(Clone, Debug)]
pub struct HostAnswer {
    /// In its one canonical spelling.
    pub host: Hostname,
    pub class: HostClass,
    pub via: Option<Via>,
    pub tenant: Option<TenantState>,
    pub visit: Visit,
}

/// How a host led to its tenant, in the words of `X-Tenant-Via`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    CustomDomain,
    Subdomain,
}

/// What becomes of a visitor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Visit {
    /// Goes to the routes: the tenant's, or the operator's own.
    Forwarded,
    /// Is answered by the edge with this status and problem code.
    Refused { status: u16, code: &'static str },
    /// Is sent to this host of the tenant instead: its plan does not cover domains of its own any more.
    Redirected { status: u16, to: Hostname, reason: &'static str },
}

impl Via {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomDomain => "custom-domain",
            Self::Subdomain => "subdomain",
        }
    }
}

impl Tenancy {
    /// `host` in any spelling, without a port.
    pub async fn host(&self, host: &str) -> Result<HostAnswer, TenancyError> {
        let host = Hostname::parse(host).map_err(|e| {
            TenancyError::Invalid(vec![Fault::new("", "invalid-host", format!("{host:?} is no host name: {e}"))])
        })?;
        let class = self.config().brand.classify(&host);
        let (tenant, via) = match &class {
            HostClass::Custom => match self.store.domain_of_host(&host).await? {
                Some(domain) => (self.store.tenant(domain.tenant).await?, Some(Via::CustomDomain)),
                None => (None, None),
            },
            HostClass::Tenant(slug) => (self.store.tenant_by_slug(slug).await?, Some(Via::Subdomain)),
            HostClass::Apex | HostClass::Console | HostClass::Reserved | HostClass::Subdomain => (None, None),
        };
        let tenant = match tenant {
            Some(tenant) => Some(self.state_of(tenant, &mut Known::default()).await?),
            None => None,
        };
        let visit = self.visit(&class, via, tenant.as_ref());
        let via = via.filter(|_| tenant.is_some());
        Ok(HostAnswer { host, class, via, tenant, visit })
    }

    /// The gates of the edge that ask nothing of the visitor, in its order.
    fn visit(&self, class: &HostClass, via: Option<Via>, tenant: Option<&TenantState>) -> Visit {
        let visit = standing(class, tenant);
        let Some(state) = tenant.filter(|_| visit == Visit::Forwarded) else { return visit };
        let effective = &state.effective;
        if effective.edge.maintenance.is_some() {
            return Visit::Refused { status: 503, code: "maintenance" };
        }
        if !effective.domains_lapsed || via != Some(Via::CustomDomain) {
            return visit;
        }
        match (self.config().https_port(), &state.host) {
            (Some(_), Some(to)) => Visit::Redirected { status: 308, to: to.clone(), reason: "domains-lapsed" },
            _ => Visit::Refused { status: 402, code: "plan-required" },
        }
    }
}

/// The status gates of the edge, as its table of refusals has them.
fn standing(class: &HostClass, tenant: Option<&TenantState>) -> Visit {
    let refused = |status, code| Visit::Refused { status, code };
    match tenant.map(|state| state.effective.standing) {
        Some(Standing::Served) => Visit::Forwarded,
        Some(Standing::Pending) => refused(503, "tenant-pending"),
        Some(Standing::Suspended) => refused(403, "tenant-suspended"),
        Some(Standing::Cancelled) => refused(410, "tenant-cancelled"),
        None => match class {
            HostClass::Apex | HostClass::Console | HostClass::Reserved => Visit::Forwarded,
            HostClass::Tenant(_) | HostClass::Subdomain => refused(404, "tenant-not-found"),
            HostClass::Custom => refused(404, "domain-not-configured"),
        },
    }
}
