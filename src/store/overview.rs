//! Questions that consoles and reminders ask across tenants. They read; nothing that serves a request waits for them.

use sqlx::query;

use super::certificates::{columns, row_of};
use super::domains::domain_of;
use super::events::event_of;
use super::keyset::LAST;
use super::row::storable;
use super::{CertificateRow, EventRow, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{CertificateSource, Domain, DomainName, Hostname, reversed_labels};

impl Store {
    /// The held claims to names right beneath a host, whosever they are, in the order of their names. Reads all claims
    /// beneath it, at any depth.
    pub async fn held_beneath(&self, host: &Hostname) -> Result<Vec<Domain>, StoreError> {
        // An expression, and no column: SQLite would read all that are held, by the index of states.
        let sql = "SELECT name, tenant, state, token, created, updated, revision FROM domains \
                   WHERE reversed >= $1 AND reversed < $2 AND state || '' IN ('verified', 'live', 'moved') ORDER BY name";
        let begin = format!("{}.", reversed_labels(&DomainName::from(host.clone())));
        let statement = query(sql).bind(begin.clone()).bind(format!("{begin}{LAST}"));
        let domains = self.all(statement).await?.iter().map(domain_of).collect::<Result<Vec<_>, _>>()?;
        let beneath = |domain: &Domain| {
            let label = domain.name.host().beneath(host);
            !domain.name.is_wildcard() && label.is_some_and(|label| !label.contains('.'))
        };
        Ok(domains.into_iter().filter(beneath).collect())
    }

    /// Certificates of one source that end after `after` and by `until` and are not revoked, the first to end first.
    pub async fn ending_certificates(
        &self,
        source: CertificateSource,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM certificates WHERE source = $1 AND not_after > $2 AND not_after <= $3 AND revoked IS NULL \
             ORDER BY not_after, id"
        );
        let statement = query(sql).bind(source.as_str()).bind(after.millis()).bind(until.millis());
        self.all(statement).await?.iter().map(row_of).collect()
    }

    /// The newest events of a kind about a subject, the newest first.
    pub async fn latest_events(&self, kind: &str, subject: &str, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT revision, seq, at, kind, tenant, subject, detail FROM events \
                   WHERE subject = $1 AND kind = $2 ORDER BY revision DESC, seq DESC LIMIT $3";
        let statement = query(sql).bind(storable(subject).into_owned()).bind(kind.to_owned()).bind(i64::from(limit));
        self.all(statement).await?.iter().map(event_of).collect()
    }
}
