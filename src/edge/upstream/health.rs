//! Looks at backends: each is asked now and then, beside all requests, whether it can take some. One connector serves all
//! pools, because each has the platform's authorities in memory; every look makes a connection of its own.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use http::HeaderValue;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::backend::Backend;
use super::roster::Roster;
use super::shared::lock;
use crate::config::{CheckKind, HealthCheck};

/// What was seen of one backend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Looks {
    /// Somebody has looked.
    seen: bool,
    down: bool,
    /// Looks in a row that say otherwise.
    against: u32,
    why: Option<String>,
}

impl Looks {
    /// Takes note of a look; answers whether the backend is down, when that has changed. The first look counts alone: a
    /// backend that nobody knows yet is taken for well only until then.
    pub fn note(&mut self, outcome: Result<(), String>, check: &HealthCheck) -> Option<bool> {
        let down = outcome.is_err();
        let first = !std::mem::replace(&mut self.seen, true);
        if let Err(why) = outcome {
            self.why = Some(why);
        }
        if down == self.down {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if down { check.unhealthy_after } else { check.healthy_after };
        if !first && self.against < needed {
            return None;
        }
        (self.down, self.against) = (down, 0);
        Some(down)
    }

    /// Why the last look failed.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }
}

/// Looks at all backends of a pool, for as long as it is polled.
pub(super) async fn watch(roster: Arc<Roster>, check: HealthCheck, connector: Arc<Connector>) {
    let jitter = RandomState::new();
    for turn in 0_u64.. {
        let began = Instant::now();
        let members = roster.members.load_full();
        let (roster, members, check, connector) = (&roster, &members, &check, &connector);
        let looks = stream::iter(0..members.all.len());
        let look = |place: usize| async move {
            if let Some(backend) = members.all.get(place) {
                look_at(roster, backend, check, connector).await;
            }
        };
        looks.for_each_concurrent(at_once(members.all.len(), check), look).await;
        sleep_until(began + pause(check, jitter.hash_one(turn))).await;
    }
}

/// How many are looked at at the same time: so many that all of them are within one interval, should none of them answer.
fn at_once(backends: usize, check: &HealthCheck) -> usize {
    let share = check.timeout.as_secs_f64() / check.interval.as_secs_f64().max(f64::EPSILON);
    ((backends as f64 * share).ceil() as usize).clamp(AT_ONCE, MOST_AT_ONCE)
}

/// From one turn to the next: the interval, give or take a tenth, so that pools and nodes that began together do not go on
/// looking together.
fn pause(check: &HealthCheck, lot: u64) -> Duration {
    check.interval.mul_f64(0.9 + (lot % 1000) as f64 / 5000.0)
}

async fn look_at(roster: &Roster, backend: &Backend, check: &HealthCheck, connector: &Connector) {
    let outcome = match timeout(check.timeout, look(roster, backend, check, connector)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {:?}", check.timeout)),
    };
    let why = outcome.clone().err();
    let state = &backend.state;
    let Some(down) = lock(&state.looks).note(outcome, check) else { return };
    state.set_down(down);
    let (pool, address) = (&*roster.shared.name, state.address);
    match why {
        Some(why) => warn!(pool, backend = %address, why, "upstream.unhealthy"),
        None => info!(pool, backend = %address, "upstream.healthy"),
    }
}

async fn look(roster: &Roster, backend: &Backend, check: &HealthCheck, connector: &Connector) -> Result<(), String> {
    let CheckKind::Http { path, expect, .. } = &check.kind else {
        let connected = TcpStream::connect(backend.state.address).await;
        return connected.map(drop).map_err(|error| format!("no connection: {error}"));
    };
    let pool = &roster.config;
    let host = check.host(pool.host_header.as_ref(), pool.server_name.as_ref());
    let host = host.or_else(|| HeaderValue::try_from(backend.state.address.to_string()).ok());
    let status = ask(connector, alone(&backend.peer), path, host).await.map_err(|error| error.to_string())?;
    if expect.contains(&status) {
        return Ok(());
    }
    Err(format!("GET {path} was answered {status}, expected {expect:?}"))
}

/// The status of the answer to one request.
async fn ask(
    connector: &Connector,
    peer: HttpPeer,
    path: &str,
    host: Option<HeaderValue>,
) -> pingora_error::Result<u16> {
    let (mut session, _) = connector.get_http_session(&peer).await?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), None)?;
    if let Some(host) = host {
        request.insert_header(http::header::HOST, host)?;
    }
    request.insert_header(http::header::USER_AGENT, "tenantry-health")?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        match session.response_header().map(|head| head.status) {
            Some(status) if status.is_informational() => {}
            status => return Ok(status.map_or(0, |status| status.as_u16())),
        }
    }
}

/// A peer whose connection is not shared with another look.
fn alone(peer: &HttpPeer) -> HttpPeer {
    let mut peer = peer.clone();
    // An HTTP/2 connection with room for more would be kept for the next look, which may then wait for one that is dead.
    peer.options.max_h2_streams = 1;
    peer
}

/// Backends of a pool that are looked at at the same time at least, and at most however many there are.
const AT_ONCE: usize = 16;
const MOST_AT_ONCE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_looked_at_within_an_interval_and_not_in_step() {
        let check = |timeout: u64, interval: u64| HealthCheck {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(interval),
            timeout: Duration::from_secs(timeout),
            healthy_after: 1,
            unhealthy_after: 1,
        };
        for (backends, timeout, interval, expected) in
            [(3, 2, 10, 16), (1_000, 2, 10, 200), (1_000, 10, 10, 512), (81, 2, 10, 17)]
        {
            assert_eq!(at_once(backends, &check(timeout, interval)), expected);
        }
        let pauses: std::collections::BTreeSet<_> = (0..1000).map(|lot| pause(&check(2, 10), lot)).collect();
        assert!(pauses.len() > 900 && pauses.iter().all(|pause| (9_000..=11_000).contains(&pause.as_millis())));
    }

    #[test]
    fn it_takes_looks_in_a_row_but_the_first_counts_alone() {
        let second = Duration::from_secs(1);
        let check = HealthCheck {
            kind: CheckKind::Tcp,
            interval: second,
            timeout: second,
            healthy_after: 2,
            unhealthy_after: 3,
        };
        let good = || Ok(());
        let bad = || Err("refused".to_owned());
        let mut looks = Looks::default();
        let seen: Vec<_> = [good(), bad(), bad(), good(), bad(), bad(), bad(), bad(), good(), bad(), good(), good()]
            .map(|outcome| looks.note(outcome, &check))
            .into();
        let turns: Vec<_> = seen.iter().enumerate().filter_map(|(at, down)| down.map(|down| (at, down))).collect();
        assert_eq!(turns, [(6, true), (11, false)]);
        let mut unknown = Looks::default();
        assert_eq!(unknown.note(bad(), &check), Some(true));
        assert_eq!(unknown.why(), Some("refused"));
    }
}
