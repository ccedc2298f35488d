//! Answers to dns-01 (RFC 8555 §8.4), where names can be proven by nothing else: TXT records at `_acme-challenge.<name>`,
//! or where a CNAME there leads. Set by dynamic update or by a program of the operator's; no shell is ever involved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{DnsProvider, DnsProviderKind};
use crate::dns::update::{UpdateError, Updater};
use crate::dns::{Dns, Outcome, RecordKind};

/// How many CNAMEs are followed.
const MOST_ALIASES: usize = 8;
/// How long a program may take.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(120);
/// How much of what a program says is kept.
const MOST_OUTPUT: usize = 4 * 1024;
/// Between two looks for a record that was set: from this, doubled each time, to that.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What has to be known of the DNS. An error is "could not ask", never "no".
#[async_trait]
pub trait Records: Send + Sync {
    /// Where a CNAME at this name leads.
    async fn cname(&self, name: &str) -> Result<Option<String>, String>;

    /// The TXT records of this name, as the servers of its zone give them.
    async fn txt(&self, name: &str) -> Result<Vec<String>, String>;
}

#[async_trait]
impl Records for Dns {
    async fn cname(&self, name: &str) -> Result<Option<String>, String> {
        let look = self.look(name, RecordKind::Cname).await;
        match look.outcome {
            Outcome::Records(records) => Ok(records.into_iter().next()),
            Outcome::NoRecords | Outcome::NoName => Ok(None),
            Outcome::DnssecFailed => Err("its DNSSEC signatures do not hold".into()),
            Outcome::Failed(why) => Err(why),
        }
    }

    async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
        // What resolvers remember may be older than the record.
        let look = match self.look_at_zone(name, RecordKind::Txt).await {
            Some(look) => look,
            None => self.look(name, RecordKind::Txt).await,
        };
        match look.outcome {
            Outcome::Failed(why) => Err(why),
            _ => Ok(look.records().to_vec()),
        }
    }
}

/// Sets and clears the answers; clones share nothing but what they were made of.
#[derive(Clone)]
pub struct Dns01 {
    provider: Provider,
    propagation: Duration,
    records: Arc<dyn Records>,
}

#[derive(Clone)]
enum Provider {
    Update(Updater),
    Program(PathBuf),
}

/// Why an answer is not in place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Dns01Error {
    #[error("the DNS could not be asked for {name}: {why}")]
    Lookup { name: String, why: String },
    #[error("the CNAME at {0} leads in circles, or over more than {MOST_ALIASES} names")]
    Circle(String),
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// It could not be started, took too long, or did not exit with 0.
    #[error("{} {action} {name}: {why}", .program.display())]
    Program { program: PathBuf, action: &'static str, name: String, why: String },
    /// It was set, but nobody sees it.
    #[error("{name} does not show the TXT record within {within:?}; it shows {seen}")]
    Unseen { name: String, seen: String, within: Duration },
}

impl Dns01 {
    pub fn new(config: &DnsProvider, records: Arc<dyn Records>) -> Self {
        let provider = match &config.kind {
            DnsProviderKind::Rfc2136(update) => Provider::Update(Updater::new(update, config.ttl)),
            DnsProviderKind::Command(program) => Provider::Program(program.clone()),
        };
        Self { provider, propagation: config.propagation, records }
    }

    /// Adds the answer for `name` (`community.example`; a wildcard's is that of the name beneath), and returns when the
    /// zone's servers show it. Other answers of the name stay: a name and its wildcard are proven at one place.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), Dns01Error> {
        let place = self.place(name).await?;
        match &self.provider {
            Provider::Update(updater) => updater.set(&place, value).await?,
            Provider::Program(program) => run(program, "set", &place, value).await?,
        }
        self.seen(&place, value).await
    }

    /// Removes the answer; it is no error if it is not there.
    pub async fn clear(&self, name: &str, value: &str) -> Result<(), Dns01Error> {
        let place = self.place(name).await?;
        match &self.provider {
            Provider::Update(updater) => Ok(updater.clear(&place, value).await?),
            Provider::Program(program) => run(program, "clear", &place, value).await,
        }
    }

    /// Where the answer belongs: at the end of the CNAMEs.
    async fn place(&self, name: &str) -> Result<String, Dns01Error> {
        let first = format!("_acme-challenge.{}", name.strip_prefix("*.").unwrap_or(name));
        let mut passed = BTreeSet::new();
        let mut place = first.clone();
        while passed.len() <= MOST_ALIASES && passed.insert(place.clone()) {
            let next = self.records.cname(&place).await;
            match next.map_err(|why| Dns01Error::Lookup { name: place.clone(), why })? {
                None => return Ok(place),
                Some(next) => place = next.trim_end_matches('.').to_ascii_lowercase(),
            }
        }
        Err(Dns01Error::Circle(first))
    }

    async fn seen(&self, place: &str, value: &str) -> Result<(), Dns01Error> {
        let until = Instant::now() + self.propagation;
        let mut pause = LOOKS.0;
        loop {
            let look = timeout(self.propagation, self.records.txt(place)).await;
            let look = look.unwrap_or_else(|_| Err("no answer in time".into()));
            if look.as_ref().is_ok_and(|values| values.iter().any(|seen| seen == value)) {
                return Ok(());
            }
            if Instant::now() + pause > until {
                let seen = match look {
                    Err(why) => why,
                    Ok(values) if values.is_empty() => "none".to_owned(),
                    Ok(values) => values.join(", "),
                };
                return Err(Dns01Error::Unseen { name: place.into(), seen, within: self.propagation });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }
}

/// `<program> set|clear <name> <value>`; what it says is read, bounded, for the case that it fails.
async fn run(program: &Path, action: &'static str, name: &str, value: &str) -> Result<(), Dns01Error> {
    let failed = |why: String| Dns01Error::Program { program: program.into(), action, name: name.into(), why };
    let mut command = Command::new(program);
    command.args([action, name, value]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.kill_on_drop(true).spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async { tokio::join!(child.wait(), kept(out), kept(err)) };
    let (status, out, err) =
        timeout(PROGRAM_DEADLINE, whole).await.map_err(|_| failed(format!("ran longer than {PROGRAM_DEADLINE:?}")))?;
    let status = status.map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = if err.is_empty() { out } else { err };
    Err(failed(if said.is_empty() { format!("{status}") } else { format!("{status}: {said}") }))
}

/// The beginning of what is said, printable; the rest is read and forgotten, so that nobody waits for a reader.
async fn kept(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut kept = Vec::new();
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        let room = MOST_OUTPUT - kept.len();
        kept.extend_from_slice(part.get(..length.min(room)).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&kept);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
