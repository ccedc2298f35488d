//! What an edge need not know of a tenant: whom to turn to, and its own values of settings.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::query;

use super::connect::Statement;
use super::row::{Row, to_json};
use super::{Store, StoreError, Write};
use crate::model::{Contact, TenantId};

/// A tenant's profile. Without a row it is the empty one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Profile {
    pub contacts: Vec<Contact>,
    /// Its own values, by the names of settings.
    pub settings: BTreeMap<String, Value>,
}

impl Store {
    pub async fn profile(&self, tenant: TenantId) -> Result<Profile, StoreError> {
        self.one(of(tenant)).await?.as_ref().map_or_else(|| Ok(Profile::default()), profile_of)
    }
}

impl Write {
    pub async fn profile(&mut self, tenant: TenantId) -> Result<Profile, StoreError> {
        self.one(of(tenant)).await?.as_ref().map_or_else(|| Ok(Profile::default()), profile_of)
    }

    /// Replaces a tenant's profile. `Missing` when there is no such tenant. Notes nothing: no edge reads it.
    pub async fn put_profile(&mut self, tenant: TenantId, profile: &Profile) -> Result<(), StoreError> {
        self.require_tenant(tenant).await?;
        let sql = "INSERT INTO profiles (tenant, contacts, settings) VALUES ($1, $2, $3) \
                   ON CONFLICT (tenant) DO UPDATE SET contacts = excluded.contacts, settings = excluded.settings";
        let (contacts, settings) = (to_json(&profile.contacts)?, to_json(&profile.settings)?);
        self.execute(query(sql).bind(tenant.to_string()).bind(contacts).bind(settings)).await.map(drop)
    }

    pub(super) async fn delete_profile_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM profiles WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

fn of(tenant: TenantId) -> Statement<'static> {
    query("SELECT tenant, contacts, settings FROM profiles WHERE tenant = $1").bind(tenant.to_string())
}

fn profile_of(row: &AnyRow) -> Result<Profile, StoreError> {
    let row = Row::new(row, "profiles", "tenant");
    Ok(Profile { contacts: row.json("contacts")?, settings: row.json("settings")? })
}
