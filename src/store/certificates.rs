//! Certificates. The private key is sealed for its own row before it gets near a statement.

use sqlx::query;
use zeroize::Zeroizing;

use super::row::{Row, to_json};
use super::{Store, StoreError, Write};
use crate::model::{Certificate, Change, TenantId};

impl Store {
    /// The newest unexpired certificate that carries exactly this name (wildcards are names of their own). The newest
    /// is the one stored last, whenever it ends.
    pub async fn certificate(&self, name: &str) -> Result<Option<Certificate>, StoreError> {
        let sql = "SELECT c.id, c.names, c.chain, c.sealed_key, c.not_after FROM certificate_names n \
                   JOIN certificates c ON c.id = n.certificate WHERE n.name = $1 AND c.not_after > $2 \
                   ORDER BY c.revision DESC, c.id DESC LIMIT 1";
        let now = self.0.clock.now().millis();
        let Some(row) = self.one(query(sql).bind(super::row::storable(name).into_owned()).bind(now)).await? else {
            return Ok(None);
        };
        let row = Row::new(&row, "certificates", "id");
        let id = row.text("id")?.to_owned();
        let mut key = self.0.sealer.open(&purpose(&id), row.bytes("sealed_key")?)?;
        let key = String::from_utf8(std::mem::take(&mut *key)).map(Zeroizing::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            row.corrupt("sealed_key", "it opens, but is no PEM text".into())
        })?;
        Ok(Some(Certificate {
            id,
            names: row.json("names")?,
            chain: row.text("chain")?.to_owned(),
            key,
            not_after: row.time("not_after")?,
        }))
    }
}

impl Write {
    /// `Conflict` when there is one of that id. Notes each of its names.
    pub async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError> {
        let id = certificate.id.as_str();
        let sealed = self.store().0.sealer.seal(&purpose(id), certificate.key.as_bytes())?;
        let sql = "INSERT INTO certificates (id, names, chain, sealed_key, not_after, created, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(id)
            .bind(to_json(&certificate.names)?)
            .bind(certificate.chain.as_str())
            .bind(sealed)
            .bind(certificate.not_after.millis())
            .bind(self.now().millis())
            .bind(self.revision());
        if self.execute(statement).await? == 0 {
            return Err(StoreError::Conflict(format!("a certificate with the id {id} exists already")));
        }
        for name in &certificate.names {
            let sql = "INSERT INTO certificate_names (name, certificate) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.execute(query(sql).bind(name.as_str()).bind(id)).await?;
            self.change(Change::Certificate(name.clone()));
        }
        Ok(())
    }

    /// Removes the certificates all of whose names this tenant holds; returns how many. One that covers another
    /// tenant's name too stays.
    pub(super) async fn delete_certificates_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        let sql = "SELECT n.certificate, n.name FROM certificate_names n WHERE n.certificate IN \
                   (SELECT m.certificate FROM certificate_names m JOIN domains d ON d.name = m.name \
                    WHERE d.tenant = $1 AND d.state IN ('verified', 'live', 'moved')) \
                   AND NOT EXISTS (SELECT 1 FROM certificate_names o WHERE o.certificate = n.certificate \
                    AND NOT EXISTS (SELECT 1 FROM domains d WHERE d.name = o.name AND d.tenant = $1 \
                     AND d.state IN ('verified', 'live', 'moved'))) \
                   ORDER BY n.certificate";
        let rows = self.all(query(sql).bind(tenant.to_string())).await?;
        let mut removed = 0;
        for row in &rows {
            let row = Row::new(row, "certificate_names", "certificate");
            let (id, name) = (row.text("certificate")?, row.text("name")?);
            let statement = query("DELETE FROM certificate_names WHERE certificate = $1 AND name = $2");
            self.execute(statement.bind(id).bind(name)).await?;
            self.change(Change::Certificate(name.into()));
            let statement = query(
                "DELETE FROM certificates WHERE id = $1 \
                 AND NOT EXISTS (SELECT 1 FROM certificate_names WHERE certificate = $1)",
            );
            removed += self.execute(statement.bind(id)).await?;
        }
        Ok(removed)
    }
}

fn purpose(id: &str) -> String {
    format!("certificates/{id}")
}
