//! Where tenants stand in the public directory. The order of the directory is not made here: its readers sort.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::connect::Statement;
use super::row::Row;
use super::{Store, StoreError, Write};
use crate::model::{EdgeSettings, Hostname, Listed, Listing, Slug, Status, TenantId};

impl Store {
    /// Of a tenant without a word about it: not listed.
    pub async fn listing(&self, tenant: TenantId) -> Result<Listing, StoreError> {
        listing_of(self.one(by_tenant(tenant)).await?.as_ref())
    }

    /// Listed tenants that are active by their own status, by id, at most `limit` after `after`.
    pub async fn listed(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<Listed>, StoreError> {
        let sql = "SELECT t.id, t.slug, t.edge, t.domains_until, l.priority, t.created, t.updated, t.parent, c.active FROM listings l \
                   JOIN tenants t ON t.id = l.tenant LEFT JOIN member_counts c ON c.tenant = l.tenant \
                   WHERE l.listed = 1 AND l.tenant > $1 AND t.status = $2 ORDER BY l.tenant LIMIT $3";
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let statement = query(sql).bind(after).bind(Status::Active.as_str()).bind(i64::from(limit));
        let rows = self.all(statement).await?;
        let entry = |row: &AnyRow| {
            let row = Row::new(row, "listings", "id");
            Ok(Listed {
                id: row.tenant("id")?,
                slug: row.parsed("slug", "slug", |text| Slug::parse(text).ok())?,
                primary_domain: row.json::<EdgeSettings>("edge")?.primary_domain,
                domains_until: row.optional_time("domains_until")?,
                priority: priority_of(&row)?,
                members: row.optional_int("active")?.unwrap_or(0).unsigned_abs(),
                created: row.time("created")?,
                updated: row.time("updated")?,
                parent: row.optional("parent", "tenant id", TenantId::parse)?,
            })
        };
        let mut entries = rows.iter().map(entry).collect::<Result<Vec<Listed>, StoreError>>()?;
        let chosen: Vec<&str> =
            entries.iter().filter_map(|listed| Some(listed.primary_domain.as_ref()?.as_str())).collect();
        let held = self.holders(&chosen).await?;
        for listed in &mut entries {
            // One that was given up since leads to somebody else, or nowhere.
            let is_held = |host: &Hostname| held.get(host.as_str()) == Some(&listed.id);
            listed.primary_domain = listed.primary_domain.take().filter(is_held);
        }
        Ok(entries)
    }

    /// Whether one of these tenants is listed.
    pub async fn is_any_listed(&self, tenants: &[TenantId]) -> Result<bool, StoreError> {
        for some in tenants.chunks(AT_ONCE) {
            let sql =
                format!("SELECT tenant FROM listings WHERE listed = 1 AND tenant IN ({}) LIMIT 1", places(some.len()));
            let statement = query(AssertSqlSafe(sql));
            let statement = some.iter().fold(statement, |statement, tenant| statement.bind(tenant.to_string()));
            if self.one(statement).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who holds each of these names; those that nobody holds are left out.
    async fn holders(&self, names: &[&str]) -> Result<HashMap<String, TenantId>, StoreError> {
        let mut held = HashMap::new();
        for some in names.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT name, tenant FROM domains WHERE state IN ('verified', 'live', 'moved') AND name IN ({})",
                places(some.len())
            );
            let statement = query(AssertSqlSafe(sql));
            let statement = some.iter().fold(statement, |statement, name| statement.bind(*name));
            for row in &self.all(statement).await? {
                let row = Row::new(row, "domains", "name");
                held.insert(row.text("name")?.to_owned(), row.tenant("tenant")?);
            }
        }
        Ok(held)
    }
}

/// What one statement asks for at once.
const AT_ONCE: usize = 500;

/// `$1, $2, …`: numbers only, nothing of anybody's input.
fn places(number: usize) -> String {
    (1..=number).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

impl Write {
    pub async fn listing(&mut self, tenant: TenantId) -> Result<Listing, StoreError> {
        listing_of(self.one(by_tenant(tenant)).await?.as_ref())
    }

    /// `Missing` when there is no such tenant.
    pub async fn set_listing(&mut self, tenant: TenantId, listing: Listing) -> Result<(), StoreError> {
        self.require_tenant(tenant).await?;
        let sql = "INSERT INTO listings (tenant, listed, priority, updated) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (tenant) DO UPDATE SET listed = excluded.listed, priority = excluded.priority, \
                   updated = excluded.updated";
        let statement = query(sql)
            .bind(tenant.to_string())
            .bind(i64::from(listing.listed))
            .bind(i64::from(listing.priority))
            .bind(self.now().millis());
        self.execute(statement).await.map(drop)
    }

    pub(super) async fn delete_listing_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM listings WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

fn by_tenant(tenant: TenantId) -> Statement<'static> {
    query("SELECT tenant, listed, priority FROM listings WHERE tenant = $1").bind(tenant.to_string())
}

fn listing_of(row: Option<&AnyRow>) -> Result<Listing, StoreError> {
    let Some(row) = row else { return Ok(Listing::default()) };
    let row = Row::new(row, "listings", "tenant");
    Ok(Listing { listed: row.flag("listed")?, priority: priority_of(&row)? })
}

fn priority_of(row: &Row<'_>) -> Result<i32, StoreError> {
    let number = row.int("priority")?;
    i32::try_from(number).map_err(|_| row.corrupt("priority", format!("{number} is no priority")))
}
