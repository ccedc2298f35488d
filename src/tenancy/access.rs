//! Who somebody is, by what they present, and what they may do where they want to do it. Nothing here says what a route
//! needs.

use super::error::{Kind, TenancyError};
use super::tokens::{hash_token, looks_like_a_token};
use super::{Actor, SessionState, Tenancy};
use crate::model::{Realm, Rights, Role, Scope, Slug, TenantId};
use crate::store::TokenRow;

/// Somebody who has been recognised.
#[derive(Clone, Debug)]
pub enum Principal {
    /// The holder of an operator's token.
    Operator { name: String, rights: Rights },
    /// The holder of a token of one tenant.
    Tenant(TenantHolder),
    /// Somebody who is signed in.
    Person(Box<SessionState>),
}

/// The holder of a token of one tenant.
#[derive(Clone, Debug)]
pub struct TenantHolder {
    /// The token's name within its tenant.
    pub name: String,
    pub tenant: TenantId,
    pub slug: Slug,
    pub rights: Rights,
    /// The operator who acts within the tenant by it.
    pub operator: Option<String>,
}

impl Tenancy {
    /// Who presents this token. `None` when it is unknown, malformed or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Principal>, TenancyError> {
        // What cannot be a token costs no question to the store.
        if !looks_like_a_token(secret) {
            return Ok(None);
        }
        let now = self.clock.now();
        let row = self.store.token_by_hash(&hash_token(secret)).await?;
        let Some(row) = row.filter(|row| row.expires.is_none_or(|at| at > now)) else { return Ok(None) };
        let Some(id) = row.tenant else {
            let rights = Rights { realm: Realm::Installation, scopes: row.scopes.held(Scope::ALL), rank: None };
            return Ok(Some(Principal::Operator { name: row.name, rights }));
        };
        let Some(tenant) = self.store.tenant(id).await? else { return Ok(None) };
        Ok(Some(Principal::Tenant(holder(&row, id, tenant.slug))))
    }

    /// What a principal may do, in the tenant of this id or slug where one is named, else wherever they are at home.
    /// [`TenancyError::NotFound`] when that tenant is not theirs to see, whether there is one or not.
    pub async fn rights(&self, principal: &Principal, tenant: Option<&str>) -> Result<Rights, TenancyError> {
        match principal {
            Principal::Operator { rights, .. } => Ok(rights.clone()),
            Principal::Person(state) => self.rights_of_session(state, tenant).await,
            Principal::Tenant(holder) => {
                let own = tenant.is_none_or(|key| holder.is(key));
                own.then(|| holder.rights.clone())
                    .ok_or_else(|| TenancyError::NotFound(Kind::Tenant, tenant.unwrap_or_default().to_owned()))
            }
        }
    }
}

impl TenantHolder {
    /// Whether an id or slug names the tenant.
    fn is(&self, key: &str) -> bool {
        key == self.slug.as_str() || TenantId::parse(key) == Some(self.tenant)
    }
}

impl Principal {
    /// As the ledger knows them.
    pub fn actor(&self, rights: Rights) -> Actor {
        let (name, on_behalf) = match self {
            Self::Operator { name, .. } => (format!("operator:{name}"), None),
            Self::Person(state) => (format!("person:{}", state.person.id), None),
            Self::Tenant(holder) => match &holder.operator {
                None => (format!("token:{}", holder.name), None),
                Some(operator) => (operator.clone(), Some(format!("tenant:{}", holder.slug))),
            },
        };
        Actor { on_behalf, rights, ..Actor::new(name) }
    }
}

fn holder(row: &TokenRow, tenant: TenantId, slug: Slug) -> TenantHolder {
    let within: Vec<Scope> = crate::model::within_a_tenant().into_iter().collect();
    let rank = Some(row.role.unwrap_or(Role::Guest));
    let rights = Rights { realm: Realm::Tenant(tenant), scopes: row.scopes.held(&within), rank };
    TenantHolder { name: row.name.clone(), tenant, slug, rights, operator: row.operator.clone() }
}
