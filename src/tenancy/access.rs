//! Who somebody is, by what they present, and what they may do where they want to do it. Nothing here says what a route
//! needs.

use std::collections::BTreeSet;

use super::error::{Kind, TenancyError};
use super::tokens::{hash_token, looks_like_a_token};
use super::{Actor, Credential, SessionState, Tenancy};
use crate::model::{Authority, Grounds, PersonId, Realm, Rights, Role, Scope, Slug, Tenant, TenantId, within_a_tenant};
use crate::store::TokenRow;

/// Somebody who has been recognised.
#[derive(Clone, Debug)]
pub enum Principal {
    /// The holder of an operator's token.
    Operator { name: String, rights: Rights, credential: Credential, hash: [u8; 32] },
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
    pub credential: Credential,
    /// SHA-256 of the token.
    hash: [u8; 32],
}

impl Tenancy {
    /// Who presents this token. `None` when it is unknown, malformed or expired, or when what it stands by has fallen: the
    /// person by whose rights it was made is nobody any more, or the session is over from which somebody acts by it.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Principal>, TenancyError> {
        // What cannot be a token costs no question to the store.
        if !looks_like_a_token(secret) {
            return Ok(None);
        }
        self.holder_of_hash(&hash_token(secret)).await
    }

    /// Whose token has this hash, if it counts.
    async fn holder_of_hash(&self, hash: &[u8; 32]) -> Result<Option<Principal>, TenancyError> {
        match self.store.token_by_hash(hash).await? {
            Some(row) => self.holder_of(row).await,
            None => Ok(None),
        }
    }

    /// Whoever holds this token, as it counts at this moment; `None` when it does not.
    pub(super) async fn holder_of(&self, row: TokenRow) -> Result<Option<Principal>, TenancyError> {
        let now = self.clock.now();
        if row.expires.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        if let Some(session) = row.session
            && !self.store.session(session).await?.is_some_and(|session| self.is_good(&session, now))
        {
            return Ok(None);
        }
        if let Some(operator) = &row.operator
            && !self.may_impersonate(operator).await?
        {
            return Ok(None);
        }
        let Some((scopes, rank)) = self.counts(&row).await? else { return Ok(None) };
        let TokenRow { name, hash, made_by, expires, tenant, operator, .. } = row;
        let token = Some(name.clone());
        let credential = Credential { person: made_by, token, expires, ..Credential::default() };
        let Some(tenant) = tenant else {
            let credential = Credential { rank, ..credential };
            let rights = Rights { realm: Realm::Installation, scopes, rank: None };
            return Ok(Some(Principal::Operator { name, rights, credential, hash }));
        };
        let Some(Tenant { slug, .. }) = self.store.tenant(tenant).await? else { return Ok(None) };
        let rights = Rights { realm: Realm::Tenant(tenant), scopes, rank: Some(rank.unwrap_or(Role::Guest)) };
        Ok(Some(Principal::Tenant(TenantHolder { name, tenant, slug, rights, operator, credential, hash })))
    }

    /// What a token lets its holder do, and with which rank: no more than whoever it stands by may do themselves. `None`
    /// when they may not even make it any more.
    async fn counts(&self, row: &TokenRow) -> Result<Option<(BTreeSet<Scope>, Option<Role>)>, TenancyError> {
        let written = match row.tenant {
            None => row.scopes.held(Scope::ALL),
            Some(_) => row.scopes.held(&within_a_tenant().into_iter().collect::<Vec<_>>()),
        };
        let Some(person) = row.made_by else { return Ok(Some((written, row.role))) };
        let there = match row.tenant {
            Some(tenant) => Some(tenant),
            None => self.operator_tenant().await?.map(|operators| operators.id),
        };
        let Some(there) = there else { return Ok(None) };
        let Some(membership) = self.membership(person, there).await? else { return Ok(None) };
        let rank = Some(row.role.map_or(membership.role, |role| role.min(membership.role)));
        Ok(match row.tenant {
            None => membership.position().makes_operators().then_some((written, rank)),
            Some(_) => Some((written.intersection(&membership.scopes).copied().collect(), rank)),
        })
    }

    /// Whether an operator, as the ledger knows them, could begin to act within a tenant now: what they have begun ends with
    /// what let them.
    async fn may_impersonate(&self, operator: &str) -> Result<bool, TenancyError> {
        match operator.split_once(':') {
            Some(("operator", name)) => {
                let row = self.store.token(None, name).await?;
                let row = row.filter(|row| row.expires.is_none_or(|at| at > self.clock.now()));
                Ok(row.is_some_and(|row| row.scopes.held(Scope::ALL).contains(&Scope::TenantsImpersonate)))
            }
            Some(("person", id)) => match PersonId::parse(id) {
                Some(person) => self.is_operator(person).await,
                None => Ok(false),
            },
            _ => Ok(true),
        }
    }

    /// Refuses what was begun with rights that have been taken away since. To be asked while nobody else can write; what the
    /// asking transaction itself has written is not seen.
    pub(super) async fn still_may(&self, grounds: &Grounds) -> Result<(), TenancyError> {
        let principal = match &grounds.on {
            Authority::Token(hash) => self.holder_of_hash(hash).await?,
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
        let credential = match self {
            Self::Operator { credential, .. } => credential.clone(),
            Self::Tenant(holder) => holder.credential.clone(),
            Self::Person(state) => Credential { person: Some(state.person.id), ..Credential::default() },
        };
        let authority = Some(match self {
            Self::Operator { hash, .. } => Authority::Token(*hash),
            Self::Tenant(holder) => Authority::Token(holder.hash),
            Self::Person(state) => Authority::Session(state.session.id),
        });
        Actor { on_behalf, rights, authority, credential, ..Actor::new(name) }
    }
}
