//! Ownership of custom domains: the proof by DNS, looked for again and again; what it says, in words; and what follows from
//! it. "Could not ask" is never "failed". No certificate is ordered here, only wanted.
//!
//! - `judge` (pure) turns what was seen into findings; `life` (pure) says what follows; `schedule` (pure) when to look again.
//! - `looks` asks DNS; `checks` carries out what follows; `preflight` says whether an order is worth its budget.

mod checks;
mod diagnosis;
mod judge;
mod life;
mod looks;
mod preflight;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream;
use tracing::warn;

pub use diagnosis::{Diagnosis, Finding, Verdict};
pub use preflight::Readiness;

use self::life::Progress;
use self::preflight::Probe;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::model::Domain;
use crate::outbound::Guard;
use crate::store::{Store, StoreError};
use crate::tenancy::{Actor, Kind, Tenancy, TenancyError};

/// The room's one value; clones share it.
#[derive(Clone)]
pub struct Domains {
    tenancy: Tenancy,
    store: Store,
    dns: Dns,
    guard: Guard,
    config: Arc<ArcSwap<Config>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    probe: Arc<Probe>,
}

/// How often it looks whether something is due; a clock may have been moved.
const LOOK: Duration = Duration::from_secs(1);
/// Claims that are read at once.
const BATCH: u32 = 100;
/// How long a look may take before somebody else makes it.
const TAKEN: Duration = Duration::from_secs(60);

impl Domains {
    pub fn new(
        tenancy: Tenancy,
        store: Store,
        dns: Dns,
        guard: Guard,
        config: Arc<ArcSwap<Config>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { tenancy, store, dns, guard, config, clock, metrics, probe: Arc::default() }
    }

    /// Looks at every claim when it is due, until the task is dropped.
    pub async fn run(self) {
        loop {
            match self.check_due().await {
                Ok(0) => tokio::time::sleep(LOOK).await,
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "domains.queue_not_read: trying again");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Looks at the claims that are due now; how many there were. Of several nodes one looks at each.
    pub async fn check_due(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let due = self.store.due_domains(now, BATCH).await?;
        let concurrency = self.config.load().domains.concurrency as usize;
        let looked = stream::iter(due)
            .map(|due| async move {
                let name = due.domain.name.clone();
                match self.check_one(due, now).await {
                    Ok(looked) => usize::from(looked),
                    Err(error) => {
                        warn!(%error, domain.name = %name, "domains.check_failed: it is made again");
                        0
                    }
                }
            })
            .buffer_unordered(concurrency)
            .fold(0, |sum, looked| async move { sum + looked })
            .await;
        Ok(looked)
    }

    /// A look that somebody asks for, with everything that follows from it. Limited per claim.
    pub async fn verify(&self, actor: &Actor, name: &str, tenant: Option<&str>) -> Result<Diagnosis, TenancyError> {
        let domain = self.tenancy.domain(name, tenant).await?.domain;
        let progress = self.ask(&domain).await?;
        let diagnosis = self.check(domain, progress, &actor.name).await?;
        Ok(diagnosis)
    }

    /// What DNS says now; changes nothing.
    pub async fn diagnose(&self, name: &str, tenant: Option<&str>) -> Result<Diagnosis, TenancyError> {
        let domain = self.tenancy.domain(name, tenant).await?.domain;
        let config = self.config.load_full();
        let (mut diagnosis, _) = self.look_at(&domain, &config).await;
        let progress = self.progress(&domain).await?;
        diagnosis.next_check = self.next_check(&domain).await?;
        let held = self.store.held_domain(&domain.name).await?;
        let by_another = held.is_some_and(|held| held.tenant != domain.tenant);
        diagnosis.summary = looks::summary(&diagnosis, &progress, by_another);
        Ok(diagnosis)
    }

    /// Takes one of the looks that may be asked for, before anything is looked at.
    async fn ask(&self, domain: &Domain) -> Result<Progress, TenancyError> {
        let limit = self.config.load().domains.verify_limit;
        let mut aside = self.store.aside().await?;
        let Some((next, kept)) = aside.lock_domain_progress(&domain.name, domain.tenant).await? else {
            return Err(TenancyError::NotFound(Kind::Domain, domain.name.to_string()));
        };
        let mut progress = checks::remembered(&kept);
        if let Err(retry_after) = life::ask(&mut progress, limit, self.clock.now()) {
            return Err(TenancyError::TooOften { retry_after });
        }
        aside.set_domain_progress(&domain.name, domain.tenant, next, &checks::kept(&progress)?).await?;
        aside.commit().await?;
        Ok(progress)
    }

    async fn check_one(&self, due: crate::store::DueDomain, now: Timestamp) -> Result<bool, StoreError> {
        let (name, tenant) = (&due.domain.name, due.domain.tenant);
        let mut aside = self.store.aside().await?;
        let taken = aside.take_domain_check(name, tenant, due.due, now + TAKEN).await?;
        aside.commit().await?;
        if taken {
            let progress = checks::remembered(&due.progress);
            self.check(due.domain, progress, "system").await?;
        }
        Ok(taken)
    }
}
