//! Certificates for `tenantry dev` from the local authority: the base domain and its wildcard at once, custom domains
//! as they are verified.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{error, info};

use crate::directory::Subscriber;
use crate::model::{Change, DomainState, Hostname};
use crate::store::{Store, StoreError};
use crate::tls::{LocalCa, LocalCaError};

/// Hears of domains from the change feed.
pub struct Ear(mpsc::UnboundedSender<Hostname>);

/// Issues; [`Issuer::run`] is its whole life.
pub struct Issuer {
    store: Store,
    ca: LocalCa,
    hosts: mpsc::UnboundedReceiver<Hostname>,
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ca(#[from] LocalCaError),
}

impl Issuer {
    pub fn new(store: Store, ca: LocalCa) -> (Self, Arc<Ear>) {
        let (sender, hosts) = mpsc::unbounded_channel();
        (Self { store, ca, hosts }, Arc::new(Ear(sender)))
    }

    /// A certificate for these names, unless the store has one for the first of them.
    pub async fn ensure(&self, names: &[String]) -> Result<(), IssueError> {
        let Some(first) = names.first() else { return Ok(()) };
        if self.store.certificate(first).await?.is_some() {
            return Ok(());
        }
        let certificate = self.ca.issue(names, DAYS)?;
        let mut write = self.store.write().await?;
        write.insert_certificate(&certificate).await?;
        write.commit().await?;
        info!(name = first, "dev.certificate_issued");
        Ok(())
    }

    /// Issues for every domain that is held, until the change feed ends.
    pub async fn run(mut self) {
        while let Some(host) = self.hosts.recv().await {
            if let Err(error) = self.serve(&host).await {
                error!(error = %error, host = %host, "dev.certificate_failed");
            }
        }
    }

    /// A held domain gets its certificate, and is `live` once it has it.
    pub async fn serve(&self, host: &Hostname) -> Result<(), IssueError> {
        let Some(domain) = self.store.held_domain(&host.clone().into()).await? else { return Ok(()) };
        self.ensure(&[host.to_string()]).await?;
        if domain.state == DomainState::Verified {
            let mut write = self.store.write().await?;
            write.set_domain_state(&domain.name, domain.tenant, DomainState::Live).await?;
            write.commit().await?;
        }
        Ok(())
    }
}

impl Subscriber for Ear {
    fn apply(&self, change: &Change) {
        if let Change::Host(host) = change {
            // The issuer lives as long as the process.
            let _ = self.0.send(host.clone());
        }
    }
}

/// Below the 398 days that browsers accept, even from private authorities.
const DAYS: i64 = 90;
