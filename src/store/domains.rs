//! Claims of tenants to names of their own. At most one claim to a name is held at a time: an index sees to it.

use sqlx::any::AnyRow;
use sqlx::query;

use super::connect::Statement;
use super::row::{Row, storable};
use super::{Page, Store, StoreError, Write};
use crate::model::{Change, Domain, DomainState, Hostname, TenantId};

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

/// The key of a claim in listings that hold claims of several tenants: `<name> <tenant id>`.
pub fn domain_key(domain: &Domain) -> String {
    format!("{} {}", domain.name, domain.tenant)
}

impl Store {
    /// The claim that holds this name (state `is_held`), if any.
    pub async fn held_domain(&self, name: &Hostname) -> Result<Option<Domain>, StoreError> {
        let statement = query(select!("WHERE name = $1 AND ", held!())).bind(name.as_str());
        self.one(statement).await?.as_ref().map(domain_of).transpose()
    }

    /// All claims to this name, held or not, by tenant id: the oldest tenant first.
    pub async fn claims(&self, name: &Hostname) -> Result<Vec<Domain>, StoreError> {
        self.all(claims(name)).await?.iter().map(domain_of).collect()
    }

    /// A tenant's claims by name. `page.after` is a name.
    pub async fn domains(&self, tenant: TenantId, page: &Page) -> Result<Vec<Domain>, StoreError> {
        let statement = query(select!("WHERE tenant = $1 AND name >= $2 ORDER BY name LIMIT $3"));
        let statement = statement.bind(tenant.to_string()).bind(page.from()).bind(page.limit());
        self.all(statement).await?.iter().map(domain_of).collect()
    }

    /// All claims in one state, by name: the verified ones still want a certificate, for one. `page.after` is a
    /// [`domain_key`].
    pub async fn domains_in_state(&self, state: DomainState, page: &Page) -> Result<Vec<Domain>, StoreError> {
        let after = page.after.as_deref().map(storable).unwrap_or_default();
        let (name, tenant) = after.split_once(' ').unwrap_or((&after, ""));
        let statement = query(select!("WHERE state = $1 AND (name, tenant) > ($2, $3) ORDER BY name, tenant LIMIT $4"));
        let statement = statement.bind(state.as_str()).bind(name.to_owned()).bind(tenant.to_owned()).bind(page.limit());
        self.all(statement).await?.iter().map(domain_of).collect()
    }
}

impl Write {
    pub async fn claims(&mut self, name: &Hostname) -> Result<Vec<Domain>, StoreError> {
        self.all(claims(name)).await?.iter().map(domain_of).collect()
    }

    /// `Conflict` when this tenant claims the name already, or when the claim is held and another holds it; `Missing`
    /// when there is no such tenant. The row's revision is this transaction's, whatever `domain` says. Notes the host.
    pub async fn insert_domain(&mut self, domain: &Domain) -> Result<(), StoreError> {
        self.require_tenant(domain.tenant).await?;
        let sql = "INSERT INTO domains (name, tenant, state, token, created, updated, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(domain.name.as_str())
            .bind(domain.tenant.to_string())
            .bind(domain.state.as_str())
            .bind(storable(&domain.token).into_owned())
            .bind(domain.created.millis())
            .bind(domain.updated.millis())
            .bind(self.revision());
        if self.execute(statement).await? == 0 {
            let own = self.claims(&domain.name).await?.iter().any(|claim| claim.tenant == domain.tenant);
            return Err(match own {
                true => StoreError::Conflict(format!("the tenant claims {} already", domain.name)),
                false => held_by_another(&domain.name),
            });
        }
        self.change(Change::Host(domain.name.clone()));
        Ok(())
    }

    /// `Conflict` when `state` is a held one and another tenant holds the name; `Missing` when there is no such claim.
    /// Sets `updated` and `revision`; notes the host.
    pub async fn set_domain_state(
        &mut self,
        name: &Hostname,
        tenant: TenantId,
        state: DomainState,
    ) -> Result<(), StoreError> {
        let claims = self.claims(name).await?;
        if state.is_held() && claims.iter().any(|claim| claim.tenant != tenant && claim.state.is_held()) {
            return Err(held_by_another(name));
        }
        let sql = "UPDATE domains SET state = $3, updated = $4, revision = $5 WHERE name = $1 AND tenant = $2";
        let statement = query(sql)
            .bind(name.as_str())
            .bind(tenant.to_string())
            .bind(state.as_str())
            .bind(self.now().millis())
            .bind(self.revision());
        if self.execute(statement).await? == 0 {
            return Err(missing(name, tenant));
        }
        self.change(Change::Host(name.clone()));
        Ok(())
    }

    /// `Missing` when there is no such claim. Notes the host. Certificates for the name stay until they expire.
    pub async fn delete_domain(&mut self, name: &Hostname, tenant: TenantId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM domains WHERE name = $1 AND tenant = $2");
        if self.execute(statement.bind(name.as_str()).bind(tenant.to_string())).await? == 0 {
            return Err(missing(name, tenant));
        }
        self.change(Change::Host(name.clone()));
        Ok(())
    }
}

fn held_by_another(name: &Hostname) -> StoreError {
    StoreError::Conflict(format!("{name} belongs to another tenant"))
}

fn missing(name: &Hostname, tenant: TenantId) -> StoreError {
    StoreError::Missing(format!("a claim of the tenant {tenant} to {name}"))
}

fn claims(name: &Hostname) -> Statement<'_> {
    query(select!("WHERE name = $1 ORDER BY tenant")).bind(name.as_str())
}

fn domain_of(row: &AnyRow) -> Result<Domain, StoreError> {
    let row = Row::new(row, "domains", "name");
    Ok(Domain {
        name: row.parsed("name", "host name", |text| Hostname::parse(text).ok())?,
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
