//! Whose member somebody is, and what that lets them do there: their own memberships, and the shadow memberships of those
//! who belong to the operator's own tenant. Reads only.
//!
//! A shadow membership is nowhere written down: whoever is an active member of the operator's tenant is what they are there
//! in every other tenant too, from the moment they join until the moment they leave, a new tenant included. It counts for
//! no cap, and no tenant can end it. Where somebody is a member of their own as well, the higher of the two counts.

use std::collections::{BTreeSet, HashMap};

use super::lineage::Known;
use super::{Tenancy, TenancyError, TenantState};
use crate::model::{
    Feature, Person, PersonId, Position, Realm, Rights, Role, RoleName, Scope, Slug, Status, Tenant, TenantId, UnitId,
};
use crate::store::{MemberRow, Page, RoleRow};

/// The feature that lets roles of a tenant's own count in full.
pub const CUSTOM_ROLES: &str = "custom_roles";

/// What somebody is in a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    pub tenant: TenantId,
    pub slug: Slug,
    /// The tenant's display name.
    pub name: String,
    /// The tenant's own status.
    pub status: Status,
    /// Their rank.
    pub role: Role,
    pub custom_role: Option<RoleName>,
    /// What they may do there at this moment.
    pub scopes: BTreeSet<Scope>,
    pub unit: Option<UnitId>,
    /// It is the tenancy that their sessions begin in.
    pub default: bool,
    /// It comes of the operator's tenant.
    pub shadow: bool,
}

impl Membership {
    pub fn position(&self) -> Position {
        Position { rank: self.role, custom: self.custom_role.clone() }
    }

    /// What they may do, and where.
    pub fn rights(&self) -> Rights {
        Rights { realm: Realm::Tenant(self.tenant), scopes: self.scopes.clone(), rank: Some(self.role) }
    }
}

impl Tenancy {
    /// The tenants that somebody is a member of, by id; shadow memberships, of which there is one for each tenant, left
    /// out. None for whom nobody knows, or who is disabled. `page.after` is the last id of the page before.
    pub async fn memberships(&self, person: PersonId, page: &Page) -> Result<Vec<Membership>, TenancyError> {
        let Some(person) = self.able(person).await? else { return Ok(Vec::new()) };
        let rows = self.store.memberships_of(person.id, page).await?;
        let tenants: Vec<TenantId> = rows.iter().map(|row| row.tenant).collect();
        let states = self.states_of(self.store.tenants_with(&tenants).await?, &mut Known::default()).await?;
        let mut states: HashMap<TenantId, TenantState> =
            states.into_iter().map(|state| (state.tenant.id, state)).collect();
        let mut memberships = Vec::new();
        for row in rows {
            if let Some(state) = states.remove(&row.tenant) {
                memberships.push(self.membership_of(&person, &row, state).await?);
            }
        }
        Ok(memberships)
    }

    /// What somebody is in one tenant, a shadow membership included. `None`: nothing.
    pub async fn membership(&self, person: PersonId, tenant: TenantId) -> Result<Option<Membership>, TenancyError> {
        let Some(person) = self.able(person).await? else { return Ok(None) };
        let Some(tenant) = self.store.tenant(tenant).await? else { return Ok(None) };
        let own = match self.store.member(tenant.id, person.id).await?.filter(MemberRow::is_active) {
            Some(row) => {
                let state = self.state_of(tenant.clone(), &mut Known::default()).await?;
                Some(self.membership_of(&person, &row, state).await?)
            }
            None => None,
        };
        let shadow = self.shadow(&person, &tenant).await?;
        Ok(match (own, shadow) {
            (Some(own), Some(shadow)) if shadow.role > own.role => Some(shadow),
            (None, shadow) => shadow,
            (own, _) => own,
        })
    }

    /// The operator's own tenant, if one is configured and there is one of that slug.
    pub async fn operator_tenant(&self) -> Result<Option<Tenant>, TenancyError> {
        match &self.config().tenancy.operator {
            Some(slug) => Ok(self.store.tenant_by_slug(slug).await?),
            None => Ok(None),
        }
    }

    async fn able(&self, person: PersonId) -> Result<Option<Person>, TenancyError> {
        Ok(self.store.person(person).await?.filter(|person| !person.disabled))
    }

    async fn shadow(&self, person: &Person, tenant: &Tenant) -> Result<Option<Membership>, TenancyError> {
        let Some(operator) = self.operator_tenant().await?.filter(|operator| operator.id != tenant.id) else {
            return Ok(None);
        };
        let Some(row) = self.store.member(operator.id, person.id).await?.filter(MemberRow::is_active) else {
            return Ok(None);
        };
        let operator = self.state_of(operator, &mut Known::default()).await?;
        let there = self.membership_of(person, &row, operator).await?;
        Ok(Some(Membership {
            tenant: tenant.id,
            slug: tenant.slug.clone(),
            name: tenant.name.clone(),
            status: tenant.status,
            unit: None,
            default: person.default_tenant == Some(tenant.id),
            shadow: true,
            ..there
        }))
    }

    async fn membership_of(
        &self,
        person: &Person,
        row: &MemberRow,
        TenantState { tenant, effective, .. }: TenantState,
    ) -> Result<Membership, TenancyError> {
        let role = match &row.position.custom {
            Some(name) => self.store.role(tenant.id, name).await?,
            None => None,
        };
        let scopes = scopes_of(&row.position, role.as_ref(), &effective.features);
        Ok(Membership {
            tenant: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            status: tenant.status,
            role: row.position.rank,
            custom_role: row.position.custom.clone(),
            scopes,
            unit: row.unit,
            default: person.default_tenant == Some(tenant.id),
            shadow: false,
        })
    }
}

impl MemberRow {
    pub(super) fn is_active(&self) -> bool {
        self.state == crate::model::MemberState::Active
    }
}

/// What a position lets somebody do. Without the feature, a role of the tenant's own gives no more than its base does:
/// nobody gains by the loss of a feature, and nothing is forgotten for when it comes back.
pub(super) fn scopes_of(position: &Position, role: Option<&RoleRow>, features: &BTreeSet<Feature>) -> BTreeSet<Scope> {
    let base = position.rank.scopes();
    match (&position.custom, role) {
        (None, _) => base,
        (Some(_), Some(role)) if features.contains(CUSTOM_ROLES) => role.scopes.clone(),
        (Some(_), Some(role)) => role.scopes.intersection(&base).copied().collect(),
        (Some(_), None) => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_role_of_the_tenants_own_gives_less_without_the_feature_and_never_more() {
        let name = RoleName::parse("auditors").unwrap();
        let position = Position { rank: Role::Member, custom: Some(name.clone()) };
        let row = RoleRow {
            tenant: TenantId::new(),
            name,
            title: String::new(),
            base: Role::Member,
            scopes: [Scope::TenantRead, Scope::AuditRead].into(),
            created: Timestamp(0),
            updated: Timestamp(0),
            revision: 1,
        };
        let feature = BTreeSet::from([Feature::parse(CUSTOM_ROLES).unwrap()]);
        assert_eq!(scopes_of(&position, Some(&row), &feature), row.scopes);
        assert_eq!(scopes_of(&position, Some(&row), &BTreeSet::new()), [Scope::TenantRead].into());
        assert_eq!(scopes_of(&position, None, &feature), BTreeSet::new());
        assert_eq!(scopes_of(&Role::Admin.into(), None, &BTreeSet::new()), Role::Admin.scopes());
    }
}
