//! Tenants: their rows, and the slugs of deleted ones, which are never given out again.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::connect::Statement;
use super::row::{Row, storable, to_json};
use super::search::name_key;
use super::values::{batches, places, rows_at_once};
use super::{Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Change, Life, PlanChange, PlanName, SetBy, Slug, Status, Subscription, Tenant, TenantId};

/// How many rows of each kind a deletion removed, by the kind's name in the plural, which is its table's: `domains`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed(pub BTreeMap<&'static str, u64>);

impl Removed {
    pub fn add(&mut self, kind: &'static str, rows: u64) {
        *self.0.entry(kind).or_default() += rows;
    }

    /// Both together.
    pub fn and(mut self, other: &Self) -> Self {
        other.0.iter().for_each(|(kind, rows)| self.add(kind, *rows));
        self
    }
}

macro_rules! columns {
    () => {
        "id, slug, name, status, plan, features_on, features_off, parent, branding, edge, suspend_reason, reason_public, \
         trial_ends, created, updated, revision, cancelled, archived, phase_ends, domains_until, due, \
         name_key, plan_next, plan_next_at, period_end, billing_ref, caps, status_by, period_start, billing_told, \
         status_before"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM tenants ", $rest)
    };
}

/// What [`tenant_of`] reads, and what lists are ordered by.
pub(super) const COLUMNS: &str = columns!();

impl Store {
    /// The tenant that the billing system calls by this name.
    pub async fn tenant_by_billing_ref(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        self.one(by_billing_ref(name)).await?.as_ref().map(tenant_of).transpose()
    }

    pub async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.one(by_id(id)).await?.as_ref().map(tenant_of).transpose()
    }

    pub async fn tenant_by_slug(&self, slug: &Slug) -> Result<Option<Tenant>, StoreError> {
        self.one(by_slug(slug)).await?.as_ref().map(tenant_of).transpose()
    }

    /// Whose slug this is, without the row: hosts that nobody has asked for yet begin with it.
    pub async fn tenant_of_slug(&self, slug: &Slug) -> Result<Option<TenantId>, StoreError> {
        let row = self.one(query("SELECT id FROM tenants WHERE slug = $1").bind(slug.as_str())).await?;
        row.map(|row| Row::new(&row, "tenants", "id").tenant("id")).transpose()
    }

    /// The tenants whose parent this is, by slug. `page.after` is a slug.
    pub async fn child_tenants(&self, id: TenantId, page: &Page) -> Result<Vec<Tenant>, StoreError> {
        let statement = query(select!("WHERE parent = $1 AND slug >= $2 ORDER BY slug LIMIT $3"));
        let statement = statement.bind(id.to_string()).bind(page.from()).bind(page.limit());
        self.all(statement).await?.iter().map(tenant_of).collect()
    }
}

impl Write {
    /// The tenant that the billing system calls by this name.
    pub async fn tenant_by_billing_ref(&mut self, name: &str) -> Result<Option<Tenant>, StoreError> {
        self.one(by_billing_ref(name)).await?.as_ref().map(tenant_of).transpose()
    }

    pub async fn tenant(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.one(by_id(id)).await?.as_ref().map(tenant_of).transpose()
    }

    pub async fn tenant_by_slug(&mut self, slug: &Slug) -> Result<Option<Tenant>, StoreError> {
        self.one(by_slug(slug)).await?.as_ref().map(tenant_of).transpose()
    }

    /// `Conflict` when the slug (or the id) is taken, or the slug retired; `Missing` when there is no such parent. The
    /// row's revision is this transaction's, whatever `tenant` says; the other fields are taken as they are. Notes the
    /// tenant and its slug.
    pub async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let slug = tenant.slug.as_str();
        if let Some(parent) = tenant.parent {
            self.require_tenant(parent).await?;
        }
        if self.one(query("SELECT slug FROM retired_slugs WHERE slug = $1").bind(slug)).await?.is_some() {
            return Err(StoreError::Conflict(format!("the slug {slug} belonged to a deleted tenant; it is retired")));
        }
        let key = name_key(&tenant.name);
        let sql = insertion(1);
        let statement = bind_row(query(AssertSqlSafe(sql)), tenant, &key, self.revision())?;
        if self.execute(statement).await? == 0 {
            let what = if self.tenant(tenant.id).await?.is_some() { "id" } else { "slug" };
            return Err(StoreError::Conflict(format!("a tenant with the {what} of {slug} exists already")));
        }
        self.insert_words(&[(slug, &key)]).await?;
        self.change(Change::Tenant(tenant.id));
        self.change(Change::Slug(tenant.slug.clone()));
        Ok(())
    }

    /// Inserts many at once, as [`Write::insert_tenant`] does one; returns how many went in. Fewer than there are: of the others
    /// the slug is taken, and the transaction is to be given up. Whether a slug is retired and the parents are there is for the
    /// caller to know. Notes nothing.
    pub async fn insert_tenants(&mut self, tenants: &[Tenant]) -> Result<u64, StoreError> {
        let mut inserted = 0;
        for some in batches(tenants, WIDTH) {
            let keys: Vec<String> = some.iter().map(|tenant| name_key(&tenant.name)).collect();
            let mut statement =
                query(AssertSqlSafe(insertion(some.len()))).persistent(some.len() == rows_at_once(WIDTH));
            for (tenant, key) in some.iter().zip(&keys) {
                statement = bind_row(statement, tenant, key, self.revision())?;
            }
            inserted += self.execute(statement).await?;
            if let Some(counted) = self.counted() {
                some.iter().for_each(|tenant| counted.tenant(tenant));
            }
            let names: Vec<_> =
                some.iter().zip(&keys).map(|(tenant, key)| (tenant.slug.as_str(), key.as_str())).collect();
            self.insert_words(&names).await?;
        }
        Ok(inserted)
    }

    /// Writes every field but id, slug and created; sets `updated` and `revision`; notes the tenant. `Missing` when
    /// there is none of that id, or no such parent.
    pub async fn update_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        if let Some(parent) = tenant.parent {
            self.require_tenant(parent).await?;
        }
        let sql = "UPDATE tenants SET name = $2, status = $3, plan = $4, features_on = $5, features_off = $6, \
                   parent = $7, branding = $8, edge = $9, suspend_reason = $10, reason_public = $11, \
                   trial_ends = $12, cancelled = $13, archived = $14, phase_ends = $15, domains_until = $16, due = $17, \
                   plan_next = $18, plan_next_at = $19, period_end = $20, billing_ref = $21, caps = $22, \
                   status_by = $23, period_start = $24, billing_told = $25, status_before = $26, \
                   updated = $27, revision = $28, name_key = $29 WHERE id = $1";
        let known = query("SELECT id, slug, name_key FROM tenants WHERE id = $1").bind(tenant.id.to_string());
        let known = self.one(known).await?.ok_or_else(|| missing(tenant.id))?;
        let known = Row::new(&known, "tenants", "id");
        let (slug, was, key) = (known.text("slug")?, known.text("name_key")?, name_key(&tenant.name));
        let statement = bind_facts(query(sql).bind(tenant.id.to_string()), tenant)?;
        let statement = statement.bind(self.now().millis()).bind(self.revision()).bind(&key);
        self.execute(statement).await?;
        if was != key {
            self.replace_words(slug, &key).await?;
        }
        self.change(Change::Tenant(tenant.id));
        Ok(())
    }

    /// Removes a tenant with everything that is its alone, and retires its slug. Its lines in the audit ledger stay.
    /// Notes everything that went. `Missing` when there is none of that id, `Conflict` while it has child tenants.
    pub async fn delete_tenant(&mut self, id: TenantId) -> Result<Removed, StoreError> {
        let tenant = self.tenant(id).await?.ok_or_else(|| missing(id))?;
        let key = id.to_string();
        if self.one(query("SELECT id FROM tenants WHERE parent = $1 LIMIT 1").bind(&key)).await?.is_some() {
            return Err(StoreError::Conflict(format!(
                "the tenant {} has child tenants; delete them first",
                tenant.slug
            )));
        }
        let mut removed = Removed::default();
        // A line a kind, by its table; a test compares them with the schema. Certificates are found by the domains that they are for, so they go first.
        removed.add("certificates", self.delete_certificates_of(id).await?);
        removed.add("domains", self.delete_domains_of(id).await?);
        removed.add("orders", self.delete_orders_of(id).await?);
        removed.add("tokens", self.delete_tokens_of(id).await?);
        removed.add("billing_events", self.delete_billing_events_of(id).await?);
        removed.add("events", self.delete_events_of(id).await?);
        removed.add("invitations", self.delete_invitations_of(id).await?);
        removed.add("members", self.delete_members_of(id).await?);
        removed.add("member_counts", self.delete_member_count_of(id).await?);
        removed.add("roles", self.delete_roles_of(id).await?);
        removed.add("units", self.delete_units_of(id).await?);
        removed.add("assets", self.delete_assets_of(id).await?);
        removed.add("listings", self.delete_listing_of(id).await?);
        removed.add("profiles", self.delete_profile_of(id).await?);
        removed.add("site_sessions", self.delete_sessions_of(id).await?);
        removed.add("tenant_words", self.delete_words_of(&tenant.slug).await?);
        self.forget_default_tenant(id).await?;
        let retire = query("INSERT INTO retired_slugs (slug, tenant, retired) VALUES ($1, $2, $3)");
        self.execute(retire.bind(tenant.slug.as_str()).bind(&key).bind(self.now().millis())).await?;
        removed.add("tenants", self.execute(query("DELETE FROM tenants WHERE id = $1").bind(&key)).await?);
        self.change(Change::Tenant(id));
        self.change(Change::Slug(tenant.slug));
        Ok(removed)
    }

    /// `Missing` when there is none of that id. Asked before a row refers to it: a violated reference would end
    /// PostgreSQL's transaction.
    pub(super) async fn require_tenant(&mut self, id: TenantId) -> Result<(), StoreError> {
        match self.one(query("SELECT id FROM tenants WHERE id = $1").bind(id.to_string())).await? {
            Some(_) => Ok(()),
            None => Err(missing(id)),
        }
    }
}

fn missing(id: TenantId) -> StoreError {
    StoreError::Missing(format!("the tenant {id}"))
}

fn by_id(id: TenantId) -> Statement<'static> {
    query(select!("WHERE id = $1")).bind(id.to_string())
}

fn by_billing_ref(name: &str) -> Statement<'static> {
    query(select!("WHERE billing_ref = $1 ORDER BY id LIMIT 1")).bind(storable(name).into_owned())
}

fn by_slug(slug: &Slug) -> Statement<'_> {
    query(select!("WHERE slug = $1")).bind(slug.as_str())
}

/// The columns from `name` to `status_before`.
fn bind_facts<'q>(statement: Statement<'q>, tenant: &'q Tenant) -> Result<Statement<'q>, StoreError> {
    let (life, subscription) = (&tenant.life, &tenant.subscription);
    let next = subscription.next.as_ref();
    let caps = if subscription.caps.0.is_empty() { None } else { Some(to_json(&subscription.caps)?) };
    Ok(statement
        .bind(storable(&tenant.name).into_owned())
        .bind(tenant.status.as_str())
        .bind(tenant.plan.as_ref().map(PlanName::as_str))
        .bind(to_json(&tenant.features_on)?)
        .bind(to_json(&tenant.features_off)?)
        .bind(tenant.parent.map(|parent| parent.to_string()))
        .bind(to_json(&tenant.branding)?)
        .bind(to_json(&tenant.edge)?)
        .bind(tenant.suspend_reason.as_deref().map(|reason| storable(reason).into_owned()))
        .bind(i64::from(tenant.reason_public))
        .bind(tenant.trial_ends.map(Timestamp::millis))
        .bind(life.cancelled.map(Timestamp::millis))
        .bind(life.archived.map(Timestamp::millis))
        .bind(life.phase_ends.map(Timestamp::millis))
        .bind(life.domains_until.map(Timestamp::millis))
        .bind(life.due.map(Timestamp::millis))
        .bind(next.and_then(|next| next.plan.as_ref()).map(PlanName::as_str))
        .bind(next.map(|next| next.at.millis()))
        .bind(subscription.period_end.map(Timestamp::millis))
        .bind(subscription.billing_ref.as_deref().map(|name| storable(name).into_owned()))
        .bind(caps)
        .bind(Some(subscription.status_by.as_str()).filter(|_| subscription.status_by != SetBy::default()))
        .bind(subscription.period_start.map(Timestamp::millis))
        .bind(subscription.told.map(Timestamp::millis))
        .bind(life.before.map(Status::as_str)))
}

/// The columns of [`bind_row`].
const INSERTED: &str = "id, name, status, plan, features_on, features_off, parent, branding, edge, suspend_reason, reason_public, \
     trial_ends, cancelled, archived, phase_ends, domains_until, due, plan_next, plan_next_at, period_end, billing_ref, \
     caps, status_by, period_start, billing_told, status_before, updated, revision, name_key, slug, created";
const WIDTH: usize = 31;

fn insertion(rows: usize) -> String {
    format!("INSERT INTO tenants ({INSERTED}) VALUES {} ON CONFLICT DO NOTHING", places(rows, WIDTH))
}

fn bind_row<'q>(
    statement: Statement<'q>,
    tenant: &'q Tenant,
    key: &'q str,
    revision: i64,
) -> Result<Statement<'q>, StoreError> {
    Ok(bind_facts(statement.bind(tenant.id.to_string()), tenant)?
        .bind(tenant.updated.millis())
        .bind(revision)
        .bind(key)
        .bind(tenant.slug.as_str())
        .bind(tenant.created.millis()))
}

pub(super) fn tenant_of(row: &AnyRow) -> Result<Tenant, StoreError> {
    let row = Row::new(row, "tenants", "id");
    Ok(Tenant {
        id: row.tenant("id")?,
        slug: row.parsed("slug", "slug", |text| Slug::parse(text).ok())?,
        name: row.text("name")?.to_owned(),
        status: row.parsed("status", "status", Status::parse)?,
        plan: row.optional("plan", "name of a plan", |text| PlanName::parse(text).ok())?,
        features_on: row.json("features_on")?,
        features_off: row.json("features_off")?,
        parent: row.optional("parent", "tenant id", TenantId::parse)?,
        branding: row.json("branding")?,
        edge: row.json("edge")?,
        suspend_reason: row.optional_text("suspend_reason")?.map(str::to_owned),
        reason_public: row.flag("reason_public")?,
        trial_ends: row.optional_time("trial_ends")?,
        life: Life {
            cancelled: row.optional_time("cancelled")?,
            archived: row.optional_time("archived")?,
            before: row.optional("status_before", "status", Status::parse)?,
            phase_ends: row.optional_time("phase_ends")?,
            domains_until: row.optional_time("domains_until")?,
            due: row.optional_time("due")?,
        },
        subscription: subscription_of(&row)?,
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: row.int("revision")?,
    })
}

fn subscription_of(row: &Row<'_>) -> Result<Subscription, StoreError> {
    let plan = row.optional("plan_next", "name of a plan", |text| PlanName::parse(text).ok())?;
    Ok(Subscription {
        next: row.optional_time("plan_next_at")?.map(|at| PlanChange { plan, at }),
        period_end: row.optional_time("period_end")?,
        billing_ref: row.optional_text("billing_ref")?.map(str::to_owned),
        told: row.optional_time("billing_told")?,
        caps: row.optional_json("caps")?.unwrap_or_default(),
        status_by: row.optional("status_by", "word for whose it is", SetBy::parse)?.unwrap_or_default(),
        period_start: row.optional_time("period_start")?,
    })
}
