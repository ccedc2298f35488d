//! A person who is to be nobody any more: what is personal goes, and the row stays under its id, so that what names the id
//! (sessions that the edge has to know as ended, lines of the ledger) names somebody who was.

use sqlx::query;

use super::row::Row;
use super::{StoreError, Write};
use crate::model::{MemberState, PersonId, TenantId};

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

    /// Erases name, address, password and identities, and ends all sessions. Cannot be undone. `Missing` when there is no
    /// such person.
    pub async fn erase_person(&mut self, id: PersonId) -> Result<(), StoreError> {
        self.end_sessions_of(id, None).await?;
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
}
