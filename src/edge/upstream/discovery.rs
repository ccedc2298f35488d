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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::roster::tests::roster;
    use super::*;

    /// Answers with a time to live by the name, and notes who was asked for.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    #[async_trait]
    impl Resolver for Told {
        async fn resolve(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
            self.0.lock().unwrap().push(host.to_owned());
            let ttl = match host {
                "short.test" => 1,
                "ten.test" => 10,
                "fifty.test" => 50,
                "long.test" => 86_400,
                _ => return Err("no such name".into()),
            };
            Ok((vec![[127, 0, 0, 1].into()], Duration::from_secs(ttl)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_name_is_asked_for_again_when_its_time_is_over_within_bounds() {
        let names = ["short.test:1", "ten.test:2", "fifty.test:3", "long.test:4", "gone.test:5"];
        let (roster, told) = (Arc::new(roster(&names)), Arc::new(Told::default()));
        for (index, host) in roster.names() {
            tokio::spawn(follow(Arc::clone(&roster), index, host, told.clone()));
        }
        sleep(Duration::from_millis(601_500)).await;
        let asked = told.0.lock().unwrap().clone();
        let times = |name: &str| asked.iter().filter(|host| *host == name).count();
        // 5 s at least, also after a failure, and 5 min at most.
        let times = ["short.test", "ten.test", "fifty.test", "long.test", "gone.test"].map(times);
        assert_eq!(times, [121, 61, 13, 3, 121]);
        assert_eq!(roster.members.load().all.len(), 4);
    }
}
