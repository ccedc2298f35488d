//! Answers to ACME challenges, for any node to give while the CA asks (RFC 8555 §8). They are public: nothing is sealed.

use sqlx::query;

use super::row::{Row, storable};
use super::{Aside, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::Change;

impl Store {
    /// The key authorization for an http-01 token or a tls-alpn-01 name, while its challenge is pending.
    pub async fn challenge(&self, key: &str) -> Result<Option<String>, StoreError> {
        let statement = query("SELECT id, answer FROM challenges WHERE id = $1 AND expires > $2");
        let statement = statement.bind(storable(key).into_owned()).bind(self.0.clock.now().millis());
        let row = self.one(statement).await?;
        row.map(|row| Row::new(&row, "challenges", "id").text("answer").map(str::to_owned)).transpose()
    }
}

impl Aside {
    /// Takes answers back. Nobody remembers one, so nobody is told.
    pub async fn retract_challenges(&mut self, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            self.execute(query("DELETE FROM challenges WHERE id = $1").bind(storable(key).into_owned())).await?;
        }
        Ok(())
    }
}

impl Write {
    /// Puts or replaces an answer. Notes the challenge; expired answers, whoever left them, go on the way.
    pub async fn put_challenge(&mut self, key: &str, answer: &str, expires: Timestamp) -> Result<(), StoreError> {
        self.execute(query("DELETE FROM challenges WHERE expires <= $1").bind(self.now().millis())).await?;
        let sql = "INSERT INTO challenges (id, answer, expires) VALUES ($1, $2, $3) \
                   ON CONFLICT (id) DO UPDATE SET answer = excluded.answer, expires = excluded.expires";
        self.execute(query(sql).bind(key).bind(answer).bind(expires.millis())).await?;
        self.change(Change::Challenge(key.to_owned()));
        Ok(())
    }
}
