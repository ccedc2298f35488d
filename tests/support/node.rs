//! A real process, `tenantry serve`, that can be killed and started again over the same store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tenantry::app::{App, Roles};
use tenantry::clock::Clock;
use tenantry::config::Config;
use tenantry::seal::KeyFile;

use super::backend::Backend;
use super::program::{Program, local, port};
use super::world::{BASE, ROUTING};

/// What outlives a process: its configuration, its store and its key.
pub struct Site {
    dir: TempDir,
    /// The URL of its store.
    pub store: String,
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    _backend: Backend,
}

impl Site {
    /// `settings`: more tables of `tenantry.toml`.
    pub async fn new(https: u16, http: u16, settings: &str) -> Self {
        Self::with_store(https, http, settings, None).await
    }

    /// The same with its store in another place than a file of its own.
    pub async fn with_store(https: u16, http: u16, settings: &str, store: Option<String>) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        KeyFile::create(&path("store.key")).unwrap();
        let backend = Backend::start().await;
        let (admin, https, http) = (local(port()), local(https), local(http));
        let store = store.unwrap_or_else(|| format!("sqlite:{}", path("tenantry.db").display()));
        let tenantry = format!(
            "[brand]\nname = \"Test\"\nbase = \"{BASE}\"\n[[listener]]\nname = \"https\"\naddress = \"{https}\"\n\
             [[listener]]\nname = \"http\"\naddress = \"{http}\"\ntls = false\n[admin]\naddress = \"{admin}\"\n\
             [store]\nurl = \"{store}\"\nkey = \"file:{}\"\n{settings}",
            path("store.key").display(),
        );
        std::fs::write(path("tenantry.toml"), tenantry).unwrap();
        std::fs::write(path("routing.toml"), ROUTING.replace("${BACKEND}", &backend.address.to_string())).unwrap();
        std::fs::write(path("plans.toml"), include_str!("../../config/plans.toml")).unwrap();
        Self { dir, store, https, http, admin, _backend: backend }
    }

    /// Its store, opened by this process; nobody works on it.
    pub async fn open(&self) -> App {
        let config = Config::load(self.dir.path()).unwrap_or_else(|faults| panic!("{faults}"));
        App::open(config, Clock::system(), Roles::ALL).await.unwrap()
    }

    /// Where its configuration is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("tenantry.db")
    }

    /// A process, which is killed (SIGKILL) when the value is dropped. It has only been begun: nothing is known of it.
    pub fn start(&self) -> Program {
        self.start_as(env!("CARGO_BIN_EXE_tenantry"), &[])
    }

    /// The same with a program of that name, and with more in its environment.
    pub fn start_as(&self, program: &str, environment: &[(String, String)]) -> Program {
        let config = self.dir.path().display().to_string();
        Program::start(program, &["serve", "-c", &config, "--state", &config], environment)
    }
}
