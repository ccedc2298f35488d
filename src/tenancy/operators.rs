//! Operators who are people: owners of the operator's own tenant. For whoever has the machine in hands; by the API they are
//! made as members of that tenant are.

use serde_json::json;

use super::{Actor, NewTenant, Tenancy, TenancyError, shown};
use crate::model::{MemberState, PersonId, Role, Status, Tenant};
use crate::store::MemberRow;

impl Tenancy {
    /// The operator's own tenant; it is made when there is none of the slug that the configuration names.
    pub async fn operator_tenant_or_new(&self, actor: &Actor) -> Result<Tenant, TenancyError> {
        let config = self.config();
        let Some(slug) = &config.tenancy.operator else {
            let detail = "there is no tenant of the operator's own to be an owner of: name one, as in \
                          operator = \"operators\", under [tenancy] in tenantry.toml";
            return Err(TenancyError::conflict("", "no-operator-tenant", detail));
        };
        if let Some(tenant) = self.operator_tenant().await? {
            return Ok(tenant);
        }
        let new = NewTenant {
            slug: slug.to_string(),
            name: config.brand.name.clone(),
            status: Some(Status::Active),
            ..NewTenant::default()
        };
        Ok(self.create(actor, &new).await?.value.tenant)
    }

    /// Makes somebody an owner of the operator's own tenant, whatever they were there before.
    pub async fn make_operator(&self, actor: &Actor, person: PersonId) -> Result<(), TenancyError> {
        let tenant = self.operator_tenant_or_new(actor).await?;
        let mut write = self.store.write().await?;
        let was = write.member(tenant.id, person).await?;
        let found = write.person(person).await?;
        let Some(found) = found else {
            return Err(TenancyError::NotFound(super::Kind::Person, person.to_string()));
        };
        let now = write.now();
        let owner = MemberRow {
            tenant: tenant.id,
            person,
            email: found.email,
            name: found.name,
            state: MemberState::Active,
            position: Role::Owner.into(),
            unit: was.as_ref().and_then(|was| was.unit),
            ended: None,
            due: None,
            created: was.as_ref().map_or(now, |was| was.created),
            updated: now,
            revision: write.revision(),
        };
        let before = was.as_ref().map(shown::member);
        match was {
            Some(was) if was.state == owner.state && was.position == owner.position => return Ok(()),
            Some(_) => write.update_member(&owner).await?,
            None => write.insert_member(&owner).await?,
        }
        let entry = actor.entry("member.add", Some(tenant.id), person, json!({}));
        let entry = match before {
            Some(before) => entry.changed(before, shown::member(&owner)),
            None => entry.made(shown::member(&owner)),
        };
        self.finish(write, entry, ()).await.map(drop)
    }
}
