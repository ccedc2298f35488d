//! A person who is to be nobody any more: what is personal goes, and the row stays under its id, so that what names the id
//! (sessions that the edge has to know as ended, lines of the ledger) names somebody who was. What the ledger knows of them
//! goes, too, and each chain tells what was taken out of it.

use std::collections::BTreeMap;

use sqlx::query;

use super::row::{Row, storable};
use super::{AuditEntry, Store, StoreError, Write};
use crate::ledger::{ERASE, told_erased};
use crate::model::{MemberState, PersonId, TenantId};

/// Values that one line tells of.
const TOLD: usize = 100;

impl Store {
    /// The id of the last line of which something was erased before erasures were told of; 0: none was.
    pub async fn untold_erasures(&self) -> Result<i64, StoreError> {
        let row = self.one(query("SELECT erased FROM audit_start WHERE id = 1")).await?;
        row.as_ref().map_or(Ok(0), |row| Row::new(row, "audit_start", "erased").int("erased"))
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

    /// Erases from the ledger what it knows of a person: the values kept under each of these keys, which are the person's
    /// id and e-mail addresses. The lines stay, and their chains verify: each has a line more that tells what went. Returns
    /// how many values that were.
    pub async fn erase_from_audit(&mut self, keys: &[&str]) -> Result<u64, StoreError> {
        let mut gone: BTreeMap<String, Vec<(i64, String, Vec<u8>)>> = BTreeMap::new();
        let mut erased = 0;
        for key in keys {
            let key = if key.contains('@') { key.to_lowercase() } else { (*key).to_owned() };
            let key = storable(&key).into_owned();
            let sql = "SELECT l.chain, l.number, p.place, p.digest FROM audit_personal p JOIN audit l ON l.id = p.line \
                       WHERE p.person = $1 AND l.chain IS NOT NULL ORDER BY l.chain, l.number, p.place";
            for row in &self.all(query(sql).bind(key.clone())).await? {
                let row = Row::new(row, "audit_personal", "place");
                let value = (row.int("number")?, row.text("place")?.to_owned(), row.bytes("digest")?.to_vec());
                gone.entry(row.text("chain")?.to_owned()).or_default().push(value);
            }
            let sql = "UPDATE audit_personal SET person = NULL, salt = NULL, value = NULL WHERE person = $1";
            erased += self.execute(query(sql).bind(key)).await?;
        }
        let told = gone.iter().flat_map(|(chain, values)| values.chunks(TOLD).map(move |values| (chain, values)));
        let told = told.map(|(chain, values)| AuditEntry {
            actor: "system".to_owned(),
            action: ERASE.to_owned(),
            tenant: TenantId::parse(chain),
            subject: "audit".to_owned(),
            detail: told_erased(values.iter().map(|(number, place, digest)| (*number, place.as_str(), &digest[..]))),
            ..AuditEntry::default()
        });
        let told: Vec<_> = told.collect();
        self.audit_all(&told).await?;
        Ok(erased)
    }
}
