//! What an authority and this installation say to each other, in our words: nothing in here knows the wire.

use crate::clock::Timestamp;

/// An order as its authority sees it (RFC 8555 §7.1.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderView {
    pub status: OrderStatus,
    /// Why it is invalid.
    pub problem: Option<Problem>,
    /// What the authority wants proven; only filled in by `CaOrder::authorizations`.
    pub authorizations: Vec<Authorization>,
    /// Told to ask again no sooner.
    pub retry_after: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// One name of an order, and the ways in which it can be proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorization {
    /// Without `*.`, also for a wildcard.
    pub name: String,
    pub wildcard: bool,
    /// Proven already, now or by an earlier order.
    pub valid: bool,
    pub challenges: Vec<Challenge>,
}

/// One way to prove a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    pub kind: ChallengeKind,
    /// http-01: the last part of the path.
    pub token: String,
    /// What http-01 answers with, and what tls-alpn-01 carries the digest of.
    pub key_authorization: String,
    /// What the TXT record of dns-01 holds.
    pub dns_value: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeKind {
    /// RFC 8555 §8.3
    Http01,
    /// RFC 8737
    TlsAlpn01,
    /// RFC 8555 §8.4
    Dns01,
}

impl ChallengeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// What an authority says is wrong (RFC 9457, RFC 8555 §6.7).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Problem {
    /// Without `urn:ietf:params:acme:error:`: `dns`, `connection`, `unauthorized`, `caa`, `rateLimited`, …
    pub kind: String,
    pub detail: String,
}

/// Why an authority has not done what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CaError {
    /// 429, or the problem `rateLimited`: not before `retry_after`.
    #[error("the authority limits us: {detail}")]
    RateLimited { retry_after: Option<Timestamp>, detail: String },
    /// It cannot be reached, does not answer in time, answers with 5xx or with what is no ACME at all. The same call may
    /// work later.
    #[error("the authority is not available: {why}")]
    Unavailable { retry_after: Option<Timestamp>, why: String },
    /// The order (or the account) does not exist there any more.
    #[error("the authority does not know it any more: {0}")]
    Gone(Problem),
    /// It has understood and says no.
    #[error("the authority refuses: {0}")]
    Refused(Problem),
    /// The order was renewed already (RFC 9773 §5): to be placed again without `replaces`.
    #[error("the certificate to be replaced was replaced already")]
    AlreadyReplaced,
    /// Nothing that time would heal: a wrong account key, a store that cannot be read.
    #[error("{0}")]
    Broken(String),
}

impl CaError {
    /// For the metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Gone(_) | Self::Refused(_) | Self::AlreadyReplaced => "refused",
            Self::Broken(_) => "failed",
        }
    }
}

/// When an authority would like a certificate to be renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct RenewalWindow {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Ask again no sooner.
    pub ask_again: Timestamp,
}
