//! Which certificate a name is served with: the directory's certificates, parsed and ready, behind the same kind of
//! exact cache as everything else that changes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use rustls::ServerConfig;
use tokio::sync::{Semaphore, watch};
use tracing::warn;

use super::{Certificates, Refusal, ServerConfigs};
use crate::clock::{Clock, Timestamp};
use crate::directory::{Cache, CacheStats, Cached, Directory, LoadFailed, Source, Subscriber, Trouble};
use crate::metrics::Metrics;
use crate::model::{Change, Hostname};

/// Certificates by the name that they carry; wildcards are names of their own.
pub struct CertificateCache {
    cache: Arc<Cache<String, Ready>>,
    clock: Clock,
    directory: Arc<Directory>,
    configs: Arc<ServerConfigs>,
    base: Hostname,
    wildcard: String,
    fallback: Option<Arc<ServerConfig>>,
    /// How long a first visitor waits, and how many may.
    wait: Duration,
    waiters: Semaphore,
    /// Counts the certificates that have come.
    news: watch::Sender<u64>,
}

/// A certificate ready for handshakes.
#[derive(Clone)]
struct Ready {
    config: Arc<ServerConfig>,
    not_after: Timestamp,
}

/// How many certificates are kept, and for how long a missing one is remembered.
#[derive(Clone, Debug)]
pub struct CertificateCacheSettings {
    /// The base domain, whose wildcard serves every slug host.
    pub base: Hostname,
    pub capacity: u64,
    pub negatives: u64,
    pub negative_ttl: Duration,
    /// How long the first visitor of a domain whose certificate is being ordered waits for it.
    pub wait: Duration,
}

impl CertificateCache {
    /// `fallback` answers names that nobody knows; without it their handshakes are refused.
    pub fn new(
        source: Arc<dyn Source>,
        settings: &CertificateCacheSettings,
        directory: Arc<Directory>,
        configs: Arc<ServerConfigs>,
        fallback: Option<Arc<ServerConfig>>,
        clock: Clock,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let parse = Arc::clone(&configs);
        let loader = move |name: String| load(Arc::clone(&source), Arc::clone(&parse), name).boxed();
        Arc::new(Self {
            cache: Cache::new(
                "certificates",
                settings.capacity,
                settings.negatives,
                settings.negative_ttl,
                Box::new(loader),
                metrics,
            ),
            directory,
            configs,
            clock,
            wildcard: format!("*.{}", settings.base),
            base: settings.base.clone(),
            fallback,
            wait: settings.wait,
            waiters: Semaphore::new(MOST_WAITERS),
            news: watch::Sender::new(0),
        })
    }

    /// Whether this host can be visited over TLS.
    pub async fn has(&self, host: &Hostname, client: IpAddr) -> Result<bool, Trouble> {
        Ok(self.find(host, client).await?.is_some())
    }

    /// Sizes of the cache.
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Slug hosts share the base domain's wildcard, so it is asked for first: one entry serves them all. Everybody else's
    /// own certificate goes before that of a wildcard above.
    async fn find(&self, host: &Hostname, client: IpAddr) -> Result<Option<Arc<ServerConfig>>, Trouble> {
        let beneath = host.beneath(&self.base);
        if beneath.is_some_and(|label| !label.contains('.'))
            && let Some(config) = self.current(&self.wildcard, None).await?
        {
            return Ok(Some(config));
        }
        if let Some(config) = self.current(host.as_str(), Some(client)).await? {
            return Ok(Some(config));
        }
        match host.as_str().split_once('.') {
            // Two labels at least: nobody can claim what is beneath a top-level domain.
            Some((_, above)) if beneath.is_none() && above.contains('.') => {
                self.current(&format!("*.{above}"), Some(client)).await
            }
            _ => Ok(None),
        }
    }

    /// Waits for a certificate that is being ordered, as long as is configured; strangers' names are not waited for.
    async fn find_soon(&self, host: &Hostname, client: IpAddr) -> Result<Option<Arc<ServerConfig>>, Trouble> {
        // Heard from here on: a certificate that comes between the look and the wait is not missed.
        let mut news = self.news.subscribe();
        if let Some(config) = self.find(host, client).await? {
            return Ok(Some(config));
        }
        let Ok(_place) = self.waiters.try_acquire() else { return Ok(None) };
        if self.wait.is_zero() || !self.is_issuing(host, client).await? {
            return Ok(None);
        }
        let deadline = tokio::time::Instant::now() + self.wait;
        while tokio::time::timeout_at(deadline, news.changed()).await.is_ok_and(|heard| heard.is_ok()) {
            if let Some(config) = self.find(host, client).await? {
                return Ok(Some(config));
            }
        }
        Ok(None)
    }

    /// Asked only for hosts that lead to somebody, which the directory knows without asking.
    async fn is_issuing(&self, host: &Hostname, client: IpAddr) -> Result<bool, Trouble> {
        match self.directory.leads_somewhere(host, client).await? {
            true => self.directory.issuing(host, client).await,
            false => Ok(false),
        }
    }

    /// The certificate of this name, unless it has expired. `client`: who pays when the name is nobody's; `None` for our
    /// own.
    async fn current(&self, name: &str, client: Option<IpAddr>) -> Result<Option<Arc<ServerConfig>>, Trouble> {
        for _ in 0..2 {
            let found = match (self.cache.peek(name), client) {
                (Cached::Fresh(ready), _) => Some(ready),
                (Cached::Absent, _) => None,
                // If what took its place is unusable, the one at hand goes on serving: better than none.
                (Cached::Stale(old), _) => self.cache.refresh(name.to_owned(), old.clone()).await.unwrap_or(Some(old)),
                (Cached::Unknown, Some(client)) => self.discover(name, client).await?,
                (Cached::Unknown, None) => self.cache.get(&name.to_owned()).await.map_err(unavailable)?,
            };
            match found {
                Some(ready) if ready.not_after <= self.clock.now() => self.cache.forget(&name.to_owned()),
                found => return Ok(found.map(|ready| ready.config)),
            }
        }
        Ok(None)
    }

    async fn discover(&self, name: &str, client: IpAddr) -> Result<Option<Ready>, Trouble> {
        let turn = self.directory.gate().enter(client).await.map_err(|_| Trouble::Busy)?;
        let found = self.cache.get(&name.to_owned()).await.map_err(unavailable)?;
        if found.is_none() {
            self.directory.gate().charge(&turn);
        }
        Ok(found)
    }

    async fn challenge(&self, name: &Hostname, client: IpAddr) -> Result<Arc<ServerConfig>, Refusal> {
        let answer = self.directory.challenge(name.as_str(), client).await.map_err(refusal)?;
        let answer = answer.ok_or(Refusal::UnknownName)?;
        self.configs.challenge(name, &answer).map_err(|error| {
            warn!(error = %error, name = %name, "challenge.certificate_failed");
            Refusal::Unavailable
        })
    }
}

#[async_trait]
impl Certificates for CertificateCache {
    async fn config_for(
        &self,
        name: Option<&Hostname>,
        alpn_acme: bool,
        client: IpAddr,
    ) -> Result<Arc<ServerConfig>, Refusal> {
        let stranger = || self.fallback.clone().ok_or(Refusal::UnknownName);
        match name {
            None => stranger(),
            Some(name) if alpn_acme => self.challenge(name, client).await,
            Some(name) => match self.find_soon(name, client).await.map_err(refusal)? {
                Some(config) => Ok(config),
                None => stranger(),
            },
        }
    }
}

impl Subscriber for CertificateCache {
    fn apply(&self, change: &Change) {
        match change {
            Change::Certificate(name) => {
                self.cache.forget(name);
                self.news.send_modify(|count| *count += 1);
            }
            Change::Reset => self.cache.forget_all(),
            Change::Tenant(_)
            | Change::Slug(_)
            | Change::Host(_)
            | Change::Beneath(_)
            | Change::Challenge(_)
            | Change::Keys => {}
        }
    }
}

/// Reads and parses one certificate. Parsing checks the key against the leaf, which costs too much for a thread that
/// serves connections.
async fn load(source: Arc<dyn Source>, configs: Arc<ServerConfigs>, name: String) -> Result<Option<Ready>, LoadFailed> {
    let log = |error: &dyn std::fmt::Display| warn!(error = %error, name, "certificate.load_failed");
    let found = source.certificate(&name).await.map_err(|error| {
        log(&error);
        LoadFailed::from(&error)
    })?;
    let Some(certificate) = found else { return Ok(None) };
    let unusable = |error: &dyn std::fmt::Display| {
        log(error);
        LoadFailed::Unusable
    };
    let not_after = certificate.not_after;
    let parsed = tokio::task::spawn_blocking(move || configs.build(&certificate)).await.map_err(|e| unusable(&e))?;
    parsed.map(|config| Some(Ready { config, not_after })).map_err(|e| unusable(&e))
}

fn unavailable(_: LoadFailed) -> Trouble {
    Trouble::Unavailable
}

fn refusal(trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Busy => Refusal::Busy,
        Trouble::Unavailable => Refusal::Unavailable,
    }
}

/// Visitors who wait for a certificate at the same time, on one node: each holds a connection.
const MOST_WAITERS: usize = 1_000;
