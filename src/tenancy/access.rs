//! Who somebody is, by what they present, and what they may do where they want to do it. Nothing here says what a route
//! needs.

use super::error::{Kind, TenancyError};
use super::tokens::{hash_token, looks_like_a_token};
use super::{Actor, SessionState, Tenancy};
use crate::model::{Authority, Grounds, PersonId, Realm, Rights, Role, Scope, Slug, TenantId};
use crate::store::TokenRow;

/// Somebody who has been recognised.
#[derive(Clone, Debug)]
pub enum Principal {
    /// The holder of an operator's token.
    Operator { name: String, rights: Rights, hash: [u8; 32] },
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
    /// SHA-256 of the token.
    hash: [u8; 32],
}

impl Tenancy {
    /// Who presents this token. `None` when it is unknown, malformed or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Principal>, TenancyError> {
        // What cannot be a token costs no question to the store.
        if !looks_like_a_token(secret) {
            return Ok(None);
        }
        self.holder_of(&hash_token(secret)).await
    }

    /// Whose token has this hash, if it works.
    async fn holder_of(&self, hash: &[u8; 32]) -> Result<Option<Principal>, TenancyError> {
        let now = self.clock.now();
        let row = self.store.token_by_hash(hash).await?;
        let Some(row) = row.filter(|row| row.expires.is_none_or(|at| at > now)) else { return Ok(None) };
        let Some(id) = row.tenant else {
            let rights = Rights { realm: Realm::Installation, scopes: row.scopes.held(Scope::ALL), rank: None };
            return Ok(Some(Principal::Operator { name: row.name, rights, hash: row.hash }));
        };
        if let Some(operator) = &row.operator
            && !self.may_impersonate(operator).await?
        {
            return Ok(None);
        }
        let Some(tenant) = self.store.tenant(id).await? else { return Ok(None) };
        Ok(Some(Principal::Tenant(holder(&row, id, tenant.slug))))
    }

    /// Whether an operator, as the ledger knows them, could begin to act within a tenant now: what they have begun ends with
    /// what let them.
    async fn may_impersonate(&self, operator: &str) -> Result<bool, TenancyError> {
        if let Some(name) = operator.strip_prefix("operator:") {
            let now = self.clock.now();
            let row = self.store.operator_token(name).await?.filter(|row| row.expires.is_none_or(|at| at > now));
            return Ok(row.is_some_and(|row| row.scopes.held(Scope::ALL).contains(&Scope::TenantsImpersonate)));
        }
        match operator.strip_prefix("person:").and_then(PersonId::parse) {
            Some(person) => self.is_operator(person).await,
            None => Ok(true),
        }
    }

    /// Refuses what was begun with rights that have been taken away since. To be asked while nobody else can write; what the
    /// asking transaction itself has written is not seen.
    pub(super) async fn still_may(&self, grounds: &Grounds) -> Result<(), TenancyError> {
        let principal = match &grounds.on {
            Authority::Token(hash) => self.holder_of(hash).await?,
            Authority::Session(id) => self.signed_in(*id).await?.map(|known| Principal::Person(Box::new(known))),
        };
        let principal = principal.ok_or(TenancyError::Ended)?;
        let then = &grounds.rights;
        if *then == Rights::none() {
            return Ok(());
        }
        let place = then.only().map(|tenant| tenant.to_string());
        let now = self.rights(&principal, place.as_deref()).await?;
        match (now.still_hold(then), now.lacking(&then.scopes), then.rank, now.rank) {
            (true, ..) => Ok(()),
            (false, lacking, ..) if !lacking.is_empty() => Err(TenancyError::Forbidden(lacking)),
            (false, _, Some(wanted), Some(own)) if wanted > own => Err(TenancyError::Outranked { wanted, own }),
            // The same scopes, in one tenant instead of all.
            (false, ..) => Err(TenancyError::Forbidden(then.scopes.iter().copied().collect())),
        }
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
        let authority = Some(match self {
            Self::Operator { hash, .. } => Authority::Token(*hash),
            Self::Tenant(holder) => Authority::Token(holder.hash),
            Self::Person(state) => Authority::Session(state.session.id),
        });
        Actor { on_behalf, rights, authority, ..Actor::new(name) }
    }
}

fn holder(row: &TokenRow, tenant: TenantId, slug: Slug) -> TenantHolder {
    let within: Vec<Scope> = crate::model::within_a_tenant().into_iter().collect();
    let rank = Some(row.role.unwrap_or(Role::Guest));
    let rights = Rights { realm: Realm::Tenant(tenant), scopes: row.scopes.held(&within), rank };
    TenantHolder { name: row.name.clone(), tenant, slug, rights, operator: row.operator.clone(), hash: row.hash }
}
