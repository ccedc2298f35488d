//! Where a process's configuration comes from, at its start and each time it is read again.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, warn};

use super::last_good::LastGood;
use crate::config::{Config, Faults, Sources};

/// Where variables come from.
type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A directory with the three files, and a place to keep what was right.
#[derive(Clone)]
pub struct Origin {
    dir: PathBuf,
    kept: Option<LastGood>,
    lookup: Arc<Variables>,
}

/// A configuration that has been read, and what it was read from.
pub struct Loaded {
    pub config: Config,
    pub sources: Sources,
    /// The files were broken, so this is what was right last: why they were refused.
    pub instead_of: Option<Faults>,
}

impl Origin {
    /// Variables come from the environment; `state` is a directory of the process's own.
    pub fn new(dir: impl Into<PathBuf>, state: Option<&Path>) -> Self {
        let lookup = Arc::new(|name: &str| std::env::var(name).ok());
        Self { dir: dir.into(), kept: state.map(LastGood::within), lookup }
    }

    /// With variables from the caller.
    pub fn with_lookup(mut self, lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.lookup = Arc::new(lookup);
        self
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the files. Blocks.
    pub fn read(&self) -> Result<Loaded, Faults> {
        let sources = Sources::read(&self.dir);
        let config = self.parse(&sources)?;
        Ok(Loaded { config, sources, instead_of: None })
    }

    /// Reads the files, or where they are broken, what was right last. Blocks.
    pub fn read_or_last_good(&self) -> Result<Loaded, Faults> {
        let faults = match self.read() {
            Ok(loaded) => return Ok(loaded),
            Err(faults) => faults,
        };
        let Some(sources) = self.kept.as_ref().and_then(LastGood::read) else { return Err(faults) };
        match self.parse(&sources) {
            Ok(config) => Ok(Loaded { config, sources, instead_of: Some(faults) }),
            // A variable that is gone, for one. The files are what the operator has to mend.
            Err(_) => Err(faults),
        }
    }

    fn parse(&self, sources: &Sources) -> Result<Config, Faults> {
        let mut config = Config::parse(sources, &*self.lookup)?;
        if let Some(state) = self.kept.as_ref().and_then(|kept| kept.path().parent()) {
            config.audit.settle(state);
        }
        Ok(config)
    }

    /// Keeps what is in force now. A disk that does not take it stops nothing.
    pub fn keep(&self, sources: &Sources) {
        let Some(kept) = &self.kept else { return };
        if let Err(error) = kept.keep(sources) {
            let path = kept.path().display();
            warn!(%path, %error, "config.last_good_not_kept: a start with broken files would have nothing to fall back on");
        }
    }

    /// Says loudly that the files were passed over.
    pub fn complain(&self, loaded: &Loaded) {
        let Some(faults) = &loaded.instead_of else { return };
        for fault in faults.iter() {
            error!(fault = %fault, "config.broken");
        }
        let dir = self.dir.display();
        error!(%dir, "config.last_good: the files are broken, so this process runs with those that were right last");
    }

    /// Changes when one of the files does; what they hold is not read.
    pub fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for name in ["tenantry.toml", "routing.toml", "plans.toml"] {
            let about = std::fs::metadata(self.dir.join(name));
            about.map(|about| (about.modified().ok(), about.len())).ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}
