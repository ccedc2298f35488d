//! Backends by name: each name is asked for again when its records' time is over. A failure, also a name that is gone, takes
//! nobody out: the last answer holds until there is another one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::roster::Roster;

/// Asks for the addresses of hosts.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// At least one address, and for how long this may be believed.
    async fn resolve(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String>;
}

/// Follows the name at this place of the pool, for as long as it is polled. What is known of it already holds until it is
/// over, but for no longer than the pool as it is now allows.
pub(super) async fn follow(roster: Arc<Roster>, index: usize, host: String, resolver: Arc<dyn Resolver>) {
    if let Some(due) = roster.due(index) {
        sleep_until(due.min(Instant::now() + roster.config.balancing.discovery.max_ttl)).await;
    }
    loop {
        sleep(ask(&roster, index, &host, &*resolver).await).await;
    }
}

/// Asks for the name at this place once. Answers after what time it is to be asked for again.
pub(super) async fn ask(roster: &Roster, index: usize, host: &str, resolver: &dyn Resolver) -> Duration {
    let rules = &roster.config.balancing.discovery;
    let answer = resolver.resolve(host).await;
    let answer = answer.and_then(|(addresses, ttl)| match addresses.is_empty() {
        true => Err("no address".to_owned()),
        false => Ok((addresses, ttl)),
    });
    let pool = &*roster.shared.name;
    match answer {
        Ok((addresses, ttl)) => {
            let wait = ttl.clamp(rules.min_ttl, rules.max_ttl);
            if roster.asked(index, Ok(addresses), Instant::now() + wait) {
                info!(pool, host, addresses = ?roster.addresses(index), "upstream.resolved");
            }
            wait
        }
        Err(why) => {
            let wait = rules.min_ttl;
            if roster.asked(index, Err(why.clone()), Instant::now() + wait) {
                let kept = roster.addresses(index);
                warn!(pool, host, why, kept = ?kept, "upstream.not_resolved: the last answer is kept");
            }
            wait
        }
    }
}
