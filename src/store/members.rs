//! Members: whose member somebody is, as what, and how many each tenant has. Copies of what is sought and sorted by
//! (address, name) are kept up here. Who may make whom what is not known here.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::connect::Statement;
use super::row::{Row, storable};
use super::{Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Email, MemberState, PersonId, Position, Role, RoleName, TenantId, UnitId};

/// A member as stored, with what the person is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRow {
    pub tenant: TenantId,
    pub person: PersonId,
    pub email: Email,
    /// The person's display name.
    pub name: String,
    pub state: MemberState,
    pub position: Position,
    pub unit: Option<UnitId>,
    /// Since when they are no active member.
    pub ended: Option<Timestamp>,
    /// When nothing brings them back any more.
    pub due: Option<Timestamp>,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub revision: i64,
}

/// Which members of a tenant to list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberFilter {
    pub state: MemberState,
    /// A built-in role, or one of the tenant's own, by its name.
    pub role: Option<String>,
    pub unit: Option<UnitId>,
    pub search: MemberSearch,
}

/// What members are sought by, and therefore in which order they come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberSearch {
    /// By addresses that begin like this (in lower case; empty: all). The cursor is an address.
    Email(String),
    /// By names that begin like this, whatever the case. The cursor is [`MemberRow::name_cursor`].
    Name(String),
}

/// As much of a name as is sorted by, in characters.
const NAME_KEY: usize = 60;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT m.tenant, m.person, m.email, p.name, m.state, m.rank, m.role, m.unit, m.ended, \
             m.due, m.created, m.updated, m.revision FROM members m JOIN people p ON p.id = m.person ",
            $rest
        )
    };
}

impl Store {
    /// A member in whatever state.
    pub async fn member(&self, tenant: TenantId, person: PersonId) -> Result<Option<MemberRow>, StoreError> {
        self.one(by_key(tenant, person)).await?.as_ref().map(member_of).transpose()
    }

    /// A tenant's members, in the order that the search gives.
    pub async fn members(
        &self,
        tenant: TenantId,
        filter: &MemberFilter,
        page: &Page,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let (sql, parts) = listing(filter, page);
        // Pieces of this file and numbers; nothing of anybody's input.
        let mut statement = query(AssertSqlSafe(sql)).bind(tenant.to_string()).bind(filter.state.as_str());
        for part in parts {
            statement = statement.bind(part);
        }
        self.all(statement.bind(page.limit())).await?.iter().map(member_of).collect()
    }

    /// Whose active member somebody is, by tenant. `page.after` is a tenant's id.
    pub async fn memberships_of(&self, person: PersonId, page: &Page) -> Result<Vec<MemberRow>, StoreError> {
        let after = storable(page.after.as_deref().unwrap_or_default()).into_owned();
        let statement =
            query(select!("WHERE m.person = $1 AND m.state = $2 AND m.tenant > $3 ORDER BY m.tenant LIMIT $4"));
        let statement = statement.bind(person.to_string()).bind(MemberState::Active.as_str());
        self.all(statement.bind(after).bind(page.limit())).await?.iter().map(member_of).collect()
    }

    /// How many active members a tenant has.
    pub async fn member_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        count_in(self.one(count(tenant)).await?.as_ref())
    }

    /// Members whom nothing brings back any more at `now`, the longest overdue first.
    pub async fn due_members(&self, now: Timestamp, most: u32) -> Result<Vec<(TenantId, PersonId)>, StoreError> {
        let sql = "SELECT tenant, person FROM members WHERE due <= $1 ORDER BY due LIMIT $2";
        let rows = self.all(query(sql).bind(now.millis()).bind(i64::from(most))).await?;
        rows.iter()
            .map(|row| {
                let row = Row::new(row, "members", "person");
                Ok((row.tenant("tenant")?, row.person("person")?))
            })
            .collect()
    }
}

impl Write {
    pub async fn member(&mut self, tenant: TenantId, person: PersonId) -> Result<Option<MemberRow>, StoreError> {
        self.one(by_key(tenant, person)).await?.as_ref().map(member_of).transpose()
    }

    pub async fn member_count(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        count_in(self.one(count(tenant)).await?.as_ref())
    }

    /// Whether a tenant has an active owner who can sign in beside this person.
    pub async fn has_other_owner(&mut self, tenant: TenantId, person: PersonId) -> Result<bool, StoreError> {
        let sql = "SELECT m.person FROM members m JOIN people p ON p.id = m.person WHERE m.tenant = $1 AND m.rank = $2 \
                   AND m.state = $3 AND m.person <> $4 AND p.disabled = 0 LIMIT 1";
        let statement = query(sql)
            .bind(tenant.to_string())
            .bind(Role::Owner.as_str())
            .bind(MemberState::Active.as_str())
            .bind(person.to_string());
        Ok(self.one(statement).await?.is_some())
    }

    /// A tenant whose only active owner who can sign in is this person, if there is one.
    pub async fn depends_on(&mut self, person: PersonId) -> Result<Option<TenantId>, StoreError> {
        let sql = "SELECT m.tenant FROM members m WHERE m.person = $1 AND m.rank = $2 AND m.state = $3 \
                   AND NOT EXISTS (SELECT 1 FROM members o JOIN people p ON p.id = o.person WHERE o.tenant = m.tenant \
                   AND o.rank = $2 AND o.state = $3 AND o.person <> $1 AND p.disabled = 0) ORDER BY m.tenant LIMIT 1";
        let statement =
            query(sql).bind(person.to_string()).bind(Role::Owner.as_str()).bind(MemberState::Active.as_str());
        self.one(statement).await?.map(|row| Row::new(&row, "members", "tenant").tenant("tenant")).transpose()
    }

    /// Whether somebody is anybody's member still, in whatever state.
    pub async fn is_member_anywhere(&mut self, person: PersonId) -> Result<bool, StoreError> {
        let sql = "SELECT tenant FROM members WHERE person = $1 LIMIT 1";
        Ok(self.one(query(sql).bind(person.to_string())).await?.is_some())
    }

    /// Whose member somebody is or was, in whatever state, by tenant.
    pub async fn memberships_anywhere(&mut self, person: PersonId) -> Result<Vec<MemberRow>, StoreError> {
        let statement = query(select!("WHERE m.person = $1 ORDER BY m.tenant"));
        self.all(statement.bind(person.to_string())).await?.iter().map(member_of).collect()
    }

    /// `Conflict` when they are a member already, in whatever state; `Missing` without such a tenant or person. Address
    /// and name are the person's own, whatever the row says; its revision is this transaction's.
    pub async fn insert_member(&mut self, member: &MemberRow) -> Result<(), StoreError> {
        self.require_tenant(member.tenant).await?;
        let person = self.person(member.person).await?;
        let person = person.ok_or_else(|| StoreError::Missing(format!("the person {}", member.person)))?;
        let sql = "INSERT INTO members (tenant, person, state, rank, role, unit, email, name, ended, due, created, \
                   updated, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                   ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(member.tenant.to_string())
            .bind(member.person.to_string())
            .bind(member.state.as_str())
            .bind(member.position.rank.as_str())
            .bind(member.position.name().to_owned())
            .bind(member.unit.map(|unit| unit.to_string()))
            .bind(storable(person.email.as_str()).into_owned())
            .bind(name_key(&person.name))
            .bind(member.ended.map(Timestamp::millis))
            .bind(member.due.map(Timestamp::millis))
            .bind(member.created.millis())
            .bind(member.updated.millis())
            .bind(self.revision());
        if self.execute(statement).await? == 0 {
            return Err(StoreError::Conflict(format!("{} is a member already, or was one", person.email)));
        }
        self.count_members(member.tenant, counted(member.state)).await
    }

    /// Writes state, position, unit and times; sets `updated` and `revision`. `Missing` when they are no member.
    pub async fn update_member(&mut self, member: &MemberRow) -> Result<(), StoreError> {
        let was = self.member(member.tenant, member.person).await?.ok_or_else(|| no_member(member.person))?;
        let sql = "UPDATE members SET state = $3, rank = $4, role = $5, unit = $6, ended = $7, due = $8, updated = $9, \
                   revision = $10 WHERE tenant = $1 AND person = $2";
        let statement = query(sql)
            .bind(member.tenant.to_string())
            .bind(member.person.to_string())
            .bind(member.state.as_str())
            .bind(member.position.rank.as_str())
            .bind(member.position.name().to_owned())
            .bind(member.unit.map(|unit| unit.to_string()))
            .bind(member.ended.map(Timestamp::millis))
            .bind(member.due.map(Timestamp::millis))
            .bind(self.now().millis())
            .bind(self.revision());
        self.execute(statement).await?;
        self.count_members(member.tenant, counted(member.state) - counted(was.state)).await
    }

    /// False when they are no member.
    pub async fn delete_member(&mut self, tenant: TenantId, person: PersonId) -> Result<bool, StoreError> {
        let Some(was) = self.member(tenant, person).await? else { return Ok(false) };
        let sql = "DELETE FROM members WHERE tenant = $1 AND person = $2";
        self.execute(query(sql).bind(tenant.to_string()).bind(person.to_string())).await?;
        self.count_members(tenant, -counted(was.state)).await?;
        Ok(true)
    }

    /// Somebody has another display name: they are found and sorted by it.
    pub(super) async fn rename_in_members(&mut self, person: PersonId, name: &str) -> Result<(), StoreError> {
        let statement = query("UPDATE members SET name = $2 WHERE person = $1");
        self.execute(statement.bind(person.to_string()).bind(name_key(name))).await.map(drop)
    }

    /// All members of a tenant that goes.
    pub(super) async fn delete_members_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM members WHERE tenant = $1").bind(tenant.to_string())).await
    }

    pub(super) async fn delete_member_count_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM member_counts WHERE tenant = $1").bind(tenant.to_string())).await
    }

    async fn count_members(&mut self, tenant: TenantId, more: i64) -> Result<(), StoreError> {
        if more == 0 {
            return Ok(());
        }
        let sql = "INSERT INTO member_counts (tenant, active) VALUES ($1, $2) \
                   ON CONFLICT (tenant) DO UPDATE SET active = member_counts.active + excluded.active";
        self.execute(query(sql).bind(tenant.to_string()).bind(more)).await.map(drop)
    }
}

impl MemberRow {
    /// Where a listing by name goes on after this one.
    pub fn name_cursor(&self) -> String {
        format!("{} {}", self.person, name_key(&self.name))
    }
}

/// The text of a listing, and what it binds between the state and the limit.
fn listing(filter: &MemberFilter, page: &Page) -> (String, Vec<String>) {
    let after = storable(page.after.as_deref().unwrap_or_default()).into_owned();
    let (mut sql, order, mut parts) = match &filter.search {
        MemberSearch::Email(prefix) => {
            let prefix = storable(prefix).into_owned();
            let until = format!("{prefix}\u{10ffff}");
            let sql = "WHERE m.tenant = $1 AND m.state = $2 AND m.email > $3 AND m.email >= $4 AND m.email < $5";
            (sql.to_owned(), "m.email", vec![after, prefix, until])
        }
        MemberSearch::Name(prefix) => {
            let prefix = name_key(prefix);
            let until = format!("{prefix}\u{10ffff}");
            let (person, name) = after.split_once(' ').unwrap_or_default();
            let sql = "WHERE m.tenant = $1 AND m.state = $2 AND (m.name, m.person) > ($3, $4) AND m.name >= $5 \
                       AND m.name < $6";
            (sql.to_owned(), "m.name, m.person", vec![name.to_owned(), person.to_owned(), prefix, until])
        }
    };
    if let Some(role) = &filter.role {
        parts.push(storable(role).into_owned());
        sql.push_str(&format!(" AND m.role = ${}", parts.len() + 2));
    }
    if let Some(unit) = filter.unit {
        parts.push(unit.to_string());
        sql.push_str(&format!(" AND m.unit = ${}", parts.len() + 2));
    }
    (format!("{}{sql} ORDER BY {order} LIMIT ${}", select!(""), parts.len() + 3), parts)
}

/// 1 for one who counts.
fn counted(state: MemberState) -> i64 {
    i64::from(state == MemberState::Active)
}

fn name_key(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    storable(&lower).chars().take(NAME_KEY).collect()
}

fn no_member(person: PersonId) -> StoreError {
    StoreError::Missing(format!("the member {person}"))
}

fn by_key(tenant: TenantId, person: PersonId) -> Statement<'static> {
    query(select!("WHERE m.tenant = $1 AND m.person = $2")).bind(tenant.to_string()).bind(person.to_string())
}

fn count(tenant: TenantId) -> Statement<'static> {
    query("SELECT tenant, active FROM member_counts WHERE tenant = $1").bind(tenant.to_string())
}

fn count_in(row: Option<&AnyRow>) -> Result<u64, StoreError> {
    row.map_or(Ok(0), |row| Ok(Row::new(row, "member_counts", "tenant").int("active")?.max(0).unsigned_abs()))
}

/// What somebody is, from the columns `rank` and `role`.
pub(super) fn position_of(row: &Row<'_>) -> Result<Position, StoreError> {
    let rank = row.parsed("rank", "role", Role::parse)?;
    let custom = match row.text("role")? {
        name if name == rank.as_str() => None,
        _ => Some(row.parsed("role", "role", |text| RoleName::parse(text).ok())?),
    };
    Ok(Position { rank, custom })
}

fn member_of(row: &AnyRow) -> Result<MemberRow, StoreError> {
    let row = Row::new(row, "members", "person");
    Ok(MemberRow {
        tenant: row.tenant("tenant")?,
        person: row.person("person")?,
        email: row.parsed("email", "e-mail address", |text| Email::parse(text).ok())?,
        name: row.text("name")?.to_owned(),
        state: row.parsed("state", "state", MemberState::parse)?,
        position: position_of(&row)?,
        unit: row.optional("unit", "unit id", UnitId::parse)?,
        ended: row.optional_time("ended")?,
        due: row.optional_time("due")?,
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: row.int("revision")?,
    })
}
