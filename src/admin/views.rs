//! What the admin API shows of tenants, domains and hosts. Pure shapes; nothing here is read back.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::model::{
    Cap, CapName, CertificateSource, DomainState, Feature, HostClass, OwnCap, PlanChange, SetBy, Status,
};
use crate::store::CertificateRow;
use crate::tenancy::{DomainClaim, HostAnswer, Record, TenantState, Visit};

/// A tenant: its own facts, and under `effective` what holds for it together with its parents.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantView {
    /// UUIDv7.
    id: String,
    slug: String,
    name: String,
    /// Its own status; see `effective` for what a parent makes of it.
    status: Status,
    /// Its own plan; `null`: its parent's, or the catalogue's default.
    plan: Option<String>,
    /// The change of its plan that waits.
    plan_change: Option<PlanChangeView>,
    features: Switches,
    /// The parent's id.
    parent: Option<String>,
    /// Where it is reached: `<slug>.<base domain>`.
    host: Option<String>,
    suspend_reason: Option<String>,
    /// Who has suspended or cancelled it; while it is neither, who changed its status last.
    status_by: SetBy,
    /// Visitors see the reason.
    reason_public: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    trial_ends: Option<Timestamp>,
    /// Since when it has been cancelled.
    #[schema(value_type = Option<String>, format = DateTime)]
    cancelled: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    archived: Option<Timestamp>,
    /// When a cancelled tenant is archived.
    #[schema(value_type = Option<String>, format = DateTime)]
    archive_at: Option<Timestamp>,
    /// When an archived tenant is purged for ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    purge_at: Option<Timestamp>,
    /// Its plan does not cover the domains that it holds: from then on they redirect to its host.
    #[schema(value_type = Option<String>, format = DateTime)]
    domains_until: Option<Timestamp>,
    /// What the billing system calls it.
    billing_ref: Option<String>,
    /// Its own caps, by name; those that hold are in `/effective`.
    caps: BTreeMap<CapName, OwnCapView>,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// The revision of the store that last wrote it: what its ETag begins with.
    revision: i64,
    effective: EffectiveView,
}

/// A change of plan that waits for its time.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanChangeView {
    /// `null`: its parent's plan.
    plan: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<PlanChange> for PlanChangeView {
    fn from(PlanChange { plan, at }: PlanChange) -> Self {
        Self { plan: plan.map(|plan| plan.to_string()), at }
    }
}

/// The features switched on and off beyond what the plan says.
#[derive(Debug, Serialize, ToSchema)]
pub struct Switches {
    on: Vec<String>,
    off: Vec<String>,
}

/// A cap of a tenant's own.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnCapView {
    /// A number, or `"unlimited"`.
    #[schema(value_type = Object)]
    cap: Cap,
    by: SetBy,
}

impl From<OwnCap> for OwnCapView {
    fn from(own: OwnCap) -> Self {
        let OwnCap { cap, by } = own;
        Self { cap, by }
    }
}

/// What holds for a tenant right now: its facts, its parents', the catalogue, the licence and the time.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectiveView {
    /// Whether visitors are served.
    served: bool,
    status: Status,
    plan: String,
    features: Vec<String>,
    trial_expired: bool,
}

impl From<TenantState> for TenantView {
    fn from(state: TenantState) -> Self {
        let TenantState { tenant, effective, host } = state;
        Self {
            id: tenant.id.to_string(),
            slug: tenant.slug.to_string(),
            name: tenant.name,
            status: tenant.status,
            plan: tenant.plan.map(|plan| plan.to_string()),
            plan_change: tenant.subscription.next.map(PlanChangeView::from),
            features: Switches { on: words(&tenant.features_on), off: words(&tenant.features_off) },
            parent: tenant.parent.map(|id| id.to_string()),
            host: host.map(|host| host.to_string()),
            suspend_reason: tenant.suspend_reason,
            status_by: tenant.subscription.status_by,
            reason_public: tenant.reason_public,
            trial_ends: tenant.trial_ends,
            cancelled: tenant.life.cancelled,
            archived: tenant.life.archived,
            archive_at: tenant.life.phase_ends.filter(|_| tenant.status == Status::Cancelled),
            purge_at: tenant.life.phase_ends.filter(|_| tenant.status == Status::Archived),
            domains_until: tenant.life.domains_until,
            billing_ref: tenant.subscription.billing_ref,
            caps: tenant.subscription.caps.0.into_iter().map(|(name, own)| (name, own.into())).collect(),
            created: tenant.created,
            updated: tenant.updated,
            revision: tenant.revision,
            effective: EffectiveView {
                served: effective.standing == crate::model::Standing::Served,
                status: effective.status,
                plan: effective.plan.to_string(),
                features: words(&effective.features),
                trial_expired: effective.trial_expired,
            },
        }
    }
}

/// A claim to a domain, and the DNS records that the tenant is to set.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainView {
    /// Lowercase ASCII, IDNA A-labels.
    domain: String,
    /// The id of the tenant whose claim it is.
    tenant: String,
    state: DomainState,
    records: Vec<RecordView>,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    revision: i64,
}

/// A claim with what it is served with, and how the order for its certificate stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainDetail {
    #[serde(flatten)]
    pub domain: DomainView,
    /// What visitors get; `null`: nothing yet.
    pub certificate: Option<CertificateSummary>,
    /// `null`: no certificate is wanted from an authority, because nobody holds the name.
    pub order: Option<super::orders::OrderView>,
}

/// The certificate that a name is served with.
#[derive(Debug, Serialize, ToSchema)]
pub struct CertificateSummary {
    id: String,
    source: CertificateSource,
    /// The configured name of the authority; `null` where that is not known.
    authority: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
}

impl From<CertificateRow> for CertificateSummary {
    fn from(row: CertificateRow) -> Self {
        let authority = Some(row.authority).filter(|authority| !authority.is_empty());
        Self { id: row.id, source: row.source, authority, not_after: row.not_after }
    }
}

/// A DNS record.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordView {
    /// `TXT` or `CNAME`.
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    value: String,
    /// What it is for.
    purpose: &'static str,
}

impl From<DomainClaim> for DomainView {
    fn from(claim: DomainClaim) -> Self {
        let DomainClaim { domain, records, .. } = claim;
        Self {
            domain: domain.name.to_string(),
            tenant: domain.tenant.to_string(),
            state: domain.state,
            records: records.into_iter().map(RecordView::from).collect(),
            created: domain.created,
            updated: domain.updated,
            revision: domain.revision,
        }
    }
}

impl From<Record> for RecordView {
    fn from(record: Record) -> Self {
        let Record { kind, name, value, purpose } = record;
        Self { kind, name, value, purpose }
    }
}

/// Whom a host leads to, and what the edge would do with a visitor.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostView {
    /// In its one canonical spelling.
    host: String,
    /// `apex`, `console`, `reserved`, `tenant`, `subdomain` or `custom`.
    class: &'static str,
    /// `custom-domain` or `subdomain`, when it leads to a tenant.
    via: Option<&'static str>,
    tenant: Option<TenantView>,
    visit: VisitView,
}

/// What becomes of a visitor.
#[derive(Debug, Serialize, ToSchema)]
pub struct VisitView {
    /// `forward`: the routes decide; `refuse`: the edge answers itself; `redirect`: it sends them elsewhere.
    action: &'static str,
    /// The status code of a refusal or redirect.
    status: Option<u16>,
    /// The problem code of a refusal; of a redirect why: `domains-lapsed`.
    code: Option<&'static str>,
    /// The host that a redirect leads to; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl From<HostAnswer> for HostView {
    fn from(answer: HostAnswer) -> Self {
        let visit = match answer.visit {
            Visit::Forwarded => VisitView { action: "forward", status: None, code: None, to: None },
            Visit::Refused { status, code } => {
                VisitView { action: "refuse", status: Some(status), code: Some(code), to: None }
            }
            Visit::Redirected { status, to, reason } => {
                VisitView { action: "redirect", status: Some(status), code: Some(reason), to: Some(to.to_string()) }
            }
        };
        Self {
            host: answer.host.to_string(),
            class: class(&answer.class),
            via: answer.via.map(|via| via.as_str()),
            tenant: answer.tenant.map(TenantView::from),
            visit,
        }
    }
}

fn class(class: &HostClass) -> &'static str {
    match class {
        HostClass::Apex => "apex",
        HostClass::Console => "console",
        HostClass::Reserved => "reserved",
        HostClass::Tenant(_) => "tenant",
        HostClass::Subdomain => "subdomain",
        HostClass::Custom => "custom",
    }
}

fn words<'a>(features: impl IntoIterator<Item = &'a Feature>) -> Vec<String> {
    features.into_iter().map(Feature::to_string).collect()
}
