//! A person who is to be nobody any more: what is personal goes, and the row stays under its id, so that what names the id
//! (sessions that the edge has to know as ended, lines of the ledger) names somebody who was. What the ledger knows of them
//! goes, too, and each chain tells what was taken out of it.

use std::collections::BTreeMap;

use sqlx::query;

use super::row::{Row, storable};
use super::{AuditEntry, Store, StoreError, Write};
use crate::ledger::{ERASE, told_erased};
use crate::model::{MemberState, PersonId, TenantId};

/// What one transaction took out of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    pub values: u64,
    /// There may be more.
    pub more: bool,
}

/// A value that was taken out, as its chain tells of it.
struct Value {
    /// Its line's; `None`: the line is gone.
    number: Option<i64>,
    place: String,
    digest: Vec<u8>,
}

/// Values that one line tells of.
const TOLD: usize = 100;
/// Values that one transaction takes out: others wait for it.
const MOST_TAKEN: usize = 2_000;

impl Store {
    /// Of whom something is still to be taken out of the ledger, and out of which tenant's chain; `None`: out of all, and the
    /// account is to go with it.
    pub async fn erasures(&self, limit: u32) -> Result<Vec<(PersonId, Option<TenantId>)>, StoreError> {
        let sql = "SELECT person, chain FROM erasures ORDER BY person, chain LIMIT $1";
        let rows = self.all(query(sql).bind(i64::from(limit))).await?;
        let erasure = |row| {
            let row = Row::new(row, "erasures", "person");
            let chain = row.text("chain").map(|chain| !chain.is_empty())?.then(|| row.tenant("chain"));
            Ok((row.person("person")?, chain.transpose()?))
        };
        rows.iter().map(erasure).collect()
    }
}

impl Write {
    /// From now on somebody is to be erased, as soon as nobody has them as a member.
    pub async fn set_to_be_erased(&mut self, id: PersonId) -> Result<(), StoreError> {
        let sql = "UPDATE people SET erase_since = $2 WHERE id = $1 AND erase_since IS NULL";
        self.execute(query(sql).bind(id.to_string()).bind(self.now().millis())).await.map(drop)
    }

    pub async fn is_to_be_erased(&mut self, id: PersonId) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM people WHERE id = $1 AND erase_since IS NOT NULL";
        Ok(self.one(query(sql).bind(id.to_string())).await?.is_some())
    }

    /// Those in a tenant, in whatever state, who are to be erased: by this tenant's word, or by another's.
    pub async fn to_be_erased_in(&mut self, tenant: TenantId) -> Result<Vec<PersonId>, StoreError> {
        let sql = "SELECT m.person FROM members m JOIN people p ON p.id = m.person \
                   WHERE m.tenant = $1 AND (m.state = $2 OR p.erase_since IS NOT NULL) ORDER BY m.person";
        let statement = query(sql).bind(tenant.to_string()).bind(MemberState::Purging.as_str());
        self.all(statement).await?.iter().map(|row| Row::new(row, "members", "person").person("person")).collect()
    }

    /// Erases name, address, password and identities, and ends all sessions and tokens. Cannot be undone. `Missing` when
    /// there is no such person.
    pub async fn erase_person(&mut self, id: PersonId) -> Result<(), StoreError> {
        self.end_sessions_of(id, None).await?;
        self.delete_tokens_by(id, None).await?;
        self.delete_password_token(id).await?;
        self.execute(query("DELETE FROM identities WHERE person = $1").bind(id.to_string())).await?;
        self.execute(query("DELETE FROM erasures WHERE person = $1").bind(id.to_string())).await?;
        let sql = "UPDATE people SET email = $2, name = $3, password = NULL, default_tenant = NULL, disabled = 1, \
                   erase_since = NULL, updated = $4, revision = $5 WHERE id = $1";
        // A domain that never is one (RFC 2606 §2), so that nobody is written to.
        let statement = query(sql)
            .bind(id.to_string())
            .bind(format!("{id}@erased.invalid"))
            .bind("(erased)")
            .bind(self.now().millis())
            .bind(self.revision());
        match self.execute(statement).await? {
            0 => Err(StoreError::Missing(format!("the person {id}"))),
            _ => Ok(()),
        }
    }

    /// Erases what the ledger knows of a person: the values kept under each of these keys, which are the person's id and
    /// e-mail address; in one chain or in all, and as many as one transaction may take. The lines stay, and their chains
    /// verify: each has a line more that tells what went.
    pub async fn erase_from_audit(&mut self, keys: &[&str], chain: Option<TenantId>) -> Result<Taken, StoreError> {
        let mut gone: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut room = MOST_TAKEN;
        for key in keys {
            let key = if key.contains('@') { key.to_lowercase() } else { (*key).to_owned() };
            let key = storable(&key).into_owned();
            let mut next = match chain {
                Some(chain) => Some(chain.to_string()),
                None => self.chain_naming(&key).await?,
            };
            while let Some(name) = next.take().filter(|_| room > 0) {
                let values = self.take_values(&key, &name, room).await?;
                room = room.saturating_sub(values.len());
                gone.entry(name).or_default().extend(values);
                if chain.is_none() {
                    next = self.chain_naming(&key).await?;
                }
            }
        }
        let taken = Taken { values: gone.values().map(|values| values.len() as u64).sum(), more: room == 0 };
        // A value whose line is gone is a fault already, and none that a line could tell of.
        let told = |(chain, values): (&String, &[Value])| {
            let values =
                values.iter().filter_map(|value| Some((value.number?, value.place.as_str(), &value.digest[..])));
            AuditEntry {
                actor: "system".to_owned(),
                action: ERASE.to_owned(),
                tenant: TenantId::parse(chain),
                subject: "audit".to_owned(),
                detail: told_erased(values),
                ..AuditEntry::default()
            }
        };
        let in_chains = gone.iter().filter(|(chain, _)| !chain.is_empty());
        let told = in_chains.flat_map(|(chain, values)| values.chunks(TOLD).map(move |values| told((chain, values))));
        let told: Vec<_> = told.collect();
        self.audit_all(&told).await?;
        Ok(taken)
    }

    /// The first chain in which something stands under that key.
    async fn chain_naming(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT MIN(chain) AS chain FROM audit_personal WHERE person = $1";
        let row = self.one(query(sql).bind(key.to_owned())).await?;
        let chain =
            row.as_ref().map(|row| Row::new(row, "audit_personal", "chain").optional_text("chain")).transpose()?;
        Ok(chain.flatten().map(str::to_owned))
    }

    /// Takes out what stands under that key in a chain, of its first lines: `room` values, and all of the last line.
    async fn take_values(&mut self, key: &str, chain: &str, room: usize) -> Result<Vec<Value>, StoreError> {
        let sql = "SELECT line FROM audit_personal WHERE person = $1 AND chain = $2 ORDER BY line LIMIT 1 OFFSET $3";
        let behind = i64::try_from(room.saturating_sub(1)).unwrap_or(i64::MAX);
        let row = self.one(query(sql).bind(key.to_owned()).bind(chain.to_owned()).bind(behind)).await?;
        let last = row.map_or(Ok(i64::MAX), |row| Row::new(&row, "audit_personal", "line").int("line"))?;
        let sql = "SELECT l.number, p.place, p.digest FROM audit_personal p LEFT JOIN audit l ON l.id = p.line \
                   WHERE p.person = $1 AND p.chain = $2 AND p.line <= $3 ORDER BY p.line, p.place";
        let rows = self.all(query(sql).bind(key.to_owned()).bind(chain.to_owned()).bind(last)).await?;
        let sql = "UPDATE audit_personal SET person = NULL, salt = NULL, value = NULL \
                   WHERE person = $1 AND chain = $2 AND line <= $3";
        self.execute(query(sql).bind(key.to_owned()).bind(chain.to_owned()).bind(last)).await?;
        let values = rows.iter().map(|row| {
            let row = Row::new(row, "audit_personal", "place");
            let (place, digest) = (row.text("place")?.to_owned(), row.bytes("digest")?.to_vec());
            Ok(Value { number: row.optional_int("number")?, place, digest })
        });
        values.collect()
    }
}

impl Write {
    /// Something of somebody is still to be taken out of that chain; `None`: out of all, and the account is to go with it.
    pub async fn put_erasure(&mut self, of: PersonId, chain: Option<TenantId>) -> Result<(), StoreError> {
        let sql = "INSERT INTO erasures (person, chain, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let chain = chain.map(|chain| chain.to_string()).unwrap_or_default();
        let statement = query(sql).bind(of.to_string()).bind(chain).bind(self.now().millis());
        self.execute(statement).await.map(drop)
    }

    /// Nothing is, any more.
    pub async fn delete_erasure(&mut self, of: PersonId, chain: Option<TenantId>) -> Result<(), StoreError> {
        let statement = query("DELETE FROM erasures WHERE person = $1 AND chain = $2").bind(of.to_string());
        let chain = chain.map(|chain| chain.to_string()).unwrap_or_default();
        self.execute(statement.bind(chain)).await.map(drop)
    }
}
