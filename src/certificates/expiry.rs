//! Reminders that a certificate its owner brought is about to end. Each is told once, whichever node looks and however
//! often; what was told stands in the events.

use std::time::Duration;

use serde_json::json;

use super::Certificates;
use crate::model::CertificateSource;
use crate::store::{CertificateRow, Event, Write};
use crate::tenancy::TenancyError;

/// Days before the end.
pub const REMINDERS: [u64; 5] = [30, 14, 7, 3, 1];

const EVERY: Duration = Duration::from_secs(3600);
const KIND: &str = "certificate.expiring";
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Certificates {
    /// Reminds for as long as it is polled. Any number of nodes may.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.remind().await {
                tracing::error!(%error, "certificates.not_reminded: trying again later");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Writes the events that are due, and says how many. To be called every hour or so. Of the reminders that came due
    /// while nobody looked, the last one is told.
    pub async fn remind(&self) -> Result<usize, TenancyError> {
        let now = self.now();
        let ending = self.store().ending_certificates(CertificateSource::Uploaded, now, now + DAY * 30).await?;
        let mut told = 0;
        for row in ending {
            let left = row.not_after.since(now);
            let Some(days) = REMINDERS.into_iter().rev().find(|days| left <= DAY * *days as u32) else { continue };
            if self.is_told(&row, days).await? || !self.is_in_use(&row).await? {
                continue;
            }
            let mut write = self.store().write().await?;
            // Nobody else writes now: what another node has told meanwhile shows.
            if !self.is_told(&row, days).await? {
                self.tell(&mut write, &row, days).await?;
                write.commit().await?;
                told += 1;
            }
        }
        Ok(told)
    }

    async fn tell(&self, write: &mut Write, row: &CertificateRow, days: u64) -> Result<(), TenancyError> {
        let detail = json!({ "id": row.id, "names": row.names, "not_after": row.not_after, "days": days });
        let (tenant, subject) = (self.tenant_of(&row.names).await?, subject(row));
        tracing::warn!(certificate.id = row.id, name = subject, days, "certificate.expiring");
        Ok(write.event(&Event { kind: KIND.into(), tenant, subject, detail }).await?)
    }

    async fn is_told(&self, row: &CertificateRow, days: u64) -> Result<bool, TenancyError> {
        // Far more than one certificate's reminders: several certificates of a name may end at the same time.
        let events = self.store().latest_events(KIND, &subject(row), 100).await?;
        let same = |detail: &serde_json::Value| {
            detail["id"] == row.id.as_str() && detail["days"].as_u64().is_some_and(|told| told <= days)
        };
        Ok(events.iter().any(|told| same(&told.event.detail)))
    }

    /// A newer one makes reminders pointless.
    async fn is_in_use(&self, row: &CertificateRow) -> Result<bool, TenancyError> {
        for name in &row.names {
            if self.store().certificate_in_use(name).await?.is_some_and(|id| id == row.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn subject(row: &CertificateRow) -> String {
    row.names.first().cloned().unwrap_or_default()
}
