//! One order at an authority, from its placing to its certificate. It says what the authority has answered, and never
//! waits by itself.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use instant_acme::{
    Account, AuthorizationState, AuthorizationStatus, ChallengeStatus, ChallengeType, Order, OrderStatus as Theirs,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::wire::{self, Wire};
use super::{senseless, signed};
use crate::acme::protocol::{Authorization, CaError, Challenge, ChallengeKind, OrderStatus, OrderView, Problem};

/// An order as it was last seen. Calls that fail leave it as it was; after [`CaError::Unavailable`] the same call may be
/// made again.
pub struct CaOrder {
    order: Order,
    wire: Wire,
    /// Of the account's key (RFC 7638).
    thumbprint: String,
    status: OrderStatus,
}

impl CaOrder {
    pub(super) fn new(mut order: Order, wire: Wire, account: &Account) -> Self {
        let status = status(order.state().status);
        Self { order, wire, thumbprint: account.key_thumbprint().to_owned(), status }
    }

    /// Where it can be found again.
    pub fn url(&self) -> &str {
        self.order.url()
    }

    /// As last seen.
    pub fn status(&self) -> OrderStatus {
        self.status
    }

    /// What the authority wants proven, one for each name. Asked for once; later calls answer the same.
    pub async fn authorizations(&mut self) -> Result<Vec<Authorization>, CaError> {
        signed!(self.wire, read(&mut self.order, &self.thumbprint))
    }

    /// Tells the authority that this challenge can be looked at. It is no error if it was told before, or wants no proof
    /// any more. [`CaError::Refused`] may be the validation's own failure.
    pub async fn challenge_ready(&mut self, name: &str, wildcard: bool, kind: ChallengeKind) -> Result<(), CaError> {
        self.authorizations().await?;
        let mut theirs = self.order.authorizations();
        while let Some(Ok(mut authorization)) = theirs.next().await {
            if !is_of(&authorization, name, wildcard) {
                continue;
            }
            if authorization.status != AuthorizationStatus::Pending {
                return Ok(());
            }
            let Some(mut challenge) = authorization.challenge(theirs_of(kind)) else { break };
            if challenge.status != ChallengeStatus::Pending {
                return Ok(());
            }
            let refused = match signed!(self.wire, challenge.set_ready()) {
                Err(CaError::Refused(problem)) => problem,
                answer => return answer,
            };
            // Perhaps it has been told, and only its answer got lost.
            let known = self.told(name, wildcard, kind).await?;
            return if known { Ok(()) } else { Err(CaError::Refused(refused)) };
        }
        let detail = format!("{} is not offered for {name}", kind.as_str());
        Err(CaError::Refused(Problem { kind: "noSuchChallenge".into(), detail }))
    }

    /// Whether the authority is at this challenge, or done with it, without a complaint.
    async fn told(&mut self, name: &str, wildcard: bool, kind: ChallengeKind) -> Result<bool, CaError> {
        let mut theirs = self.order.authorizations();
        while let Some(Ok(mut authorization)) = theirs.next().await {
            if is_of(&authorization, name, wildcard) {
                let state = signed!(self.wire, authorization.refresh())?;
                let challenge = state.challenges.iter().find(|challenge| challenge.r#type == theirs_of(kind));
                let pending = |status| status == ChallengeStatus::Pending;
                return Ok(challenge.is_some_and(|challenge| challenge.error.is_none() && !pending(challenge.status)));
            }
        }
        Ok(false)
    }

    /// Asks how it stands.
    pub async fn poll(&mut self) -> Result<OrderView, CaError> {
        signed!(self.wire, self.order.refresh())?;
        Ok(self.view())
    }

    /// Sends the certificate request (PKCS#10, DER) of an order that is ready. It is no error if that was done before.
    pub async fn finalize(&mut self, csr_der: &[u8]) -> Result<OrderView, CaError> {
        match signed!(self.wire, self.order.finalize_csr(csr_der)) {
            Ok(()) => Ok(self.view()),
            Err(CaError::Refused(problem)) => {
                let view = self.poll().await?;
                let done = matches!(view.status, OrderStatus::Processing | OrderStatus::Valid);
                if done { Ok(view) } else { Err(CaError::Refused(problem)) }
            }
            Err(error) => Err(error),
        }
    }

    /// The chain, PEM, leaf first. `None`: it is not valid (yet).
    pub async fn certificate(&mut self) -> Result<Option<String>, CaError> {
        if self.status != OrderStatus::Valid && self.poll().await?.status != OrderStatus::Valid {
            return Ok(None);
        }
        let Some(chain) = signed!(self.wire, self.order.certificate())? else { return Ok(None) };
        let mut certificates = CertificateDer::pem_slice_iter(chain.as_bytes());
        match certificates.next() {
            Some(Ok(_)) if certificates.all(|certificate| certificate.is_ok()) => Ok(Some(chain)),
            _ => Err(senseless("what should be a certificate chain is none")),
        }
    }

    /// Which challenges of the order failed, and why. Empty where the authority says nothing of that kind, or cannot be
    /// asked.
    pub async fn failures(&mut self) -> Vec<(String, ChallengeKind, Problem)> {
        let mut failures = Vec::new();
        if self.authorizations().await.is_err() {
            return failures;
        }
        let mut theirs = self.order.authorizations();
        while let Some(Ok(mut authorization)) = theirs.next().await {
            let name = bare(&authorization.identifier().to_string()).to_owned();
            let Ok(state) = signed!(self.wire, authorization.refresh()) else { continue };
            for challenge in &state.challenges {
                if let (Some(kind), Some(error)) = (kind(&challenge.r#type), &challenge.error) {
                    failures.push((name.clone(), kind, wire::problem(error)));
                }
            }
        }
        failures
    }

    fn view(&mut self) -> OrderView {
        let retry_after = self.wire.last().retry_after;
        let state = self.order.state();
        self.status = status(state.status);
        let problem = state.error.as_ref().map(wire::problem);
        OrderView { status: self.status, problem, authorizations: Vec::new(), retry_after }
    }
}

impl fmt::Debug for CaOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaOrder").field("url", &self.url()).field("status", &self.status).finish_non_exhaustive()
    }
}

/// All authorizations, in our words. Those that were had already are not asked for again.
async fn read(order: &mut Order, thumbprint: &str) -> Result<Vec<Authorization>, instant_acme::Error> {
    let mut found = Vec::new();
    let mut theirs = order.authorizations();
    while let Some(next) = theirs.next().await {
        let authorization = next?;
        let identifier = authorization.identifier();
        let challenges = authorization.challenges.iter();
        let challenges = challenges.filter_map(|challenge| {
            let kind = kind(&challenge.r#type)?;
            // RFC 8555 §8.1, §8.4
            let key_authorization = format!("{}.{thumbprint}", challenge.token);
            let dns_value = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, key_authorization.as_bytes()));
            Some(Challenge { kind, token: challenge.token.clone(), key_authorization, dns_value })
        });
        found.push(Authorization {
            name: bare(&identifier.to_string()).to_owned(),
            wildcard: identifier.wildcard,
            valid: authorization.status == AuthorizationStatus::Valid,
            challenges: challenges.collect(),
        });
    }
    Ok(found)
}

fn is_of(authorization: &AuthorizationState, name: &str, wildcard: bool) -> bool {
    let identifier = authorization.identifier();
    bare(&identifier.to_string()) == name && identifier.wildcard == wildcard
}

fn bare(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

fn theirs_of(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

fn kind(theirs: &ChallengeType) -> Option<ChallengeKind> {
    match theirs {
        ChallengeType::Http01 => Some(ChallengeKind::Http01),
        ChallengeType::TlsAlpn01 => Some(ChallengeKind::TlsAlpn01),
        ChallengeType::Dns01 => Some(ChallengeKind::Dns01),
        _ => None,
    }
}

fn status(theirs: Theirs) -> OrderStatus {
    match theirs {
        Theirs::Pending => OrderStatus::Pending,
        Theirs::Ready => OrderStatus::Ready,
        Theirs::Processing => OrderStatus::Processing,
        Theirs::Valid => OrderStatus::Valid,
        Theirs::Invalid => OrderStatus::Invalid,
    }
}
