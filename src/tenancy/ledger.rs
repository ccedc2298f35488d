//! How long the lines of the audit ledger are kept: a tenant's for as long as its plan says, the installation's for as long
//! as the configuration does. One node at a time has the lease and cuts; it writes the checkpoints, too.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::tenants::days_long;
use super::{Tenancy, TenancyError};
use crate::audit::{AuditError, Cut, Ledger};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::INSTALLATION;
use crate::store::{Anchoring, AuditEntry, Page, StoreError};

/// The feature that gives a tenant's ledger a year, whatever its plan says.
pub const AUDIT_365: &str = "audit_365";

const LEASE: &str = "audit";
/// How often it looks whether there is anything to do, and how long the lease lasts that is not renewed.
const LOOK: Duration = Duration::from_secs(5);
const LEASED: Duration = Duration::from_secs(60);
/// Chains that are looked at in one go.
const CHAINS: u32 = 100;
/// A plan that says less takes effect within this time.
const AT_MOST: Duration = Duration::from_secs(30 * 86_400);
/// A chain is not looked at more often.
const AT_LEAST: Duration = Duration::from_secs(3_600);
/// How soon a new chain is anchored, and how often those that have grown are.
const ANCHOR_BEGUN: Duration = Duration::from_secs(60);
const ANCHOR_GROWN: Duration = Duration::from_secs(3_600);
/// What is not in order is left alone for so long.
const AGAIN: Duration = Duration::from_secs(86_400);

impl Tenancy {
    /// The audit ledger: its check, its checkpoints, its export.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.store.clone(), self.clock.clone())
    }

    /// Takes an event that belongs to no change (a refused access, a rejected webhook) for the ledger. Never waits; a flood
    /// is summed up.
    pub fn note(&self, entry: AuditEntry) {
        self.notes.note(entry);
    }

    /// Looks after the ledger until the task is dropped. `owner`: this process, as leases name it.
    pub async fn keep_ledger(self, owner: String) {
        // What could not be written is tried again no sooner, lest the log fills.
        let mut told: Option<Instant> = None;
        let (mut begun, mut grown) = (Instant::now(), Instant::now());
        loop {
            let every = self.config().audit.checkpoint_every;
            let tell = told.is_none_or(|told| told.elapsed() >= every);
            if let Err(error) = self.pass_ledger(&owner, tell).await {
                warn!(%error, "audit.not_kept: trying again");
            }
            if tell {
                told = Some(Instant::now());
            }
            if begun.elapsed() >= ANCHOR_BEGUN {
                let all = grown.elapsed() >= ANCHOR_GROWN;
                let which = if all { Anchoring::Grown } else { Anchoring::Begun };
                begun = Instant::now();
                match self.anchor_ledger(&owner, which).await {
                    Ok(()) if all => grown = Instant::now(),
                    Ok(()) => {}
                    Err(error) => warn!(%error, "audit.not_anchored: trying again"),
                }
            }
            sleep(LOOK.min(every)).await;
        }
    }

    /// Has the installation's chain say where tenants' chains stand. Nothing while another node has the lease.
    pub async fn anchor_ledger(&self, owner: &str, which: Anchoring) -> Result<(), AuditError> {
        if self.take_ledger(owner).await? {
            let chains = self.ledger().anchor(which).await?;
            debug!(audit.chains = chains, "audit.anchored");
        }
        Ok(())
    }

    /// Cuts what is old enough, and writes checkpoints if `tell`. Nothing while another node has the lease.
    pub async fn pass_ledger(&self, owner: &str, tell: bool) -> Result<(), AuditError> {
        let (config, now) = (self.config(), self.clock.now());
        let due = self.store.due_chains(now, CHAINS).await?;
        let path = config.audit.checkpoints.as_deref().filter(|_| tell);
        if (due.is_empty() && path.is_none()) || !self.take_ledger(owner).await? {
            return Ok(());
        }
        // Neither keeps the other from being done.
        let told = match path {
            Some(path) => self.ledger().export_checkpoints(path).await.map(|told| told.0),
            None => Ok(0),
        };
        let mut failed = None;
        for row in due {
            let name = row.chain.name;
            let next = match self.age(&name, &config).await {
                Ok(next) => next,
                Err(error) => {
                    warn!(%error, audit.chain = name, "audit.not_cut: trying again");
                    failed = Some(error);
                    Some(now + AT_LEAST)
                }
            };
            if let Some(next) = next {
                let mut aside = self.store.aside().await?;
                aside.chain_due(&name, next).await?;
                aside.commit().await?;
            }
        }
        let told = told?;
        if told > 0 {
            info!(audit.chains = told, "audit.checkpoints_written");
        }
        failed.map_or(Ok(()), Err)
    }

    /// Cuts a chain where it is old enough. When to look at it again; `None`: at once, there may be more.
    async fn age(&self, chain: &str, config: &Config) -> Result<Option<Timestamp>, AuditError> {
        let now = self.clock.now();
        let kept = match self.kept(chain, config).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(Some(now + AT_MOST)),
            Err(error) => {
                warn!(%error, audit.chain = chain, "audit.age_unknown: trying again");
                return Ok(Some(now + AT_LEAST));
            }
        };
        if chain == INSTALLATION {
            self.cut_unchained(kept.max(longest(config))).await?;
        }
        self.cut(chain, kept).await
    }

    /// When to look at the chain again; `None`: at once, there may be more.
    async fn cut(&self, chain: &str, kept: Duration) -> Result<Option<Timestamp>, AuditError> {
        let now = self.clock.now();
        Ok(match self.ledger().cut(chain, now - kept).await? {
            Cut::Lines { gone, more } => {
                info!(audit.chain = chain, audit.lines = gone, "audit.cut");
                (!more).then(|| now + AT_LEAST)
            }
            Cut::Kept(_) => Some(now + AGAIN),
            Cut::Nothing { oldest } => {
                let due = oldest.map_or(now + kept, |oldest| oldest + kept);
                Some(due.clamp(now + AT_LEAST, now + AT_MOST))
            }
        })
    }

    /// What is older than the chains is nobody's in particular: it is kept for as long as anything is.
    async fn cut_unchained(&self, kept: Duration) -> Result<(), AuditError> {
        loop {
            let lines = self.ledger().cut_unchained(self.clock.now() - kept).await?;
            if lines > 0 {
                info!(audit.lines = lines, "audit.cut_unchained");
            }
            if lines < u64::from(Page::MOST) {
                return Ok(());
            }
        }
    }

    /// How long the lines of a chain are kept; `None`: for ever. Those of a tenant that is no more: as long as any plan says.
    async fn kept(&self, chain: &str, config: &Config) -> Result<Option<Duration>, TenancyError> {
        if chain == INSTALLATION {
            return Ok(config.audit.keep);
        }
        let days = match self.show(chain).await {
            Ok(state) => {
                let Some(plan) = config.catalogue.plan(&state.effective.plan) else { return Ok(Some(longest(config))) };
                let year = state.effective.features.iter().any(|feature| feature.as_str() == AUDIT_365);
                if year { plan.audit_days.max(365) } else { plan.audit_days }
            }
            Err(TenancyError::NotFound(..)) => return Ok(Some(longest(config))),
            Err(error) => return Err(error),
        };
        Ok(Some(days_long(days)))
    }

    async fn take_ledger(&self, owner: &str) -> Result<bool, StoreError> {
        let mut aside = self.store.aside().await?;
        let ours = aside.take_lease(LEASE, owner, self.clock.now() + LEASED).await?;
        aside.commit().await?;
        Ok(ours)
    }
}

/// As long as any plan says.
fn longest(config: &Config) -> Duration {
    days_long(config.catalogue.plans.iter().map(|plan| plan.audit_days).max().unwrap_or(365))
}
