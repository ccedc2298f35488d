//! `tenantry serve` and `tenantry dev`: the process that serves, from start to the last connection.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::output;
use crate::app::{self, App, Inheritance, Origin, Predecessor, Roles, Running, manager};
use crate::clock::Clock;
use crate::config::Log;
use crate::dev::{self, DevArgs};
use crate::telemetry;

/// Serve with a configuration
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tenantry serve -c /etc/tenantry\n  tenantry serve -c config/ --role edge\n\n\
    SIGTERM or SIGINT lets requests under way end (process.drain_deadline), a second one ends at once.\n\
    SIGHUP reads the configuration again. SIGUSR1 opens log files again. SIGUSR2 starts the program anew and hands over to it.")]
pub struct Serve {
    /// Directory with tenantry.toml, routing.toml and plans.toml
    #[arg(short, long, value_name = "DIR", default_value = "config")]
    config: PathBuf,
    /// A directory of this process's own, where the last good configuration is kept
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY", default_value = "/var/lib/tenantry")]
    state: PathBuf,
    /// Which part of the house runs in this process
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// The edge and the admin service
    All,
    /// Listeners and forwarding only
    Edge,
    /// The admin service only
    Admin,
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        match role {
            Role::All => Self::ALL,
            Role::Edge => Self::EDGE,
            Role::Admin => Self::ADMIN,
        }
    }
}

impl Serve {
    pub fn run(self) -> ExitCode {
        let (inheritance, predecessor) = match Inheritance::take() {
            Ok(taken) => taken,
            Err(error) => return fail(&error.to_string()),
        };
        let origin = Origin::new(&self.config, Some(&self.state));
        let loaded = match &predecessor {
            // It serves with what was right last: with broken files there is nothing that this process could do better.
            Some(_) => origin.read(),
            None => origin.read_or_last_good(),
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(faults) => return fail_before(predecessor, &faults.to_string()),
        };
        let log = loaded.config.log.clone();
        let start = async move {
            origin.complain(&loaded);
            let app = App::open_from(origin, loaded, Clock::system(), self.role.into()).await?;
            app.inheriting(inheritance).start(Vec::new()).await
        };
        serve(&log, start, predecessor, |_| {})
    }
}

/// Runs the development edge.
pub fn dev(args: &DevArgs) -> ExitCode {
    let log = match dev::log(args) {
        Ok(log) => log,
        Err(faults) => return fail(&faults.to_string()),
    };
    serve(&log, dev::start(args), None, |running| output::answer(&dev::guide(running, args)))
}

/// Starts, says so, and waits for the end.
fn serve<E: std::fmt::Display>(
    log: &Log,
    start: impl Future<Output = Result<Running, E>>,
    predecessor: Option<Predecessor>,
    started: impl FnOnce(&Running),
) -> ExitCode {
    let (log, _guard) = match telemetry::install(log) {
        Ok(installed) => installed,
        Err(error) => return fail_before(predecessor, &error.to_string()),
    };
    if let Err(error) = app::install_crypto() {
        return fail_before(predecessor, &error.to_string());
    }
    let (runtime, mut signals) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => return fail_before(predecessor, &format!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        let begun = tokio::select! {
            begun = start => begun,
            // What has begun goes with its future; nobody has been served yet.
            () = signals.end() => return end_before(predecessor),
        };
        match begun {
            Ok(running) => {
                running.log_with(log.clone());
                started(&running);
                if let Some(predecessor) = predecessor {
                    predecessor.ready();
                }
                manager::ready();
                until_signalled(running, signals, &log).await
            }
            Err(error) => fail_before(predecessor, &error.to_string()),
        }
    });
    // Whatever blocks (a DNS look-up, a file) must not keep the process alive.
    runtime.shutdown_background();
    code
}

/// The signals are caught before anything starts, so that none is lost.
fn prepare() -> std::io::Result<(Runtime, Signals)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
        reopen: signal(SignalKind::user_defined1())?,
        upgrade: signal(SignalKind::user_defined2())?,
    };
    Ok((runtime, signals))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Asked to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn until_signalled(mut running: Running, mut signals: Signals, log: &telemetry::Handle) -> ExitCode {
    let Signals { terminate, interrupt, hangup, reopen, upgrade } = &mut signals;
    let upgrader = Arc::clone(running.upgrader());
    // They end with the loop: once the process drains, the manager hears no more of reloads.
    let mut reloads = JoinSet::new();
    let (code, replaced) = loop {
        tokio::select! {
            _ = terminate.recv() => break (ExitCode::SUCCESS, false),
            _ = interrupt.recv() => break (ExitCode::SUCCESS, false),
            // A reload does not keep a signal from being heard.
            _ = hangup.recv() => {
                let (reloader, teller) = (Arc::clone(running.reloader()), running.teller());
                while reloads.try_join_next().is_some() {}
                reloads.spawn(async move {
                    manager::reloading();
                    // What came of it is in the log, too.
                    teller.reloaded("SIGHUP", &reloader.reload(false).await);
                    manager::ready();
                });
            }
            _ = reopen.recv() => log.reopen(),
            _ = upgrade.recv() => {
                running.teller().upgrading("SIGUSR2");
                if let Err(why) = upgrader.begin() {
                    warn!(%why, "process.not_replaced");
                }
            }
            _ = upgrader.replaced() => break (ExitCode::SUCCESS, true),
            // Whoever supervises this process starts another.
            () = running.broken() => break (ExitCode::FAILURE, false),
        }
    };
    reloads.abort_all();
    let end = async {
        match replaced {
            true => running.hand_over().await,
            false => running.drain().await,
        }
    };
    let told = async {
        if replaced {
            // Nobody has told this process to end before: the first time is what made all others drain.
            signals.end().await;
            info!("process.draining: it was replaced, and drains already; a second signal ends it at once");
        }
        signals.end().await;
    };
    tokio::select! {
        () = end => {}
        () = told => {}
    }
    code
}

/// Told to end before it served.
fn end_before(predecessor: Option<Predecessor>) -> ExitCode {
    if let Some(predecessor) = predecessor {
        predecessor.failed("it was told to end before it served");
    }
    ExitCode::SUCCESS
}

/// Tells the process that waits for this one, too.
fn fail_before(predecessor: Option<Predecessor>, why: &str) -> ExitCode {
    if let Some(predecessor) = predecessor {
        predecessor.failed(why);
    }
    fail(why)
}

fn fail(why: &str) -> ExitCode {
    output::complain(&format!("tenantry: {}\n", why.trim_end()));
    ExitCode::FAILURE
}
