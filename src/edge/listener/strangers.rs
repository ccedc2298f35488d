//! How often one client address may come anew, and how often it may ask for names that nobody knows. Nobody who asks for
//! a name that is known here is turned away for what others at the same address do.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::directory::{Allowance, Network};
use crate::metrics::Metrics;
use crate::model::{Hostname, Rate};
use crate::tls::{Certificates, Refusal, ServerConfig};

/// The rates of all addresses. Both maps are bounded: an address that falls out of one starts afresh.
pub(super) struct Strangers {
    connections: Allowance,
    names: Allowance,
}

/// [`Certificates`] for those who have not asked for too many names that nobody knows.
pub(super) struct Guarded {
    pub certificates: Arc<dyn Certificates>,
    pub strangers: Arc<Strangers>,
    pub rate: Option<Rate>,
    pub metrics: Arc<Metrics>,
}

impl Strangers {
    pub fn new(clock: Clock) -> Self {
        // The rate is told with each question, since a reload may change it.
        Self { connections: Allowance::new(1, 1, clock.clone()), names: Allowance::new(1, 1, clock) }
    }

    /// Whether one more connection of this address may come; IPv6 counts by /64.
    pub fn admit(&self, address: IpAddr, rate: Option<Rate>) -> bool {
        rate.is_none_or(|rate| self.connections.take_of(Network::address(address), rate))
    }
}

#[async_trait]
impl Certificates for Guarded {
    async fn config_for(
        &self,
        name: Option<&Hostname>,
        alpn_acme: bool,
        client: IpAddr,
    ) -> Result<Arc<ServerConfig>, Refusal> {
        let Some(rate) = self.rate.filter(|_| !alpn_acme) else {
            return self.certificates.config_for(name, alpn_acme, client).await;
        };
        let (network, names) = (Network::address(client), &self.strangers.names);
        let known = || name.is_some_and(|name| self.certificates.knows(name));
        if !names.has_any_of(network, rate) && !known() {
            self.metrics.connections_refused.with_label_values(&["unknown-sni"]).inc();
            return Err(Refusal::Busy);
        }
        let answer = self.certificates.config_for(name, alpn_acme, client).await;
        // A fallback certificate answers for names that are as unknown as before.
        let stranger = match &answer {
            Ok(config) => self.certificates.is_fallback(config),
            Err(refusal) => *refusal == Refusal::UnknownName,
        };
        if stranger {
            names.charge_of(network, rate);
        }
        answer
    }

    fn knows(&self, name: &Hostname) -> bool {
        self.certificates.knows(name)
    }

    fn is_fallback(&self, config: &Arc<ServerConfig>) -> bool {
        self.certificates.is_fallback(config)
    }
}
