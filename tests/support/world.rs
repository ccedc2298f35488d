//! A whole Tenantry in this process: real store, real sockets on free ports, certificates from a local authority, and a
//! backend that remembers. Everything ends when the world is dropped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tenantry::app::{self, App, Origin, Roles, Running};
use tenantry::clock::Clock;
use tenantry::model::{Hostname, ImageKind, Listing, Status};
use tenantry::seal::KeyFile;
use tenantry::tenancy::{Actor, Expect, NewDomain, NewTenant, NewToken, Suspension, Upload};
use tenantry::tls::LocalCa;

use super::backend::Backend;

/// The base domain of every world.
pub const BASE: &str = "connect.localhost";

/// One Tenantry, with its surroundings.
pub struct World {
    pub running: Running,
    pub ca: LocalCa,
    pub backend: Backend,
    pub dir: Arc<TempDir>,
    /// Where its three configuration files are.
    pub files: PathBuf,
    pub clock: Clock,
}

/// What a world is to be made of; the defaults suit most tests.
pub struct Builder {
    tenantry: String,
    brand: String,
    routing: Option<String>,
    plans: String,
    store: Option<String>,
    dir: Option<Arc<TempDir>>,
    ca: Option<LocalCa>,
    clock: Clock,
    ports: (u16, u16),
    bare: bool,
    admin: String,
}

impl World {
    /// An empty edge: no tenant, a certificate for the base domain and its wildcard, everything routed to the backend,
    /// `POST /analytics/export` gated by `csv_export`.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder {
            tenantry: String::new(),
            brand: String::new(),
            routing: None,
            plans: include_str!("../../config/plans.toml").to_owned(),
            store: None,
            dir: None,
            ca: None,
            clock: Clock::system(),
            ports: (0, 0),
            bare: false,
            admin: String::new(),
        }
    }

    /// The HTTPS listener.
    pub fn https(&self) -> SocketAddr {
        self.running.address("https").unwrap()
    }

    /// The plain listener.
    pub fn http(&self) -> SocketAddr {
        self.running.address("http").unwrap()
    }

    pub fn admin(&self) -> SocketAddr {
        self.running.admin_address()
    }

    /// Creates an active tenant.
    pub async fn tenant(&self, slug: &str, plan: &str) {
        self.create(NewTenant { slug: slug.into(), name: slug.into(), plan: Some(plan.into()), ..active() }).await;
    }

    /// Creates an active tenant under a parent, with the parent's plan.
    pub async fn child(&self, slug: &str, parent: &str) {
        self.create(NewTenant { slug: slug.into(), name: slug.into(), parent: Some(parent.into()), ..active() }).await;
    }

    pub async fn create(&self, new: NewTenant) {
        self.running.tenancy().create(&actor(), &new).await.unwrap();
    }

    /// Gives a tenant a verified domain with a certificate.
    pub async fn domain(&self, tenant: &str, domain: &str) {
        self.certificate(&[domain]).await;
        let new = NewDomain { domain: domain.into(), verified: true };
        self.running.tenancy().add_domain(&actor(), tenant, &new).await.unwrap();
    }

    /// Gives a tenant a domain that has no certificate, verified or only claimed.
    pub async fn claim(&self, tenant: &str, domain: &str, verified: bool) {
        let new = NewDomain { domain: domain.into(), verified };
        self.running.tenancy().add_domain(&actor(), tenant, &new).await.unwrap();
    }

    pub async fn release(&self, tenant: &str, domain: &str) {
        self.running.tenancy().remove_domain(&actor(), domain, Some(tenant)).await.unwrap();
    }

    pub async fn suspend(&self, slug: &str) {
        let why = Suspension { reason: Some("unpaid".into()), public: false };
        self.running.tenancy().suspend(&actor(), slug, &Expect::Anything, &why).await.unwrap();
    }

    pub async fn activate(&self, slug: &str) {
        self.running.tenancy().activate(&actor(), slug, &Expect::Anything).await.unwrap();
    }

    /// Puts a certificate for these names into the store, and waits until it is known here.
    pub async fn certificate(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = self.ca.issue(&names, 30).unwrap();
        let mut write = self.running.store().write().await.unwrap();
        write.insert_certificate(&certificate).await.unwrap();
        let revision = write.commit().await.unwrap();
        assert!(self.running.applied().wait_for(revision, Duration::from_secs(10)).await);
    }

    /// Writes another configuration file: `tenantry`, `routing` or `plans`.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.files.join(format!("{file}.toml")), text).unwrap();
    }

    /// A configuration file as it is.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.files.join(format!("{file}.toml"))).unwrap()
    }

    /// Patches what the edge does for a tenant.
    pub async fn edge(&self, slug: &str, patch: serde_json::Value) {
        self.running.tenancy().patch_edge(&actor(), slug, &Expect::Anything, &patch).await.unwrap();
    }

    /// Patches how a tenant looks.
    pub async fn branding(&self, slug: &str, patch: serde_json::Value) {
        self.running.tenancy().patch_branding(&actor(), slug, &Expect::Anything, &patch).await.unwrap();
    }

    /// Uploads a picture, and returns where the edge serves it.
    pub async fn picture(&self, slug: &str, kind: ImageKind, media: &str, bytes: impl Into<Vec<u8>>) -> String {
        let upload = Upload { kind, declared: media.into(), bytes: bytes.into() };
        let done = self.running.tenancy().put_picture(&actor(), slug, &Expect::Anything, upload).await.unwrap();
        let image = done.value.state.tenant.branding.images.get(kind).cloned().unwrap();
        format!("/.well-known/tenantry/assets/{}", image.hash)
    }

    /// Lists a tenant in the public directory.
    pub async fn list(&self, slug: &str, priority: i32) {
        let listing = Listing { listed: true, priority };
        self.running.tenancy().set_listing(&actor(), slug, &Expect::Anything, listing).await.unwrap();
    }

    /// A new operator's token.
    pub async fn token(&self, name: &str) -> String {
        let issued = self
            .running
            .tenancy()
            .create_token(&actor(), None, &NewToken { name: name.into(), ..NewToken::default() })
            .await
            .unwrap();
        issued.value.secret.to_string()
    }

    /// `<slug>.<base>`
    pub fn host(&self, slug: &str) -> String {
        Hostname::parse(&format!("{slug}.{BASE}")).unwrap().to_string()
    }
}

impl Builder {
    /// More lines for `tenantry.toml`: whole tables, none of which the world writes itself (`[brand]`, `[[listener]]`,
    /// `[admin]`, `[store]`).
    pub fn settings(mut self, toml: &str) -> Self {
        self.tenantry.push_str(toml);
        self
    }

    /// Another `routing.toml`; `${BACKEND}` is the world's backend.
    pub fn routing(mut self, toml: &str) -> Self {
        self.routing = Some(toml.to_owned());
        self
    }

    /// More lines for `[admin]`, sections within it included.
    pub fn admin(mut self, toml: &str) -> Self {
        self.admin.push_str(toml);
        self
    }

    /// A store somewhere else: `postgres://…`, or the SQLite file of another world.
    pub fn store(mut self, url: &str) -> Self {
        self.store = Some(url.to_owned());
        self
    }

    /// More lines for `[brand]`.
    pub fn brand(mut self, toml: &str) -> Self {
        self.brand.push_str(toml);
        self
    }

    /// A second node beside `other`: the same key, authority and (unless [`Builder::store`] says otherwise) store.
    pub fn beside(mut self, other: &World) -> Self {
        self.dir = Some(Arc::clone(&other.dir));
        self.ca = Some(other.ca.clone());
        self.clock = other.clock.clone();
        self
    }

    /// Without a certificate for the base domain.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Listens at these ports, for those who have to know them beforehand. Default: whichever are free.
    pub fn ports(mut self, https: u16, http: u16) -> Self {
        self.ports = (https, http);
        self
    }

    pub async fn start(self) -> World {
        app::install_crypto().unwrap();
        let first = self.dir.is_none();
        let dir = self.dir.unwrap_or_else(|| Arc::new(TempDir::new().unwrap()));
        let key = dir.path().join("store.key");
        if first {
            KeyFile::create(&key).unwrap();
        }
        let store = self.store.unwrap_or_else(|| format!("sqlite:{}", dir.path().join("tenantry.db").display()));
        let backend = Backend::start().await;
        let tenantry = format!(
            "[brand]\nname = \"Test\"\nbase = \"{BASE}\"\n{}\
             [[listener]]\nname = \"https\"\naddress = \"127.0.0.1:{}\"\n\
             [[listener]]\nname = \"http\"\naddress = \"127.0.0.1:{}\"\ntls = false\n\
             [admin]\naddress = \"127.0.0.1:0\"\n{}\
             [store]\nurl = \"{store}\"\nkey = \"file:{}\"\n{}",
            self.brand,
            self.ports.0,
            self.ports.1,
            self.admin,
            key.display(),
            self.tenantry
        );
        let routing = self.routing.unwrap_or_else(|| ROUTING.to_owned());
        let files = dir.path().join(format!("config-{}", backend.address.port()));
        std::fs::create_dir_all(&files).unwrap();
        for (name, text) in [("tenantry", tenantry), ("routing", routing), ("plans", self.plans)] {
            std::fs::write(files.join(format!("{name}.toml")), text).unwrap();
        }
        let address = backend.address.to_string();
        let origin = Origin::new(&files, Some(&files.join("state")));
        let origin = origin.with_lookup(move |name| (name == "BACKEND").then(|| address.clone()));
        let loaded = origin.read_or_last_good().unwrap_or_else(|faults| panic!("{faults}"));
        let ca = self.ca.unwrap_or_else(|| LocalCa::create(self.clock.clone()).unwrap());
        let app = App::open_from(origin, loaded, self.clock.clone(), Roles::ALL).await.unwrap();
        let running = app.start(Vec::new()).await.unwrap();
        let world = World { running, ca, backend, dir, files, clock: self.clock };
        if first && !self.bare {
            world.certificate(&[&format!("*.{BASE}"), BASE]).await;
        }
        world
    }
}

fn active() -> NewTenant {
    NewTenant { status: Some(Status::Active), ..NewTenant::default() }
}

fn actor() -> Actor {
    Actor::new("test")
}

pub const ROUTING: &str = r#"
[[pool]]
name = "app"
backends = ["${BACKEND}"]

[[route]]
name = "export"
host = "tenant"
path = "/analytics/export"
methods = ["POST"]
requires = "csv_export"
pool = "app"

[[route]]
name = "everything-else"
host = "any"
pool = "app"
"#;
