//! The room over a store, by a clock that the test moves. Nothing works by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tempfile::TempDir;
use tenantry::clock::{Clock, Timestamp};
use tenantry::config::{Config, Sources};
use tenantry::dns::Dns;
use tenantry::domains::Domains;
use tenantry::metrics::Metrics;
use tenantry::model::{DomainName, DomainState, Status};
use tenantry::outbound::Guard;
use tenantry::seal::Sealer;
use tenantry::store::{Page, Store};
use tenantry::tenancy::{Actor, NewDomain, NewTenant, Tenancy};

pub const DAY: Duration = Duration::from_secs(86_400);
/// The name that most tests are about, and where a CNAME is to lead.
pub const NAME: &str = "shop.acme.example";
pub const EDGE: &str = "edge.connect.example";

pub struct Room {
    pub domains: Domains,
    pub dns: Dns,
    pub tenancy: Tenancy,
    pub store: Store,
    pub clock: Clock,
    dir: Arc<TempDir>,
}

impl Room {
    /// Over a SQLite file of its own, with two tenants: `acme` and `rival`. `more`: further lines of `tenantry.toml`, the
    /// first of them still in `[dns]`.
    pub async fn new(resolver: SocketAddr, more: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let url = format!("sqlite:{}", dir.path().join("tenantry.db").display());
        Self::over(&url, resolver, more, dir).await
    }

    /// Over this store, which is empty.
    pub async fn over(url: &str, resolver: SocketAddr, more: &str, dir: Arc<TempDir>) -> Self {
        let clock = Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
        let room = Self::node(url, resolver, more, dir, clock).await;
        for slug in ["acme", "rival"] {
            let (slug, plan) = (slug.to_owned(), Some("growth".to_owned()));
            let new =
                NewTenant { name: slug.clone(), slug, plan, status: Some(Status::Active), ..NewTenant::default() };
            room.tenancy.create(&actor(), &new).await.unwrap();
        }
        room
    }

    /// A second node on the same store.
    pub async fn beside(&self, url: &str, resolver: SocketAddr, more: &str) -> Self {
        Self::node(url, resolver, more, Arc::clone(&self.dir), self.clock.clone()).await
    }

    async fn node(url: &str, resolver: SocketAddr, more: &str, dir: Arc<TempDir>, clock: Clock) -> Self {
        tenantry::app::install_crypto().unwrap();
        let tenantry = format!(
            "[brand]\nbase = \"connect.example\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n\
             [store]\nurl = \"sqlite:x\"\nkey = \"env:X\"\n[dns]\nservers = [\"{resolver}\"]\n{more}"
        );
        let routing = include_str!("../../../config/dev/routing.toml");
        let sources = Sources::new(tenantry, routing, include_str!("../../../config/plans.toml"));
        let config =
            Config::parse(&sources, &|_| Some("127.0.0.1:1".into())).unwrap_or_else(|faults| panic!("{faults}"));
        let config = Arc::new(ArcSwap::from_pointee(config));
        let sealer = Sealer::from_key_bytes(&[5; 32]).unwrap();
        let store = Store::open(url, 8, sealer, clock.clone()).await.unwrap();
        let tenancy = Tenancy::new(store.clone(), Arc::clone(&config), clock.clone(), Arc::new(()));
        let metrics = Arc::new(Metrics::new().unwrap());
        let guard = Guard::new(&config.load().outbound);
        let dns = Dns::new(&config.load().dns, guard.clone(), Arc::clone(&metrics), clock.clone());
        let domains = Domains::new(tenancy.clone(), store.clone(), dns.clone(), guard, config, clock.clone(), metrics);
        Self { domains, dns, tenancy, store, clock, dir }
    }

    /// A tenant's claim; what its TXT record is to say.
    pub async fn claim(&self, tenant: &str, name: &str) -> String {
        let new = NewDomain { domain: name.into(), verified: false };
        let claim = self.tenancy.add_domain(&actor(), tenant, &new).await.unwrap().value;
        claim.records[0].value.clone()
    }

    /// A claim that the operator vouches for.
    pub async fn vouch(&self, tenant: &str, name: &str) {
        let new = NewDomain { domain: name.into(), verified: true };
        self.tenancy.add_domain(&actor(), tenant, &new).await.unwrap();
    }

    /// As the orders do it when its certificate is served.
    pub async fn goes_live(&self) {
        let holder = self.store.held_domain(&name()).await.unwrap().unwrap().tenant;
        let mut write = self.store.write().await.unwrap();
        write.set_domain_state(&name(), holder, DomainState::Live).await.unwrap();
        write.commit().await.unwrap();
    }

    pub async fn state(&self, tenant: &str) -> DomainState {
        self.tenancy.domain(NAME, Some(tenant)).await.unwrap().domain.state
    }

    /// Makes all looks that are due; how many.
    pub async fn look(&self) -> usize {
        let mut sum = 0;
        while let looked @ 1.. = self.domains.check_due().await.unwrap() {
            sum += looked;
        }
        sum
    }

    /// Moves the clock, and makes all looks that are due then.
    pub async fn after(&self, time: Duration) {
        self.clock.advance(time);
        self.look().await;
    }

    /// What was told about the name, in order, and whom: the tenants' slugs.
    pub async fn events(&self) -> Vec<(String, String)> {
        let rows = self
            .store
            .events(
                &tenantry::store::EventFilter { subject: Some(NAME), ..Default::default() },
                &Page { limit: 1000, after: None },
            )
            .await
            .unwrap();
        let mut events = Vec::new();
        for row in rows {
            let tenant = self.tenancy.show(&row.event.tenant.unwrap().to_string()).await.unwrap().tenant;
            events.push((row.event.kind, tenant.slug.to_string()));
        }
        events
    }

    pub async fn told(&self, kind: &str, tenant: &str) -> bool {
        self.events().await.contains(&(kind.to_owned(), tenant.to_owned()))
    }

    pub async fn order(&self) -> bool {
        self.store.order(NAME).await.unwrap().is_some()
    }
}

pub fn actor() -> Actor {
    Actor::new("test")
}

pub fn name() -> DomainName {
    DomainName::parse(NAME).unwrap()
}

/// Where the proof of a name is looked for.
pub fn proof(name: &str) -> String {
    format!("_arythmatic-verification.{name}")
}
