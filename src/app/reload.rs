//! Reloading the configuration under way: read, check, build, swap. Until the swap nothing has changed; after it, a
//! request that is under way ends with what it began with. One reload at a time.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::hosts::NAMES_WAIT;
use super::origin::{Loaded, Origin};
use crate::admin::{self, ConfigState, LastReload, Refused, Reloaded};
use crate::clock::Clock;
use crate::config::{Changes, Config, Faults, Sources, diff, hold_back};
use crate::edge::listener::Settings;
use crate::edge::{Edge, Live, Surroundings};
use crate::metrics::Metrics;
use crate::model::{Explanation, PoolStatus, Question, Unclear};
use crate::telemetry;
use crate::traffic::Busiest;

/// Everything that a reload swaps, and what it needs to know.
pub struct Reloader {
    me: Weak<Self>,
    /// `None`: this process was given its configuration, and has no files to read it from again.
    origin: Option<Origin>,
    clock: Clock,
    metrics: Arc<Metrics>,
    busiest: Busiest,
    /// What the control plane reads.
    config: Arc<ArcSwap<Config>>,
    edge: Option<EdgeParts>,
    log: OnceLock<telemetry::Handle>,
    state: Mutex<State>,
    /// The state, for those who only look.
    seen: ArcSwap<ConfigState>,
}

/// What the edge reads.
#[derive(Clone)]
pub(super) struct EdgeParts {
    pub edge: Arc<Edge>,
    pub live: Arc<ArcSwap<Live>>,
    pub around: Surroundings,
    pub settings: Arc<ArcSwap<Settings>>,
}

struct State {
    /// As it was read at the last reload that took: what the next one is compared with.
    read: Arc<Config>,
    /// As it was read when the process was built: what a restart would change is told against this.
    started: Arc<Config>,
    /// The last one that was looked at, so that watching does not refuse the same files again and again.
    stamp: u64,
}

impl Reloader {
    /// `running` is what the parts were built from: as it was read, but for ports that the system chose.
    pub(super) fn new(
        origin: Option<Origin>,
        (clock, metrics, busiest): (Clock, Arc<Metrics>, Busiest),
        loaded: Config,
        config: Arc<ArcSwap<Config>>,
        edge: Option<EdgeParts>,
        instead_of: Option<&Faults>,
    ) -> Arc<Self> {
        let now = clock.now();
        let last = instead_of.map(|faults| LastReload::refused(now, faults));
        let state = ConfigState {
            directory: origin.as_ref().map(|origin| origin.dir().display().to_string()),
            revision: 0,
            loaded: now,
            source: if instead_of.is_some() { "last-good" } else { "files" },
            needs_restart: Vec::new(),
            last_reload: last,
        };
        metrics.config_ok.set(i64::from(instead_of.is_none()));
        metrics.config_loaded.set(now.secs());
        let stamp = origin.as_ref().map_or(0, Origin::stamp);
        let loaded = Arc::new(loaded);
        let inner = Mutex::new(State { read: Arc::clone(&loaded), started: loaded, stamp });
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            origin,
            clock,
            metrics,
            busiest,
            config,
            edge,
            log: OnceLock::new(),
            state: inner,
            seen: ArcSwap::from_pointee(state),
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// The log that is to follow. The first call counts.
    pub fn set_log(&self, log: telemetry::Handle) {
        let _ = self.log.set(log);
    }

    /// Reads the files again and puts them into force, or (`dry_run`) only says what that would change. Goes on to its end
    /// also when nobody waits for the answer any more.
    pub async fn reload(&self, dry_run: bool) -> Result<Reloaded, Refused> {
        let me = self.me.upgrade().ok_or_else(ending)?;
        tokio::spawn(async move { me.reload_to_its_end(dry_run).await }).await.map_err(|_| ending())?
    }

    async fn reload_to_its_end(&self, dry_run: bool) -> Result<Reloaded, Refused> {
        let Some(origin) = &self.origin else { return Err(Refused::NoFiles) };
        let mut state = self.state.lock().await;
        let began = std::time::Instant::now();
        let (read, next, changes, sources) =
            self.compare(origin, &mut state, dry_run).await.map_err(|why| self.refuse(dry_run, why))?;
        if !dry_run {
            self.swap(&next).await.map_err(|why| self.refuse(dry_run, why))?;
            free(std::mem::replace(&mut state.read, read));
            self.took(&changes, origin, sources).await;
        }
        let took_ms = began.elapsed().as_secs_f64() * 1000.0;
        let revision = self.seen.load().revision;
        info!(dry_run, took_ms, revision, changes = ?changes, "config.reloaded");
        Ok(Reloaded { applied: !dry_run, revision, took_ms, changes })
    }

    /// The configuration as the files have it, as it would be in force, and what that changes.
    async fn compare(
        &self,
        origin: &Origin,
        state: &mut State,
        dry_run: bool,
    ) -> Result<(Arc<Config>, Arc<Config>, Changes, Sources), Refused> {
        let reader = origin.clone();
        let (read_before, started, in_force) =
            (Arc::clone(&state.read), Arc::clone(&state.started), self.config.load_full());
        let (stamp, compared) = aside(move || {
            let compare = |Loaded { config: read, sources, .. }| {
                let mut changes = diff(&read_before, &read);
                let mut next = read.clone();
                changes.needs_restart = hold_back(&started, &in_force, &mut next);
                (Arc::new(read), Arc::new(next), changes, sources)
            };
            (reader.stamp(), reader.read().map(compare))
        })
        .await?;
        if !dry_run {
            state.stamp = stamp;
        }
        compared.map_err(Refused::Faults)
    }

    /// Builds everything first: what can fail fails before anything has changed.
    async fn swap(&self, next: &Arc<Config>) -> Result<(), Refused> {
        let live = match &self.edge {
            Some(edge) => {
                let config = Arc::clone(next);
                let (before, around) = (edge.live.load_full(), edge.around.clone());
                let live = aside(move || Live::build(&config, Some(&before), &around)).await?;
                let live = live.map_err(|error| Refused::Build(error.to_string()))?;
                live.pools.resolve(&edge.around, NAMES_WAIT).await;
                Some((edge.clone(), Arc::new(live)))
            }
            None => None,
        };
        let (log, next, config) = (self.log.get().cloned(), Arc::clone(next), Arc::clone(&self.config));
        let busiest = self.busiest.clone();
        let put_in_force = move || {
            if let Some(log) = log {
                log.apply(&next.log).map_err(|error| Refused::Build(error.to_string()))?;
            }
            if let Some((edge, live)) = live {
                let old = edge.live.swap(Arc::clone(&live));
                live.take_over(Some(&old), &edge.around);
                let handshake_timeout = next.tls.handshake_timeout;
                edge.settings.store(Arc::new(Settings { limits: next.limits.clone(), handshake_timeout }));
            }
            busiest.set_most(next.metrics.tenants);
            config.store(next);
            Ok(())
        };
        // Not aside: a log's thread that is begun there gives way like its parent, and for ever.
        let done = tokio::task::spawn_blocking(put_in_force).await;
        done.map_err(|_| Refused::Build("the process is ending".into()))?
    }

    async fn took(&self, changes: &Changes, origin: &Origin, sources: Sources) {
        let before = self.seen.load_full();
        let now = self.clock.now();
        let unchanged = changes.is_unchanged();
        let result = if unchanged { "unchanged" } else { "applied" };
        self.metrics.config_reloads.with_label_values(&[result]).inc();
        let revision = before.revision + i64::from(!unchanged);
        self.metrics.config_revision.set(revision);
        self.metrics.config_ok.set(1);
        self.metrics.config_loaded.set(now.secs());
        self.seen.store(Arc::new(ConfigState {
            revision,
            loaded: now,
            source: "files",
            needs_restart: changes.needs_restart.clone(),
            last_reload: Some(LastReload::took(now, result)),
            directory: before.directory.clone(),
        }));
        // What no process has been started with may not be fit to be started with.
        if !changes.needs_restart.is_empty() {
            return;
        }
        let origin = origin.clone();
        // A disk that is slow or full is warned of there, and keeps nobody from serving.
        let _ = aside(move || origin.keep(&sources)).await;
    }

    /// Everything stays as it was; says why, in the log and in what can be asked for.
    fn refuse(&self, dry_run: bool, why: Refused) -> Refused {
        if dry_run {
            return why;
        }
        self.metrics.config_reloads.with_label_values(&["refused"]).inc();
        self.metrics.config_ok.set(0);
        let now = self.clock.now();
        let last = match &why {
            Refused::Faults(faults) => {
                for fault in faults.iter() {
                    error!(fault = %fault, "config.refused: everything stays as it was");
                }
                LastReload::refused(now, faults)
            }
            other => {
                error!(error = %other, "config.refused: everything stays as it was");
                LastReload::failed(now, other)
            }
        };
        let before = self.seen.load_full();
        self.seen.store(Arc::new(ConfigState { last_reload: Some(last), ..ConfigState::clone(&before) }));
        why
    }

    /// Reloads when the files change, without being told. A change is taken when it has rested for one look, so that
    /// files which are just being written are not read half-way.
    /// `told`: what came of each.
    pub async fn watch(self: Arc<Self>, every: Duration, told: impl Fn(&Result<Reloaded, Refused>) + Send) {
        let Some(origin) = self.origin.clone() else { return std::future::pending().await };
        let mut look = interval(every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moving = None;
        loop {
            look.tick().await;
            let watched = origin.clone();
            let Ok(stamp) = aside(move || watched.stamp()).await else { continue };
            if stamp == self.state.lock().await.stamp {
                moving = None;
            } else if moving.replace(stamp) == Some(stamp) {
                told(&self.reload(false).await);
            }
        }
    }
}

#[async_trait]
impl admin::Configuration for Reloader {
    fn state(&self) -> ConfigState {
        ConfigState::clone(&self.seen.load())
    }

    async fn reload(&self, dry_run: bool) -> Result<Reloaded, Refused> {
        Self::reload(self, dry_run).await
    }

    fn pools(&self) -> Option<Vec<PoolStatus>> {
        self.edge.as_ref().map(|parts| parts.live.load().pools.status())
    }

    async fn explain(&self, question: &Question) -> Option<Result<Explanation, Unclear>> {
        let parts = self.edge.as_ref()?;
        Some(parts.edge.explain(&parts.live.load_full(), question).await)
    }
}

/// How much less the thread of a reload asks of the processors than those that serve.
const NICE: i32 = 10;

/// Files are read, and ten thousand routes compared and built, on a thread that serves nobody and gives way to those
/// that do. It ends with its work: a thread cannot take its patience back.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    let (done, answer) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("reload".into()).spawn(move || {
        // Only slower if the system does not want it. On Linux it counts for this thread alone (nice(2), *Notes*).
        let _ = rustix::process::nice(NICE);
        // The backends' health checks are tasks.
        let _entered = runtime.enter();
        let _ = done.send(work());
    });
    thread.map_err(|_| ending())?;
    answer.await.map_err(|_| ending())
}

fn ending() -> Refused {
    Refused::Build("the process is ending, or has no thread to spare".into())
}

/// Ten thousand routes take a while to be freed: not on a thread that serves.
fn free<T: Send + 'static>(old: T) {
    tokio::spawn(aside(move || drop(old)));
}
