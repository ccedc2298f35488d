//! From a host to the tenant that it leads to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tracing::warn;

use super::assets::{Picture, Pictures};
use super::cache::{Cache, CacheStats, Cached, LoadFailed};
use super::epoch::Place;
use super::follower::Subscriber;
use super::gate::{Gate, GateSettings};
use super::listings::Listings;
use super::recent::{Answer, Ground, Recent};
use super::sitemap::Sitemap;
use super::source::{Lookup, Source};
use super::view::{Resident, View};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::model::{
    Brand, Catalogue, Change, DirectoryStretch, DomainName, HostClass, Hostname, Listed, Slug, Tenant, TenantId,
};
use crate::traffic::Meters;

/// How large the caches are and what misses may cost.
#[derive(Clone, Debug)]
pub struct DirectorySettings {
    pub hosts: u64,
    pub tenants: u64,
    pub negatives: u64,
    pub negative_ttl: Duration,
    pub gate: GateSettings,
}

impl From<&crate::config::Directory> for DirectorySettings {
    fn from(config: &crate::config::Directory) -> Self {
        Self {
            hosts: config.hosts,
            tenants: config.tenants,
            negatives: config.negatives,
            negative_ttl: config.negative_ttl,
            gate: GateSettings {
                concurrent: config.concurrent_misses,
                wait: config.miss_wait,
                rate: config.miss_rate,
                burst: config.miss_burst,
            },
        }
    }
}

/// By which way a host led to its tenant: `X-Tenant-Via`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    CustomDomain,
    Subdomain,
    Session,
}

impl Via {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomDomain => "custom-domain",
            Self::Subdomain => "subdomain",
            Self::Session => "session",
        }
    }
}

/// Whom a host leads to.
#[derive(Clone, Debug)]
pub enum Resolution {
    Tenant(Arc<View>, Via),
    /// Nobody, and that is certain.
    Unknown,
}

/// Why there is no answer at all. Neither is ever remembered as a "no".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Too many unknown names are being looked up, by all or by this client.
    Busy,
    /// The store cannot be asked and nothing older is known.
    Unavailable,
}

/// What the caches say of a tenant and its parents.
struct Standing {
    resident: Arc<Resident>,
    parents: Vec<Arc<Tenant>>,
    place: Place,
    /// The sum of theirs.
    epoch: u64,
}

/// The directory: hosts → tenant ids, and tenant ids → facts, each in its own bounded cache. Before both, the answers of
/// those who are asked for most.
pub struct Directory {
    recent: Recent,
    hosts: Arc<Cache<Hostname, TenantId>>,
    tenants: Arc<Cache<TenantId, Arc<Resident>>>,
    source: Arc<dyn Source>,
    gate: Arc<Gate>,
    pictures: Pictures,
    listings: Listings,
    sitemap: Sitemap,
    brand: Brand,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Directory {
    pub fn new(
        source: Arc<dyn Source>,
        settings: &DirectorySettings,
        brand: Brand,
        gate: Arc<Gate>,
        clock: Clock,
        metrics: Arc<Metrics>,
        meters: Arc<Meters>,
    ) -> Self {
        let for_hosts = Arc::clone(&source);
        let lookup_brand = brand.clone();
        let hosts = Cache::new(
            "hosts",
            settings.hosts,
            settings.negatives,
            settings.negative_ttl,
            Box::new(move |host: Hostname| {
                let source = Arc::clone(&for_hosts);
                let lookup = lookup(&lookup_brand, &host);
                async move {
                    match lookup {
                        Some(lookup) => source.place(&lookup).await.map_err(|e| failed("host", &e)),
                        None => Ok(None),
                    }
                }
                .boxed()
            }),
            &metrics,
        );
        let for_tenants = Arc::clone(&source);
        let tenants = Cache::new(
            "tenants",
            settings.tenants,
            settings.negatives,
            settings.negative_ttl,
            Box::new(move |id: TenantId| {
                let (source, meters) = (Arc::clone(&for_tenants), Arc::clone(&meters));
                async move {
                    let tenant = source.tenant(id).await.map_err(|e| failed("tenant", &e))?;
                    Ok(tenant.map(|tenant| Resident::new(tenant, &meters)))
                }
                .boxed()
            }),
            &metrics,
        );
        let pictures = Pictures::new(Arc::clone(&source), Arc::clone(&metrics));
        let listings = Listings::new(Arc::clone(&source), &metrics);
        let sitemap = Sitemap::new(Arc::clone(&source));
        let recent = Recent::new(settings.hosts.min(settings.tenants));
        Self { recent, hosts, tenants, source, gate, pictures, listings, sitemap, brand, clock, metrics }
    }

    /// Whom `host` leads to. `client` pays for wrong guesses. Known hosts are answered without waiting.
    pub async fn resolve(
        &self,
        host: &Hostname,
        class: &HostClass,
        client: IpAddr,
        catalogue: &Arc<Catalogue>,
        suspend_expired: bool,
    ) -> Result<Resolution, Trouble> {
        let via = match class {
            HostClass::Tenant(_) => Via::Subdomain,
            HostClass::Custom => Via::CustomDomain,
            _ => return Ok(Resolution::Unknown),
        };
        let holds = |answer: &Answer| {
            answer.stands_on.epoch == self.epoch(answer)
                && answer.view.is_current(catalogue, suspend_expired, &self.clock)
        };
        if let Some(view) = self.recent.get(host, holds) {
            self.hosts.count_hits(1);
            self.tenants.count_hits(1 + view.parents().len());
            return Ok(Resolution::Tenant(view, via));
        }
        let found = self.look_up(host, client, catalogue, suspend_expired).await?;
        let Some((view, ground)) = found else { return Ok(Resolution::Unknown) };
        if let Some(ground) = ground {
            self.recent.keep(Answer::new(host.clone(), Arc::clone(&view), ground));
        }
        Ok(Resolution::Tenant(view, via))
    }

    /// The same for somebody who has asked a moment ago and wants to know whether that still holds: it does not count as
    /// being asked for.
    pub async fn resolve_again(
        &self,
        host: &Hostname,
        via: Via,
        client: IpAddr,
        catalogue: &Arc<Catalogue>,
        suspend_expired: bool,
    ) -> Result<Resolution, Trouble> {
        let found = self.look_up(host, client, catalogue, suspend_expired).await?;
        Ok(found.map_or(Resolution::Unknown, |(view, _)| Resolution::Tenant(view, via)))
    }

    /// What the caches say, and what that stands on; `None` in its place: something may have been said for want of the truth.
    async fn look_up(
        &self,
        host: &Hostname,
        client: IpAddr,
        catalogue: &Arc<Catalogue>,
        suspend_expired: bool,
    ) -> Result<Option<(Arc<View>, Option<Ground>)>, Trouble> {
        let (at, guesses) = (self.hosts.place(host), self.guesses());
        // Each epoch is read before what it is the epoch of, so that a change in between is not overlooked.
        let epoch = self.hosts.epoch(at);
        let Some(id) = self.place(host, client).await? else { return Ok(None) };
        let Some(found) = self.standing(id).await? else { return Ok(None) };
        let view = found.resident.view(&found.parents, catalogue, suspend_expired, &self.clock);
        let ground = Ground { host: at, tenant: found.place, epoch: epoch + found.epoch };
        Ok(view.map(|view| (view, (guesses == self.guesses()).then_some(ground))))
    }

    /// The tenant's id behind a host.
    async fn place(&self, host: &Hostname, client: IpAddr) -> Result<Option<TenantId>, Trouble> {
        match self.hosts.peek(host) {
            Cached::Fresh(id) => Ok(Some(id)),
            Cached::Absent => Ok(None),
            Cached::Stale(old) => self.hosts.refresh(host.clone(), old).await.map_err(unavailable),
            Cached::Unknown => self.discover(host, client).await,
        }
    }

    /// What the epoch of an answer would be if it were given now.
    fn epoch(&self, answer: &Answer) -> u64 {
        let parents = answer.view.parents().iter().map(|parent| self.tenants.epoch(self.tenants.place(&parent.id)));
        let Ground { host, tenant, .. } = answer.stands_on;
        self.hosts.epoch(host) + self.tenants.epoch(tenant) + parents.sum::<u64>()
    }

    /// Moves when either cache answers for want of the truth.
    fn guesses(&self) -> u64 {
        self.hosts.guesses() + self.tenants.guesses()
    }

    /// Whether this host, which no certificate was found for, is a custom domain of somebody's. One that is nobody's is a
    /// wrong guess of `client`'s if the store had to be asked about it, here or (`asked`) before.
    pub async fn leads_somewhere(&self, host: &Hostname, client: IpAddr, asked: bool) -> Result<bool, Trouble> {
        let known = match self.brand.classify(host) {
            HostClass::Custom => self.hosts.peek(host),
            _ => Cached::Absent,
        };
        match known {
            Cached::Fresh(_) | Cached::Stale(_) => return Ok(true),
            Cached::Unknown => return Ok(self.discover(host, client).await?.is_some()),
            Cached::Absent if !asked => return Ok(false),
            Cached::Absent => {}
        }
        let turn = self.gate.enter(client).await.map_err(|_| Trouble::Busy)?;
        self.gate.charge(&turn);
        Ok(false)
    }

    /// The view of a tenant by id, with its parents' word taken into account.
    pub async fn tenant(
        &self,
        id: TenantId,
        catalogue: &Arc<Catalogue>,
        suspend_expired: bool,
    ) -> Result<Option<Arc<View>>, Trouble> {
        let Some(found) = self.standing(id).await? else { return Ok(None) };
        Ok(found.resident.view(&found.parents, catalogue, suspend_expired, &self.clock))
    }

    async fn standing(&self, id: TenantId) -> Result<Option<Standing>, Trouble> {
        let place = self.tenants.place(&id);
        let mut epoch = self.tenants.epoch(place);
        let Some(resident) = self.tenants.get(&id).await.map_err(unavailable)? else { return Ok(None) };
        let mut parents: Vec<Arc<Tenant>> = Vec::new();
        let mut next = resident.tenant.parent;
        while let Some(parent) = next {
            epoch += self.tenants.epoch(self.tenants.place(&parent));
            // A parent that is missing, or a chain without an end, is damage: its children's state is unknown, and
            // unknown is never "allow".
            let above = self.tenants.get(&parent).await.map_err(unavailable)?.ok_or(Trouble::Unavailable)?;
            if parents.len() >= DEEPEST_CHAIN {
                return Err(Trouble::Unavailable);
            }
            next = above.tenant.parent;
            parents.push(Arc::clone(&above.tenant));
        }
        Ok(Some(Standing { resident, parents, place, epoch }))
    }

    /// The answer to a pending ACME challenge, always read from the store: a "no" of a second ago would fail a
    /// validation. Unknown tokens pass the same gate as unknown hosts.
    pub async fn challenge(&self, key: &str, client: IpAddr) -> Result<Option<String>, Trouble> {
        let turn = self.gate.enter(client).await.map_err(|_| Trouble::Busy)?;
        let answer = self.source.challenge(key).await.map_err(|e| unavailable(failed("challenge", &e)))?;
        if answer.is_none() {
            self.gate.charge(&turn);
        }
        Ok(answer)
    }

    /// Whether a certificate for this host, which is somebody's, is on its way. Waits its turn at the gate.
    pub async fn issuing(&self, host: &Hostname, client: IpAddr) -> Result<bool, Trouble> {
        let _turn = self.gate.enter(client).await.map_err(|_| Trouble::Busy)?;
        self.source.issuing(host).await.map_err(|e| unavailable(failed("order", &e)))
    }

    /// A picture of somebody's branding. To be asked only for a hash that a tenant's facts name: it is read without a turn
    /// at the gate.
    pub async fn picture(&self, hash: &str) -> Result<Option<Picture>, Trouble> {
        self.pictures.get(hash).await
    }

    /// A stretch of the public directory's order: from its beginning, or behind the tenant of this slug. `None`: nobody of
    /// that slug is listed.
    pub async fn listed_behind(&self, after: Option<Slug>) -> Result<Option<Arc<DirectoryStretch>>, Trouble> {
        self.listings.behind(after).await
    }

    /// How many files the sitemap has, at least one.
    pub async fn sitemap_files(&self) -> Result<usize, Trouble> {
        self.sitemap.files().await
    }

    /// A file of the sitemap, counted from 0, as `make` makes it of its tenants; `way` names how it does. `None`: there are
    /// not so many.
    pub async fn sitemap(
        &self,
        file: usize,
        way: &str,
        suspend_expired: bool,
        make: impl FnOnce(&[Listed]) -> String,
    ) -> Result<Option<Bytes>, Trouble> {
        self.sitemap.file(file, way, (suspend_expired, self.clock.now()), make).await
    }

    /// The same gate guards look-ups of certificates by strangers.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Sizes of the two caches (hosts, tenants), also written to the metrics.
    pub fn stats(&self) -> (CacheStats, CacheStats) {
        let stats = (self.hosts.stats(), self.tenants.stats());
        for (name, cache) in [("hosts", stats.0), ("tenants", stats.1)] {
            let entries = i64::try_from(cache.known + cache.absent).unwrap_or(i64::MAX);
            self.metrics.entries.with_label_values(&[name]).set(entries);
        }
        stats
    }

    async fn discover(&self, host: &Hostname, client: IpAddr) -> Result<Option<TenantId>, Trouble> {
        let busy = |_| {
            self.metrics.lookups.with_label_values(&["hosts", "busy"]).inc();
            Trouble::Busy
        };
        let turn = self.gate.enter(client).await.map_err(busy)?;
        // Somebody may have asked while this one waited for its turn.
        let id = self.hosts.get(host).await.map_err(unavailable)?;
        if id.is_none() {
            self.gate.charge(&turn);
        }
        Ok(id)
    }
}

impl Subscriber for Directory {
    fn apply(&self, change: &Change) {
        match change {
            Change::Tenant(id) => {
                self.tenants.forget(id);
                self.listings.touch();
                self.sitemap.touch();
            }
            Change::Host(host) => self.hosts.forget(host),
            Change::Beneath(host) => {
                let wildcard = DomainName::beneath(host.clone());
                self.hosts.forget_where(|host| wildcard.covers(host));
            }
            Change::Slug(slug) => {
                if let Ok(host) = self.brand.tenant_host(slug) {
                    self.hosts.forget(&host);
                }
            }
            Change::Reset => {
                self.hosts.forget_all();
                self.tenants.forget_all();
                self.recent.clear();
                self.listings.touch();
                self.sitemap.touch();
            }
            Change::Certificate(_) | Change::Challenge(_) | Change::Session(_) | Change::Keys => {}
        }
    }
}

fn lookup(brand: &Brand, host: &Hostname) -> Option<Lookup> {
    match brand.classify(host) {
        HostClass::Tenant(slug) => Some(Lookup::Slug(slug)),
        HostClass::Custom => Some(Lookup::Domain(host.clone())),
        HostClass::Apex | HostClass::Console | HostClass::Reserved | HostClass::Subdomain => None,
    }
}

fn failed(what: &'static str, error: &crate::store::StoreError) -> LoadFailed {
    warn!(error = %error, what, "directory.load_failed");
    LoadFailed::from(error)
}

fn unavailable(_: LoadFailed) -> Trouble {
    Trouble::Unavailable
}

/// Operator → holding → merchant is three; nobody needs more than this.
const DEEPEST_CHAIN: usize = 8;
