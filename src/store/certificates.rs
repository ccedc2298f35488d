//! Certificates. The private key is sealed for its own row before it gets near a statement.

use sqlx::any::AnyRow;
use sqlx::query;
use zeroize::Zeroizing;

use super::row::{Row, storable, to_json};
use super::{Aside, CertificateFilter, CertificateSort, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Certificate, CertificateSource, Change, TenantId};

/// A certificate without its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRow {
    pub id: String,
    pub names: Vec<String>,
    /// PEM, leaf first.
    pub chain: String,
    pub source: CertificateSource,
    /// The configured name of the authority; empty where that is not known.
    pub authority: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub created: Timestamp,
    pub revoked: Option<Timestamp>,
    /// Whose it was when it was stored. `None`: the operators', or not known.
    pub tenant: Option<TenantId>,
    pub revision: i64,
}

/// Which of several certificates for a name is served: one brought by its owner before ours, then the newest, which is
/// the one stored last, whenever it ends.
macro_rules! best {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM certificate_names n JOIN certificates c ON c.id = n.certificate \
             WHERE n.name = $1 AND c.not_after > $2 AND c.revoked IS NULL \
             ORDER BY CASE c.source WHEN 'uploaded' THEN 0 ELSE 1 END, c.revision DESC, c.id DESC LIMIT 1"
        )
    };
}

/// What [`row_of`] reads, wherever a certificate is asked for.
macro_rules! columns {
    () => {
        "id, names, chain, source, authority, not_before, not_after, created, revoked, tenant, revision"
    };
}
pub(super) use columns;

macro_rules! select {
    ($($rest:expr),+) => {
        concat!("SELECT ", columns!(), " FROM certificates c ", $($rest),+)
    };
}

impl Store {
    /// The certificate that this name is to be served with: unexpired, not revoked, and carrying exactly this name
    /// (wildcards are names of their own).
    pub async fn certificate(&self, name: &str) -> Result<Option<Certificate>, StoreError> {
        let sql = best!("c.id, c.names, c.chain, c.sealed_key, c.not_before, c.not_after, c.source, c.authority");
        let now = self.0.clock.now().millis();
        let row = self.one(query(sql).bind(storable(name).into_owned()).bind(now)).await?;
        row.map(|row| self.unsealed(&row)).transpose()
    }

    /// The id of the certificate that [`Store::certificate`] would give, without opening its key.
    pub async fn certificate_in_use(&self, name: &str) -> Result<Option<String>, StoreError> {
        let statement = query(best!("c.id")).bind(storable(name).into_owned()).bind(self.0.clock.now().millis());
        let row = self.one(statement).await?;
        row.map(|row| Row::new(&row, "certificates", "id").text("id").map(str::to_owned)).transpose()
    }

    pub async fn certificate_row(&self, id: &str) -> Result<Option<CertificateRow>, StoreError> {
        let statement = query(select!("WHERE c.id = $1")).bind(storable(id).into_owned());
        self.one(statement).await?.as_ref().map(row_of).transpose()
    }

    /// The certificates for exactly this name, the newest first, expired and revoked ones included: at most [`Page::MOST`].
    pub async fn certificates_for(&self, name: &str) -> Result<Vec<CertificateRow>, StoreError> {
        let filter = CertificateFilter { name: Some(name.to_owned()), ..CertificateFilter::default() };
        let page = Page { limit: Page::MOST, after: None };
        Ok(self.list_certificates(&filter, CertificateSort::Id, true, &page).await?.rows)
    }

    /// The end of the certificate that ends first among those not revoked that end after `now`.
    pub async fn soonest_expiry(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT MIN(not_after) AS not_after FROM certificates WHERE not_after > $1 AND revoked IS NULL";
        let row = self.one(query(sql).bind(now.millis())).await?;
        row.map_or(Ok(None), |row| Row::new(&row, "certificates", "not_after").optional_time("not_after"))
    }

    /// How many names that are still wanted (a domain somebody holds, or an order) have nothing after `until`, though
    /// they have a certificate now.
    pub async fn names_ending(&self, now: Timestamp, until: Timestamp) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(DISTINCT n.name) AS count FROM certificates c \
                   JOIN certificate_names n ON n.certificate = c.id \
                   WHERE c.not_after > $1 AND c.not_after <= $2 AND c.revoked IS NULL \
                   AND NOT EXISTS (SELECT 1 FROM certificate_names m JOIN certificates l ON l.id = m.certificate \
                   WHERE m.name = n.name AND l.not_after > $2 AND l.revoked IS NULL) \
                   AND (EXISTS (SELECT 1 FROM orders o WHERE o.name = n.name) \
                   OR EXISTS (SELECT 1 FROM domains d WHERE d.name = n.name AND d.state IN ('verified', 'live', 'moved')))";
        let row = self.one(query(sql).bind(now.millis()).bind(until.millis())).await?;
        row.map_or(Ok(0), |row| Row::new(&row, "certificates", "count").int("count"))
    }

    fn unsealed(&self, row: &AnyRow) -> Result<Certificate, StoreError> {
        let row = Row::new(row, "certificates", "id");
        let id = row.text("id")?.to_owned();
        let mut key = self.0.sealer.open(&purpose(&id), row.bytes("sealed_key")?)?;
        let key = String::from_utf8(std::mem::take(&mut *key)).map(Zeroizing::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            row.corrupt("sealed_key", "it opens, but is no PEM text".into())
        })?;
        Ok(Certificate {
            id,
            names: row.json("names")?,
            chain: row.text("chain")?.to_owned(),
            key,
            not_before: row.time("not_before")?,
            not_after: row.time("not_after")?,
            source: row.parsed("source", "source of a certificate", CertificateSource::parse)?,
            authority: row.text("authority")?.to_owned(),
        })
    }
}

impl Write {
    /// `Conflict` when there is one of that id. It is the tenant's that holds the first of its names that anybody holds, and
    /// stays that tenant's. Notes each of its names.
    pub async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError> {
        let id = certificate.id.as_str();
        let sealed = self.store().0.sealer.seal(&purpose(id), certificate.key.as_bytes())?;
        let tenant = self.holder_of(&certificate.names).await?;
        let sql = "INSERT INTO certificates \
                   (id, names, chain, sealed_key, not_after, created, revision, source, authority, not_before, tenant) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(id)
            .bind(to_json(&certificate.names)?)
            .bind(certificate.chain.as_str())
            .bind(sealed)
            .bind(certificate.not_after.millis())
            .bind(self.now().millis())
            .bind(self.revision())
            .bind(certificate.source.as_str())
            .bind(certificate.authority.as_str())
            .bind(certificate.not_before.millis())
            .bind(tenant);
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

    /// Who holds the first of these names that anybody holds. Name by name: joined, the engine may begin with everything
    /// that is held.
    async fn holder_of(&mut self, names: &[String]) -> Result<Option<String>, StoreError> {
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        for name in names {
            if let Some(tenant) = self.holder(name).await? {
                return Ok(Some(tenant.to_string()));
            }
        }
        Ok(None)
    }

    /// A certificate that is not to be served any more; its row stays. `Missing` when there is none of that id. Notes
    /// each of its names.
    pub async fn revoke_certificate(&mut self, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET revoked = $2 WHERE id = $1";
        let statement = query(sql).bind(storable(id).into_owned()).bind(self.now().millis());
        if self.execute(statement).await? == 0 {
            return Err(StoreError::Missing(format!("the certificate {id}")));
        }
        self.note_names(id).await
    }

    /// Removes a certificate with its key. `Missing` when there is none of that id. Notes each of its names.
    pub async fn delete_certificate(&mut self, id: &str) -> Result<(), StoreError> {
        self.note_names(id).await?;
        self.execute(query("DELETE FROM certificate_names WHERE certificate = $1").bind(storable(id).into_owned()))
            .await?;
        let statement = query("DELETE FROM certificates WHERE id = $1").bind(storable(id).into_owned());
        match self.execute(statement).await? {
            0 => Err(StoreError::Missing(format!("the certificate {id}"))),
            _ => Ok(()),
        }
    }

    /// Removes the certificates that are this tenant's, or all of whose names it holds, with their keys; returns how many.
    /// One that is for another tenant's name too stays.
    pub(super) async fn delete_certificates_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        // The state is no column in the last part, but an expression: else all names that are held would be gone through.
        let sql = "SELECT n.certificate, n.name FROM certificate_names n \
                   WHERE (n.certificate IN (SELECT id FROM certificates WHERE tenant = $1) \
                    OR n.certificate IN (SELECT m.certificate FROM certificate_names m JOIN domains d ON d.name = m.name \
                     WHERE d.tenant = $1 AND d.state IN ('verified', 'live', 'moved') \
                     AND NOT EXISTS (SELECT 1 FROM certificate_names o WHERE o.certificate = m.certificate \
                      AND NOT EXISTS (SELECT 1 FROM domains d WHERE d.name = o.name AND d.tenant = $1 \
                       AND d.state IN ('verified', 'live', 'moved'))))) \
                   AND NOT EXISTS (SELECT 1 FROM certificate_names o JOIN domains d ON d.name = o.name \
                    WHERE o.certificate = n.certificate AND d.tenant <> $1 \
                    AND d.state || '' IN ('verified', 'live', 'moved')) \
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

    async fn note_names(&mut self, id: &str) -> Result<(), StoreError> {
        let sql = "SELECT certificate, name FROM certificate_names WHERE certificate = $1";
        let rows = self.all(query(sql).bind(storable(id).into_owned())).await?;
        for row in &rows {
            let name = Row::new(row, "certificate_names", "certificate").text("name")?.to_owned();
            self.change(Change::Certificate(name));
        }
        Ok(())
    }
}

impl Aside {
    /// Forgets certificates that ended before `before`, at most `limit` at a time; returns how many. Nobody is told:
    /// what has ended is served by nobody.
    pub async fn prune_certificates(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        const ENDED: &str = "SELECT id FROM certificates WHERE not_after < $1 ORDER BY not_after LIMIT $2";
        let names = concat!(
            "DELETE FROM certificate_names WHERE certificate IN ",
            "(SELECT id FROM certificates WHERE not_after < $1 ORDER BY not_after LIMIT $2)"
        );
        self.execute(query(names).bind(before.millis()).bind(i64::from(limit))).await?;
        let rows = self.all(query(ENDED).bind(before.millis()).bind(i64::from(limit))).await?;
        for row in &rows {
            let id = Row::new(row, "certificates", "id").text("id")?.to_owned();
            self.execute(query("DELETE FROM certificates WHERE id = $1").bind(id)).await?;
        }
        Ok(rows.len() as u64)
    }
}

pub(super) fn row_of(row: &AnyRow) -> Result<CertificateRow, StoreError> {
    let row = Row::new(row, "certificates", "id");
    Ok(CertificateRow {
        id: row.text("id")?.to_owned(),
        names: row.json("names")?,
        chain: row.text("chain")?.to_owned(),
        source: row.parsed("source", "source of a certificate", CertificateSource::parse)?,
        authority: row.text("authority")?.to_owned(),
        not_before: row.time("not_before")?,
        not_after: row.time("not_after")?,
        created: row.time("created")?,
        revoked: row.optional_time("revoked")?,
        tenant: row.optional("tenant", "tenant id", TenantId::parse)?,
        revision: row.int("revision")?,
    })
}

fn purpose(id: &str) -> String {
    format!("certificates/{id}")
}
