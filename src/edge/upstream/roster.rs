//! Who is in a pool under one configuration: backends by address, as they stand there, and backends by name, as DNS has them
//! at the moment. Whoever chooses reads one snapshot; changes replace it as a whole.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_ketama::{Bucket, Continuum};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::backend::{Backend, State};
use super::ejection::most_out;
use super::peer::{self, Authorities};
use super::shared::{Shared, lock};
use crate::clock::Timestamp;
use crate::config::{self, Balance};
use crate::model::BackendStatus;

pub(super) struct Roster {
    pub shared: Arc<Shared>,
    pub config: config::Pool,
    pub authorities: Option<Authorities>,
    pub members: ArcSwap<Members>,
    sources: Mutex<Vec<Source>>,
    runtime: Handle,
}

/// One snapshot.
pub(super) struct Members {
    pub all: Vec<Backend>,
    pub places: HashMap<SocketAddr, usize>,
    /// For the policies that hash.
    pub ring: Option<Continuum>,
}

/// A backend as it is configured.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Address(SocketAddr),
    Name(Named),
}

/// A backend by name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub host: String,
    pub port: u16,
    /// The last answer; empty: there has been none.
    pub addresses: Vec<IpAddr>,
    /// Why the last question was not answered.
    pub trouble: Option<String>,
    /// When it is to be asked for again; `None`: it has not been asked for yet.
    due: Option<Instant>,
}

/// How a backend is, as metrics tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    Healthy,
    /// Looks say so.
    Unhealthy,
    /// It failed too many requests.
    Ejected,
    /// A name that has no address.
    Unresolved,
}

impl Condition {
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Unhealthy, Self::Ejected, Self::Unresolved];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Unresolved => "unresolved",
        }
    }
}

impl Roster {
    /// `before`: the pool of this name in the configuration before, whose knowledge of names is taken over.
    pub fn new(
        shared: Arc<Shared>,
        config: &config::Pool,
        authorities: Option<Authorities>,
        before: Option<&Roster>,
        runtime: &Handle,
    ) -> Self {
        let known: Vec<Source> = before.map(|before| lock(&before.sources).clone()).unwrap_or_default();
        let sources: Vec<_> = config.backends.iter().map(|backend| Source::new(backend, &known)).collect();
        let members = ArcSwap::from_pointee(Members { all: Vec::new(), places: HashMap::new(), ring: None });
        let roster = Self {
            shared,
            config: config.clone(),
            authorities,
            members,
            sources: Mutex::new(sources),
            runtime: runtime.clone(),
        };
        roster.members.store(Arc::new(roster.gather(&lock(&roster.sources))));
        roster
    }

    /// The names in it, by their places.
    pub fn names(&self) -> Vec<(usize, String)> {
        let name = |(index, source): (usize, &Source)| match source {
            Source::Name(name) => Some((index, name.host.clone())),
            Source::Address(_) => None,
        };
        lock(&self.sources).iter().enumerate().filter_map(name).collect()
    }

    /// When the name at this place is to be asked for again; `None`: it has not been asked for yet.
    pub fn due(&self, index: usize) -> Option<Instant> {
        match lock(&self.sources).get(index) {
            Some(Source::Name(name)) => name.due,
            _ => None,
        }
    }

    /// DNS was asked for the name at this place, and is to be asked again when `due`. Answers whether the answer is another
    /// than the last one.
    pub fn asked(&self, index: usize, answer: Result<Vec<IpAddr>, String>, due: Instant) -> bool {
        // Held until the snapshot is stored: of two names that are answered at once neither may undo the other.
        let mut sources = lock(&self.sources);
        let Some(Source::Name(name)) = sources.get_mut(index) else { return false };
        name.due = Some(due);
        let changed = match answer {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                let changed = addresses != name.addresses || name.trouble.is_some();
                (name.addresses, name.trouble) = (addresses, None);
                changed
            }
            Err(why) => name.trouble.replace(why).is_none(),
        };
        if changed {
            self.members.store(Arc::new(self.gather(&sources)));
        }
        changed
    }

    /// The last answer for the name at this place.
    pub fn addresses(&self, index: usize) -> Vec<IpAddr> {
        match lock(&self.sources).get(index) {
            Some(Source::Name(name)) => name.addresses.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether one more backend may be ejected.
    pub fn may_eject(&self, now: Timestamp) -> bool {
        let members = self.members.load();
        let out = members.all.iter().filter(|backend| backend.state.out_until() > now).count();
        out < most_out(members.all.len(), self.config.balancing.ejection.most)
    }

    /// Looks say that it cannot take requests; nobody looks any more when that is not configured.
    pub fn is_down(&self, state: &State) -> bool {
        self.config.balancing.health.is_some() && state.is_down()
    }

    /// How each is: by its address, or a name that has none.
    pub fn conditions(&self, mut tell: impl FnMut(Option<SocketAddr>, Condition)) {
        let (now, members) = (self.shared.clock.now(), self.members.load());
        for Backend { state, .. } in &members.all {
            let condition = match (self.is_down(state), state.out_until() > now) {
                (true, _) => Condition::Unhealthy,
                (false, true) => Condition::Ejected,
                (false, false) => Condition::Healthy,
            };
            tell(Some(state.address), condition);
        }
        for _ in lock(&self.sources).iter().filter(|source| source.addresses().is_empty()) {
            tell(None, Condition::Unresolved);
        }
    }

    /// Nobody looks at its backends any more.
    pub fn forget_looks(&self) {
        self.members.load().all.iter().for_each(|backend| backend.state.forget_looks());
    }

    /// Says in the log when an ejection is over, unless it has been made longer.
    pub fn tell_return(&self, state: &Arc<State>, until: Timestamp, wait: Duration) {
        let (pool, state) = (Arc::clone(&self.shared.name), Arc::downgrade(state));
        self.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(state) = state.upgrade().filter(|state| state.out_until() == until) {
                tracing::info!(pool = &*pool, backend = %state.address, "upstream.returned");
            }
        });
    }

    pub fn status(&self) -> Vec<BackendStatus> {
        let (now, members) = (self.shared.clock.now(), self.members.load());
        let sources = lock(&self.sources).clone();
        let mut all = Vec::new();
        for source in &sources {
            let addresses = source.addresses();
            if addresses.is_empty() {
                all.push(source.unknown());
            }
            for address in addresses {
                let Some(place) = members.places.get(&address) else { continue };
                let backend = members.all.get(*place);
                all.extend(backend.map(|backend| self.status_of(source, &backend.state, now)));
            }
        }
        all
    }

    fn status_of(&self, source: &Source, state: &State, now: Timestamp) -> BackendStatus {
        let down = self.is_down(state);
        let out = Some(state.out_until()).filter(|until| *until > now);
        let why = match (down, out) {
            (true, _) => lock(&state.looks).why().map(str::to_owned),
            (false, Some(_)) => Some("it failed too many requests in a row".to_owned()),
            (false, None) => None,
        };
        let weight = if down { 0 } else { state.weight(now, self.config.balancing.ejection.slow_start) };
        BackendStatus {
            backend: source.to_string(),
            address: Some(state.address.to_string()),
            healthy: !down && out.is_none(),
            why,
            ejected_until: out,
            in_flight: state.in_flight(),
            weight,
        }
    }

    fn gather(&self, sources: &[Source]) -> Members {
        let mut all: Vec<Backend> = Vec::new();
        let mut places = HashMap::new();
        for address in sources.iter().flat_map(Source::addresses) {
            if let std::collections::hash_map::Entry::Vacant(place) = places.entry(address) {
                place.insert(all.len());
                let state = self.shared.state(address, self.config.protocol);
                all.push(Backend { peer: peer::new(&self.config, address, self.authorities.as_ref()), state });
            }
        }
        let hashes = matches!(self.config.balancing.balance, Balance::HashTenant | Balance::HashClient);
        let bucket = |backend: &Backend| Bucket::new(backend.state.address, 1);
        let ring = (hashes && !all.is_empty()).then(|| Continuum::new(&all.iter().map(bucket).collect::<Vec<_>>()));
        Members { all, places, ring }
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("pool", &self.shared.name).finish_non_exhaustive()
    }
}

impl Source {
    fn new(backend: &str, known: &[Self]) -> Self {
        if let Ok(address) = backend.parse() {
            return Self::Address(address);
        }
        let (host, port) = backend.rsplit_once(':').unwrap_or((backend, "0"));
        let same = |source: &&Self| matches!(source, Self::Name(name) if name.host == host && name.due.is_some());
        let port = port.parse().unwrap_or(0);
        match known.iter().find(same) {
            Some(Self::Name(name)) => Self::Name(Named { port, ..name.clone() }),
            _ => {
                let (addresses, trouble) = (Vec::new(), None);
                Self::Name(Named { host: host.to_owned(), port, addresses, trouble, due: None })
            }
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Address(address) => vec![*address],
            Self::Name(name) => name.addresses.iter().map(|address| SocketAddr::new(*address, name.port)).collect(),
        }
    }

    /// It has no address.
    fn unknown(&self) -> BackendStatus {
        let trouble = match self {
            Self::Name(Named { trouble: Some(why), .. }) => format!("its name does not resolve: {why}"),
            _ => "its name has not been resolved yet".to_owned(),
        };
        let backend = self.to_string();
        let (healthy, weight, in_flight) = (false, 0, 0);
        BackendStatus { backend, address: None, healthy, why: Some(trouble), ejected_until: None, in_flight, weight }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => write!(f, "{}:{}", name.host, name.port),
        }
    }
}

impl Members {
    /// The backend at this address.
    pub fn backend(&self, address: SocketAddr) -> Option<&Backend> {
        self.places.get(&address).and_then(|place| self.all.get(*place))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, Sources};
    use crate::metrics::Metrics;

    /// One that is in no configuration in force, of a pool with these backends.
    pub fn roster(backends: &[&str]) -> Roster {
        let route = "[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n";
        let routing = format!("[[pool]]\nname = \"app\"\nbackends = {backends:?}\n{route}");
        let tenantry = "[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\ntls = false\n\
                        [admin]\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:x.db\"\nkey = \"env:KEY\"\n";
        let sources = Sources::new(tenantry, routing, include_str!("../../../config/plans.toml"));
        let config = Config::parse(&sources, &|_| None).unwrap();
        let shared = Shared::new("app", &Clock::system(), &Arc::new(Metrics::new().unwrap()));
        Roster::new(Arc::new(shared), &config.routing.pools[0], None, None, &Handle::current())
    }

    #[tokio::test]
    async fn of_two_names_that_are_answered_at_once_neither_undoes_the_other() {
        const ROUNDS: u8 = 250;
        let roster = roster(&["a.test:1", "b.test:2"]);
        let together = Barrier::new(3);
        std::thread::scope(|scope| {
            for place in [0, 1] {
                let (roster, together) = (&roster, &together);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        together.wait();
                        let address = IpAddr::from([127, 0, place as u8, round]);
                        roster.asked(place, Ok(vec![address]), Instant::now());
                        together.wait();
                    }
                });
            }
            for round in 0..ROUNDS {
                together.wait();
                together.wait();
                let members = roster.members.load_full();
                for (place, port) in [(0, 1), (1, 2)] {
                    let address = SocketAddr::from(([127, 0, place, round], port));
                    assert!(members.backend(address).is_some(), "{address} is lost");
                }
            }
        });
    }
}
