//! DNS as customers set it: what a name's records are, who said so, and whether that was an answer at all. "Could not ask" is
//! never a "no". Nothing here judges what a record should be.

mod exchange;
mod hosts;
pub mod update;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::warn;

use self::exchange::{Answer, Code, Flags};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::metrics::Metrics;
use crate::outbound::Guard;

/// Asks resolvers, and zones' own servers. Clones share it.
#[derive(Clone)]
pub struct Dns(Arc<Inner>);

struct Inner {
    servers: Vec<SocketAddr>,
    /// They are the configuration's, not the system's.
    chosen: bool,
    timeout: Duration,
    authoritative: bool,
    authoritative_port: u16,
    guard: Guard,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// The types of records that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordKind {
    A,
    Aaaa,
    Cname,
    Txt,
    Caa,
    Ns,
}

/// One question, and all that was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    pub name: String,
    pub kind: RecordKind,
    pub outcome: Outcome,
    /// Who said so; `None` when nobody did.
    pub server: Option<SocketAddr>,
    /// The server is the zone's own.
    pub authoritative: bool,
    pub at: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// At least one, in text: an address, a name without the root's dot, a text in one piece, `0 issue "ca.example"`.
    Records(Vec<String>),
    /// The name is there; a record of this type is not.
    NoRecords,
    NoName,
    /// There are records, but their signatures do not hold.
    DnssecFailed,
    /// Nobody could be asked.
    Failed(String),
}

impl RecordKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
            Self::Caa => "CAA",
            Self::Ns => "NS",
        }
    }

    fn wire(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Cname => RecordType::CNAME,
            Self::Txt => RecordType::TXT,
            Self::Caa => RecordType::CAA,
            Self::Ns => RecordType::NS,
        }
    }
}

impl Look {
    /// The records; none where there is none, or where nobody could be asked.
    pub fn records(&self) -> &[String] {
        match &self.outcome {
            Outcome::Records(records) => records,
            _ => &[],
        }
    }

    /// Whether this is an answer, of whatever kind.
    pub fn is_answer(&self) -> bool {
        matches!(self.outcome, Outcome::Records(_) | Outcome::NoRecords | Outcome::NoName)
    }
}

/// How many questions' time all that is asked for one look may take.
const MOST_TIMEOUTS: u32 = 2;
/// CNAMEs that are followed by us, where a server does not.
const MOST_ALIASES: usize = 8;
/// Servers of one zone that are asked.
const MOST_ZONE_SERVERS: usize = 3;
/// Labels that are gone up in search of a zone.
const MOST_LABELS: usize = 10;

impl Dns {
    /// Where no resolver is configured and the system has none, every question is one that nobody could be asked.
    pub fn new(config: &config::Dns, guard: Guard, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let servers = match config.servers.is_empty() {
            false => config.servers.clone(),
            true => system_servers(),
        };
        let (timeout, authoritative, authoritative_port) =
            (config.timeout, config.authoritative, config.authoritative_port);
        let chosen = !config.servers.is_empty();
        Self(Arc::new(Inner { servers, chosen, timeout, authoritative, authoritative_port, guard, metrics, clock }))
    }

    /// Asks the resolvers; where they say no, the zone's own servers (if that is configured), whose answer goes first.
    pub async fn look(&self, name: &str, kind: RecordKind) -> Look {
        self.look_for(name, kind, |look| !look.records().is_empty()).await
    }

    /// The same for those who hope for something: where resolvers say anything else, it may be out of date, and the zone's
    /// own servers are asked. Not so where signatures do not hold: whoever answers then may be anybody.
    pub async fn look_for(&self, name: &str, kind: RecordKind, good: impl Fn(&Look) -> bool) -> Look {
        let look = match timeout(self.0.timeout * MOST_TIMEOUTS, self.look_at_resolvers(name, kind)).await {
            Ok(look) => look,
            Err(_) => self.seen(name, kind, Outcome::Failed("no answer in time".into()), None),
        };
        match look.outcome {
            Outcome::DnssecFailed => look,
            _ if good(&look) => look,
            _ => self.look_at_zone(name, kind).await.unwrap_or(look),
        }
    }

    /// Asks the zone's own servers alone: for when what resolvers say may be out of date. `None`: that is not configured, or
    /// none of them could be found or asked in time.
    pub async fn look_at_zone(&self, name: &str, kind: RecordKind) -> Option<Look> {
        if !self.0.authoritative {
            return None;
        }
        timeout(self.0.timeout * MOST_TIMEOUTS, self.ask_zones(name, kind)).await.ok().flatten()
    }

    async fn ask_zones(&self, name: &str, kind: RecordKind) -> Option<Look> {
        let mut asked = name.to_owned();
        for _ in 0..MOST_ALIASES {
            let (server, answer) = self.ask_zone(&asked, kind).await?;
            match self.read(&asked, kind, &answer) {
                Read::Outcome(outcome) => {
                    return Some(Look { authoritative: true, ..self.seen(name, kind, outcome, Some(server)) });
                }
                Read::Alias(target) => asked = target,
            }
        }
        None
    }

    /// The addresses of a host, of both families; an error is the look that found none.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Look> {
        let (four, six) = tokio::join!(self.look(host, RecordKind::A), self.look(host, RecordKind::Aaaa));
        let all = four.records().iter().chain(six.records());
        let addresses: Vec<IpAddr> = all.filter_map(|text| text.parse().ok()).collect();
        match addresses.is_empty() {
            false => Ok(addresses),
            // Of two that found nothing, the one that could not ask says more.
            true if six.is_answer() => Err(four),
            true => Err(six),
        }
    }

    async fn look_at_resolvers(&self, name: &str, kind: RecordKind) -> Look {
        let mut last = Outcome::Failed("no resolver is configured".into());
        for server in &self.0.servers {
            match self.ask_resolver(*server, name, kind).await {
                Outcome::Failed(why) => last = Outcome::Failed(format!("{server}: {why}")),
                outcome => return self.seen(name, kind, outcome, Some(*server)),
            }
        }
        self.seen(name, kind, last, None)
    }

    async fn ask_resolver(&self, server: SocketAddr, name: &str, kind: RecordKind) -> Outcome {
        let flags = Flags { recurse: true, unchecked: false };
        let mut asked = name.to_owned();
        for _ in 0..MOST_ALIASES {
            let answer = match self.ask(server, &asked, kind, flags).await {
                Ok(answer) => answer,
                Err(why) => return Outcome::Failed(why),
            };
            if answer.code == Code::ServerFailure {
                // A resolver that validates fails where signatures do not hold; asked not to validate, it answers.
                let unchecked = self.ask(server, &asked, kind, Flags { unchecked: true, ..flags }).await;
                let again = self.ask(server, &asked, kind, flags).await;
                // Failing twice where it answers in between is no accident.
                return match (unchecked, again) {
                    (Ok(unchecked), Ok(again))
                        if matches!(unchecked.code, Code::NoError | Code::NoName)
                            && again.code == Code::ServerFailure =>
                    {
                        Outcome::DnssecFailed
                    }
                    _ => Outcome::Failed("the server failed (SERVFAIL)".into()),
                };
            }
            match self.read(&asked, kind, &answer) {
                Read::Outcome(outcome) => return outcome,
                Read::Alias(target) => asked = target,
            }
        }
        Outcome::Failed(format!("more than {MOST_ALIASES} CNAMEs in a row"))
    }

    /// The first of the zone's servers that answers as such.
    async fn ask_zone(&self, name: &str, kind: RecordKind) -> Option<(SocketAddr, Answer)> {
        for host in self.zone_servers(name).await {
            let found = self.look_at_resolvers(&host, RecordKind::A).await;
            let Some(address) = found.records().iter().find_map(|text| text.parse::<IpAddr>().ok()) else { continue };
            if self.0.guard.permits(address).is_err() {
                continue;
            }
            let server = SocketAddr::new(address, self.0.authoritative_port);
            if let Ok(answer) = self.ask(server, name, kind, Flags::default()).await
                && answer.authoritative
                && matches!(answer.code, Code::NoError | Code::NoName)
            {
                return Some((server, answer));
            }
        }
        None
    }

    /// The names of the servers of the zone that holds this name.
    async fn zone_servers(&self, name: &str) -> Vec<String> {
        let mut zone = name;
        for _ in 0..MOST_LABELS {
            let look = self.look_at_resolvers(zone, RecordKind::Ns).await;
            if let Outcome::Records(mut servers) = look.outcome {
                servers.truncate(MOST_ZONE_SERVERS);
                return servers;
            }
            match zone.split_once('.') {
                // The servers of a top-level domain know nothing of what is asked here.
                Some((_, above)) if above.contains('.') => zone = above,
                _ => break,
            }
        }
        Vec::new()
    }

    async fn ask(&self, server: SocketAddr, name: &str, kind: RecordKind, flags: Flags) -> Result<Answer, String> {
        let answer = exchange::ask(server, name, kind.wire(), flags, self.0.timeout).await;
        let outcome = match &answer {
            Ok(answer) if answer.code == Code::NoError && !answer.records.is_empty() => "answered",
            Ok(answer) if matches!(answer.code, Code::NoError | Code::NoName) => "no-records",
            _ => "failed",
        };
        self.0.metrics.dns_queries.with_label_values(&[outcome]).inc();
        answer
    }

    /// What an answer says of `name`.
    fn read(&self, name: &str, kind: RecordKind, answer: &Answer) -> Read {
        let wanted = kind.wire();
        // A zone's servers are those of its own name, not of the name that this one is an alias of.
        let owner_counts = matches!(kind, RecordKind::Cname | RecordKind::Ns);
        let records: Vec<String> = answer
            .records
            .iter()
            // Records of another owner are at the end of a chain of CNAMEs.
            .filter(|(owner, value)| value.kind == wanted && (!owner_counts || owner.eq_ignore_ascii_case(name)))
            .map(|(_, value)| value.text.clone())
            .collect();
        if !records.is_empty() {
            return Read::Outcome(Outcome::Records(records));
        }
        let alias = answer.records.iter().rev().find(|(_, value)| value.kind == RecordType::CNAME);
        Read::Outcome(match (answer.code, alias) {
            (Code::NoError, Some((_, value))) if !owner_counts => return Read::Alias(value.text.clone()),
            (Code::NoError, _) => Outcome::NoRecords,
            (Code::NoName, _) => Outcome::NoName,
            (Code::ServerFailure, _) => Outcome::Failed("the server failed (SERVFAIL)".into()),
            (Code::Other(code), _) => Outcome::Failed(format!("the server refused (response code {code})")),
        })
    }

    fn seen(&self, name: &str, kind: RecordKind, outcome: Outcome, server: Option<SocketAddr>) -> Look {
        Look { name: name.to_owned(), kind, outcome, server, authoritative: false, at: self.0.clock.now() }
    }
}

enum Read {
    Outcome(Outcome),
    /// It is another name for this one, of which the server has said nothing.
    Alias(String),
}

fn system_servers() -> Vec<SocketAddr> {
    match read_system_conf() {
        Ok((config, _)) => config.name_servers().iter().map(|server| (server.ip, 53).into()).collect(),
        Err(error) => {
            warn!(%error, "dns.no_system_resolvers: name some in [dns] servers");
            Vec::new()
        }
    }
}
