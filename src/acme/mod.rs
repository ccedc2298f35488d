//! Certificates from ACME authorities: the life of an order, its place in the queue, and the talk with the authority. No
//! certificate is served from here, and nothing here is on a request's way.
//!
//! - `order`: the state machine, pure; `limiter` and `renewal`: the arithmetic, pure.
//! - `worker` takes orders in their turn, `steps` carries out what a stage asks for, `record` writes down where that led.
//! - `ca` talks to an authority, in the words of `protocol`; `authorities` chooses one and keeps its limits.
//! - `answers` publishes what proves a name; `fleet` waits until every node can give it; `dns01` sets records.

mod answers;
mod authorities;
pub mod ca;
pub mod dns01;
pub mod fleet;
mod key;
pub mod limiter;
pub mod order;
pub mod proof;
pub mod protocol;
pub mod queue;
mod record;
pub mod renewal;
mod steps;
mod worker;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use self::authorities::Authorities;
use self::ca::Ca;
use self::dns01::Dns01;
use self::fleet::Fleet;
use self::proof::Proof;
use self::protocol::CaError;
use crate::certificates::Reason;
use crate::clock::Clock;
use crate::config::Config;
use crate::dns::Dns;
use crate::domains::Domains;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// The room's one value; clones share it. [`Acme::run`] is its working life.
#[derive(Clone)]
pub struct Acme(Arc<Parts>);

/// What it is made of.
pub(crate) struct Parts {
    store: Store,
    clock: Clock,
    config: Arc<ArcSwap<Config>>,
    domains: Domains,
    authorities: Authorities,
    dns01: Option<Dns01>,
    fleet: Fleet,
    proof: Arc<dyn Proof>,
    metrics: Arc<Metrics>,
    /// This process, as leases name it.
    owner: String,
    /// Something may be due.
    nudge: Arc<Notify>,
}

/// What the room needs of others.
pub struct Needs {
    pub store: Store,
    pub clock: Clock,
    pub config: Arc<ArcSwap<Config>>,
    pub dns: Dns,
    pub domains: Domains,
    pub fleet: Fleet,
    pub proof: Arc<dyn Proof>,
    pub metrics: Arc<Metrics>,
    pub owner: String,
    /// Told when something may be due: a domain was verified, an operator said "now".
    pub nudge: Arc<Notify>,
}

impl Acme {
    /// Fails when an authority's trust anchors cannot be read. Asks nobody anything yet.
    pub fn new(needs: Needs) -> Result<Self, CaError> {
        let config = needs.config.load_full();
        let (contact, deadline) = (&config.acme.contact, config.acme.deadline);
        let make = |authority| Ca::within(deadline, authority, contact, needs.store.clone(), needs.clock.clone());
        let all = config.acme.authorities.iter().map(make).collect::<Result<Vec<_>, _>>()?;
        let authorities = Authorities::new(all, &config.acme, needs.store.clone(), needs.clock.clone());
        Ok(Self(Arc::new(Parts {
            dns01: config.acme.dns.as_ref().map(|provider| Dns01::new(provider, Arc::new(needs.dns.clone()))),
            store: needs.store,
            clock: needs.clock,
            config: needs.config,
            domains: needs.domains,
            authorities,
            fleet: needs.fleet,
            proof: needs.proof,
            metrics: needs.metrics,
            owner: needs.owner,
            nudge: needs.nudge,
        })))
    }

    /// Wants the certificate of the base domain and its wildcard, which covers every slug host, where a wildcard can be
    /// proven; and wants it no more where it cannot.
    pub async fn want_base(&self) -> Result<(), StoreError> {
        let config = self.0.config.load();
        let base = &config.brand.base;
        let names = [format!("*.{base}"), base.to_string()];
        let mut aside = self.0.store.aside().await?;
        match config.acme.dns.is_some() && !config.acme.authorities.is_empty() {
            true => aside.want_order(&names, None, self.0.clock.now()).await.map(drop)?,
            false => aside.drop_order(&names[0]).await.map(drop)?,
        }
        aside.commit().await
    }

    /// Tells an authority that a certificate of its own is not to be trusted any more (RFC 8555 §7.6).
    pub async fn revoke(&self, authority: &str, chain: &str, reason: Reason) -> Result<(), CaError> {
        let Some(ca) = self.0.authorities.get(authority) else {
            return Err(CaError::Broken(format!("no authority of the name {authority:?} is configured any more")));
        };
        ca.revoke(chain, reason).await
    }
}
