//! What holds for a tenant right now: its own facts, its parents', the catalogue and the time, put together.

use std::collections::BTreeSet;

use super::{Branding, Caps, Catalogue, EdgePolicy, Feature, PlanName, Status, Tenant};
use crate::clock::Timestamp;

/// Whether a tenant is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Served,
    Pending,
    Suspended,
    /// Cancelled or archived, itself or a parent.
    Cancelled,
}

impl Standing {
    /// Whether a tenant would be served if nobody were above it.
    pub fn by_its_own_word(tenant: &Tenant, suspend_expired_trials: bool, now: Timestamp) -> Self {
        let expired = tenant.status == Status::Trial && tenant.trial_ends.is_some_and(|end| end <= now);
        standing_of(tenant.status, expired && suspend_expired_trials)
    }
}

/// A tenant's effective state over its parent chain. It holds until `valid_until`, a row in the chain or the
/// catalogue changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    pub standing: Standing,
    /// The status word told to backends: the tenant's own, or `suspended` / `cancelled` when a parent's covers it.
    pub status: Status,
    pub plan: PlanName,
    pub features: BTreeSet<Feature>,
    /// How much of what it may have.
    pub caps: Caps,
    pub branding: Branding,
    /// Limits, access, CORS, maintenance, redirects, backends of its own.
    pub edge: EdgePolicy,
    /// Why it is suspended, when the operator lets visitors see it.
    pub public_reason: Option<String>,
    /// A trial whose end has passed: badged, still reachable.
    pub trial_expired: bool,
    /// Its plan has not covered domains of its own for longer than the grace: they redirect to its slug host.
    pub domains_lapsed: bool,
    pub valid_until: Timestamp,
}

impl Effective {
    /// `chain` starts with the tenant itself and ends with its topmost parent.
    pub fn of(chain: &[&Tenant], catalogue: &Catalogue, suspend_expired_trials: bool, now: Timestamp) -> Option<Self> {
        let own = *chain.first()?;
        let plan = chain.iter().find_map(|t| t.plan.clone()).unwrap_or_else(|| catalogue.default_plan.clone());
        let (on, off) = overrides(chain);
        let mut standing = Standing::Served;
        let mut status = own.status;
        let mut public_reason = None;
        let mut valid_until = Timestamp::MAX;
        for tenant in chain {
            if let (Status::Trial, Some(end)) = (tenant.status, tenant.trial_ends.filter(|end| *end > now)) {
                valid_until = valid_until.min(end);
            }
            let theirs = Standing::by_its_own_word(tenant, suspend_expired_trials, now);
            if severity(theirs) > severity(standing) {
                standing = theirs;
                status = match theirs {
                    Standing::Served => status,
                    Standing::Pending => Status::Pending,
                    Standing::Suspended => Status::Suspended,
                    Standing::Cancelled if tenant.status == Status::Archived => Status::Archived,
                    Standing::Cancelled => Status::Cancelled,
                };
                // Why somebody was suspended is nobody's business once they have left.
                let told = tenant.reason_public && theirs == Standing::Suspended;
                public_reason = tenant.suspend_reason.clone().filter(|_| told);
            }
        }
        let features = catalogue.features_of(&plan, &on, &off);
        let until = own.life.domains_until.filter(|_| !features.contains(Feature::CUSTOM_DOMAIN));
        if let Some(until) = until.filter(|until| *until > now) {
            valid_until = valid_until.min(until);
        }
        Some(Self {
            standing,
            status,
            domains_lapsed: until.is_some_and(|until| until <= now),
            features,
            caps: Caps::of(chain, catalogue, &plan),
            edge: EdgePolicy::of(chain, catalogue.plan(&plan)),
            plan,
            branding: Branding::inherited(chain),
            public_reason,
            trial_expired: own.status == Status::Trial && own.trial_ends.is_some_and(|end| end <= now),
            valid_until,
        })
    }
}

pub(super) fn standing_of(status: Status, trial_is_over: bool) -> Standing {
    match status {
        Status::Trial if trial_is_over => Standing::Suspended,
        Status::Trial | Status::Active => Standing::Served,
        Status::Pending => Standing::Pending,
        Status::Suspended => Standing::Suspended,
        Status::Cancelled | Status::Archived => Standing::Cancelled,
    }
}

pub(super) fn severity(standing: Standing) -> u8 {
    match standing {
        Standing::Served => 0,
        Standing::Pending => 1,
        Standing::Suspended => 2,
        Standing::Cancelled => 3,
    }
}

/// The nearest word about a feature counts: a child's switch beats its parent's.
fn overrides(chain: &[&Tenant]) -> (BTreeSet<Feature>, BTreeSet<Feature>) {
    let (mut on, mut off) = (BTreeSet::new(), BTreeSet::new());
    for tenant in chain.iter().rev() {
        for feature in &tenant.features_on {
            off.remove(feature);
            on.insert(feature.clone());
        }
        for feature in &tenant.features_off {
            on.remove(feature);
            off.insert(feature.clone());
        }
    }
    (on, off)
}
