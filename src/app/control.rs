//! The control plane's parts: who owns a domain, and how its certificate is had.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::warn;

use super::AppError;
use crate::acme::fleet::Fleet;
use crate::acme::proof::Proof;
use crate::acme::{Acme, Needs};
use crate::certificates::{Certificates, Reason, Revoker};
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Subscriber;
use crate::dns::Dns;
use crate::domains::Domains;
use crate::metrics::Metrics;
use crate::model::Change;
use crate::outbound::Guard;
use crate::signin::SignIn;
use crate::store::Store;
use crate::tenancy::{Applied, Tenancy};
use crate::tls;

/// The services that the admin API translates to, and that work by themselves.
#[derive(Clone)]
pub(super) struct Control {
    pub domains: Domains,
    pub acme: Acme,
    pub certificates: Certificates,
    pub signin: SignIn,
}

/// What they stand on.
pub(super) struct Ground {
    pub store: Store,
    pub clock: Clock,
    pub config: Arc<ArcSwap<Config>>,
    pub tenancy: Tenancy,
    pub applied: Arc<dyn Applied>,
    pub metrics: Arc<Metrics>,
    /// This process, as leases and reports name it.
    pub node: String,
    pub ear: Arc<Ear>,
    /// A TLS listener of this process that takes connections as they are.
    pub listener: Option<SocketAddr>,
}

/// Hears of what may have put an order into the queue.
#[derive(Default)]
pub(super) struct Ear(Arc<Notify>);

impl Control {
    pub fn build(ground: Ground) -> Result<Self, AppError> {
        let (config, clock) = (ground.config.load_full(), ground.clock.clone());
        let guard = Guard::new(&config.outbound);
        let dns = Dns::new(&config.dns, guard.clone(), Arc::clone(&ground.metrics), ground.clock.clone());
        let domains = Domains::new(
            ground.tenancy.clone(),
            ground.store.clone(),
            dns.clone(),
            guard,
            Arc::clone(&ground.config),
            ground.clock.clone(),
            Arc::clone(&ground.metrics),
        );
        let fleet = Fleet::new(ground.store.clone(), ground.clock.clone(), &ground.node, ground.applied);
        let acme = Acme::new(Needs {
            store: ground.store,
            clock: ground.clock,
            config: ground.config,
            dns,
            domains: domains.clone(),
            fleet,
            proof: Arc::new(OwnListener(ground.listener)),
            metrics: ground.metrics,
            owner: ground.node,
            nudge: Arc::clone(&ground.ear.0),
        })?;
        let signin = SignIn::new(ground.tenancy.clone(), &config, clock)?;
        let certificates = Certificates::new(ground.tenancy, Arc::new(AtAuthority(acme.clone())));
        Ok(Self { domains, acme, certificates, signin })
    }

    /// Starts what works by itself.
    pub async fn start(&self, helping: &mut JoinSet<()>) -> Result<(), AppError> {
        self.acme.want_base().await?;
        helping.spawn(self.domains.clone().run());
        helping.spawn(self.acme.clone().run());
        helping.spawn(self.certificates.clone().run());
        helping.spawn(self.signin.clone().run());
        Ok(())
    }
}

impl Subscriber for Ear {
    fn apply(&self, change: &Change) {
        if matches!(change, Change::Host(_) | Change::Beneath(_) | Change::Certificate(_) | Change::Reset) {
            self.0.notify_one();
        }
    }
}

/// Tells the authority that issued a certificate.
struct AtAuthority(Acme);

#[async_trait]
impl Revoker for AtAuthority {
    async fn revoke(&self, authority: &str, chain: &str, reason: Reason) -> Result<(), String> {
        self.0.revoke(authority, chain, reason).await.map_err(|error| error.to_string())
    }
}

/// This node serves no newcomers and works on nothing any more: nobody need wait for it, and what it had a lease of is
/// anybody's.
pub(super) async fn farewell(store: &Store, node: &str) {
    let leave = async {
        let mut aside = store.aside().await?;
        aside.remove_node(node).await?;
        aside.release_orders(node).await?;
        aside.release_leases(node).await?;
        aside.commit().await
    };
    // A store that is away does not keep a process from ending.
    if !matches!(tokio::time::timeout(FAREWELL, leave).await, Ok(Ok(()))) {
        warn!("node.not_removed: it is waited for a little while");
    }
}

/// The proof that a certificate is served: a handshake with this process's own listener.
struct OwnListener(Option<SocketAddr>);

#[async_trait]
impl Proof for OwnListener {
    async fn serves(&self, name: &str, chain: &str) -> Result<(), String> {
        let Some(address) = self.0 else {
            warn!(
                name,
                "no TLS listener here takes a connection without a PROXY header: the certificate is not looked at"
            );
            return Ok(());
        };
        tls::probe(address, name, chain, PROOF_DEADLINE).await.map_err(|error| error.to_string())
    }
}

const FAREWELL: Duration = Duration::from_secs(1);
const PROOF_DEADLINE: Duration = Duration::from_secs(10);
