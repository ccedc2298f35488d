//! Roles of tenants' own. The built-in five have no row. What a role lets its members do is not decided here.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::query;

use super::connect::Statement;
use super::row::{Row, storable, to_json};
use super::{Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{MemberState, PersonId, Position, Role, RoleName, Scope, TenantId};

/// A role of a tenant's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleRow {
    pub tenant: TenantId,
    pub name: RoleName,
    /// For people.
    pub title: String,
    /// The built-in role whose rank it has.
    pub base: Role,
    /// A scope that this program does not know is none that it grants.
    pub scopes: BTreeSet<Scope>,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub revision: i64,
}

/// How many there are of whom a role is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoleUse {
    /// In whatever state.
    pub members: u64,
    pub invitations: u64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT tenant, name, title, base, scopes, created, updated, revision FROM roles ", $rest)
    };
}

impl Store {
    pub async fn role(&self, tenant: TenantId, name: &RoleName) -> Result<Option<RoleRow>, StoreError> {
        self.one(by_name(tenant, name)).await?.as_ref().map(role_of).transpose()
    }

    /// A tenant's own roles by name. `page.after` is a name.
    pub async fn roles(&self, tenant: TenantId, page: &Page) -> Result<Vec<RoleRow>, StoreError> {
        let after = storable(page.after.as_deref().unwrap_or_default()).into_owned();
        let statement = query(select!("WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3"));
        self.all(statement.bind(tenant.to_string()).bind(after).bind(page.limit())).await?.iter().map(role_of).collect()
    }
}

impl Write {
    pub async fn role(&mut self, tenant: TenantId, name: &RoleName) -> Result<Option<RoleRow>, StoreError> {
        self.one(by_name(tenant, name)).await?.as_ref().map(role_of).transpose()
    }

    /// How many roles of its own a tenant has.
    pub async fn role_count(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        let statement = query("SELECT COUNT(*) AS rows FROM roles WHERE tenant = $1").bind(tenant.to_string());
        number(self.one(statement).await?.as_ref())
    }

    /// `Conflict` when there is one of that name; `Missing` without such a tenant.
    pub async fn insert_role(&mut self, role: &RoleRow) -> Result<(), StoreError> {
        self.require_tenant(role.tenant).await?;
        let sql = "INSERT INTO roles (tenant, name, title, base, scopes, created, updated, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(role.tenant.to_string())
            .bind(role.name.as_str())
            .bind(storable(&role.title).into_owned())
            .bind(role.base.as_str())
            .bind(to_json(&role.scopes)?)
            .bind(role.created.millis())
            .bind(role.updated.millis())
            .bind(self.revision());
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict(format!("there is a role {} already", role.name))),
            _ => Ok(()),
        }
    }

    /// Writes title and scopes; sets `updated` and `revision`. `Missing` when there is none of that name.
    pub async fn update_role(&mut self, role: &RoleRow) -> Result<(), StoreError> {
        let sql =
            "UPDATE roles SET title = $3, scopes = $4, updated = $5, revision = $6 WHERE tenant = $1 AND name = $2";
        let statement = query(sql)
            .bind(role.tenant.to_string())
            .bind(role.name.as_str())
            .bind(storable(&role.title).into_owned())
            .bind(to_json(&role.scopes)?)
            .bind(self.now().millis())
            .bind(self.revision());
        match self.execute(statement).await? {
            0 => Err(StoreError::Missing(format!("the role {}", role.name))),
            _ => Ok(()),
        }
    }

    pub async fn role_use(&mut self, tenant: TenantId, name: &RoleName) -> Result<RoleUse, StoreError> {
        let members = query("SELECT COUNT(*) AS rows FROM members WHERE tenant = $1 AND role = $2");
        let members = self.one(members.bind(tenant.to_string()).bind(name.as_str())).await?;
        let invitations = query("SELECT COUNT(*) AS rows FROM invitations WHERE tenant = $1 AND role = $2");
        let invitations = self.one(invitations.bind(tenant.to_string()).bind(name.as_str())).await?;
        Ok(RoleUse { members: number(members.as_ref())?, invitations: number(invitations.as_ref())? })
    }

    /// Whoever has this role, in whatever state, and whether they are active members.
    pub async fn members_of_role(
        &mut self,
        tenant: TenantId,
        name: &RoleName,
    ) -> Result<Vec<(PersonId, MemberState)>, StoreError> {
        let statement = query("SELECT person, state FROM members WHERE tenant = $1 AND role = $2 ORDER BY person");
        let rows = self.all(statement.bind(tenant.to_string()).bind(name.as_str())).await?;
        rows.iter()
            .map(|row| {
                let row = Row::new(row, "members", "person");
                Ok((row.person("person")?, row.parsed("state", "state", MemberState::parse)?))
            })
            .collect()
    }

    /// Whoever has this role, or is invited to it, has another.
    pub async fn replace_role(
        &mut self,
        tenant: TenantId,
        name: &RoleName,
        by: &Position,
    ) -> Result<RoleUse, StoreError> {
        let sql =
            "UPDATE members SET rank = $3, role = $4, updated = $5, revision = $6 WHERE tenant = $1 AND role = $2";
        let statement = query(sql)
            .bind(tenant.to_string())
            .bind(name.as_str())
            .bind(by.rank.as_str())
            .bind(by.name())
            .bind(self.now().millis())
            .bind(self.revision());
        let members = self.execute(statement).await?;
        let sql = "UPDATE invitations SET rank = $3, role = $4, revision = $5 WHERE tenant = $1 AND role = $2";
        let statement = query(sql)
            .bind(tenant.to_string())
            .bind(name.as_str())
            .bind(by.rank.as_str())
            .bind(by.name())
            .bind(self.revision());
        Ok(RoleUse { members, invitations: self.execute(statement).await? })
    }

    /// False when there is none of that name. Nobody may have it any more.
    pub async fn delete_role(&mut self, tenant: TenantId, name: &RoleName) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM roles WHERE tenant = $1 AND name = $2");
        Ok(self.execute(statement.bind(tenant.to_string()).bind(name.as_str())).await? > 0)
    }

    /// All roles of a tenant that goes.
    pub(super) async fn delete_roles_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM roles WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

/// The one number of a count.
pub(super) fn number(row: Option<&AnyRow>) -> Result<u64, StoreError> {
    row.map_or(Ok(0), |row| Ok(Row::new(row, "a count", "rows").int("rows")?.max(0).unsigned_abs()))
}

fn by_name(tenant: TenantId, name: &RoleName) -> Statement<'_> {
    query(select!("WHERE tenant = $1 AND name = $2")).bind(tenant.to_string()).bind(name.as_str())
}

fn role_of(row: &AnyRow) -> Result<RoleRow, StoreError> {
    let row = Row::new(row, "roles", "name");
    let scopes: Vec<String> = row.json("scopes")?;
    Ok(RoleRow {
        tenant: row.tenant("tenant")?,
        name: row.parsed("name", "name of a role", |text| RoleName::parse(text).ok())?,
        title: row.text("title")?.to_owned(),
        base: row.parsed("base", "role", Role::parse)?,
        scopes: scopes.iter().filter_map(|scope| Scope::parse(scope)).collect(),
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: row.int("revision")?,
    })
}
