//! Where tenants stand in the public directory: its order is an index, and each page a stretch of it. What the order is made of
//! stands in the rows of `listings`, kept by triggers (migration 19).

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::connect::Statement;
use super::keyset::{Key, Order, Stretch, key_of};
use super::paged::{Condition, List};
use super::row::Row;
use super::values::numbered;
use super::{Store, StoreError, Write};
use crate::model::{DirectoryStretch, EdgeSettings, Hostname, Listed, Listing, Slug, TenantId};

/// By priority, then members, then the newest first; the slug, which is nobody else's, makes it an order.
const PLACE: [&str; 4] = ["priority", "members", "created", "slug"];
/// As the indexes say it, word by word.
const SHOWN: &str = "shown = 1";

impl Store {
    /// Of a tenant without a word about it: not listed.
    pub async fn listing(&self, tenant: TenantId) -> Result<Listing, StoreError> {
        listing_of(self.one(by_tenant(tenant)).await?.as_ref())
    }

    /// Listed tenants that are active by their own status, in the order of the directory: at most `limit`, from the first on
    /// or behind the one of this slug. `None` where nobody of that slug is listed.
    pub async fn directory(&self, after: Option<&Slug>, limit: u32) -> Result<Option<DirectoryStretch>, StoreError> {
        let kinds = vec![Key::Int(0), Key::Int(0), Key::Int(0), Key::Text(String::new())];
        let mut lease = self.reader().await?;
        let after = match after {
            Some(slug) => {
                let sql = "SELECT priority, members, created, slug FROM listings WHERE slug = $1 AND listed = 1";
                let Some(row) = lease.one(query(sql).bind(slug.to_string())).await? else { return Ok(None) };
                let place = PLACE.iter().zip(&kinds).map(|(column, kind)| key_of(&row, "listings", column, kind));
                Some(place.collect::<Result<Vec<_>, _>>()?)
            }
            None => None,
        };
        let list = List {
            table: "listings",
            columns: "tenant, priority, members, created, slug",
            id: None,
            order: Order { columns: &PLACE, descending: true },
            kinds,
            classes: vec![Condition::new(SHOWN, [])],
            rest: Vec::new(),
        };
        let stretch = Stretch { from: Key::Int(i64::MIN), until: Key::Int(i64::MAX), after, last: None };
        let (rows, next) = list.page(&mut lease, stretch, limit as usize).await?;
        let entry = |row: &AnyRow| {
            let row = Row::new(row, "listings", "tenant");
            Ok((row.tenant("tenant")?, row.parsed("slug", "slug", |text| Slug::parse(text).ok())?))
        };
        let entries = rows.iter().map(entry).collect::<Result<_, StoreError>>()?;
        Ok(Some(DirectoryStretch { entries, more: next.is_some() }))
    }

    /// Where, by their ids, each `every` of those whom the directory shows end, and more come.
    pub async fn listed_ends(&self, every: u32) -> Result<Vec<TenantId>, StoreError> {
        let sql = "SELECT tenant FROM listings WHERE shown = 1 AND tenant > $1 ORDER BY tenant LIMIT 2 OFFSET $2";
        let mut ends: Vec<TenantId> = Vec::new();
        loop {
            let after = ends.last().map(TenantId::to_string).unwrap_or_default();
            let rows = self.all(query(sql).bind(after).bind(i64::from(every.max(1)) - 1)).await?;
            match rows.as_slice() {
                [end, _more] => ends.push(Row::new(end, "listings", "tenant").tenant("tenant")?),
                _ => return Ok(ends),
            }
        }
    }

    /// Those whom the directory shows, by id, at most `limit` after `after`.
    pub async fn listed(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<Listed>, StoreError> {
        let sql = "SELECT t.id, t.slug, t.edge, t.domains_until, t.updated, t.parent FROM (SELECT tenant FROM listings \
                   WHERE shown = 1 AND tenant > $1 ORDER BY tenant LIMIT $2) AS l JOIN tenants t ON t.id = l.tenant \
                   ORDER BY l.tenant";
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self.all(query(sql).bind(after).bind(i64::from(limit))).await?;
        let entry = |row: &AnyRow| {
            let row = Row::new(row, "listings", "id");
            Ok(Listed {
                id: row.tenant("id")?,
                slug: row.parsed("slug", "slug", |text| Slug::parse(text).ok())?,
                primary_domain: row.json::<EdgeSettings>("edge")?.primary_domain,
                domains_until: row.optional_time("domains_until")?,
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

    /// Who holds each of these names; those that nobody holds are left out.
    async fn holders(&self, names: &[&str]) -> Result<HashMap<String, TenantId>, StoreError> {
        let mut held = HashMap::new();
        for some in names.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT name, tenant FROM domains WHERE state IN ('verified', 'live', 'moved') AND name IN ({})",
                numbered(1, some.len())
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
