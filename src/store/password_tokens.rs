//! By which somebody sets a password once, by the SHA-256 of each. The token itself never comes here. A person has one at
//! the most.

use sqlx::query;

use super::row::Row;
use super::{Aside, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::PersonId;

impl Store {
    /// Whose token has this hash, if its time is not over.
    pub async fn password_token(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<PersonId>, StoreError> {
        let sql = "SELECT person FROM password_tokens WHERE hash = $1 AND expires > $2";
        let row = self.one(query(sql).bind(hash.as_slice()).bind(now.millis())).await?;
        row.map(|row| Row::new(&row, "password_tokens", "person").person("person")).transpose()
    }
}

impl Write {
    /// The same, while nobody else can write.
    pub async fn password_token(&mut self, hash: &[u8; 32]) -> Result<Option<PersonId>, StoreError> {
        let sql = "SELECT person FROM password_tokens WHERE hash = $1 AND expires > $2";
        let now = self.now().millis();
        let row = self.one(query(sql).bind(hash.as_slice()).bind(now)).await?;
        row.map(|row| Row::new(&row, "password_tokens", "person").person("person")).transpose()
    }

    /// Takes the place of the one that the person had before.
    pub async fn put_password_token(
        &mut self,
        person: PersonId,
        hash: &[u8; 32],
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        self.delete_password_token(person).await?;
        let sql = "INSERT INTO password_tokens (person, hash, created, expires) VALUES ($1, $2, $3, $4)";
        let now = self.now().millis();
        let statement = query(sql).bind(person.to_string()).bind(hash.as_slice()).bind(now).bind(expires.millis());
        self.execute(statement).await.map(drop)
    }

    pub async fn delete_password_token(&mut self, person: PersonId) -> Result<(), StoreError> {
        self.execute(query("DELETE FROM password_tokens WHERE person = $1").bind(person.to_string())).await.map(drop)
    }
}

impl Aside {
    /// Forgets those whose time is over; returns how many.
    pub async fn prune_password_tokens(&mut self) -> Result<u64, StoreError> {
        let now = self.now().millis();
        self.execute(query("DELETE FROM password_tokens WHERE expires <= $1").bind(now)).await
    }
}
