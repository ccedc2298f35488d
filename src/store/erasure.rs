//! A person who is to be nobody any more: what is personal goes, and the row stays under its id, so that what names the id
//! (sessions that the edge has to know as ended, lines of the ledger) names somebody who was.

use sqlx::query;

use super::{StoreError, Write};
use crate::model::PersonId;

impl Write {
    /// Erases name, address, password and identities, and ends all sessions and what stands by their rights. Cannot be undone. `Missing` when there is no
    /// such person.
    pub async fn erase_person(&mut self, id: PersonId) -> Result<(), StoreError> {
        self.end_sessions_of(id, None).await?;
        self.delete_tokens_by(id, None).await?;
        self.delete_password_token(id).await?;
        self.execute(query("DELETE FROM identities WHERE person = $1").bind(id.to_string())).await?;
        let sql = "UPDATE people SET email = $2, name = $3, password = NULL, default_tenant = NULL, disabled = 1, \
                   updated = $4, revision = $5 WHERE id = $1";
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
