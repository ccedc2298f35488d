//! A tenant as the request path sees it: effective state and ready-made header values, computed once per change.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use crate::clock::{Clock, Timestamp};
use crate::model::{Catalogue, Effective, Tenant};
use crate::traffic::{Meter, Meters};

/// What the tenant cache holds: the tenant's own facts, and the last view made of them.
pub struct Resident {
    pub tenant: Arc<Tenant>,
    view: ArcSwapOption<View>,
    meters: Arc<Meters>,
}

/// Effective state over the parent chain, valid until something in the chain, the catalogue or the time moves. What is looked
/// at for each request stands together, in this order, so that it takes few lines of the processor's cache.
#[repr(C)]
pub struct View {
    catalogue: Arc<Catalogue>,
    valid_until: Timestamp,
    parents: Vec<Arc<Tenant>>,
    suspend_expired: bool,
    pub tenant: Arc<Tenant>,
    pub effective: Effective,
    pub id: HeaderValue,
    pub slug: HeaderValue,
    pub plan: HeaderValue,
    pub status: HeaderValue,
    pub features: HeaderValue,
    meters: Arc<Meters>,
    /// Found when the first request comes: a tenant without traffic has none.
    meter: OnceLock<Arc<Meter>>,
}

impl Resident {
    pub fn new(tenant: Tenant, meters: &Arc<Meters>) -> Arc<Self> {
        Arc::new(Self { tenant: Arc::new(tenant), view: ArcSwapOption::empty(), meters: Arc::clone(meters) })
    }

    /// The view of `self` under these parents and this catalogue, made anew only when one of them has changed.
    pub fn view(
        &self,
        parents: &[Arc<Tenant>],
        catalogue: &Arc<Catalogue>,
        suspend_expired: bool,
        clock: &Clock,
    ) -> Option<Arc<View>> {
        if let Some(view) = &*self.view.load()
            && view.holds(parents, catalogue, suspend_expired, clock)
        {
            return Some(Arc::clone(view));
        }
        let view = Arc::new(View::make(self, parents, catalogue, suspend_expired, clock)?);
        self.view.store(Some(Arc::clone(&view)));
        Some(view)
    }
}

impl View {
    /// What this tenant does on this node. The same meter for every view of one tenant.
    pub fn meter(&self) -> &Arc<Meter> {
        self.meter.get_or_init(|| self.meters.of(&self.tenant))
    }

    /// The parents that it was made under, the nearest first.
    pub(super) fn parents(&self) -> &[Arc<Tenant>] {
        &self.parents
    }

    fn make(
        resident: &Resident,
        parents: &[Arc<Tenant>],
        catalogue: &Arc<Catalogue>,
        suspend_expired: bool,
        clock: &Clock,
    ) -> Option<Self> {
        let tenant = &resident.tenant;
        let chain: Vec<&Tenant> = std::iter::once(tenant).chain(parents).map(|t| &**t).collect();
        let effective = Effective::of(&chain, catalogue, suspend_expired, clock.now())?;
        let features: Vec<&str> = effective.features.iter().map(|f| f.as_str()).collect();
        Some(Self {
            id: value(&tenant.id.to_string()),
            slug: value(tenant.slug.as_str()),
            plan: value(effective.plan.as_str()),
            status: value(effective.status.as_str()),
            features: value(&features.join(",")),
            tenant: Arc::clone(tenant),
            parents: parents.to_vec(),
            catalogue: Arc::clone(catalogue),
            suspend_expired,
            valid_until: effective.valid_until,
            effective,
            meters: Arc::clone(&resident.meters),
            meter: OnceLock::new(),
        })
    }

    /// Whether it is still what the catalogue and the time make of the same facts.
    pub(super) fn is_current(&self, catalogue: &Arc<Catalogue>, suspend_expired: bool, clock: &Clock) -> bool {
        Arc::ptr_eq(&self.catalogue, catalogue)
            && self.suspend_expired == suspend_expired
            && (self.valid_until == Timestamp::MAX || clock.now() < self.valid_until)
    }

    fn holds(&self, parents: &[Arc<Tenant>], catalogue: &Arc<Catalogue>, suspend_expired: bool, clock: &Clock) -> bool {
        self.parents.len() == parents.len()
            && self.parents.iter().zip(parents).all(|(a, b)| Arc::ptr_eq(a, b))
            && self.is_current(catalogue, suspend_expired, clock)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("tenant", &self.tenant).field("effective", &self.effective).finish_non_exhaustive()
    }
}

/// Ids, slugs and names of plans and features are header-safe by their types.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
