//! Business units of tenants: rows. What may stand where is decided elsewhere.

use sqlx::any::AnyRow;
use sqlx::query;

use super::connect::Statement;
use super::roles::number;
use super::row::{Row, storable};
use super::{Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{TenantId, UnitId, UnitNode};

/// A business unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitRow {
    pub tenant: TenantId,
    pub node: UnitNode,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub revision: i64,
}

impl Store {
    /// All units of a tenant, the oldest first. There is a bound to how many a tenant has.
    pub async fn units(&self, tenant: TenantId) -> Result<Vec<UnitRow>, StoreError> {
        self.all(of(tenant)).await?.iter().map(unit_of).collect()
    }
}

impl Write {
    /// All units of a tenant, the oldest first.
    pub async fn units(&mut self, tenant: TenantId) -> Result<Vec<UnitRow>, StoreError> {
        self.all(of(tenant)).await?.iter().map(unit_of).collect()
    }

    /// `Missing` without such a tenant.
    pub async fn insert_unit(&mut self, unit: &UnitRow) -> Result<(), StoreError> {
        self.require_tenant(unit.tenant).await?;
        let sql = "INSERT INTO units (id, tenant, parent, name, created, updated, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let statement = query(sql)
            .bind(unit.node.id.to_string())
            .bind(unit.tenant.to_string())
            .bind(unit.node.parent.map(|parent| parent.to_string()))
            .bind(storable(&unit.node.name).into_owned())
            .bind(unit.created.millis())
            .bind(unit.updated.millis())
            .bind(self.revision());
        self.execute(statement).await.map(drop)
    }

    /// Writes name and parent; sets `updated` and `revision`. `Missing` when there is none of that id.
    pub async fn update_unit(&mut self, node: &UnitNode) -> Result<(), StoreError> {
        let statement = query("UPDATE units SET parent = $2, name = $3, updated = $4, revision = $5 WHERE id = $1")
            .bind(node.id.to_string())
            .bind(node.parent.map(|parent| parent.to_string()))
            .bind(storable(&node.name).into_owned())
            .bind(self.now().millis())
            .bind(self.revision());
        match self.execute(statement).await? {
            0 => Err(StoreError::Missing(format!("the unit {}", node.id))),
            _ => Ok(()),
        }
    }

    /// How many members (in whatever state) and invitations name this unit.
    pub async fn unit_use(&mut self, tenant: TenantId, unit: UnitId) -> Result<u64, StoreError> {
        let members = query("SELECT COUNT(*) AS rows FROM members WHERE tenant = $1 AND unit = $2");
        let members = self.one(members.bind(tenant.to_string()).bind(unit.to_string())).await?;
        let invited = query("SELECT COUNT(*) AS rows FROM invitations WHERE tenant = $1 AND unit = $2");
        let invited = self.one(invited.bind(tenant.to_string()).bind(unit.to_string())).await?;
        Ok(number(members.as_ref())? + number(invited.as_ref())?)
    }

    /// Whoever belongs to this unit, or is invited to it, belongs to another, or to none; so do the units beneath it.
    /// Returns how many members that were.
    pub async fn reassign_unit(
        &mut self,
        tenant: TenantId,
        unit: UnitId,
        to: Option<UnitId>,
    ) -> Result<u64, StoreError> {
        let (tenant, unit, to) = (tenant.to_string(), unit.to_string(), to.map(|to| to.to_string()));
        let (now, revision) = (self.now().millis(), self.revision());
        let statement =
            query("UPDATE units SET parent = $3, updated = $4, revision = $5 WHERE tenant = $1 AND parent = $2")
                .bind(tenant.clone())
                .bind(unit.clone())
                .bind(to.clone())
                .bind(now)
                .bind(revision);
        self.execute(statement).await?;
        let statement = query("UPDATE invitations SET unit = $3, revision = $4 WHERE tenant = $1 AND unit = $2")
            .bind(tenant.clone())
            .bind(unit.clone())
            .bind(to.clone())
            .bind(revision);
        self.execute(statement).await?;
        let statement =
            query("UPDATE members SET unit = $3, updated = $4, revision = $5 WHERE tenant = $1 AND unit = $2")
                .bind(tenant)
                .bind(unit)
                .bind(to)
                .bind(now)
                .bind(revision);
        self.execute(statement).await
    }

    /// False when there is none of that id. Nobody may belong to it any more.
    pub async fn delete_unit(&mut self, unit: UnitId) -> Result<bool, StoreError> {
        Ok(self.execute(query("DELETE FROM units WHERE id = $1").bind(unit.to_string())).await? > 0)
    }

    /// All units of a tenant that goes.
    pub(super) async fn delete_units_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM units WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

fn of(tenant: TenantId) -> Statement<'static> {
    let sql = "SELECT id, tenant, parent, name, created, updated, revision FROM units WHERE tenant = $1 ORDER BY id";
    query(sql).bind(tenant.to_string())
}

fn unit_of(row: &AnyRow) -> Result<UnitRow, StoreError> {
    let row = Row::new(row, "units", "id");
    Ok(UnitRow {
        tenant: row.tenant("tenant")?,
        node: UnitNode {
            id: row.parsed("id", "unit id", UnitId::parse)?,
            parent: row.optional("parent", "unit id", UnitId::parse)?,
            name: row.text("name")?.to_owned(),
        },
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: row.int("revision")?,
    })
}
