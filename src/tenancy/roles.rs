//! Roles of a tenant's own: a name, scopes, and a built-in role whose rank they have. Nobody makes a role of what they do
//! not hold, or changes one that holds it.
//!
//! A role's base stays as it was made, and is never owner. When the tenant loses the feature, its roles stay, cannot be made
//! or given any more, and count for no more than their base (`memberships.rs`).

use std::collections::BTreeSet;

use serde_json::json;

use super::domains::require_feature;
use super::error::{Fault, Faults, Kind, TenancyError};
use super::memberships::CUSTOM_ROLES;
use super::{Actor, Done, Expect, Tenancy, checks, shown};
use crate::model::{MemberState, Position, Reach, Role, RoleName, Scope};
use crate::store::{Page, RoleRow, RoleUse, StoreError, Write};

/// The longest title of a role, in characters.
pub const TITLE_MAX: usize = 60;
/// The most roles of its own that a tenant has.
pub const MOST_ROLES: u64 = 100;

/// A role that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewRole {
    pub name: String,
    /// `None`: its name.
    pub title: Option<String>,
    /// The built-in role whose rank it has; `member` by default.
    pub base: Option<Role>,
    pub scopes: Vec<String>,
}

/// What is to change of a role. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    pub title: Option<String>,
    pub scopes: Option<Vec<String>>,
}

impl Tenancy {
    /// A tenant's own roles by name.
    pub async fn roles(&self, tenant: &str, page: &Page) -> Result<Vec<RoleRow>, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        Ok(self.store.roles(tenant, page).await?)
    }

    pub async fn role(&self, tenant: &str, name: &str) -> Result<RoleRow, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        let row = self.store.role(tenant, &named(name)?).await?;
        row.ok_or_else(|| no_role(name))
    }

    pub async fn create_role(&self, actor: &Actor, tenant: &str, new: &NewRole) -> Result<Done<RoleRow>, TenancyError> {
        let mut faults = Faults::default();
        let name = RoleName::parse(&new.name);
        let name = faults.take(name.map_err(|error| Fault::new("/name", "invalid-name", error.to_string())));
        let title = faults.take(checks::text("/title", new.title.as_deref().unwrap_or(&new.name), TITLE_MAX));
        let base = new.base.unwrap_or(Role::Member);
        if base == Role::Owner {
            faults.add("/base", "invalid-base", "no role of a tenant's own has an owner's rank; admin is the highest");
        }
        let scopes = scopes(&new.scopes, &mut faults);
        let (name, title) = faults.or(name.zip(title))?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        require_feature(CUSTOM_ROLES, &state, &self.config())?;
        let rights = self.rights_within(actor, &state.tenant).await?;
        rights.may_handle(base, &scopes)?;
        let tenant = state.tenant.id;
        if write.role_count(tenant).await? >= MOST_ROLES {
            let detail = format!("a tenant has at most {MOST_ROLES} roles of its own; delete one first");
            return Err(TenancyError::conflict("", "too-many-roles", detail));
        }
        let (now, revision) = (write.now(), write.revision());
        let row = RoleRow { tenant, name, title, base, scopes, created: now, updated: now, revision };
        write.insert_role(&row).await.map_err(|error| match error {
            StoreError::Conflict(detail) => TenancyError::conflict("/name", "role-exists", detail),
            other => other.into(),
        })?;
        let entry = actor.entry("role.create", Some(tenant), &row.name, json!({})).made(shown::role(&row));
        self.finish(write, entry, row).await
    }

    /// Changes title and scopes. What those who have the role may do changes with their next call.
    pub async fn change_role(
        &self,
        actor: &Actor,
        tenant: &str,
        name: &str,
        expect: &Expect,
        change: &RoleChange,
    ) -> Result<Done<RoleRow>, TenancyError> {
        let mut faults = Faults::default();
        let title = change.title.as_deref().and_then(|title| faults.take(checks::text("/title", title, TITLE_MAX)));
        let wanted = change.scopes.as_deref().map(|wanted| scopes(wanted, &mut faults));
        faults.or(Some(()))?;
        let name = named(name)?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let before = write.role(state.tenant.id, &name).await?.ok_or_else(|| no_role(name.as_str()))?;
        expect.check(before.revision)?;
        let rights = self.rights_within(actor, &state.tenant).await?;
        rights.may_handle(before.base, &before.scopes)?;
        let mut row = before.clone();
        row.title = title.unwrap_or(row.title);
        if let Some(wanted) = wanted {
            rights.may_handle(row.base, &wanted)?;
            if !wanted.is_subset(&before.scopes) {
                require_feature(CUSTOM_ROLES, &state, &self.config())?;
            }
            row.scopes = wanted;
        }
        write.update_role(&row).await?;
        (row.updated, row.revision) = (write.now(), write.revision());
        let entry = actor.entry("role.change", Some(row.tenant), &row.name, json!({}));
        let entry = entry.changed(shown::role(&before), shown::role(&row));
        self.finish(write, entry, row).await
    }

    /// Deletes a role. Whoever has it, or is invited to it, gets `replacement`, which is a change of each of these members and
    /// needs what that needs; without one it must be nobody's.
    pub async fn delete_role(
        &self,
        actor: &Actor,
        tenant: &str,
        name: &str,
        expect: &Expect,
        replacement: Option<&str>,
    ) -> Result<Done<RoleUse>, TenancyError> {
        let name = named(name)?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let tenant = state.tenant.id;
        let row = write.role(tenant, &name).await?.ok_or_else(|| no_role(name.as_str()))?;
        expect.check(row.revision)?;
        let rights = self.rights_within(actor, &state.tenant).await?;
        rights.may_handle(row.base, &row.scopes)?;
        let replaced = match replacement {
            Some(word) => {
                if !rights.has(Scope::MembersManage) {
                    return Err(TenancyError::Forbidden(vec![Scope::MembersManage]));
                }
                let by: Position = self.position(&mut write, &state, "/replacement", word).await?;
                self.handle(&mut write, &rights, tenant, &by).await?;
                if by.custom.as_ref() == Some(&name) {
                    let fault = Fault::new("/replacement", "same-role", "a role cannot take its own place");
                    return Err(TenancyError::Invalid(vec![fault]));
                }
                self.change_each(&mut write, actor, &row, &by).await?;
                write.replace_role(tenant, &name, &by).await?
            }
            None => {
                let used = write.role_use(tenant, &name).await?;
                if used != RoleUse::default() {
                    let detail = format!(
                        "{} members (removed ones too) and {} invitations have this role; name a replacement",
                        used.members, used.invitations
                    );
                    return Err(TenancyError::conflict("", "role-in-use", detail));
                }
                used
            }
        };
        write.delete_role(tenant, &name).await?;
        let detail = json!({ "replacement": replacement, "members": replaced.members,
            "invitations": replaced.invitations });
        let entry = actor.entry("role.delete", Some(tenant), &name, detail).gone(shown::role(&row));
        self.finish(write, entry, replaced).await
    }

    /// A line for each member who has another role from now on; what stood by more than that falls.
    async fn change_each(
        &self,
        write: &mut Write,
        actor: &Actor,
        role: &RoleRow,
        by: &Position,
    ) -> Result<(), TenancyError> {
        let before = Position { rank: role.base, custom: Some(role.name.clone()) };
        let less = self.is_less(write, role.tenant, &before, by).await?;
        for (person, state) in write.members_of_role(role.tenant, &role.name).await? {
            let fell = match less && state == MemberState::Active {
                true => self.fall(write, role.tenant, person).await?,
                false => 0,
            };
            let detail = json!({ "role_deleted": role.name, "tokens_revoked": fell });
            let entry = actor.entry("member.change", Some(role.tenant), person, detail);
            let shown = |position: &Position| json!({ "role": position.name() });
            write.audit(&entry.changed(shown(&before), shown(by))).await?;
        }
        Ok(())
    }
}

/// Scopes as they were asked for, none of which only operators hold.
fn scopes(wanted: &[String], faults: &mut Faults) -> BTreeSet<Scope> {
    let mut known = BTreeSet::new();
    for (index, text) in wanted.iter().enumerate() {
        let pointer = format!("/scopes/{index}");
        match Scope::parse(text) {
            Some(scope) if scope.reach() == Reach::Tenant => {
                known.insert(scope);
            }
            Some(scope) => {
                let detail = format!("{scope} is the operators' and cannot be held within one tenant");
                faults.add(pointer, "operators-only", detail);
            }
            None => faults.add(pointer, "unknown-scope", format!("there is no scope {text:?}; see GET /v1/scopes")),
        }
    }
    known
}

fn named(name: &str) -> Result<RoleName, TenancyError> {
    RoleName::parse(name).map_err(|_| no_role(name))
}

fn no_role(name: &str) -> TenancyError {
    TenancyError::NotFound(Kind::Role, name.to_owned())
}
