//! Which certificate a name is served with: the directory's certificates, parsed and ready, behind the same kind of
//! exact cache as everything else that changes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use prometheus::IntGauge;
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
    waiting: IntGauge,
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
            waiting: metrics.certificate_waiters.clone(),
            news: watch::Sender::new(0),
        })
    }

    /// Whether this host can be visited over TLS.
    pub async fn has(&self, host: &Hostname, client: IpAddr) -> Result<bool, Trouble> {
        Ok(self.find(host, client).await?.0.is_some())
    }

    /// Sizes of the cache.
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Slug hosts share the base domain's wildcard, so it is asked for first: one entry serves them all. Everybody else's
    /// own certificate goes before that of a wildcard above. Says too whether the store had to be asked for a name that
    /// may be anybody's.
    async fn find(&self, host: &Hostname, client: IpAddr) -> Result<(Option<Arc<ServerConfig>>, bool), Trouble> {
        let beneath = host.beneath(&self.base);
        if beneath.is_some_and(|label| !label.contains('.'))
            && let Some(config) = self.current(&self.wildcard).await?
        {
            return Ok((Some(config), false));
        }
        let above = host.as_str().split_once('.').map(|(_, above)| above);
        // Two labels at least: nobody can claim what is beneath a top-level domain.
        let wildcard = above.filter(|above| beneath.is_none() && above.contains('.')).map(|above| format!("*.{above}"));
        let names: Vec<&str> = [Some(host.as_str()), wildcard.as_deref()].into_iter().flatten().collect();
        let is_unknown = |name: &&str| matches!(self.cache.peek(*name), Cached::Unknown);
        if !names.iter().any(is_unknown) {
            return Ok((self.first(&names).await?, false));
        }
        // One turn for all that is read. Nobody pays yet: the name may be somebody's all the same.
        match self.directory.gate().enter(client).await {
            Ok(_turn) => Ok((self.first(&names).await?, true)),
            // What is known is served, however busy it is.
            Err(_) => {
                let known: Vec<&str> = names.into_iter().filter(|name| !is_unknown(name)).collect();
                self.first(&known).await?.map(|config| (Some(config), false)).ok_or(Trouble::Busy)
            }
        }
    }

    async fn first(&self, names: &[&str]) -> Result<Option<Arc<ServerConfig>>, Trouble> {
        for name in names {
            if let Some(config) = self.current(name).await? {
                return Ok(Some(config));
            }
        }
        Ok(None)
    }

    /// Waits for a certificate that is being ordered, as long as is configured; strangers' names are not waited for, and are
    /// wrong guesses.
    async fn find_soon(&self, host: &Hostname, client: IpAddr) -> Result<Option<Arc<ServerConfig>>, Trouble> {
        // Heard from here on: a certificate that comes between the look and the wait is not missed.
        let mut news = self.news.subscribe();
        let (found, asked) = self.find(host, client).await?;
        if found.is_some() {
            return Ok(found);
        }
        if !self.directory.leads_somewhere(host, client, asked).await? || self.wait.is_zero() {
            return Ok(None);
        }
        if !self.directory.issuing(host, client).await? {
            return Ok(None);
        }
        let Ok(_place) = self.waiters.try_acquire() else { return Ok(None) };
        let _waiting = Counted::new(&self.waiting);
        let deadline = tokio::time::Instant::now() + self.wait;
        loop {
            let heard = tokio::time::timeout_at(deadline, news.changed()).await;
            let (found, _) = self.find(host, client).await?;
            if found.is_some() || !matches!(heard, Ok(Ok(()))) {
                return Ok(found);
            }
        }
    }

    /// The certificate of this name, unless it has expired.
    async fn current(&self, name: &str) -> Result<Option<Arc<ServerConfig>>, Trouble> {
        for _ in 0..2 {
            let found = match self.cache.peek(name) {
                Cached::Fresh(ready) => Some(ready),
                Cached::Absent => None,
                // If what took its place is unusable, the one at hand goes on serving: better than none.
                Cached::Stale(old) => self.cache.refresh(name.to_owned(), old.clone()).await.unwrap_or(Some(old)),
                Cached::Unknown => self.cache.get(&name.to_owned()).await.map_err(unavailable)?,
            };
            match found {
                Some(ready) if ready.not_after <= self.clock.now() => self.cache.forget(&name.to_owned()),
                found => return Ok(found.map(|ready| ready.config)),
            }
        }
        Ok(None)
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

    fn knows(&self, name: &Hostname) -> bool {
        let at_hand = |name: &str| matches!(self.cache.peek(name), Cached::Fresh(_) | Cached::Stale(_));
        let slug = name.beneath(&self.base).is_some_and(|label| !label.contains('.'));
        if slug && !matches!(self.cache.peek(&self.wildcard), Cached::Absent) {
            // All slug hosts share one certificate: at most one of them has to ask for it.
            return true;
        }
        let above = name.as_str().split_once('.').map(|(_, above)| format!("*.{above}"));
        at_hand(name.as_str()) || above.is_some_and(|wildcard| at_hand(&wildcard))
    }

    fn is_fallback(&self, config: &Arc<ServerConfig>) -> bool {
        self.fallback.as_ref().is_some_and(|fallback| Arc::ptr_eq(fallback, config))
    }
}

impl Subscriber for CertificateCache {
    fn apply(&self, change: &Change) {
        match change {
            Change::Certificate(name) => {
                self.cache.forget(name);
                self.news.send_modify(|count| *count += 1);
            }
            Change::Reset => {
                self.cache.forget_all();
                self.news.send_modify(|count| *count += 1);
            }
            Change::Tenant(_)
            | Change::Slug(_)
            | Change::Host(_)
            | Change::Beneath(_)
            | Change::Challenge(_)
            | Change::Session(_)
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

/// Counts a visitor while it waits.
struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Visitors who wait for a certificate at the same time, on one node: each holds a connection.
const MOST_WAITERS: usize = 1_000;
