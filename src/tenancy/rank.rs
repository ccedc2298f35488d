//! Who may make whom what. One rule for inviting, adding, changing, removing, and for roles that others have: whatever is
//! made or unmade is of no higher rank than one's own, and holds no scope that one does not hold oneself.
//!
//! In the operator's own tenant an admin or owner is an operator, who may do everything everywhere: that is what such a
//! position holds there, and only who holds all of it makes or unmakes one. A token of that tenant reaches no further than
//! its tenant, and what one is there one is everywhere: it makes nobody anything there.

use std::collections::BTreeSet;

use super::domains::require_feature;
use super::error::{Fault, TenancyError};
use super::memberships::CUSTOM_ROLES;
use super::{Actor, Tenancy, TenantState};
use crate::model::{PersonId, Position, Realm, Rights, Role, RoleName, Scope, Tenant, TenantId};
use crate::store::Write;

impl Rights {
    /// Whether somebody who is, or is to be, of this rank and holds these scopes is theirs to make, change or remove.
    pub(super) fn may_handle(&self, rank: Role, scopes: &BTreeSet<Scope>) -> Result<(), TenancyError> {
        if let Some(own) = self.rank.filter(|_| !self.outranks(rank)) {
            return Err(TenancyError::Outranked { wanted: rank, own });
        }
        match self.lacking(scopes) {
            lacking if lacking.is_empty() => Ok(()),
            lacking => Err(TenancyError::Forbidden(lacking)),
        }
    }
}

impl Actor {
    /// The person who is signed in; `None` for the holder of a token.
    pub fn person(&self) -> Option<PersonId> {
        self.name.strip_prefix("person:").and_then(PersonId::parse)
    }
}

impl Tenancy {
    /// What counts for an actor within a tenant. In the operator's own tenant operators have the rank that they have there,
    /// and are not above every role as they are elsewhere: its admins make nobody its owner.
    pub(super) async fn rights_within(&self, actor: &Actor, tenant: &Tenant) -> Result<Rights, TenancyError> {
        if !self.is_operators(tenant) {
            return Ok(actor.rights.clone());
        }
        let Some(person) = actor.person() else {
            return Ok(match actor.rights.realm {
                Realm::Installation => Rights { rank: actor.credential.rank, ..actor.rights.clone() },
                Realm::Tenant(_) => Rights::none(),
            });
        };
        if actor.rights.realm != Realm::Installation {
            return Ok(actor.rights.clone());
        }
        let membership = self.membership(person, tenant.id).await?;
        Ok(membership.map_or_else(Rights::none, |there| Rights { rank: Some(there.role), ..actor.rights.clone() }))
    }

    /// Whether it is the operator's own tenant.
    pub(super) fn is_operators(&self, tenant: &Tenant) -> bool {
        self.config().tenancy.operator.as_ref() == Some(&tenant.slug)
    }

    /// Refuses what is about somebody of this position, if it is not the actor's to decide.
    pub(super) async fn handle(
        &self,
        write: &mut Write,
        rights: &Rights,
        tenant: TenantId,
        position: &Position,
    ) -> Result<(), TenancyError> {
        rights.may_handle(position.rank, &self.weight(write, tenant, position).await?)
    }

    /// All that a position lets somebody do: in the operator's own tenant, everything from admin upwards.
    pub(super) async fn weight(
        &self,
        write: &mut Write,
        tenant: TenantId,
        position: &Position,
    ) -> Result<BTreeSet<Scope>, TenancyError> {
        if position.makes_operators() && write.tenant(tenant).await?.is_some_and(|tenant| self.is_operators(&tenant)) {
            return Ok(Scope::ALL.iter().copied().collect());
        }
        written_scopes(write, tenant, position).await
    }

    /// The position that a word names, where it can be given to somebody: a built-in role, or one of the tenant's own for as
    /// long as it has the feature.
    pub(super) async fn position(
        &self,
        write: &mut Write,
        state: &TenantState,
        pointer: &str,
        word: &str,
    ) -> Result<Position, TenancyError> {
        if let Some(role) = Role::parse(word) {
            return Ok(role.into());
        }
        let own = match RoleName::parse(word) {
            Ok(name) => write.role(state.tenant.id, &name).await?,
            Err(_) => None,
        };
        let Some(own) = own else {
            let built_in = Role::ALL.map(Role::as_str).join(", ");
            let detail = format!("there is no role {word:?}; there are {built_in}, and the tenant's own");
            return Err(TenancyError::Invalid(vec![Fault::new(pointer, "unknown-role", detail)]));
        };
        require_feature(CUSTOM_ROLES, state, &self.config())?;
        Ok(Position { rank: own.base, custom: Some(own.name) })
    }
}

/// What a position is written down to allow, whether the feature is there at the moment or not: it may come back.
async fn written_scopes(
    write: &mut Write,
    tenant: TenantId,
    position: &Position,
) -> Result<BTreeSet<Scope>, TenancyError> {
    Ok(match &position.custom {
        None => position.rank.scopes(),
        Some(name) => write.role(tenant, name).await?.map(|role| role.scopes).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::within_a_tenant;
    use proptest::prelude::*;

    /// A change as a naive reading of the rule has it: the old and the new one each at most as high, and each scope held.
    fn naive(own: Role, held: &BTreeSet<Scope>, old: (Role, &BTreeSet<Scope>), new: (Role, &BTreeSet<Scope>)) -> bool {
        let order = |role: Role| Role::ALL.iter().position(|other| *other == role).unwrap();
        [old, new].iter().all(|(role, scopes)| {
            order(*role) <= order(own) && scopes.iter().all(|scope| held.iter().any(|other| other == scope))
        })
    }

    fn decided(rights: &Rights, old: (Role, &BTreeSet<Scope>), new: (Role, &BTreeSet<Scope>)) -> bool {
        rights.may_handle(old.0, old.1).and_then(|()| rights.may_handle(new.0, new.1)).is_ok()
    }

    #[test]
    fn each_role_decides_about_each_as_the_rule_says() {
        for own in Role::ALL {
            let held = own.scopes();
            let rights = Rights { realm: Realm::Tenant(TenantId::new()), scopes: held.clone(), rank: Some(own) };
            for old in Role::ALL {
                for new in Role::ALL {
                    let (old_scopes, new_scopes) = (old.scopes(), new.scopes());
                    let (old, new) = ((old, &old_scopes), (new, &new_scopes));
                    assert_eq!(decided(&rights, old, new), naive(own, &held, old, new), "{own} {old:?} {new:?}");
                    assert_eq!(decided(&rights, old, new), old.0 <= own && new.0 <= own);
                    assert!(decided(&Rights::all(), old, new));
                }
            }
        }
    }

    fn some_scopes() -> impl Strategy<Value = BTreeSet<Scope>> {
        let all: Vec<Scope> = within_a_tenant().into_iter().collect();
        proptest::sample::subsequence(all.clone(), 0..=all.len()).prop_map(|scopes| scopes.into_iter().collect())
    }

    proptest! {
        #[test]
        fn so_it_is_with_roles_of_a_tenants_own(
            own in 0..5usize, held in some_scopes(), old in 0..5usize, had in some_scopes(), new in 0..5usize,
            wanted in some_scopes(),
        ) {
            let rights =
                Rights { realm: Realm::Tenant(TenantId::new()), scopes: held.clone(), rank: Some(Role::ALL[own]) };
            let (old, new) = ((Role::ALL[old], &had), (Role::ALL[new], &wanted));
            prop_assert_eq!(decided(&rights, old, new), naive(Role::ALL[own], &held, old, new));
        }
    }
}
