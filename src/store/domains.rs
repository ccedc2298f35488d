//! Claims of tenants to names of their own. At most one claim to a name is held at a time: an index sees to it.

use sqlx::any::AnyRow;
use sqlx::query;

use super::connect::Statement;
use super::row::{Row, storable};
use super::{Aside, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Change, Domain, DomainName, DomainState, Hostname, TenantId, reversed_labels};

/// The states of [`DomainState::is_held`], as SQL. The index `domains_held` has the same list.
macro_rules! held {
    () => {
        "state IN ('verified', 'live', 'moved')"
    };
}

macro_rules! select {
    ($($rest:expr),+) => {
        concat!("SELECT name, tenant, state, token, created, updated, revision FROM domains ", $($rest),+)
    };
}

/// What [`domain_of`] reads.
pub(super) const COLUMNS: &str = "name, tenant, state, token, created, updated, revision";

impl Store {
    /// The claim that holds this name (state `is_held`), if any.
    pub async fn held_domain(&self, name: &DomainName) -> Result<Option<Domain>, StoreError> {
        let statement = query(select!("WHERE name = $1 AND ", held!())).bind(name.to_string());
        self.one(statement).await?.as_ref().map(domain_of).transpose()
    }

    /// The claim that a visit to this host leads to, if any: that to the host itself, else the wildcard right above it.
    pub async fn domain_of_host(&self, host: &Hostname) -> Result<Option<Domain>, StoreError> {
        let wildcard = host.as_str().split_once('.').map(|(_, above)| format!("*.{above}")).unwrap_or_default();
        // A host name sorts behind "*", so the exact claim comes first.
        let statement = query(select!("WHERE name IN ($1, $2) AND ", held!(), " ORDER BY name DESC LIMIT 1"));
        self.one(statement.bind(host.as_str()).bind(wildcard)).await?.as_ref().map(domain_of).transpose()
    }

    /// All claims to this name, held or not, by tenant id: the oldest tenant first.
    pub async fn claims(&self, name: &DomainName) -> Result<Vec<Domain>, StoreError> {
        self.all(claims(name)).await?.iter().map(domain_of).collect()
    }

    /// A tenant's claims by name. `page.after` is a name.
    pub async fn domains(&self, tenant: TenantId, page: &Page) -> Result<Vec<Domain>, StoreError> {
        let statement = query(select!("WHERE tenant = $1 AND name >= $2 ORDER BY name LIMIT $3"));
        let statement = statement.bind(tenant.to_string()).bind(page.from()).bind(page.limit());
        self.all(statement).await?.iter().map(domain_of).collect()
    }
}

/// A claim that is due to be looked at, with what the looks have shown so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueDomain {
    pub domain: Domain,
    /// When it was due.
    pub due: Timestamp,
    /// JSON that the `domains` room owns.
    pub progress: String,
}

impl Store {
    /// The claims whose look is due at `now`, the longest due first.
    pub async fn due_domains(&self, now: Timestamp, limit: u32) -> Result<Vec<DueDomain>, StoreError> {
        let sql = concat!(
            "SELECT name, tenant, state, token, created, updated, revision, next_check, progress FROM domains ",
            "WHERE next_check <= $1 ORDER BY next_check LIMIT $2"
        );
        let rows = self.all(query(sql).bind(now.millis()).bind(i64::from(limit))).await?;
        rows.iter().map(due_of).collect()
    }

    /// When this claim is looked at next (`None`: not by itself), and what the looks have shown so far.
    pub async fn domain_progress(
        &self,
        name: &DomainName,
        tenant: TenantId,
    ) -> Result<Option<(Option<Timestamp>, String)>, StoreError> {
        let sql = "SELECT name, next_check, progress FROM domains WHERE name = $1 AND tenant = $2";
        let row = self.one(query(sql).bind(name.to_string()).bind(tenant.to_string())).await?;
        row.map(|row| {
            let row = Row::new(&row, "domains", "name");
            Ok((row.optional_time("next_check")?, row.text("progress")?.to_owned()))
        })
        .transpose()
    }

    /// Until when this name rests after its last holder gave it up, and who that was.
    pub async fn cooldown(&self, name: &DomainName) -> Result<Option<(TenantId, Timestamp)>, StoreError> {
        let row = self.one(cooldown(name)).await?;
        row.as_ref().map(cooldown_of).transpose()
    }
}

impl Aside {
    /// Takes a due look for oneself: false when somebody else has taken it since it was read as due at `due`.
    pub async fn take_domain_check(
        &mut self,
        name: &DomainName,
        tenant: TenantId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE domains SET next_check = $4 WHERE name = $1 AND tenant = $2 AND next_check = $3";
        let statement = query(sql).bind(name.to_string()).bind(tenant.to_string());
        Ok(self.execute(statement.bind(due.millis()).bind(until.millis())).await? > 0)
    }

    /// [`Store::domain_progress`], locked until the end of this transaction.
    pub async fn lock_domain_progress(
        &mut self,
        name: &DomainName,
        tenant: TenantId,
    ) -> Result<Option<(Option<Timestamp>, String)>, StoreError> {
        let sql = "UPDATE domains SET progress = progress WHERE name = $1 AND tenant = $2 \
                   RETURNING name, next_check, progress";
        let row = self.one(query(sql).bind(name.to_string()).bind(tenant.to_string())).await?;
        row.map(|row| {
            let row = Row::new(&row, "domains", "name");
            Ok((row.optional_time("next_check")?, row.text("progress")?.to_owned()))
        })
        .transpose()
    }

    /// Gives a claim another token: whatever proved it before does so no more. `Missing` when the claim is gone.
    pub async fn set_domain_token(
        &mut self,
        name: &DomainName,
        tenant: TenantId,
        token: &str,
    ) -> Result<(), StoreError> {
        let statement = query("UPDATE domains SET token = $3 WHERE name = $1 AND tenant = $2");
        let statement = statement.bind(name.to_string()).bind(tenant.to_string()).bind(storable(token).into_owned());
        match self.execute(statement).await? {
            0 => Err(missing(name, tenant)),
            _ => Ok(()),
        }
    }

    /// Puts down what a look has shown, and when the next one is due. `Missing` when the claim is gone.
    pub async fn set_domain_progress(
        &mut self,
        name: &DomainName,
        tenant: TenantId,
        next: Option<Timestamp>,
        progress: &str,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE domains SET next_check = $3, progress = $4 WHERE name = $1 AND tenant = $2";
        let statement = query(sql).bind(name.to_string()).bind(tenant.to_string());
        let statement = statement.bind(next.map(Timestamp::millis)).bind(storable(progress).into_owned());
        match self.execute(statement).await? {
            0 => Err(missing(name, tenant)),
            _ => Ok(()),
        }
    }

    /// Lets a name rest: [`Store::cooldown`].
    pub async fn set_cooldown(
        &mut self,
        name: &DomainName,
        tenant: TenantId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(query("DELETE FROM cooldowns WHERE until <= $1").bind(self.now().millis())).await?;
        let sql = "INSERT INTO cooldowns (name, tenant, until) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, until = excluded.until";
        let statement = query(sql).bind(name.to_string()).bind(tenant.to_string()).bind(until.millis());
        self.execute(statement).await.map(drop)
    }

    pub async fn cooldown(&mut self, name: &DomainName) -> Result<Option<(TenantId, Timestamp)>, StoreError> {
        let row = self.one(cooldown(name)).await?;
        row.as_ref().map(cooldown_of).transpose()
    }
}

impl Write {
    /// Who holds this name, if anybody does.
    pub(super) async fn holder(&mut self, name: &str) -> Result<Option<TenantId>, StoreError> {
        let statement = query(concat!("SELECT name, tenant FROM domains WHERE name = $1 AND ", held!())).bind(name);
        let row = self.one(statement).await?;
        row.as_ref().map(|row| Row::new(row, "domains", "name").tenant("tenant")).transpose()
    }

    pub async fn claims(&mut self, name: &DomainName) -> Result<Vec<Domain>, StoreError> {
        self.all(claims(name)).await?.iter().map(domain_of).collect()
    }

    /// `Conflict` when this tenant claims the name already, or when the claim is held and another holds it; `Missing`
    /// when there is no such tenant. The row's revision is this transaction's, whatever `domain` says. It is due to be
    /// looked at at once. Notes the host.
    pub async fn insert_domain(&mut self, domain: &Domain) -> Result<(), StoreError> {
        self.require_tenant(domain.tenant).await?;
        let sql = "INSERT INTO domains (name, tenant, state, token, created, updated, revision, next_check, \
                   reversed) VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $8) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(domain.name.to_string())
            .bind(domain.tenant.to_string())
            .bind(domain.state.as_str())
            .bind(storable(&domain.token).into_owned())
            .bind(domain.created.millis())
            .bind(domain.updated.millis())
            .bind(self.revision())
            .bind(reversed_labels(&domain.name));
        if self.execute(statement).await? == 0 {
            let own = self.claims(&domain.name).await?.iter().any(|claim| claim.tenant == domain.tenant);
            return Err(match own {
                true => StoreError::Conflict(format!("the tenant claims {} already", domain.name)),
                false => held_by_another(&domain.name),
            });
        }
        self.change(Change::of_domain(&domain.name));
        Ok(())
    }

    /// `Conflict` when `state` is a held one and another tenant holds the name; `Missing` when there is no such claim.
    /// Sets `updated` and `revision`; notes the host.
    pub async fn set_domain_state(
        &mut self,
        name: &DomainName,
        tenant: TenantId,
        state: DomainState,
    ) -> Result<(), StoreError> {
        let claims = self.claims(name).await?;
        if state.is_held() && claims.iter().any(|claim| claim.tenant != tenant && claim.state.is_held()) {
            return Err(held_by_another(name));
        }
        let sql = "UPDATE domains SET state = $3, updated = $4, revision = $5 WHERE name = $1 AND tenant = $2";
        let statement = query(sql)
            .bind(name.to_string())
            .bind(tenant.to_string())
            .bind(state.as_str())
            .bind(self.now().millis())
            .bind(self.revision());
        if self.execute(statement).await? == 0 {
            return Err(missing(name, tenant));
        }
        self.change(Change::of_domain(name));
        Ok(())
    }

    /// `Missing` when there is no such claim. Notes the host. Certificates for the name stay, for the tenant's return,
    /// until they expire or the tenant goes.
    pub async fn delete_domain(&mut self, name: &DomainName, tenant: TenantId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM domains WHERE name = $1 AND tenant = $2");
        if self.execute(statement.bind(name.to_string()).bind(tenant.to_string())).await? == 0 {
            return Err(missing(name, tenant));
        }
        self.change(Change::of_domain(name));
        Ok(())
    }

    /// Whoever has lost a domain is not to be visited there any more: takes it back as the tenant's primary one. False where
    /// it is none.
    pub async fn forget_primary_domain(&mut self, name: &DomainName, tenant: TenantId) -> Result<bool, StoreError> {
        let Some(mut row) = self.tenant(tenant).await? else { return Ok(false) };
        let is_primary = row.edge.primary_domain.as_ref().is_some_and(|host| host.as_str() == name.to_string());
        if is_primary {
            row.edge.primary_domain = None;
            self.update_tenant(&row).await?;
        }
        Ok(is_primary)
    }

    /// The names that this tenant holds.
    pub async fn held_domains_of(&mut self, tenant: TenantId) -> Result<Vec<Domain>, StoreError> {
        let statement = query(select!("WHERE tenant = $1 AND ", held!(), " ORDER BY name"));
        self.all(statement.bind(tenant.to_string())).await?.iter().map(domain_of).collect()
    }

    /// Removes every claim of a tenant; notes the hosts.
    pub(super) async fn delete_domains_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM domains WHERE tenant = $1 RETURNING name";
        let rows = self.all(query(sql).bind(tenant.to_string())).await?;
        for row in &rows {
            let row = Row::new(row, "domains", "name");
            let name = row.parsed("name", "domain", |text| DomainName::parse(text).ok())?;
            self.change(Change::of_domain(&name));
        }
        Ok(rows.len() as u64)
    }
}

fn cooldown(name: &DomainName) -> Statement<'static> {
    query("SELECT name, tenant, until FROM cooldowns WHERE name = $1").bind(name.to_string())
}

fn cooldown_of(row: &AnyRow) -> Result<(TenantId, Timestamp), StoreError> {
    let row = Row::new(row, "cooldowns", "name");
    Ok((row.tenant("tenant")?, row.time("until")?))
}

fn due_of(row: &AnyRow) -> Result<DueDomain, StoreError> {
    let domain = domain_of(row)?;
    let row = Row::new(row, "domains", "name");
    Ok(DueDomain { domain, due: row.time("next_check")?, progress: row.text("progress")?.to_owned() })
}

fn held_by_another(name: &DomainName) -> StoreError {
    StoreError::Conflict(format!("{name} belongs to another tenant"))
}

fn missing(name: &DomainName, tenant: TenantId) -> StoreError {
    StoreError::Missing(format!("a claim of the tenant {tenant} to {name}"))
}

fn claims(name: &DomainName) -> Statement<'static> {
    query(select!("WHERE name = $1 ORDER BY tenant")).bind(name.to_string())
}

pub(super) fn domain_of(row: &AnyRow) -> Result<Domain, StoreError> {
    let row = Row::new(row, "domains", "name");
    Ok(Domain {
        name: row.parsed("name", "domain", |text| DomainName::parse(text).ok())?,
        tenant: row.tenant("tenant")?,
        state: row.parsed("state", "state of a domain", DomainState::parse)?,
        token: row.text("token")?.to_owned(),
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: row.int("revision")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sql_agrees_with_the_model_on_which_states_are_held() {
        let schema = include_str!("migrations/0001_foundation.sql");
        assert!(schema.contains(held!()));
        for state in DomainState::ALL {
            assert_eq!(held!().contains(&format!("'{state}'")), state.is_held(), "{state}");
        }
    }
}
