//! Dynamic updates (RFC 2136), signed with TSIG (RFC 8945): TXT records come and go. Over TCP alone: an update is never
//! lost on its way unnoticed. No answer is believed whose signature does not hold, but one that says no.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::update_message::{append, delete_by_rdata};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::config::{Rfc2136, TsigAlgorithm};

/// For one update, connection included.
const DEADLINE: Duration = Duration::from_secs(15);
/// How far the server's clock and ours may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// Writes into one zone at its primary server.
#[derive(Clone, Debug)]
pub struct Updater {
    config: Rfc2136,
    ttl: Duration,
}

/// Why a record is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpdateError {
    /// The name does not belong there. Nothing was sent.
    #[error("{name} is not within the zone {zone}")]
    Elsewhere { name: String, zone: String },
    /// No name or value of the DNS, or an unusable key. Nothing was sent.
    #[error("{what}: {why}")]
    Invalid { what: String, why: String },
    #[error("the DNS server {server} cannot be asked: {why}")]
    Unreachable { server: SocketAddr, why: String },
    /// The server says no.
    #[error("the DNS server {server} answers {code}: {advice}")]
    Refused { server: SocketAddr, code: String, advice: String },
    /// The answer is not signed with the key, or makes no sense.
    #[error("the answer of the DNS server {server} cannot be trusted: {why}")]
    Untrusted { server: SocketAddr, why: String },
}

impl Updater {
    /// `ttl` is that of the records it sets, in whole seconds.
    pub fn new(config: &Rfc2136, ttl: Duration) -> Self {
        Self { config: config.clone(), ttl }
    }

    /// Adds a TXT record beside those that the name may have already.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), UpdateError> {
        let (zone, records) = self.records(name, value)?;
        self.send(append(records, zone, false, false)).await
    }

    /// Removes this TXT record; it is no error if there is none. Others of the name stay.
    pub async fn clear(&self, name: &str, value: &str) -> Result<(), UpdateError> {
        let (zone, records) = self.records(name, value)?;
        self.send(delete_by_rdata(records, zone, false)).await
    }

    fn records(&self, name: &str, value: &str) -> Result<(Name, RecordSet), UpdateError> {
        let (zone, owner) = (absolute(self.config.zone.as_str())?, absolute(name)?);
        if !zone.zone_of(&owner) {
            return Err(UpdateError::Elsewhere { name: name.into(), zone: self.config.zone.to_string() });
        }
        if value.is_empty() || value.len() > 255 {
            let why = format!("{} bytes, where one string of a TXT record holds 1 to 255", value.len());
            return Err(UpdateError::Invalid { what: "value".into(), why });
        }
        let ttl = u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX);
        let record = Record::from_rdata(owner, ttl, RData::TXT(TXT::new(vec![value.to_owned()])));
        Ok((zone, RecordSet::from(record)))
    }

    async fn send(&self, mut message: Message) -> Result<(), UpdateError> {
        // The wall clock, whatever others go by: the server compares it with its own.
        let now = u64::try_from(Clock::system().now().secs()).unwrap_or_default();
        let unusable = |why: String| UpdateError::Invalid { what: format!("the key {}", self.config.key_name), why };
        let signer = self.signer()?;
        let verifier = message.finalize(&signer, now).map_err(|error| unusable(error.to_string()))?;
        let mut verifier = verifier.ok_or_else(|| unusable("nothing to verify answers with".into()))?;
        let request = message.to_vec().map_err(|error| unusable(error.to_string()))?;
        let server = self.config.server;
        let unreachable = |why: String| UpdateError::Unreachable { server, why };
        let answer = tokio::time::timeout(DEADLINE, exchange(server, &request)).await;
        let answer = answer.map_err(|_| unreachable(format!("no answer within {DEADLINE:?}")))?;
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        let untrusted = |why: String| UpdateError::Untrusted { server, why };
        let said = Message::from_vec(&answer).map_err(|error| untrusted(error.to_string()))?;
        if said.id != message.id {
            return Err(untrusted("it answers something else".into()));
        }
        // A "no" needs no signature: servers that do not know the key cannot give one.
        if said.response_code != ResponseCode::NoError {
            return Err(self.refused(&said));
        }
        verifier.verify(&answer).map_err(|error| untrusted(error.to_string()))?;
        Ok(())
    }

    fn signer(&self) -> Result<TSigner, UpdateError> {
        let algorithm = match self.config.algorithm {
            TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let name = absolute(self.config.key_name.as_str())?;
        TSigner::new(self.config.secret.expose().to_vec(), algorithm, name, FUDGE).map_err(|error| {
            UpdateError::Invalid { what: format!("the key {}", self.config.key_name), why: error.to_string() }
        })
    }

    fn refused(&self, said: &Message) -> UpdateError {
        let (zone, key) = (&self.config.zone, &self.config.key_name);
        let signature = said.signature.as_ref().and_then(|record| record.data.error.as_ref());
        let mut code = format!("{:?}", said.response_code).to_ascii_uppercase();
        if let Some(signature) = signature {
            code.push_str(&format!(" ({signature:?})"));
        }
        let advice = match said.response_code {
            ResponseCode::NotAuth if signature.is_some() => format!(
                "the key {key}, its algorithm or its secret is not the one that the server has, or the clocks differ by \
                 more than {FUDGE} s"
            ),
            ResponseCode::NotAuth => format!("it is not the primary server of the zone {zone}"),
            ResponseCode::NotZone => format!("the name is not in its zone {zone}"),
            ResponseCode::Refused => format!("it allows no updates of the zone {zone} to the key {key}"),
            _ => format!("the update of the zone {zone} was not done"),
        };
        UpdateError::Refused { server: self.config.server, code, advice }
    }
}

/// RFC 1035 §4.2.2: a length of two bytes before each message.
async fn exchange(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u16::try_from(request.len()).map_err(std::io::Error::other)?;
    let mut connection = TcpStream::connect(server).await?;
    connection.write_all(&[&length.to_be_bytes(), request].concat()).await?;
    let length = connection.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    connection.read_exact(&mut answer).await?;
    Ok(answer)
}

fn absolute(name: &str) -> Result<Name, UpdateError> {
    let parsed = Name::from_ascii(name);
    let mut parsed = parsed.map_err(|error| UpdateError::Invalid { what: name.into(), why: error.to_string() })?;
    parsed.set_fqdn(true);
    Ok(parsed)
}
