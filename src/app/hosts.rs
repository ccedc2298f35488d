//! What pools need of the process, and how their backends' names are asked for: the edge knows no DNS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::config::Config;
use crate::dns::Dns;
use crate::edge::{Resolver, Surroundings};
use crate::metrics::Metrics;
use crate::outbound::Guard;

/// How long a start or a reload waits for names that it has not asked for yet.
pub(super) const NAMES_WAIT: Duration = Duration::from_secs(3);

pub(super) fn surroundings(config: &Config, clock: &Clock, metrics: &Arc<Metrics>) -> Surroundings {
    let guard = Guard::new(&config.outbound);
    let hosts = Hosts(Dns::new(&config.dns, guard, Arc::clone(metrics), clock.clone()));
    Surroundings::new(clock.clone(), Arc::clone(metrics), Arc::new(hosts))
}

struct Hosts(Dns);

#[async_trait]
impl Resolver for Hosts {
    async fn resolve(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        self.0.host(host).await
    }
}
