//! What stands by somebody's rights, and falls with them: the tokens that they made, and the invitations that they sent. And
//! whose a person is to decide about, as a whole.

use super::{Actor, Principal, Tenancy, TenancyError};
use crate::model::{MemberState, PersonId, Position, Scope, Tenant, TenantId};
use crate::store::{InvitationRow, Write};

impl Tenancy {
    /// Somebody is less in a tenant than they were: the tokens that stand by their rights there are worth nothing any more.
    /// Who was something in the operator's own tenant was it everywhere. Answers with how many there were.
    pub(super) async fn fall(
        &self,
        write: &mut Write,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<u64, TenancyError> {
        let everywhere = write.tenant(tenant).await?.is_some_and(|tenant| self.is_operators(&tenant));
        Ok(write.delete_tokens_by(person, (!everywhere).then_some(tenant)).await?)
    }

    /// Whether a position is of a lower rank than the one before, or lacks something that it lets somebody do.
    pub(super) async fn is_less(
        &self,
        write: &mut Write,
        tenant: TenantId,
        before: &Position,
        after: &Position,
    ) -> Result<bool, TenancyError> {
        if before == after {
            return Ok(false);
        }
        let had = self.weight(write, tenant, before).await?;
        Ok(after.rank < before.rank || !had.is_subset(&self.weight(write, tenant, after).await?))
    }

    /// Whether whoever sent an invitation could send it still.
    pub(super) async fn could_invite(
        &self,
        write: &mut Write,
        tenant: &Tenant,
        row: &InvitationRow,
    ) -> Result<bool, TenancyError> {
        let Some(inviter) = self.actor_named(&row.inviter, tenant).await? else { return Ok(false) };
        if !inviter.rights.has(Scope::MembersManage) {
            return Ok(false);
        }
        let rights = self.rights_within(&inviter, tenant).await?;
        match self.handle(write, &rights, tenant.id, &row.position).await {
            Ok(()) => Ok(true),
            Err(TenancyError::Forbidden(_) | TenancyError::Outranked { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Whom the ledger knows by this name, with what they may do in a tenant at this moment. `None`: nobody any more.
    async fn actor_named(&self, name: &str, tenant: &Tenant) -> Result<Option<Actor>, TenancyError> {
        let token = match name.split_once(':') {
            Some(("person", id)) => {
                let Some(person) = PersonId::parse(id) else { return Ok(None) };
                let rights = self.rights_of_person(person, tenant.id).await?;
                return Ok(rights.map(|rights| Actor { rights, ..Actor::new(name) }));
            }
            Some(("token", token)) => self.store.token(Some(tenant.id), token).await?,
            Some(("operator", token)) => self.store.token(None, token).await?,
            // The system itself, or whoever has the store's files in hands.
            _ => return Ok(Some(Actor::new(name))),
        };
        let principal = match token {
            Some(row) => self.holder_of(row).await?,
            None => None,
        };
        Ok(match &principal {
            None | Some(Principal::Person(_)) => None,
            Some(known @ Principal::Operator { rights, .. }) => Some(known.actor(rights.clone())),
            Some(known @ Principal::Tenant(holder)) => Some(known.actor(holder.rights.clone())),
        })
    }

    /// Refuses what is about a person as a whole, if it is not the actor's to decide: whoever has a position in the
    /// operator's own tenant is handled as its members are.
    pub(super) async fn handle_person(
        &self,
        write: &mut Write,
        actor: &Actor,
        person: PersonId,
    ) -> Result<(), TenancyError> {
        let config = self.config();
        let Some(slug) = &config.tenancy.operator else { return Ok(()) };
        let Some(operators) = write.tenant_by_slug(slug).await? else { return Ok(()) };
        let Some(row) = write.member(operators.id, person).await? else { return Ok(()) };
        if row.state != MemberState::Active {
            return Ok(());
        }
        let rights = self.rights_within(actor, &operators).await?;
        self.handle(write, &rights, operators.id, &row.position).await
    }
}
