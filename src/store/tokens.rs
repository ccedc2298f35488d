//! API tokens, by the SHA-256 of their secret. The secret itself never comes here.

use sqlx::any::AnyRow;
use sqlx::query;

use super::row::{Row, storable};
use super::{Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// An API token as stored: SHA-256 of the secret, never the secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRow {
    pub name: String,
    pub hash: [u8; 32],
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
}

impl Store {
    /// The token with this hash, expired or not.
    pub async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let statement = query("SELECT name, hash, created, expires FROM tokens WHERE hash = $1").bind(hash.as_slice());
        self.one(statement).await?.as_ref().map(token_of).transpose()
    }

    /// All tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.all(query("SELECT name, hash, created, expires FROM tokens ORDER BY name"))
            .await?
            .iter()
            .map(token_of)
            .collect()
    }
}

impl Write {
    /// `Conflict` when there is one of that name (or secret).
    pub async fn insert_token(&mut self, token: &TokenRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (name, hash, created, expires) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(storable(&token.name).into_owned())
            .bind(token.hash.as_slice())
            .bind(token.created.millis())
            .bind(token.expires.map(Timestamp::millis));
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict(format!("a token named {} exists already", token.name))),
            _ => Ok(()),
        }
    }

    /// False when there is none of that name.
    pub async fn delete_token(&mut self, name: &str) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM tokens WHERE name = $1").bind(storable(name).into_owned());
        Ok(self.execute(statement).await? > 0)
    }

    /// Removes the tokens of a tenant's own.
    pub(super) async fn delete_tokens_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM tokens WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

fn token_of(row: &AnyRow) -> Result<TokenRow, StoreError> {
    let row = Row::new(row, "tokens", "name");
    let hash = row.bytes("hash")?;
    Ok(TokenRow {
        name: row.text("name")?.to_owned(),
        hash: hash.try_into().map_err(|_| row.corrupt("hash", format!("{} bytes instead of 32", hash.len())))?,
        created: row.time("created")?,
        expires: row.optional_time("expires")?,
    })
}
