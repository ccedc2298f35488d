//! Backends by name: each name is asked for again when its records' time is over. A failure, also a name that is gone, takes
//! nobody out: the last answer holds until there is another one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{info, warn};

use super::roster::Roster;

/// Asks for the addresses of hosts.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// At least one address, and for how long this may be believed.
    async fn resolve(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String>;
}

/// Follows the name at this place of the pool, for as long as it is polled.
pub(super) async fn follow(roster: Arc<Roster>, index: usize, host: String, resolver: Arc<dyn Resolver>) {
    let rules = roster.config.balancing.discovery.clone();
    loop {
        let answer = resolver.resolve(&host).await;
        let answer = answer.and_then(|(addresses, ttl)| match addresses.is_empty() {
            true => Err("no address".to_owned()),
            false => Ok((addresses, ttl)),
        });
        let pool = &*roster.shared.name;
        let wait = match answer {
            Ok((addresses, ttl)) => {
                if roster.asked(index, Ok(addresses)) {
                    info!(pool, host, addresses = ?roster.addresses(index), "upstream.resolved");
                }
                ttl.clamp(rules.min_ttl, rules.max_ttl)
            }
            Err(why) => {
                if roster.asked(index, Err(why.clone())) {
                    let kept = roster.addresses(index);
                    warn!(pool, host, why, kept = ?kept, "upstream.not_resolved: the last answer is kept");
                }
                rules.min_ttl
            }
        };
        tokio::time::sleep(wait).await;
    }
}
