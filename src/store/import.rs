//! What an import asks and writes many rows at a time. Rules about them are made elsewhere.

use sqlx::query;

use super::domains::{COLUMNS as DOMAIN_COLUMNS, domain_of};
use super::keyset::{Key, statement};
use super::row::Row;
use super::tenants::{COLUMNS, tenant_of};
use super::values::{batches, numbered, places, rows_at_once};
use super::{Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Domain, DomainName, Tenant, TenantId, reversed_labels};

/// The most keys that one question names.
pub const MOST_KEYS: usize = 500;
/// The waiting order of [`Write::want_orders`], as JSON.
const WAITS: &str = "{\"stage\":\"waiting\"}";

impl Store {
    /// Those of these slugs that a tenant has, or had before it was deleted.
    pub async fn taken_slugs(&self, slugs: &[&str]) -> Result<Vec<String>, StoreError> {
        let mut taken = Vec::new();
        for some in slugs.chunks(MOST_KEYS) {
            let keys = numbered(1, some.len());
            let sql = format!(
                "SELECT slug FROM tenants WHERE slug IN ({keys}) UNION SELECT slug FROM retired_slugs WHERE slug IN ({keys})"
            );
            for row in &self
                .all(statement(sql, some.iter().map(|slug| Key::text(slug))).persistent(some.len() == MOST_KEYS))
                .await?
            {
                taken.push(Row::new(row, "tenants", "slug").text("slug")?.to_owned());
            }
        }
        Ok(taken)
    }

    /// The tenants with these ids or slugs. One that both its id and its slug are asked for is there twice.
    pub async fn tenants_named(&self, keys: &[&str]) -> Result<Vec<Tenant>, StoreError> {
        let mut found = self.tenants_where("slug", keys).await?;
        let ids: Vec<&str> = keys.iter().copied().filter(|key| TenantId::parse(key).is_some()).collect();
        found.append(&mut self.tenants_where("id", &ids).await?);
        Ok(found)
    }

    /// The tenants with these ids, in no order.
    pub async fn tenants_with(&self, ids: &[TenantId]) -> Result<Vec<Tenant>, StoreError> {
        let ids: Vec<String> = ids.iter().map(TenantId::to_string).collect();
        self.tenants_where("id", &ids.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn tenants_where(&self, column: &'static str, keys: &[&str]) -> Result<Vec<Tenant>, StoreError> {
        let mut found = Vec::new();
        for some in keys.chunks(MOST_KEYS) {
            let sql = format!("SELECT {COLUMNS} FROM tenants WHERE {column} IN ({})", numbered(1, some.len()));
            let asked = statement(sql, some.iter().map(|key| Key::text(key))).persistent(some.len() == MOST_KEYS);
            for row in &self.all(asked).await? {
                found.push(tenant_of(row)?);
            }
        }
        Ok(found)
    }

    /// All claims to these names.
    pub async fn claims_to(&self, names: &[&DomainName]) -> Result<Vec<Domain>, StoreError> {
        let mut found = Vec::new();
        for some in names.chunks(MOST_KEYS) {
            let sql = format!("SELECT {DOMAIN_COLUMNS} FROM domains WHERE name IN ({})", numbered(1, some.len()));
            for row in &self
                .all(
                    statement(sql, some.iter().map(|name| Key::text(&name.to_string())))
                        .persistent(some.len() == MOST_KEYS),
                )
                .await?
            {
                found.push(domain_of(row)?);
            }
        }
        Ok(found)
    }

    /// Those of these names that rest at `now`, and the tenants that gave them up.
    pub async fn resting(&self, names: &[&DomainName], now: Timestamp) -> Result<Vec<(String, TenantId)>, StoreError> {
        let mut found = Vec::new();
        for some in names.chunks(MOST_KEYS) {
            let sql = format!(
                "SELECT name, tenant FROM cooldowns WHERE name IN ({}) AND until > ${}",
                numbered(1, some.len()),
                some.len() + 1
            );
            let values = some.iter().map(|name| Key::text(&name.to_string())).chain([Key::Int(now.millis())]);
            for row in &self.all(statement(sql, values)).await? {
                let row = Row::new(row, "cooldowns", "name");
                found.push((row.text("name")?.to_owned(), row.tenant("tenant")?));
            }
        }
        Ok(found)
    }
}

impl Write {
    /// Inserts many claims at once, each due to be looked at when it says; returns how many went in. Fewer than there are:
    /// the others are there already, or held by another, and the transaction is to be given up. Whether the tenants are there is for the caller to know. Notes
    /// nothing.
    pub async fn insert_domains(&mut self, domains: &[(Domain, Timestamp)]) -> Result<u64, StoreError> {
        const WIDTH: usize = 9;
        let mut inserted = 0;
        for some in batches(domains, WIDTH) {
            let sql = format!(
                "INSERT INTO domains (name, tenant, state, token, created, updated, revision, next_check, reversed) \
                 VALUES {} ON CONFLICT DO NOTHING",
                places(some.len(), WIDTH)
            );
            let revision = self.revision();
            let values = some.iter().flat_map(|(domain, due)| {
                [
                    Key::text(&domain.name.to_string()),
                    Key::Text(domain.tenant.to_string()),
                    Key::Text(domain.state.to_string()),
                    Key::text(&domain.token),
                    Key::Int(domain.created.millis()),
                    Key::Int(domain.updated.millis()),
                    Key::Int(revision),
                    Key::Int(due.millis()),
                    Key::Text(reversed_labels(&domain.name)),
                ]
            });
            inserted += self.execute(statement(sql, values).persistent(some.len() == rows_at_once(WIDTH))).await?;
            if let Some(counted) = self.counted() {
                some.iter().for_each(|(domain, _)| counted.domain(domain.state));
            }
        }
        Ok(inserted)
    }

    /// Wants a certificate for each of these names, at this turn in the queue; names that have an order already keep theirs.
    pub async fn want_orders(&mut self, names: &[(String, TenantId, i64)]) -> Result<(), StoreError> {
        const WIDTH: usize = 12;
        let now = Key::Int(self.now().millis());
        for some in batches(names, WIDTH) {
            let sql = format!(
                "INSERT INTO orders (name, names, tenant, stage, data, turn, not_before, failures, lease, fence, created, \
                 updated) VALUES {} ON CONFLICT DO NOTHING",
                places(some.len(), WIDTH)
            );
            let values = some.iter().flat_map(|(name, tenant, turn)| {
                [
                    Key::text(name),
                    Key::Text(format!("[\"{name}\"]")),
                    Key::Text(tenant.to_string()),
                    Key::Text(super::WAITING.to_owned()),
                    Key::Text(WAITS.to_owned()),
                    Key::Int(*turn),
                    now.clone(),
                    Key::Int(0),
                    Key::Int(0),
                    Key::Int(0),
                    now.clone(),
                    now.clone(),
                ]
            });
            self.execute(statement(sql, values).persistent(some.len() == rows_at_once(WIDTH))).await?;
        }
        Ok(())
    }

    /// The last turn that each of these tenants has in the queue.
    pub async fn last_turns(&mut self, tenants: &[TenantId]) -> Result<Vec<(TenantId, i64)>, StoreError> {
        let mut found = Vec::new();
        for some in tenants.chunks(MOST_KEYS) {
            let sql = format!(
                "SELECT tenant, MAX(turn) AS turn FROM orders WHERE stage = 'waiting' AND tenant IN ({}) GROUP BY tenant",
                numbered(1, some.len())
            );
            for row in &self.all(statement(sql, some.iter().map(|id| Key::Text(id.to_string())))).await? {
                let row = Row::new(row, "orders", "tenant");
                found.push((row.tenant("tenant")?, row.int("turn")?));
            }
        }
        Ok(found)
    }

    /// Those of these tenants that are there, and stay until this transaction is over.
    pub async fn present(&mut self, tenants: &[TenantId]) -> Result<Vec<TenantId>, StoreError> {
        let mut found = Vec::new();
        for some in tenants.chunks(MOST_KEYS) {
            let keep = self.store().0.engine.keep();
            let sql = format!("SELECT id FROM tenants WHERE id IN ({}) ORDER BY id{keep}", numbered(1, some.len()));
            for row in &self.all(statement(sql, some.iter().map(|id| Key::Text(id.to_string())))).await? {
                found.push(Row::new(row, "tenants", "id").tenant("id")?);
            }
        }
        Ok(found)
    }

    /// Those of these slugs that were given out once, and are not any more.
    pub async fn retired_slugs(&mut self, slugs: &[&str]) -> Result<u64, StoreError> {
        // Most stores have none at all.
        if self.one(query("SELECT slug FROM retired_slugs LIMIT 1")).await?.is_none() {
            return Ok(0);
        }
        let mut number = 0;
        for some in slugs.chunks(MOST_KEYS) {
            let sql = format!("SELECT slug FROM retired_slugs WHERE slug IN ({})", numbered(1, some.len()));
            number += self.all(statement(sql, some.iter().map(|slug| Key::text(slug)))).await?.len() as u64;
        }
        Ok(number)
    }
}
