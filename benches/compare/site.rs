//! Tenantry's own stores and processes. A store is filled by the store's own code: a tenant with a host beneath the base domain,
//! and in the large ones nine custom domains besides, of which one has a certificate. `TENANTRY_BENCH_KEEP` names a directory in
//! which stores are kept from one run to the next.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tenantry::app::{App, Origin, Roles};
use tenantry::clock::Clock;
use tenantry::model::{Certificate, Domain, DomainName, DomainState};
use tenantry::seal::KeyFile;
use tenantry::store::Store;
use tenantry::tenancy::{Actor, NewToken};

use super::api::Api;
use super::program::{local, port};
use super::servers::{Process, Server};
use super::{common, names};

/// Rows of one writing transaction.
const AT_ONCE: usize = 50_000;

/// A store with its configuration: what outlives a process.
pub struct Site {
    pub tenants: usize,
    /// Of each tenant.
    pub domains: usize,
    pub https: SocketAddr,
    pub http: SocketAddr,
    admin: SocketAddr,
    directory: PathBuf,
    backend: SocketAddr,
    token: String,
}

impl Site {
    /// In a directory of its own, filled unless it is already.
    pub async fn new(
        ground: &Path,
        tenants: usize,
        domains: usize,
        backend: SocketAddr,
        certificate: &Certificate,
    ) -> Self {
        let directory = ground.join(format!("tenantry-{}", tenants * (1 + domains)));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (https, http, admin) = (local(port()), local(port()), local(port()));
        let mut site = Self { tenants, domains, https, http, admin, directory, backend, token: String::new() };
        site.configure();
        let origin = Origin::new(&site.directory, Some(&site.directory));
        let loaded = origin.read().unwrap_or_else(|faults| panic!("{faults}"));
        let app = App::open_from(origin, loaded, Clock::system(), Roles::ADMIN).await.expect("a store");
        let full = site.directory.join("full");
        if !full.exists() {
            let begun = Instant::now();
            fill(app.store(), tenants, domains, certificate).await;
            std::fs::write(full, "").expect("a file");
            println!("filled a store with {} hosts in {:.0?}", site.hosts(), begun.elapsed());
        }
        let name = format!("compare-{}", Clock::system().now().millis());
        let wanted = NewToken { name, ..NewToken::default() };
        let issued = app.tenancy().create_token(&Actor::new("system"), None, &wanted).await.expect("a token");
        site.token = issued.value.secret.to_string();
        app.store().close().await;
        site
    }

    /// Another with the same in it, for another program. Nobody may be at work on this one.
    pub fn twin(&self) -> Self {
        let directory = self.directory.with_extension("twin");
        // One of an earlier run has a journal that does not belong to this copy.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        for name in ["tenantry.db", "store.key"] {
            std::fs::copy(self.directory.join(name), directory.join(name)).expect("a copy");
        }
        let (https, http, admin) = (local(port()), local(port()), local(port()));
        let twin = Self { https, http, admin, directory, token: self.token.clone(), ..*self };
        twin.configure();
        twin
    }

    pub fn hosts(&self) -> usize {
        self.tenants * (1 + self.domains)
    }

    pub fn api(&self) -> Api {
        Api::new(self.admin, self.token.clone())
    }

    /// As shipped, but that one visitor may be everybody, and a connection is not closed for its many requests.
    fn configure(&self) {
        let path = |name: &str| self.directory.join(name);
        if !path("store.key").exists() {
            KeyFile::create(&path("store.key")).expect("a key");
        }
        let Self { https, http, admin, .. } = self;
        let (base, directory) = (names::BASE, self.directory.display());
        let tenantry = format!(
            "[brand]\nbase = \"{base}\"\n[[listener]]\nname = \"https\"\naddress = \"{https}\"\npublic_port = 443\n\
             [[listener]]\nname = \"http\"\naddress = \"{http}\"\ntls = false\n[admin]\naddress = \"{admin}\"\n\
             [store]\nurl = \"sqlite:{directory}/tenantry.db\"\nkey = \"file:{directory}/store.key\"\n\
             [dns]\nservers = [\"127.0.0.1:1\"]\ntimeout = \"200ms\"\n\
             [log]\noutput = \"{directory}/tenantry.log\"\n[limits]\nconnections_per_address = 20000\n\
             requests_per_connection = 100000000\nidle_timeout = \"300s\"\n"
        );
        std::fs::write(path("tenantry.toml"), tenantry).expect("a file");
        std::fs::write(path("plans.toml"), include_str!("../../config/plans.toml")).expect("a file");
        self.route(0, 0);
    }

    /// Writes routes: so many of a path each, one whose answer is `marker` bytes long, and one for the rest.
    pub fn route(&self, many: usize, marker: usize) {
        let mut text = format!("[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n", self.backend);
        for n in 0..many {
            let _ = writeln!(
                text,
                "[[route]]\nname = \"r{n}\"\nhost = \"tenant\"\npath_prefix = \"/area-{n}\"\npool = \"app\""
            );
        }
        if marker > 0 {
            let _ = writeln!(
                text,
                "[[route]]\nname = \"marker\"\nhost = \"tenant\"\npath = \"/marker\"\n[route.answer]\nbody = \"{}\"",
                "m".repeat(marker)
            );
        }
        text.push_str("[[route]]\nname = \"rest\"\nhost = \"any\"\npool = \"app\"\n");
        std::fs::write(self.directory.join("routing.toml"), text).expect("a file");
    }

    /// A process with this store.
    pub fn start(&self, name: &str, program: &Path) -> Option<Server> {
        let _ = std::fs::remove_file(self.directory.join("tenantry.log"));
        let directory = self.directory.display().to_string();
        let words = ["serve", "-c", &directory, "--state", &directory];
        let process = Process::start(&self.directory, "tenantry", program, &words).ok()?;
        let server = Server::new(name, super::servers::built(program), self.https, process);
        Some(Server { hosts: self.tenants.min(10_000), ..server })
    }
}

async fn fill(store: &Store, tenants: usize, domains: usize, certificate: &Certificate) {
    let mut write = store.write().await.expect("a write");
    write.insert_certificate(certificate).await.expect("a certificate");
    write.commit().await.expect("a commit");
    for begin in (0..tenants).step_by(AT_ONCE) {
        let rows: Vec<_> = (begin..tenants.min(begin + AT_ONCE)).map(|n| common::tenant(n as u128)).collect();
        let mut write = store.bulk().await.expect("a write");
        assert_eq!(write.insert_tenants(&rows).await.expect("tenants"), rows.len() as u64);
        write.commit().await.expect("a commit");
    }
    if domains > 0 {
        fill_domains(store, tenants, domains, certificate).await;
    }
}

/// A certificate for the first domain of each tenant, then the domains.
async fn fill_domains(store: &Store, tenants: usize, domains: usize, certificate: &Certificate) {
    for begin in (0..tenants).step_by(AT_ONCE) {
        let mut write = store.bulk().await.expect("a write");
        for n in begin..tenants.min(begin + AT_ONCE) {
            let id = uuid::Uuid::now_v7().to_string();
            let own = Certificate { id, names: vec![names::domain(n, 0)], ..certificate.clone() };
            write.insert_certificate(&own).await.expect("a certificate");
        }
        write.commit().await.expect("a commit");
    }
    // Nobody looks at them again while this lasts.
    let due = Clock::system().now() + Duration::from_secs(365 * 24 * 3600);
    let tenants_at_once = AT_ONCE / domains;
    for begin in (0..tenants).step_by(tenants_at_once) {
        let range = begin..tenants.min(begin + tenants_at_once);
        let rows: Vec<_> = range.flat_map(|n| (0..domains).map(move |k| (domain(n, k), due))).collect();
        let mut write = store.bulk().await.expect("a write");
        assert_eq!(write.insert_domains(&rows).await.expect("domains"), rows.len() as u64);
        write.commit().await.expect("a commit");
    }
}

fn domain(n: usize, k: usize) -> Domain {
    let now = Clock::system().now();
    Domain {
        name: DomainName::parse(&names::domain(n, k)).expect("a name"),
        tenant: common::tenant(n as u128).id,
        state: if k == 0 { DomainState::Live } else { DomainState::Verified },
        token: "token".into(),
        created: now,
        updated: now,
        revision: 1,
    }
}
