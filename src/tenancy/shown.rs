//! What the ledger shows of something before and after a write: the fields that somebody decides about, as JSON. Never a
//! secret or what is made of one, and no counters that move by themselves.

use serde_json::{Value, json};

use crate::model::{Domain, Person, Tenant};
use crate::store::{InvitationRow, MemberRow, RoleRow, SessionRow, TokenRow, UnitRow};

pub(super) fn tenant(tenant: &Tenant) -> Value {
    let (life, agreed) = (&tenant.life, &tenant.subscription);
    let next = agreed.next.as_ref().map(|next| json!({ "plan": next.plan, "at": next.at }));
    json!({
        "name": tenant.name, "status": tenant.status, "status_by": agreed.status_by, "plan": tenant.plan, "parent": tenant.parent,
        "features": { "on": tenant.features_on, "off": tenant.features_off },
        "branding": tenant.branding, "edge": tenant.edge,
        "suspend_reason": tenant.suspend_reason, "reason_public": tenant.reason_public,
        "trial_ends": tenant.trial_ends, "cancelled": life.cancelled, "archived": life.archived,
        "phase_ends": life.phase_ends, "domains_until": life.domains_until,
        "plan_change": next, "period_start": agreed.period_start, "period_end": agreed.period_end,
        "billing_ref": agreed.billing_ref, "caps": agreed.caps,
    })
}

pub(super) fn domain(domain: &Domain) -> Value {
    json!({ "tenant": domain.tenant, "state": domain.state })
}

/// Without who they are: their id is the line's subject.
pub(super) fn member(row: &MemberRow) -> Value {
    json!({ "state": row.state, "role": row.position.name(), "unit": row.unit })
}

pub(super) fn role(row: &RoleRow) -> Value {
    json!({ "title": row.title, "base": row.base, "scopes": row.scopes })
}

pub(super) fn unit(row: &UnitRow) -> Value {
    json!({ "name": row.node.name, "parent": row.node.parent })
}

pub(super) fn invitation(row: &InvitationRow) -> Value {
    json!({ "email": row.email, "role": row.position.name(), "unit": row.unit, "expires": row.expires })
}

pub(super) fn token(row: &TokenRow) -> Value {
    json!({ "scopes": row.scopes, "role": row.role, "expires": row.expires, "operator": row.operator,
        "made_by": row.made_by })
}

pub(super) fn session(row: &SessionRow) -> Value {
    json!({ "person": row.person, "method": row.method, "tenant": row.tenant, "expires": row.expires })
}

/// The places of [`person`] that name them; an address is known by itself.
pub(super) const PERSONAL: &[&str] = &["/before/name", "/after/name"];

pub(super) fn person(person: &Person) -> Value {
    json!({ "email": person.email, "name": person.name, "disabled": person.disabled, "verified": person.verified,
        "default_tenant": person.default_tenant })
}
