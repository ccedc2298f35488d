//! Sessions: of a person with the admin service, by the SHA-256 of what their cookie carries; and what each picked tenancy
//! is at the edge, kept until its signed cookie has expired by itself. A session's secret never comes here.

use sqlx::any::AnyRow;
use sqlx::query;

use super::row::{Row, storable};
use super::{Aside, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Change, PersonId, SessionId, TenantId};

/// A session as stored: SHA-256 of the secret, never the secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRow {
    pub id: SessionId,
    pub hash: [u8; 32],
    pub person: PersonId,
    /// How it was begun: `password`, or the name of a provider.
    pub method: String,
    /// The tenancy picked.
    pub tenant: Option<TenantId>,
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub seen: Timestamp,
    /// When it is over, used or not.
    pub expires: Timestamp,
    pub address: Option<String>,
    /// What the browser calls itself.
    pub agent: Option<String>,
}

/// What a picked tenancy is at the edge: the id that the signed cookie carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SiteSession {
    pub id: SessionId,
    pub session: SessionId,
    pub person: PersonId,
    pub tenant: TenantId,
    pub expires: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, hash, person, method, tenant, created, seen, expires, address, agent FROM sessions ", $rest)
    };
}

impl Store {
    /// The session with this hash, over or not.
    pub async fn session_by_hash(&self, hash: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        let statement = query(select!("WHERE hash = $1")).bind(hash.as_slice());
        self.one(statement).await?.as_ref().map(session_of).transpose()
    }

    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let statement = query(select!("WHERE id = $1")).bind(id.to_string());
        self.one(statement).await?.as_ref().map(session_of).transpose()
    }

    /// A person's sessions that are not over at `now` and were used after `idle_since`, the oldest first. `page.after` is a
    /// session's id.
    pub async fn sessions_of(
        &self,
        person: PersonId,
        (now, idle_since): (Timestamp, Timestamp),
        page: &Page,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let after = storable(page.after.as_deref().unwrap_or_default()).into_owned();
        let statement =
            query(select!("WHERE person = $1 AND id > $2 AND expires > $3 AND seen > $4 ORDER BY id LIMIT $5"));
        let statement = statement.bind(person.to_string()).bind(after).bind(now.millis()).bind(idle_since.millis());
        let statement = statement.bind(page.limit());
        self.all(statement).await?.iter().map(session_of).collect()
    }

    /// The sessions at the edge that were ended before their time, which has not come at `now` yet, with that time: at
    /// most `most`, those that last longest.
    pub async fn ended_sessions(&self, now: Timestamp, most: usize) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        let sql =
            "SELECT id, expires FROM site_sessions WHERE ended = 1 AND expires > $1 ORDER BY expires DESC LIMIT $2";
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.all(query(sql).bind(now.millis()).bind(limit)).await?;
        rows.iter()
            .map(|row| {
                let row = Row::new(row, "site_sessions", "id");
                Ok((row.session("id")?, row.time("expires")?))
            })
            .collect()
    }
}

impl Write {
    pub async fn session(&mut self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let statement = query(select!("WHERE id = $1")).bind(id.to_string());
        self.one(statement).await?.as_ref().map(session_of).transpose()
    }

    pub async fn insert_session(&mut self, session: &SessionRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions (id, hash, person, method, tenant, created, seen, expires, address, agent) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let text = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
        let statement = query(sql)
            .bind(session.id.to_string())
            .bind(session.hash.as_slice())
            .bind(session.person.to_string())
            .bind(session.method.clone())
            .bind(session.tenant.map(|tenant| tenant.to_string()))
            .bind(session.created.millis())
            .bind(session.seen.millis())
            .bind(session.expires.millis())
            .bind(text(&session.address))
            .bind(text(&session.agent));
        self.execute(statement).await.map(drop)
    }

    /// Notes which tenancy a session has picked, and until when that is worth something at the edge. Picked again, it is
    /// the same there; what was picked before lasts. Answers with its id. `Missing` when there is no such session.
    pub async fn pick_tenant(&mut self, site: &SiteSession) -> Result<SessionId, StoreError> {
        let sql = "UPDATE sessions SET tenant = $2 WHERE id = $1";
        let statement = query(sql).bind(site.session.to_string()).bind(site.tenant.to_string());
        if self.execute(statement).await? == 0 {
            return Err(StoreError::Missing(format!("the session {}", site.session)));
        }
        let sql = "UPDATE site_sessions SET expires = $3 WHERE session = $1 AND tenant = $2 AND ended = 0 RETURNING id";
        let statement =
            query(sql).bind(site.session.to_string()).bind(site.tenant.to_string()).bind(site.expires.millis());
        if let Some(row) = self.one(statement).await? {
            return Row::new(&row, "site_sessions", "id").session("id");
        }
        let sql =
            "INSERT INTO site_sessions (id, session, person, tenant, expires, ended) VALUES ($1, $2, $3, $4, $5, 0)";
        let statement = query(sql)
            .bind(site.id.to_string())
            .bind(site.session.to_string())
            .bind(site.person.to_string())
            .bind(site.tenant.to_string())
            .bind(site.expires.millis());
        self.execute(statement).await?;
        Ok(site.id)
    }

    /// Ends a session, here and at the edge. False when there is none of that id.
    pub async fn end_session(&mut self, id: SessionId) -> Result<bool, StoreError> {
        let key = id.to_string();
        let sql = "UPDATE site_sessions SET ended = 1 WHERE session = $1 AND ended = 0 RETURNING id";
        self.end_at_the_edge(sql, key.clone(), None).await?;
        Ok(self.execute(query("DELETE FROM sessions WHERE id = $1").bind(key)).await? > 0)
    }

    /// Ends all sessions of a person but `except`, here and at the edge; returns how many there were here.
    pub async fn end_sessions_of(&mut self, person: PersonId, except: Option<SessionId>) -> Result<u64, StoreError> {
        let (person, except) = (person.to_string(), except.map_or_else(String::new, |id| id.to_string()));
        let sql = "UPDATE site_sessions SET ended = 1 WHERE person = $1 AND session <> $2 AND ended = 0 RETURNING id";
        self.end_at_the_edge(sql, person.clone(), Some(except.clone())).await?;
        let statement = query("DELETE FROM sessions WHERE person = $1 AND id <> $2").bind(person).bind(except);
        self.execute(statement).await
    }

    /// Ends what a person is served of one tenant at the edge: for when they are no member of it any more. Their
    /// sessions go on, with no tenancy picked. Returns how many ended.
    pub async fn end_site_sessions_of(&mut self, person: PersonId, tenant: TenantId) -> Result<u64, StoreError> {
        let (person, tenant) = (person.to_string(), tenant.to_string());
        let sql = "UPDATE sessions SET tenant = NULL WHERE person = $1 AND tenant = $2";
        self.execute(query(sql).bind(person.clone()).bind(tenant.clone())).await?;
        let sql = "UPDATE site_sessions SET ended = 1 WHERE person = $1 AND tenant = $2 AND ended = 0 RETURNING id";
        self.end_at_the_edge(sql, person, Some(tenant)).await
    }

    /// Forgets what was picked of a tenant that goes.
    pub(super) async fn delete_sessions_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        let key = tenant.to_string();
        self.execute(query("UPDATE sessions SET tenant = NULL WHERE tenant = $1").bind(key.clone())).await?;
        self.execute(query("DELETE FROM site_sessions WHERE tenant = $1").bind(key)).await
    }

    /// Runs an update that returns the ids of what it ended, and tells the edges.
    async fn end_at_the_edge(
        &mut self,
        sql: &'static str,
        first: String,
        second: Option<String>,
    ) -> Result<u64, StoreError> {
        let statement = query(sql).bind(first);
        let statement = match second {
            Some(second) => statement.bind(second),
            None => statement,
        };
        let rows = self.all(statement).await?;
        for row in &rows {
            let id = Row::new(row, "site_sessions", "id").session("id")?;
            self.change(Change::Session(id));
        }
        Ok(rows.len() as u64)
    }
}

impl Aside {
    /// A session was used.
    pub async fn touch_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET seen = $2 WHERE id = $1 AND seen < $2";
        let statement = query(sql).bind(id.to_string()).bind(self.now().millis());
        self.execute(statement).await.map(drop)
    }

    /// Forgets the sessions that are over by themselves, and those not used since `idle_since`; returns how many.
    pub async fn prune_sessions(&mut self, idle_since: Timestamp) -> Result<u64, StoreError> {
        let now = self.now().millis();
        let sql = "DELETE FROM sessions WHERE expires <= $1 OR seen <= $2";
        let gone = self.execute(query(sql).bind(now).bind(idle_since.millis())).await?;
        self.execute(query("DELETE FROM site_sessions WHERE expires <= $1").bind(now)).await?;
        Ok(gone)
    }
}

fn session_of(row: &AnyRow) -> Result<SessionRow, StoreError> {
    let row = Row::new(row, "sessions", "id");
    let hash = row.bytes("hash")?;
    Ok(SessionRow {
        id: row.session("id")?,
        hash: hash.try_into().map_err(|_| row.corrupt("hash", format!("{} bytes instead of 32", hash.len())))?,
        person: row.person("person")?,
        method: row.text("method")?.to_owned(),
        tenant: row.optional("tenant", "tenant id", TenantId::parse)?,
        created: row.time("created")?,
        seen: row.time("seen")?,
        expires: row.time("expires")?,
        address: row.optional_text("address")?.map(str::to_owned),
        agent: row.optional_text("agent")?.map(str::to_owned),
    })
}
