//! Finds the first route that matches without trying all of them: routes are grouped by their host, and within a group
//! by their path. The index only narrows; whether a route matches is the route's own word.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::routing::{Asked, HostMatch, PathMatch, Route};
use crate::model::{HostClass, Hostname, folded_path};

type Map<K, V> = HashMap<K, V, RandomState>;

/// The places of routes in their list, always in rising order.
type Places = Vec<u32>;

#[derive(Clone, Debug, Default)]
pub(super) struct RouteIndex {
    any: Group,
    apex: Group,
    console: Group,
    reserved: Group,
    tenant: Group,
    hosts: Map<Hostname, Group>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// Exact paths and prefixes (without a closing slash), as they are written.
    paths: Paths,
    /// Those of gated routes, folded.
    gates: Paths,
    /// What has no path to be found by.
    rest: Places,
}

/// Routes by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    places: Map<Box<str>, Places>,
    /// The most segments that a key has: no deeper ancestor of a request's path is looked up.
    deepest: usize,
}

impl RouteIndex {
    pub fn new(routes: &[Arc<Route>]) -> Self {
        let mut index = Self::default();
        for (place, route) in routes.iter().enumerate() {
            let Ok(place) = u32::try_from(place) else { break };
            index.group(&route.host).add(place, route);
        }
        index
    }

    fn group(&mut self, host: &HostMatch) -> &mut Group {
        match host {
            HostMatch::Any => &mut self.any,
            HostMatch::Apex => &mut self.apex,
            HostMatch::Console => &mut self.console,
            HostMatch::Reserved => &mut self.reserved,
            HostMatch::Tenant => &mut self.tenant,
            HostMatch::Exact(host) => self.hosts.entry(host.clone()).or_default(),
        }
    }

    /// The place of the first route that matches.
    pub fn first(&self, routes: &[Arc<Route>], asked: &Asked<'_>) -> Option<usize> {
        let folded = OnceCell::new();
        let folded = || &**folded.get_or_init(|| folded_path(asked.path));
        let class = match asked.class {
            HostClass::Apex => Some(&self.apex),
            HostClass::Console => Some(&self.console),
            HostClass::Reserved => Some(&self.reserved),
            HostClass::Tenant(_) | HostClass::Custom | HostClass::Subdomain => None,
        };
        let tenant = asked.features.map(|_| &self.tenant);
        let exact = if self.hosts.is_empty() { None } else { self.hosts.get(asked.host) };
        let mut best = None;
        for group in [exact, class, tenant, Some(&self.any)].into_iter().flatten() {
            group.improve(&mut best, asked.path, &folded, |place| {
                routes.get(place as usize).is_some_and(|route| route.mismatch(asked, folded).is_none())
            });
        }
        best.map(|place| place as usize)
    }
}

impl Group {
    fn add(&mut self, place: u32, route: &Route) {
        let gate = route.gate.as_ref();
        let by_path = self.paths.add(place, &route.path);
        let by_gate = gate.is_none_or(|gate| self.gates.add(place, gate));
        if !(by_path && by_gate) {
            self.rest.push(place);
        }
    }

    /// Puts a match that comes before `best` in its place.
    fn improve<'f>(
        &self,
        best: &mut Option<u32>,
        path: &str,
        folded: &impl Fn() -> &'f str,
        matches: impl Fn(u32) -> bool,
    ) {
        let mut consider = |places: &Places| {
            let before = best.unwrap_or(u32::MAX);
            if let Some(place) = places.iter().take_while(|place| **place < before).find(|place| matches(**place)) {
                *best = Some(*place);
            }
        };
        consider(&self.rest);
        self.paths.each(path, &mut consider);
        if !self.gates.places.is_empty() {
            self.gates.each(folded(), &mut consider);
        }
    }
}

impl Paths {
    /// False for a path that has no key.
    pub fn add(&mut self, place: u32, path: &PathMatch) -> bool {
        let key = match path {
            PathMatch::Exact(path) => path.as_str(),
            PathMatch::Prefix(prefix) => prefix.strip_suffix('/').unwrap_or(prefix),
            PathMatch::Any | PathMatch::Regex(_) => return false,
        };
        self.deepest = self.deepest.max(key.matches('/').count());
        self.places.entry(key.into()).or_default().push(place);
        true
    }

    /// The routes under this path and under each of its ancestors.
    pub fn each(&self, path: &str, consider: &mut impl FnMut(&Places)) {
        if self.places.is_empty() {
            return;
        }
        let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
        for end in ends.take(self.deepest + 1).chain([path.len()]) {
            if let Some(places) = self.places.get(&path[..end]) {
                consider(places);
            }
        }
    }
}
