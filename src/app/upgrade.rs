//! Replacing the program under way: the process starts the program that lies where its own came from, hands it the
//! listening sockets (LISTEN_FDS), and waits for its word that it serves. Until that word has come nothing has changed;
//! whatever else comes instead, this process goes on and says why.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use command_fds::{CommandFdExt, FdMapping};
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::sync::watch;
use tracing::{error, info};

use super::{AppError, manager};
use crate::admin::{self, ProcessState, Succession, UpgradeRefused};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::edge::listener::{Inherited, PREDECESSOR};
use crate::metrics::Metrics;

/// What a process starts with, besides its configuration.
#[derive(Default)]
pub struct Inheritance {
    pub(super) sockets: Inherited,
    /// How the program was started; without it, it cannot be started again to take over.
    pub(super) program: Option<Program>,
}

/// Whoever started this process waits for a word of it: that it serves, or why it does not. Dropped without one, the
/// predecessor sees that the process is gone.
pub struct Predecessor(UnixStream);

/// The program as it was started, and may be started again.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// Replaces this process, once.
pub struct Upgrader {
    /// `None`: this process cannot be replaced, because others' things live in it.
    program: Option<Program>,
    started: Timestamp,
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    /// Second handles of the listening sockets, until they have been handed on.
    sockets: Mutex<Vec<(String, TcpListener)>>,
    succession: watch::Sender<Succession>,
    /// This process ends: nobody takes its place any more.
    ending: watch::Sender<bool>,
}

impl Inheritance {
    /// Takes what this process was given: sockets, and whom it replaces, if anybody. To be called once, first of all.
    pub fn take() -> Result<(Self, Option<Predecessor>), AppError> {
        let mut sockets = Inherited::from_env().map_err(AppError::Inherited)?;
        let predecessor = sockets.take_predecessor().map(Predecessor);
        let program = Program::running().map_err(AppError::Inherited)?;
        Ok((Self { sockets, program: Some(program) }, predecessor))
    }
}

impl Predecessor {
    /// This process serves.
    pub fn ready(self) {
        self.say("ready");
    }

    /// This process ends.
    pub fn failed(self, why: &str) {
        self.say(&format!("failed {why}"));
    }

    fn say(mut self, word: &str) {
        // Nobody is left to listen if that fails.
        let _ = self.0.write_all(word.as_bytes());
    }
}

impl Program {
    /// Where the running program came from. To be asked early: when the file has been replaced, the system knows it no
    /// more under its name.
    fn running() -> io::Result<Self> {
        let mut words = std::env::args_os();
        let named = words.next().map(PathBuf::from).filter(|name| name.components().count() > 1);
        // As it was called, rather than what that is a link to: the next release may be behind the link.
        let path = match named {
            Some(name) => std::path::absolute(name)?,
            None => std::env::current_exe()?,
        };
        Ok(Self { path, arguments: words.collect() })
    }
}

impl Upgrader {
    pub(super) fn new(
        program: Option<Program>,
        sockets: Vec<(String, TcpListener)>,
        config: Arc<ArcSwap<Config>>,
        (started, metrics): (Timestamp, Arc<Metrics>),
    ) -> Arc<Self> {
        let sockets = Mutex::new(sockets);
        let (succession, ending) = (watch::Sender::new(Succession::None), watch::Sender::new(false));
        Arc::new(Self { program, started, config, metrics, sockets, succession, ending })
    }

    /// Starts to replace this process; [`Self::replaced`] and [`Self::succession`] tell what comes of it.
    pub fn begin(self: &Arc<Self>) -> Result<(), UpgradeRefused> {
        let Some(program) = self.program.clone() else { return Err(UpgradeRefused::NotReplaceable) };
        let (mut free, mut ending) = (false, false);
        self.succession.send_if_modified(|now| {
            ending = *self.ending.borrow();
            free = !ending && matches!(now, Succession::None | Succession::Failed { .. });
            if free {
                *now = Succession::Starting;
            }
            free
        });
        if ending {
            return Err(UpgradeRefused::Failed(ENDING.to_owned()));
        }
        if !free {
            return Err(UpgradeRefused::UnderWay);
        }
        let upgrader = Arc::clone(self);
        // Whoever asked may go away; the work goes on.
        tokio::spawn(async move { upgrader.replace(&program).await });
        Ok(())
    }

    /// Returns when another process serves in this one's place: its process id.
    pub async fn replaced(&self) -> u32 {
        let mut succession = self.succession.subscribe();
        loop {
            if let Succession::Replaced { pid } = &*succession.borrow_and_update() {
                return *pid;
            }
            if succession.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What the last attempt has come to.
    pub fn succession(&self) -> Succession {
        self.succession.borrow().clone()
    }

    /// This process ends, and was not replaced: a program that is starting to take its place is killed, or it would live on
    /// with nobody knowing. Returns when it is gone.
    pub(super) async fn abandon(&self) {
        self.ending.send_replace(true);
        // The sender is here: this fails never.
        let _ = self.succession.subscribe().wait_for(|now| !matches!(now, Succession::Starting)).await;
    }

    /// Lets go of the listening sockets: from now on nobody is kept waiting at them by this process.
    pub(super) fn release(&self) {
        lock(&self.sockets).clear();
    }

    async fn replace(&self, program: &Program) {
        let next = match self.start(program).await {
            Ok(pid) => {
                info!(successor.pid = pid, program = %program.path.display(), "process.replaced: draining");
                manager::replaced_by(pid);
                self.metrics.upgrades.with_label_values(&["done"]).inc();
                Succession::Replaced { pid }
            }
            Err(why) => {
                let path = program.path.display();
                error!(why, program = %path, "process.not_replaced: everything stays as it was");
                self.metrics.upgrades.with_label_values(&["failed"]).inc();
                Succession::Failed { why }
            }
        };
        self.succession.send_replace(next);
    }

    /// The process id of the program that serves now, or why none does.
    async fn start(&self, program: &Program) -> Result<u32, String> {
        let path = program.path.display();
        let deadline = self.config.load().process.upgrade_deadline;
        let (word, mut child) = self.spawn(program).map_err(|error| format!("{path} cannot be started: {error}"))?;
        let pid = child.id().unwrap_or_default();
        info!(successor.pid = pid, program = %path, "process.successor_started");
        let mut ending = self.ending.subscribe();
        let heard = tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => None,
            heard = tokio::time::timeout(deadline, hear(word)) => Some(heard),
        };
        let why = match heard {
            Some(Ok(Ok(word))) if word == "ready" => {
                // It is nobody's child for long; until then somebody has to ask how it ended.
                tokio::spawn(async move { drop(child.wait().await) });
                return Ok(pid);
            }
            Some(Ok(Ok(word))) if word.starts_with("failed ") => word["failed ".len()..].trim_end().to_owned(),
            Some(Ok(_)) => match tokio::time::timeout(LAST_WORDS, child.wait()).await {
                Ok(Ok(status)) => format!("it ended ({}) before it served; its log says why", status),
                _ => "it did not say that it serves".to_owned(),
            },
            Some(Err(_)) => format!("it did not serve within {} s (process.upgrade_deadline)", deadline.as_secs()),
            None => ENDING.to_owned(),
        };
        // It may be gone already.
        let _ = child.start_kill();
        let _ = child.wait().await;
        Err(why)
    }

    fn spawn(&self, program: &Program) -> io::Result<(UnixStream, Child)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut names = Vec::new();
        let mut handles: Vec<OwnedFd> = Vec::new();
        for (name, socket) in lock(&self.sockets).iter() {
            names.push(name.clone());
            handles.push(socket.try_clone()?.into());
        }
        names.push(PREDECESSOR.to_owned());
        handles.push(theirs.into());
        let mappings = handles.into_iter().zip(FIRST_FD..);
        let mappings: Vec<_> = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        let mut command = Command::new(&program.path);
        command.args(&program.arguments);
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        // Both would name this process; without them whoever has the variables is meant.
        command.env_remove("LISTEN_PID").env_remove("LISTEN_FDS_FIRST_FD").env_remove("WATCHDOG_PID");
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        let child = tokio::process::Command::from(command).spawn()?;
        Ok((ours, child))
    }
}

#[async_trait]
impl admin::Process for Upgrader {
    fn state(&self) -> ProcessState {
        ProcessState {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            succession: self.succession(),
        }
    }

    async fn upgrade(self: Arc<Self>) -> Result<ProcessState, UpgradeRefused> {
        self.begin()?;
        let mut succession = self.succession.subscribe();
        let settled = succession.wait_for(|now| !matches!(now, Succession::Starting));
        // A start that takes longer is asked for again.
        let _ = tokio::time::timeout(ANSWER_WITHIN, settled).await;
        match self.succession() {
            Succession::Failed { why } => Err(UpgradeRefused::Failed(why)),
            _ => Ok(admin::Process::state(&*self)),
        }
    }
}

/// Everything that it says, to the end.
async fn hear(word: UnixStream) -> io::Result<String> {
    word.set_nonblocking(true)?;
    let mut text = String::new();
    let word = tokio::net::UnixStream::from_std(word)?;
    word.take(LONGEST_WORD).read_to_string(&mut text).await?;
    Ok(text)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is whole whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const ENDING: &str = "this process ends: it was told to";
/// SD_LISTEN_FDS_START (sd_listen_fds(3)).
const FIRST_FD: i32 = 3;
const LONGEST_WORD: u64 = 64 << 10;
/// Between a process's closing of its descriptors and its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Less than a call to the admin API may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
