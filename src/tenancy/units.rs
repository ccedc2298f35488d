//! Business units of a tenant: made, renamed, moved, deleted. Where one may stand is the tree's own rule (`model/units.rs`).
//! No right is ever decided by a unit: it tells people where a member belongs, and lists by that.

use serde_json::json;

use super::error::{Fault, Faults, Kind, TenancyError};
use super::members::unit_named;
use super::{Actor, Done, Expect, Tenancy, checks, shown};
use crate::model::{UnitId, UnitNode, UnitTree, UnitTreeError};
use crate::store::{UnitRow, Write};

/// The most units that a tenant has.
pub const MOST_UNITS: usize = 1_000;

/// What is to change of a unit. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct UnitChange {
    pub name: Option<String>,
    /// `Some(None)`: to the top.
    pub parent: Option<Option<String>>,
}

/// Where those who belong to a unit that is deleted belong from now on, and the units beneath it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heir {
    /// Nowhere: only an empty unit is deleted.
    Nobody,
    /// To no unit; units beneath stand at the top.
    Top,
    /// To the unit of this id.
    Unit(String),
}

impl Tenancy {
    /// All units of a tenant, the oldest first.
    pub async fn units(&self, tenant: &str) -> Result<Vec<UnitRow>, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        Ok(self.store.units(tenant).await?)
    }

    pub async fn create_unit(
        &self,
        actor: &Actor,
        tenant: &str,
        name: &str,
        parent: Option<&str>,
    ) -> Result<Done<UnitRow>, TenancyError> {
        let mut faults = Faults::default();
        let name = faults.take(checks::name("/name", name));
        let name = faults.or(name)?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let tenant = state.tenant.id;
        let parent = unit_named(&mut write, tenant, "/parent", parent).await?;
        let tree = tree(&write.units(tenant).await?);
        if tree.len() >= MOST_UNITS {
            let detail = format!("a tenant has at most {MOST_UNITS} units; delete one first");
            return Err(TenancyError::conflict("", "too-many-units", detail));
        }
        let node = UnitNode { id: UnitId::new(), parent, name };
        fits(&tree, &node)?;
        let (now, revision) = (write.now(), write.revision());
        let row = UnitRow { tenant, node, created: now, updated: now, revision };
        write.insert_unit(&row).await?;
        let entry = actor.entry("unit.create", Some(tenant), row.node.id, json!({})).made(shown::unit(&row));
        self.finish(write, entry, row).await
    }

    /// Renames or moves a unit, with all that stands beneath it.
    pub async fn change_unit(
        &self,
        actor: &Actor,
        tenant: &str,
        unit: &str,
        expect: &Expect,
        change: &UnitChange,
    ) -> Result<Done<UnitRow>, TenancyError> {
        let mut faults = Faults::default();
        let name = change.name.as_deref().and_then(|name| faults.take(checks::name("/name", name)));
        faults.or(Some(()))?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let rows = write.units(state.tenant.id).await?;
        let before = row_of(&rows, unit)?;
        expect.check(before.revision)?;
        let mut row = before.clone();
        row.node.name = name.unwrap_or(row.node.name);
        if let Some(parent) = &change.parent {
            row.node.parent = unit_named(&mut write, row.tenant, "/parent", parent.as_deref()).await?;
        }
        fits(&tree(&rows), &row.node)?;
        write.update_unit(&row.node).await?;
        (row.updated, row.revision) = (write.now(), write.revision());
        let entry = actor.entry("unit.change", Some(row.tenant), row.node.id, json!({}));
        let entry = entry.changed(shown::unit(before), shown::unit(&row));
        self.finish(write, entry, row).await
    }

    /// Deletes a unit; answers with how many members belong to its heir now.
    pub async fn delete_unit(
        &self,
        actor: &Actor,
        tenant: &str,
        unit: &str,
        expect: &Expect,
        heir: &Heir,
    ) -> Result<Done<u64>, TenancyError> {
        let (mut write, state) = self.open_tenant(tenant).await?;
        let tenant = state.tenant.id;
        let rows = write.units(tenant).await?;
        let row = row_of(&rows, unit)?;
        expect.check(row.revision)?;
        let (id, before) = (row.node.id, shown::unit(row));
        let to = match heir {
            Heir::Nobody => {
                must_be_empty(&mut write, &rows, row).await?;
                None
            }
            Heir::Top => None,
            Heir::Unit(heir) => unit_named(&mut write, tenant, "/to", Some(heir)).await?,
        };
        for child in rows.iter().filter(|child| child.node.parent == Some(id)) {
            // With its place, as the tree will be; a name that is taken there is a reason to move it first.
            fits(&tree(&rows), &UnitNode { parent: to, ..child.node.clone() })?;
        }
        if to == Some(id) {
            let fault = Fault::new("/to", "same-unit", "a unit cannot take its own place");
            return Err(TenancyError::Invalid(vec![fault]));
        }
        let moved = write.reassign_unit(tenant, id, to).await?;
        write.delete_unit(id).await?;
        let entry = actor.entry("unit.delete", Some(tenant), id, json!({ "to": to, "members": moved })).gone(before);
        self.finish(write, entry, moved).await
    }
}

async fn must_be_empty(write: &mut Write, rows: &[UnitRow], row: &UnitRow) -> Result<(), TenancyError> {
    let beneath = rows.iter().filter(|other| other.node.parent == Some(row.node.id)).count();
    let members = write.unit_use(row.tenant, row.node.id).await?;
    if beneath == 0 && members == 0 {
        return Ok(());
    }
    let detail = format!(
        "{beneath} units stand beneath it, and {members} members (removed ones too) and invitations belong to it; say \
         where they go"
    );
    Err(TenancyError::conflict("", "unit-in-use", detail))
}

fn tree(rows: &[UnitRow]) -> UnitTree {
    UnitTree::new(rows.iter().map(|row| row.node.clone()))
}

fn row_of<'a>(rows: &'a [UnitRow], unit: &str) -> Result<&'a UnitRow, TenancyError> {
    let id = UnitId::parse(unit);
    let found = rows.iter().find(|row| Some(row.node.id) == id);
    found.ok_or_else(|| TenancyError::NotFound(Kind::Unit, unit.to_owned()))
}

fn fits(tree: &UnitTree, node: &UnitNode) -> Result<(), TenancyError> {
    let Err(error) = tree.fits(node) else { return Ok(()) };
    let detail = error.to_string();
    Err(match error {
        UnitTreeError::NameTaken => TenancyError::conflict("/name", "unit-exists", detail),
        UnitTreeError::Unknown => TenancyError::Invalid(vec![Fault::new("/parent", "unknown-unit", detail)]),
        UnitTreeError::Loop => TenancyError::Invalid(vec![Fault::new("/parent", "loop", detail)]),
        UnitTreeError::TooDeep => TenancyError::Invalid(vec![Fault::new("/parent", "too-deep", detail)]),
    })
}
