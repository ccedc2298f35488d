//! A tenant as the system of record knows it: its own facts only. What follows from its parents, the catalogue and the
//! time of day is [`super::Effective`].

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Branding, EdgeSettings, Feature, PlanName, Slug, Subscription};
use crate::clock::Timestamp;

/// A tenant's identity: a UUIDv7, so that ids sort by creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl TenantId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a tenant stands in its life (product.md, *Tenants*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Trial,
    Active,
    Suspended,
    Cancelled,
    Archived,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Trial, Self::Active, Self::Suspended, Self::Cancelled, Self::Archived];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::Archived => "archived",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What time has done to a tenant, and what it does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// Since when it has been cancelled.
    pub cancelled: Option<Timestamp>,
    pub archived: Option<Timestamp>,
    /// What it was when it was cancelled, and is again when it is restored.
    pub before: Option<Status>,
    /// When a cancelled tenant is archived, or an archived one purged.
    pub phase_ends: Option<Timestamp>,
    /// Set while its plan does not cover the domains that it holds: from then on they redirect to its slug host.
    pub domains_until: Option<Timestamp>,
    /// When the clock does something to it, or somebody is to be told. `None`: never.
    pub due: Option<Timestamp>,
}

/// One row of the `tenants` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: Slug,
    pub name: String,
    pub status: Status,
    /// `None`: the parent's plan, or the catalogue's default where there is no parent.
    pub plan: Option<PlanName>,
    pub features_on: BTreeSet<Feature>,
    pub features_off: BTreeSet<Feature>,
    pub parent: Option<TenantId>,
    pub branding: Branding,
    /// What the edge does for it beyond the configuration's routes.
    pub edge: EdgeSettings,
    /// Why it was suspended, for the operators; shown to visitors only when `reason_public`.
    pub suspend_reason: Option<String>,
    pub reason_public: bool,
    pub trial_ends: Option<Timestamp>,
    /// What time has done to it, and does next.
    pub life: Life,
    /// What is agreed about its plan.
    pub subscription: Subscription,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The revision of the store that last wrote this row; the ETag of the resource.
    pub revision: i64,
}

impl Tenant {
    /// An active tenant that was made at this moment, called by its slug, of which nothing else is said yet.
    pub fn new(slug: Slug, created: Timestamp) -> Self {
        Self {
            id: TenantId::new(),
            name: slug.to_string(),
            slug,
            status: Status::Active,
            plan: None,
            features_on: BTreeSet::new(),
            features_off: BTreeSet::new(),
            parent: None,
            branding: Branding::default(),
            edge: EdgeSettings::default(),
            suspend_reason: None,
            reason_public: false,
            trial_ends: None,
            life: Life::default(),
            subscription: Subscription::default(),
            created,
            updated: created,
            revision: 0,
        }
    }
}
