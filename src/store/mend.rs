//! Keys for lists and searches where a program of an earlier schema wrote none: when the store is opened, and now and then
//! while such a program is being replaced. Nothing else of a row changes, so no revision is taken.

use sqlx::query;

use super::row::Row;
use super::search::name_key;
use super::{Store, StoreError};
use crate::model::{DomainName, later_words, reversed_labels};

const BATCH: i64 = 500;

impl Store {
    /// Fills in what is missing; returns of how many rows.
    pub async fn mend_keys(&self) -> Result<u64, StoreError> {
        let mut mended = 0;
        loop {
            let some = self.mend_tenants().await? + self.mend_domains().await?;
            mended += some;
            if some == 0 {
                if mended > 0 {
                    tracing::info!(rows = mended, "store.keys_mended: another program wrote them without");
                }
                return Ok(mended);
            }
        }
    }

    async fn mend_tenants(&self) -> Result<u64, StoreError> {
        let sql = "SELECT id, slug, name FROM tenants WHERE name_key = '' LIMIT $1";
        let rows = self.all(query(sql).bind(BATCH)).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut aside = self.aside().await?;
        for row in &rows {
            let row = Row::new(row, "tenants", "id");
            let (id, slug, key) = (row.text("id")?, row.text("slug")?, name_key(row.text("name")?));
            // Of a name that is blank there is no key; the slug is one.
            let key = if key.is_empty() { slug.to_owned() } else { key };
            let sql = "UPDATE tenants SET name_key = $2 WHERE id = $1 AND name_key = ''";
            if aside.execute(query(sql).bind(id).bind(&key)).await? > 0 {
                for word in later_words(&key) {
                    let sql = "INSERT INTO tenant_words (word, slug) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                    aside.execute(query(sql).bind(word).bind(slug)).await?;
                }
            }
        }
        aside.commit().await?;
        Ok(rows.len() as u64)
    }

    async fn mend_domains(&self) -> Result<u64, StoreError> {
        let sql = "SELECT name, tenant FROM domains WHERE reversed = '' LIMIT $1";
        let rows = self.all(query(sql).bind(BATCH)).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut aside = self.aside().await?;
        for row in &rows {
            let row = Row::new(row, "domains", "name");
            let name = row.parsed("name", "domain", |text| DomainName::parse(text).ok())?;
            let sql = "UPDATE domains SET reversed = $3 WHERE name = $1 AND tenant = $2";
            let statement = query(sql).bind(row.text("name")?).bind(row.text("tenant")?).bind(reversed_labels(&name));
            aside.execute(statement).await?;
        }
        aside.commit().await?;
        Ok(rows.len() as u64)
    }
}
