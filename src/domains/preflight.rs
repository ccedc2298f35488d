//! Whether an order is worth its budget: the domain leads here, CAA allows the authority, and a probe over port 80 reaches
//! this fleet. A failed validation costs more than these questions.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{Domains, Finding, judge};
use crate::clock::Timestamp;
use crate::model::{Domain, DomainName, Hostname};
use crate::outbound;
use crate::store::StoreError;
use crate::tenancy::wanted;

/// Whether a domain is ready for an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Readiness {
    Ready,
    /// `code`: `not-held`, `dns`, `caa`, `delegation`, `probe`. `why`: what to do, in a sentence.
    NotReady {
        code: &'static str,
        why: String,
    },
    /// Nobody could be asked, which is no answer.
    Unknown {
        why: String,
    },
}

/// The token that this node's probes look for: any node answers it like a challenge's.
#[derive(Default)]
pub(super) struct Probe(Mutex<Option<(String, Timestamp)>>);

/// How long one token is used. It shows in other servers' logs, where a domain does not lead here.
const TOKEN_AGE: Duration = Duration::from_secs(600);
/// For the whole probe.
const DEADLINE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(4);
const MOST_BODY: usize = 4096;

impl Domains {
    /// Whether an order for `name` at an authority that CAA records call by one of `caa` has a chance.
    pub async fn preflight(&self, name: &DomainName, caa: &[Hostname]) -> Readiness {
        match self.preflighted(name, caa).await {
            Ok(readiness) => readiness,
            Err(error) => Readiness::Unknown { why: error.to_string() },
        }
    }

    async fn preflighted(&self, name: &DomainName, caa: &[Hostname]) -> Result<Readiness, StoreError> {
        let Some(domain) = self.store.held_domain(name).await? else {
            let why = format!("no tenant holds {name} any more");
            return Ok(Readiness::NotReady { code: "not-held", why });
        };
        let config = self.config.load_full();
        let wanted = wanted(&domain, &config);
        let seen = self.see(&wanted, name).await;
        let mut findings = vec![("dns", judge::traffic(&wanted, &seen))];
        findings.extend(judge::caa(caa, name.is_wildcard(), &seen).map(|finding| ("caa", finding)));
        if name.is_wildcard() {
            findings.extend(judge::challenge(&wanted, &seen).map(|finding| ("delegation", finding)));
        }
        for (code, finding) in findings {
            match finding.verdict.holds() {
                Some(true) => {}
                Some(false) => return Ok(Readiness::NotReady { code, why: finding.advice }),
                None => return Ok(Readiness::Unknown { why: finding.advice }),
            }
        }
        if name.is_wildcard() || !config.acme.self_probe {
            return Ok(Readiness::Ready);
        }
        if !judge::has_address(&seen)
            && let Some(finding) = seen.addresses.iter().find_map(|look| Finding::without_answer(look, Vec::new()))
        {
            return Ok(Readiness::Unknown { why: finding.advice });
        }
        let addresses = seen.addresses.iter().flat_map(|look| look.records());
        let addresses = addresses.filter_map(|text| text.parse().ok());
        let addresses: Vec<SocketAddr> = addresses.map(|ip| SocketAddr::new(ip, config.acme.http_port)).collect();
        self.probe(&domain, &addresses).await
    }

    /// Asks the domain, at the addresses that were looked up, for what this fleet alone can answer.
    async fn probe(&self, domain: &Domain, addresses: &[SocketAddr]) -> Result<Readiness, StoreError> {
        let token = self.probe_token().await?;
        let host = domain.name.host();
        let not_ready = |why: String| Readiness::NotReady { code: "probe", why };
        let tcp = match self.guard.connect(addresses, CONNECT).await {
            Ok(tcp) => tcp,
            Err(error) => {
                return Ok(not_ready(format!(
                    "{host} cannot be reached over port 80, as the authority will have to: {error}"
                )));
            }
        };
        Ok(match tokio::time::timeout(DEADLINE, ask(tcp, host, &token)).await {
            Ok(Ok(answer)) if answer == token => Readiness::Ready,
            Ok(Ok(_)) => {
                not_ready(format!("another server answers for {host} over port 80: is there a proxy in front?"))
            }
            Ok(Err(why)) => not_ready(format!("{host} does not answer over port 80 as this installation would: {why}")),
            Err(_) => not_ready(format!("{host} does not answer over port 80 within {DEADLINE:?}")),
        })
    }

    async fn probe_token(&self) -> Result<String, StoreError> {
        let now = self.clock.now();
        let mut kept = self.probe.0.lock().await;
        if let Some((token, made)) = &*kept
            && now.since(*made) < TOKEN_AGE
        {
            return Ok(token.clone());
        }
        let token = format!("tenantry-probe-{}", uuid::Uuid::new_v4().simple());
        let mut write = self.store.write().await?;
        write.put_challenge(&token, &token, now + 2 * TOKEN_AGE).await?;
        write.commit().await?;
        *kept = Some((token.clone(), now));
        Ok(token)
    }
}

/// What the domain answers to a challenge's question.
async fn ask(tcp: TcpStream, host: &Hostname, token: &str) -> Result<String, String> {
    let path = format!("/.well-known/acme-challenge/{token}");
    let (status, body) = outbound::get(tcp, host.as_str(), &path, MOST_BODY).await?;
    if status != StatusCode::OK {
        return Err(format!("it says {status}"));
    }
    String::from_utf8(body.to_vec()).map_err(|_| "its answer is no text".to_owned())
}
