//! Calls that came with an idempotency key: begun once, and answered again as they were answered. What the answer means is
//! not known here, and it is kept sealed.

use sqlx::query;
use zeroize::Zeroizing;

use super::row::{Row, storable};
use super::{Aside, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// A call with an idempotency key.
#[derive(Clone, Debug)]
pub struct CallRow {
    /// Who calls and the key, hashed.
    pub id: String,
    /// What is asked, hashed.
    pub fingerprint: [u8; 32],
    pub begun: Timestamp,
    pub request_id: Option<String>,
}

/// A call of that key that was there before.
pub struct EarlierCall {
    pub row: CallRow,
    /// `None`: it is under way, or its answer was lost.
    pub answer: Option<Zeroizing<Vec<u8>>>,
}

impl Store {
    /// The call of this id, if there was one.
    pub async fn call(&self, id: &str) -> Result<Option<EarlierCall>, StoreError> {
        let sql = "SELECT id, fingerprint, begun, request_id, answer FROM calls WHERE id = $1";
        let Some(row) = self.one(query(sql).bind(id.to_owned())).await? else { return Ok(None) };
        let row = Row::new(&row, "calls", "id");
        let fingerprint = row.bytes("fingerprint")?.try_into();
        let fingerprint = fingerprint.map_err(|_| row.corrupt("fingerprint", "it has not 32 bytes".into()))?;
        let answer = match row.optional_bytes("answer")? {
            // Sealed under a key that is gone: lost.
            Some(sealed) => self.0.sealer.open(&purpose(id), sealed).ok(),
            None => None,
        };
        let (begun, request_id) = (row.time("begun")?, row.optional_text("request_id")?.map(str::to_owned));
        Ok(Some(EarlierCall { row: CallRow { id: id.to_owned(), fingerprint, begun, request_id }, answer }))
    }

    /// Whether a write of this actor's under that request id has been committed since `begun`: a look through the newest
    /// lines of the ledger, for the rare call whose answer was lost.
    /// Tokens of two tenants may bear one name: with `tenant`, only lines of that one count.
    pub async fn was_done(
        &self,
        actor: &str,
        tenant: Option<TenantId>,
        request_id: &str,
        begun: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM audit WHERE at >= $1 AND actor = $2 AND request_id = $3 \
                   AND ($4 = '' OR tenant = $4) LIMIT 1";
        let statement = query(sql).bind(begun.millis()).bind(storable(actor).into_owned());
        let statement = statement
            .bind(storable(request_id).into_owned())
            .bind(tenant.map(|tenant| tenant.to_string()).unwrap_or_default());
        Ok(self.one(statement).await?.is_some())
    }
}

impl Aside {
    /// Begins a call. False when one of that id is there already.
    pub async fn begin_call(&mut self, call: &CallRow) -> Result<bool, StoreError> {
        let sql =
            "INSERT INTO calls (id, fingerprint, begun, request_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(call.id.clone())
            .bind(call.fingerprint.as_slice())
            .bind(call.begun.millis())
            .bind(call.request_id.as_deref().map(|id| storable(id).into_owned()));
        Ok(self.execute(statement).await? > 0)
    }

    /// Keeps what a call was answered, if it is still the one that began then.
    pub async fn answer_call(&mut self, call: &CallRow, answer: &[u8]) -> Result<(), StoreError> {
        let sealed = self.store().0.sealer.seal(&purpose(&call.id), answer)?;
        let sql = "UPDATE calls SET answer = $2 WHERE id = $1 AND begun = $3";
        let statement = query(sql).bind(call.id.clone()).bind(sealed).bind(call.begun.millis());
        self.execute(statement).await.map(drop)
    }

    /// Forgets a call that did nothing, if it is still the one that began then.
    pub async fn forget_call(&mut self, id: &str, begun: Timestamp) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM calls WHERE id = $1 AND begun = $2 AND answer IS NULL");
        Ok(self.execute(statement.bind(id.to_owned()).bind(begun.millis())).await? > 0)
    }

    /// Forgets calls that began before.
    pub async fn prune_calls(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM calls WHERE begun < $1").bind(before.millis())).await
    }
}

fn purpose(id: &str) -> String {
    format!("calls/{id}")
}
