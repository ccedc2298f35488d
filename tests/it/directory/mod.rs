//! The directory against a real store that can stall, fail and count: what it knows, and that it never knows too long.

mod chain;
mod epoch;
mod flood;
mod gate;
mod listed;
mod outage;
mod recent;
mod source;
mod stress;
mod wildcard;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::AbortHandle;

use tenantry::clock::{Clock, Timestamp};
use tenantry::config::{Config, Sources};
use tenantry::directory::{
    Applied, Directory, DirectorySettings, Follower, Gate, GateSettings, Resolution, Source, Subscriber, Trouble, View,
};
use tenantry::metrics::Metrics;
use tenantry::model::{Catalogue, Change, DomainState, Hostname, Slug, Tenant};
use tenantry::seal::Sealer;
use tenantry::store::{Store, Write};
use tenantry::tls::{CertificateCache, CertificateCacheSettings, Certificates, LocalCa, ServerConfigs};
use tenantry::traffic::Meters;

use self::source::Tap;
pub use crate::store::{LONG, claim, host, insert, slug, tenant};

/// Who asks, where it does not matter.
pub const VISITOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The system of record, with nobody reading it yet.
pub struct Record {
    pub store: Store,
    pub clock: Clock,
    _dir: TempDir,
}

/// One node's view of a record.
pub struct Node {
    pub store: Store,
    pub tap: Arc<Tap>,
    pub clock: Clock,
    pub catalogue: Arc<Catalogue>,
    pub directory: Arc<Directory>,
    pub certificates: Arc<CertificateCache>,
    pub applied: Applied,
    pub metrics: Arc<Metrics>,
    config: Config,
    follower: AbortHandle,
}

impl Record {
    pub async fn new() -> Self {
        tenantry::app::install_crypto().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
        let url = format!("sqlite:{}", dir.path().join("tenantry.db").display());
        let store = Store::open(&url, 6, Sealer::from_key_bytes(&[3; 32]).unwrap(), clock.clone()).await.unwrap();
        Self { store, clock, _dir: dir }
    }

    /// A node that knows nothing yet and follows the feed.
    pub async fn node(&self) -> Node {
        self.node_with(settings()).await
    }

    pub async fn node_with(&self, settings: DirectorySettings) -> Node {
        let tap = Arc::new(Tap::new(self.store.clone()));
        let source = Arc::clone(&tap) as Arc<dyn Source>;
        let metrics = Arc::new(Metrics::new().unwrap());
        let config = config();
        let start = self.store.revision().await.unwrap();
        let gate = Arc::new(Gate::new(&settings.gate, self.clock.clone()));
        let brand = config.brand.clone();
        let meters = Arc::new(Meters::new("test".into(), self.clock.clone()));
        let (clock, counts) = (self.clock.clone(), Arc::clone(&metrics));
        let directory = Directory::new(Arc::clone(&source), &settings, brand, gate, clock, counts, meters);
        let directory = Arc::new(directory);
        let certificates = CertificateCache::new(
            Arc::clone(&source),
            &CertificateCacheSettings {
                base: config.brand.base.clone(),
                capacity: 1_000,
                negatives: settings.negatives,
                negative_ttl: settings.negative_ttl,
                wait: Duration::from_secs(5),
            },
            Arc::clone(&directory),
            Arc::new(ServerConfigs::new(false).unwrap()),
            None,
            self.clock.clone(),
            &metrics,
        );
        let subscribers: Vec<Arc<dyn Subscriber>> =
            vec![Arc::clone(&directory) as Arc<dyn Subscriber>, Arc::clone(&certificates) as Arc<dyn Subscriber>];
        let poll = Duration::from_millis(100);
        let (follower, applied) =
            Follower::new(source, subscribers, start, poll, (self.clock.clone(), Arc::clone(&metrics)));
        let follower = tokio::spawn(follower.run()).abort_handle();
        Node {
            store: self.store.clone(),
            tap,
            clock: self.clock.clone(),
            catalogue: Arc::clone(&config.catalogue),
            directory,
            certificates,
            applied,
            metrics,
            config,
            follower,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Node {
    /// Whom a host leads to.
    pub async fn resolve(&self, host: &Hostname) -> Result<Resolution, Trouble> {
        self.resolve_for(host, VISITOR).await
    }

    pub async fn resolve_for(&self, host: &Hostname, client: IpAddr) -> Result<Resolution, Trouble> {
        let found = self.resolve_once(host, client).await;
        if let Ok(Resolution::Tenant(..)) = found {
            // Asked for twice more, the whole answer is kept: what is known from now on is what is kept.
            for _ in 0..2 {
                let _ = self.resolve_once(host, client).await;
            }
        }
        found
    }

    pub async fn resolve_once(&self, host: &Hostname, client: IpAddr) -> Result<Resolution, Trouble> {
        let class = self.config.brand.classify(host);
        self.directory.resolve(host, &class, client, &self.catalogue, false).await
    }

    /// The view behind a host that leads to somebody.
    pub async fn view(&self, text: &str) -> Arc<View> {
        match self.resolve(&host(text)).await {
            Ok(Resolution::Tenant(view, _)) => view,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// The name of the tenant that a host leads to; `-` for nobody.
    pub async fn name_at(&self, host: &Hostname) -> Result<String, Trouble> {
        Ok(match self.resolve(host).await? {
            Resolution::Tenant(view, _) => view.tenant.name.clone(),
            Resolution::Unknown => "-".into(),
        })
    }

    /// Waits until this node has applied a revision.
    pub async fn caught_up(&self, revision: i64) {
        assert!(self.applied.wait_for(revision, LONG).await, "revision {revision} is not applied");
    }

    /// Commits, and returns when this node has applied it: what an API that has answered has done.
    pub async fn commit(&self, write: Write) -> i64 {
        let revision = write.commit().await.unwrap();
        self.caught_up(revision).await;
        revision
    }

    pub async fn update(&self, tenant: &Tenant) {
        let mut write = self.store.write().await.unwrap();
        write.update_tenant(tenant).await.unwrap();
        self.commit(write).await;
    }

    /// Publishes changes that nothing stands behind.
    pub async fn touch(&self, changes: impl IntoIterator<Item = Change>) {
        let mut write = self.store.write().await.unwrap();
        changes.into_iter().for_each(|change| write.change(change));
        self.commit(write).await;
    }

    /// Gives a domain, verified, to this tenant.
    pub async fn give(&self, domain: &str, to: &Tenant) {
        let mut write = self.store.write().await.unwrap();
        write.insert_domain(&claim(domain, to.id, DomainState::Verified)).await.unwrap();
        self.commit(write).await;
    }

    /// The leaf that a name is served with, DER.
    pub async fn leaf(&self, name: &str, ca: &LocalCa) -> Option<Vec<u8>> {
        let name = host(name);
        let config = self.certificates.config_for(Some(&name), false, VISITOR).await.ok()?;
        Some(handshake(config, name.as_str(), ca))
    }
}

/// Small enough to be full soon, and a gate that lets everybody through.
pub fn settings() -> DirectorySettings {
    DirectorySettings {
        hosts: 10_000,
        tenants: 10_000,
        negatives: 1_000,
        negative_ttl: Duration::from_secs(3600),
        gate: GateSettings { concurrent: 64, wait: LONG, rate: 1_000_000, burst: 1_000_000 },
    }
}

pub fn slug_host(name: &str) -> Hostname {
    host(&format!("{}.connect.localhost", Slug::parse(name).unwrap()))
}

pub fn config() -> Config {
    let tenantry = "[brand]\nbase = \"connect.localhost\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n\
                    [store]\nurl = \"sqlite:unused.db\"\nkey = \"env:UNUSED\"\n";
    let sources = Sources::new(
        tenantry,
        include_str!("../../../config/dev/routing.toml"),
        include_str!("../../../config/plans.toml"),
    );
    Config::parse(&sources, &|_| Some("127.0.0.1:1".into())).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Evenly scattered numbers out of counted ones (splitmix64).
pub fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A whole handshake in memory; returns the leaf that the server showed.
fn handshake(config: Arc<rustls::ServerConfig>, name: &str, ca: &LocalCa) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.certificate().as_bytes()).unwrap()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(config).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    client.peer_certificates().unwrap()[0].to_vec()
}
