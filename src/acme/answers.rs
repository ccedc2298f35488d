//! Makes what proves a name visible: in the store, from where every node answers, or in DNS. The authority is told only when
//! every node that serves knows the answer, because one that lags costs a failed validation.

use std::time::Duration;

use tracing::warn;

use super::Acme;
use super::protocol::{Authorization, Challenge, ChallengeKind};
use super::worker::Held;
use crate::store::StoreError;

/// How long an answer stays, if nobody takes it back.
const ANSWERED_FOR: Duration = Duration::from_secs(3600);

/// Why an answer cannot be given.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The authority does not offer this way for the name, or it cannot be gone here.
    NoWay(String),
    /// The DNS server did not take the record.
    Dns(String),
    Store(StoreError),
}

impl From<StoreError> for Unanswered {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Acme {
    /// Publishes the answers for all of these, and returns when everybody can give them, or when waiting for that has taken
    /// too long.
    pub(super) async fn publish(
        &self,
        held: &mut Held,
        method: ChallengeKind,
        authorizations: &[Authorization],
    ) -> Result<(), Unanswered> {
        let mut answers = Vec::with_capacity(authorizations.len());
        for authorization in authorizations {
            answers.push((authorization, offered(authorization, method)?));
        }
        if method == ChallengeKind::Dns01 {
            let Some(dns01) = &self.0.dns01 else {
                return Err(Unanswered::NoWay(
                    "no [acme.dns] is configured, and a wildcard is proven by DNS alone".into(),
                ));
            };
            for (authorization, challenge) in &answers {
                dns01
                    .set(&authorization.name, &challenge.dns_value)
                    .await
                    .map_err(|error| Unanswered::Dns(error.to_string()))?;
            }
            return Ok(());
        }
        let expires = self.0.clock.now() + ANSWERED_FOR;
        let mut write = self.0.store.write().await?;
        for (authorization, challenge) in &answers {
            let key = match method {
                ChallengeKind::TlsAlpn01 => &authorization.name,
                _ => &challenge.token,
            };
            write.put_challenge(key, &challenge.key_authorization, expires).await?;
            held.answers.push(key.clone());
        }
        held.revision = write.commit().await?;
        self.wait_for_nodes(held).await;
        Ok(())
    }

    /// Returns when every node has applied the last write of this order, or when waiting for that has taken too long.
    pub(super) async fn wait_for_nodes(&self, held: &Held) {
        let within = self.0.config.load().acme.node_wait;
        if !self.0.fleet.acknowledged(held.revision, within).await {
            warn!(order.name = held.row.name, revision = held.revision, "acme.node_lags: going on without it");
        }
    }

    /// Takes records out of DNS again; what cannot be taken out does no harm.
    pub(super) async fn clear_records(&self, method: ChallengeKind, authorizations: &[Authorization]) {
        let Some(dns01) = self.0.dns01.as_ref().filter(|_| method == ChallengeKind::Dns01) else { return };
        for authorization in authorizations {
            let Ok(challenge) = offered(authorization, method) else { continue };
            if let Err(error) = dns01.clear(&authorization.name, &challenge.dns_value).await {
                warn!(%error, domain = authorization.name, "acme.record_left: a TXT record could not be removed");
            }
        }
    }
}

fn offered(authorization: &Authorization, method: ChallengeKind) -> Result<&Challenge, Unanswered> {
    authorization.challenges.iter().find(|challenge| challenge.kind == method).ok_or_else(|| {
        let offered: Vec<_> = authorization.challenges.iter().map(|challenge| challenge.kind.as_str()).collect();
        let name = &authorization.name;
        Unanswered::NoWay(format!("for {name} the authority offers {}, not {}", offered.join(", "), method.as_str()))
    })
}
