//! What each stage asks for: one action, and the event that it ends with. An error is one of our store's; everything else
//! that goes wrong is an event too.

use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::Acme;
use super::answers::Unanswered;
use super::authorities::Choice;
use super::ca::{Ca, CaOrder};
use super::key;
use super::order::{Event, Stage};
use super::protocol::{Authorization, CaError, ChallengeKind, OrderStatus};
use super::record::With;
use super::worker::Held;
use crate::domains::Readiness;
use crate::model::{Certificate, CertificateSource, DomainName};
use crate::store::StoreError;

/// Between two questions about an order that the authority works on; it grows.
const FIRST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(5);
/// How long an authority may look at a challenge, or make a certificate, before this try is given up.
const MOST_POLLING: Duration = Duration::from_secs(180);

/// What an action comes to.
pub(super) type Outcome = (Event, With);

/// An action that was cut short.
enum Cut {
    Ca(CaError),
    Event(Event),
    Store(StoreError),
}

impl From<CaError> for Cut {
    fn from(error: CaError) -> Self {
        Self::Ca(error)
    }
}

impl From<StoreError> for Cut {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn failed(code: &str, why: impl ToString) -> Cut {
    Cut::Event(Event::Failed { code: code.to_owned(), why: why.to_string() })
}

impl Acme {
    /// Does what the stage asks for.
    pub(super) async fn act(&self, held: &mut Held) -> Result<Outcome, StoreError> {
        let authority = held.order.stage.authority().map(str::to_owned);
        let outcome = match held.order.stage.clone() {
            Stage::Waiting => self.prepare(held).await,
            Stage::Placing { authority, .. } => self.place(held, &authority).await,
            Stage::Proving { authority, url, method, .. } => self.prove(held, &authority, &url, method).await,
            Stage::Finalizing { authority, url, .. } => self.finalize(held, &authority, &url).await,
            Stage::Installed { certificate, .. } => self.show(held, &certificate).await,
            Stage::Issued { authority, .. } => self.ask_window(held, &authority).await,
        };
        match outcome {
            Ok(outcome) => {
                if let Some(authority) = authority.filter(|_| has_asked(&held.order.stage, &outcome.0)) {
                    self.0.authorities.answered(&authority).await?;
                }
                Ok(outcome)
            }
            Err(Cut::Event(event)) => Ok((event, With::Nothing)),
            Err(Cut::Store(error)) => Err(error),
            Err(Cut::Ca(error)) => {
                held.at_ca = None;
                let Some(authority) = authority else { return Ok((Event::Refused(error), With::Nothing)) };
                let error = self.0.authorities.note(&authority, &held.row.names, error).await?;
                let placing = matches!(held.order.stage, Stage::Placing { .. });
                let event = match placing && self.0.authorities.stands_in_for(&authority).await? {
                    true => Event::Elsewhere(error),
                    false => Event::Refused(error),
                };
                Ok((event, With::Nothing))
            }
        }
    }

    /// Before an order: an authority that can be asked, and a domain that is ready for it.
    async fn prepare(&self, held: &mut Held) -> Result<Outcome, Cut> {
        let ca = match self.0.authorities.choose().await? {
            Choice::Use(ca) => ca,
            Choice::Wait { until, why } => return Ok((Event::Held { until, why }, With::Nothing)),
        };
        // Our own names are ours; what customers have set may have changed since it was verified.
        if held.row.tenant.is_some() {
            for name in &held.row.names {
                let name = DomainName::parse(name).map_err(|error| failed("internal", error))?;
                match self.0.domains.preflight(&name, ca.caa()).await {
                    Readiness::Ready => {}
                    Readiness::NotReady { code, why } => {
                        return Ok((Event::NotReady { code: code.to_owned(), why }, With::Nothing));
                    }
                    Readiness::Unknown { why } => return Ok((Event::CannotTell { why }, With::Nothing)),
                }
            }
        }
        let renewal = held.order.certificate.is_some();
        let reservation = self.0.authorities.reservation(ca.name(), &held.row.names, renewal && ca.has_ari().await);
        Ok((Event::Reserved { authority: ca.name().to_owned() }, With::Budget(reservation)))
    }

    async fn place(&self, held: &mut Held, authority: &str) -> Result<Outcome, Cut> {
        let ca = self.ca(authority)?;
        let replaced = match &held.order.certificate {
            Some(id) => self.0.store.certificate_row(id).await?.filter(|row| row.authority == authority),
            None => None,
        };
        let order = ca.new_order(&held.row.names, replaced.as_ref().map(|row| row.chain.as_str())).await?;
        let url = order.url().to_owned();
        held.at_ca = Some(order);
        let wildcard = held.row.names.iter().any(|name| name.starts_with("*."));
        let method = if wildcard { ChallengeKind::Dns01 } else { held.order.method() };
        Ok((Event::Placed { url, method }, With::Nothing))
    }

    async fn prove(&self, held: &mut Held, authority: &str, url: &str, method: ChallengeKind) -> Result<Outcome, Cut> {
        let mut order = self.order_at(held, authority, url).await?;
        if order.status() == OrderStatus::Pending {
            let all = order.authorizations().await?;
            let open: Vec<Authorization> = all.into_iter().filter(|authorization| !authorization.valid).collect();
            self.publish(held, method, &open).await.map_err(unanswered)?;
            let answered = self.ask_to_look(&mut order, method, &open).await;
            self.clear_records(method, &open).await;
            answered?;
        }
        match order.status() {
            OrderStatus::Invalid => {
                let failures = order.failures().await;
                self.0.authorities.failed(authority, &held.row.names).await?;
                let code = failures.first().map_or("invalid", |(_, _, problem)| problem.kind.as_str()).to_owned();
                let each = failures
                    .iter()
                    .map(|(name, kind, problem)| format!("{name}, {}: {}", kind.as_str(), problem.detail));
                let why = each.collect::<Vec<_>>().join("; ");
                Ok((Event::Disproven { code, why, interrupted: held.resumed }, With::Nothing))
            }
            _ => {
                held.at_ca = Some(order);
                let kind = self.0.config.load().acme.key;
                let key = tokio::task::spawn_blocking(move || key::generate(kind)).await;
                let key = key.map_err(|error| failed("internal", error))?.map_err(|error| failed("internal", error))?;
                Ok((Event::Proven, With::Key(key)))
            }
        }
    }

    /// Tells the authority that the answers are there, and waits until it has looked.
    async fn ask_to_look(&self, order: &mut CaOrder, method: ChallengeKind, open: &[Authorization]) -> Result<(), Cut> {
        for authorization in open {
            order.challenge_ready(&authorization.name, authorization.wildcard, method).await?;
        }
        self.poll_while(order, OrderStatus::Pending).await
    }

    async fn finalize(&self, held: &mut Held, authority: &str, url: &str) -> Result<Outcome, Cut> {
        let Some(key) = self.0.store.order_key(&held.row.name).await? else {
            return Err(failed("internal", "the key that the certificate was to be asked for with is gone"));
        };
        let key = String::from_utf8(key.to_vec()).map(Zeroizing::new).map_err(|_| failed("internal", "no PEM key"))?;
        let mut order = self.order_at(held, authority, url).await?;
        if order.status() == OrderStatus::Ready {
            let csr = key::request(&held.row.names, &key).map_err(|error| failed("internal", error))?;
            order.finalize(&csr).await?;
        }
        self.poll_while(&mut order, OrderStatus::Processing).await?;
        let chain = match order.status() {
            OrderStatus::Valid => order.certificate().await?,
            _ => None,
        };
        let Some(chain) = chain else {
            let why = format!("the authority has made no certificate; its order is {:?}", order.status());
            return Err(failed("not-issued", why));
        };
        let leaf = key::check(&chain, &held.row.names, &key).map_err(|error| failed("wrong-certificate", error))?;
        let certificate = Certificate {
            id: Uuid::now_v7().to_string(),
            names: held.row.names.clone(),
            chain,
            key,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            source: CertificateSource::Acme,
            authority: authority.to_owned(),
        };
        let event = Event::Stored { certificate: certificate.id.clone() };
        Ok((event, With::Certificate(Box::new(certificate))))
    }

    /// Waits until every node has heard of the certificate, and looks at it as a visitor would.
    async fn show(&self, held: &mut Held, id: &str) -> Result<Outcome, Cut> {
        let Some(row) = self.0.store.certificate_row(id).await? else {
            return Err(failed("internal", "the certificate is not in the store any more"));
        };
        let leaf = key::leaf(&row.chain).map_err(|error| failed("wrong-certificate", error))?;
        let served = Event::Served { not_before: leaf.not_before, not_after: leaf.not_after };
        if held.revision == 0 {
            held.revision = self.0.store.revision().await?;
        }
        self.wait_for_nodes(held).await;
        for name in &held.row.names {
            let in_use = self.0.store.certificate_in_use(name).await?;
            // One that its owner has brought goes before ours, which then only stands by.
            if in_use.is_some_and(|in_use| in_use != row.id) {
                continue;
            }
            let visited = name.strip_prefix("*.").map(|above| format!("{ANY_LABEL}.{above}"));
            if let Err(why) = self.0.proof.serves(visited.as_ref().unwrap_or(name), &row.chain).await {
                return Ok((Event::NotServed { why: format!("{name}: {why}") }, With::Nothing));
            }
        }
        Ok((served, With::Nothing))
    }

    async fn ask_window(&self, held: &mut Held, authority: &str) -> Result<Outcome, Cut> {
        let Some(id) = &held.order.certificate else { return Ok((Event::Window(None), With::Nothing)) };
        let Some(row) = self.0.store.certificate_row(id).await? else {
            return Err(failed("internal", "the certificate is not in the store any more"));
        };
        if row.revoked.is_some() {
            return Err(failed("revoked", "the certificate was revoked; another one is ordered"));
        }
        if let Some(until) = self.0.authorities.blocked(authority).await? {
            let why = format!("{authority} is to be left alone until {until}");
            return Err(Cut::Event(Event::Refused(CaError::Unavailable { retry_after: Some(until), why })));
        }
        // An authority that is not configured any more is asked nothing: the lifetime decides.
        let window = match self.0.authorities.get(authority) {
            Some(ca) => ca.renewal_window(&row.chain).await?,
            None => None,
        };
        Ok((Event::Window(window), With::Nothing))
    }

    /// Asks until the order is in another state than `state`.
    async fn poll_while(&self, order: &mut CaOrder, state: OrderStatus) -> Result<(), Cut> {
        let started = tokio::time::Instant::now();
        let mut pause = FIRST_POLL;
        let mut told = Duration::ZERO;
        while order.status() == state {
            if started.elapsed() > MOST_POLLING {
                return Err(failed("timeout", format!("the authority has left it {state:?} for {MOST_POLLING:?}")));
            }
            tokio::time::sleep(pause.max(told)).await;
            pause = (pause * 2).min(LONGEST_POLL);
            let view = order.poll().await?;
            told = view.retry_after.map_or(Duration::ZERO, |at| at.since(self.0.clock.now())).min(MOST_POLLING);
        }
        Ok(())
    }

    async fn order_at(&self, held: &mut Held, authority: &str, url: &str) -> Result<CaOrder, Cut> {
        match held.at_ca.take() {
            Some(order) => Ok(order),
            None => Ok(self.ca(authority)?.resume(url).await?),
        }
    }

    fn ca(&self, authority: &str) -> Result<&Ca, Cut> {
        self.0.authorities.get(authority).ok_or_else(|| {
            failed("no-authority", format!("no authority of the name {authority:?} is configured any more"))
        })
    }
}

/// Whether this stage's action has had an answer from the authority.
fn has_asked(stage: &Stage, event: &Event) -> bool {
    match stage {
        Stage::Waiting | Stage::Installed { .. } => false,
        Stage::Issued { .. } => matches!(event, Event::Window(Some(_))),
        Stage::Placing { .. } | Stage::Proving { .. } | Stage::Finalizing { .. } => true,
    }
}

fn unanswered(why: Unanswered) -> Cut {
    match why {
        Unanswered::NoWay(why) => Cut::Event(Event::Disproven { code: "no-challenge".into(), why, interrupted: false }),
        Unanswered::Dns(why) => failed("dns-update", why),
        Unanswered::Store(error) => Cut::Store(error),
    }
}

/// A label under a wildcard that is nobody's: what a handshake asks for to see the wildcard's certificate.
const ANY_LABEL: &str = "tenantry-probe";
