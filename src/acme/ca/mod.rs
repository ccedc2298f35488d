//! The talk with one certificate authority (RFC 8555, RFC 9773). Every call ends within the deadline of each exchange, and
//! says by [`CaError`] what has become of it. When to call, and how often, is never decided here.

mod account;
mod directory;
mod order;
mod wire;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use instant_acme::{Account, CertificateIdentifier, Identifier, NewOrder, RevocationReason, RevocationRequest};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;

use self::account::Credentials;
use self::directory::Directory;
pub use self::order::CaOrder;
use self::wire::Wire;
use super::protocol::{CaError, Problem, RenewalWindow};
use crate::certificates::Reason;
use crate::clock::{Clock, Timestamp};
use crate::config::Authority;
use crate::model::Hostname;
use crate::outbound::Https;
use crate::store::Store;

/// How long one exchange may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// More than any answer of ACME needs; a chain is a few kB.
const MOST_BODY: usize = 1024 * 1024;
/// How long a directory is believed.
const DIRECTORY_AGE: Duration = Duration::from_secs(3600);
/// When to ask for a renewal window again if the authority does not say, and the bounds of what it may say (RFC 9773
/// §4.3.2).
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);
const ASK_AGAIN_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

/// One configured authority; clones share connections, directory and account.
#[derive(Clone)]
pub struct Ca(Arc<Inner>);

struct Inner {
    authority: Authority,
    contact: Vec<String>,
    store: Store,
    https: Https,
    clock: Clock,
    directory: Mutex<Option<(Timestamp, Arc<Directory>)>>,
    /// Held while the account is opened.
    credentials: tokio::sync::Mutex<Option<Opened>>,
    /// How often it was tried to open the account.
    openings: AtomicU64,
}

/// How the last try to open the account went.
type Opened = Result<Arc<Credentials>, CaError>;

/// Evaluates a call of the library, again if the nonce alone was at fault (beyond the tries that the library makes).
macro_rules! signed {
    ($wire:expr, $call:expr) => {{
        let _ = $wire.last();
        let mut answer = $call.await;
        for _ in 0..2 {
            match &answer {
                Err(error) if wire::worth_signing_again(error) => answer = $call.await,
                _ => break,
            }
        }
        answer.map_err(wire::unwrapped)
    }};
}
use signed;

impl Ca {
    /// Asks nothing yet. [`CaError::Broken`]: the trust anchors cannot be read.
    pub fn new(authority: &Authority, contact: &[String], store: Store, clock: Clock) -> Result<Self, CaError> {
        Self::within(DEADLINE, authority, contact, store, clock)
    }

    /// The same with another deadline for one exchange than 30 s.
    pub fn within(
        deadline: Duration,
        authority: &Authority,
        contact: &[String],
        store: Store,
        clock: Clock,
    ) -> Result<Self, CaError> {
        let https = Https::new(authority.roots.as_deref(), deadline, MOST_BODY);
        let https = https.map_err(|error| CaError::Broken(format!("authority \"{}\": {error}", authority.name)))?;
        Ok(Self(Arc::new(Inner {
            authority: authority.clone(),
            contact: contact.to_vec(),
            store,
            https,
            clock,
            directory: Mutex::default(),
            credentials: tokio::sync::Mutex::default(),
            openings: AtomicU64::new(0),
        })))
    }

    /// As configured.
    pub fn name(&self) -> &str {
        &self.0.authority.name
    }

    /// The names by which CAA records allow it; empty where that is not configured.
    pub fn caa(&self) -> &[Hostname] {
        &self.0.authority.caa
    }

    /// Whether a renewal can name what it replaces (RFC 9773); false as long as its directory cannot be read.
    pub async fn has_ari(&self) -> bool {
        self.directory().await.is_ok_and(|directory| directory.renewal_info.is_some())
    }

    /// Places an order. `replaces_chain`: PEM of the certificate that it renews; it is named where the authority has ARI.
    ///
    /// After [`CaError::Unavailable`] the order may exist there all the same. A configured profile that the authority
    /// does not offer is [`CaError::Refused`], `invalidProfile`, before anything is ordered.
    pub async fn new_order(&self, names: &[String], replaces_chain: Option<&str>) -> Result<CaOrder, CaError> {
        let directory = self.directory().await?;
        let profile = self.profile(&directory)?;
        let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
        let leaf = replaces_chain.filter(|_| directory.renewal_info.is_some()).map(leaf).transpose()?;
        let replaces = || leaf.as_ref().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let order = || {
            let mut order = NewOrder::new(&identifiers);
            order = match replaces() {
                Some(replaced) => order.replaces(replaced),
                None => order,
            };
            match profile {
                Some(profile) => order.profile(profile),
                None => order,
            }
        };
        let mut again = false;
        loop {
            let (account, wire) = self.open(again).await?;
            let error = match signed!(wire, account.new_order(&order())) {
                Ok(order) => return Ok(CaOrder::new(order, wire, &account)),
                Err(error) => error,
            };
            if let Some(url) = wire.last().location {
                // It was made, only the answer cannot be understood (no `replaces` in it, say): never a second one.
                return self.resume(&url).await;
            }
            match error {
                // It has lost our account. The same key makes it anew, and nothing was ordered.
                CaError::Gone(problem) if problem.kind == "accountDoesNotExist" && !again => again = true,
                error => return Err(self.noticed(present(error))),
            }
        }
    }

    /// Finds an order again. [`CaError::Gone`]: it does not exist, or is not ours.
    pub async fn resume(&self, url: &str) -> Result<CaOrder, CaError> {
        let (account, wire) = self.open(false).await?;
        match signed!(wire, account.order(url.to_owned())) {
            Ok(order) => Ok(CaOrder::new(order, wire, &account)),
            Err(CaError::Refused(problem)) if problem.kind == "unauthorized" => Err(CaError::Gone(problem)),
            Err(error) => Err(self.noticed(error)),
        }
    }

    /// When the authority would like this certificate renewed. `None`: it has no ARI, or does not know the certificate.
    pub async fn renewal_window(&self, chain_pem: &str) -> Result<Option<RenewalWindow>, CaError> {
        let directory = self.directory().await?;
        let Some(url) = &directory.renewal_info else { return Ok(None) };
        let leaf = leaf(chain_pem)?;
        let Ok(id) = CertificateIdentifier::try_from(&leaf) else { return Ok(None) };
        let request = Request::builder().uri(format!("{url}/{id}")).body(Bytes::new()).map_err(senseless)?;
        let answer = match wire::ask(&self.0.https, &self.0.clock, request).await {
            Err(CaError::Gone(_)) => return Ok(None),
            answer => answer.map_err(|error| self.noticed(error))?,
        };
        let info: RenewalInfo = serde_json::from_slice(answer.body()).map_err(senseless)?;
        let Window { start, end } = info.suggested_window;
        if start >= end {
            return Err(senseless(format!("a renewal window that begins at {start} and ends at {end}")));
        }
        let now = self.0.clock.now();
        let (least, most) = ASK_AGAIN_BOUNDS;
        let asked = wire::retry_after(answer.headers(), &self.0.clock).unwrap_or(now + ASK_AGAIN);
        Ok(Some(RenewalWindow { start, end, ask_again: asked.clamp(now + least, now + most) }))
    }

    /// Revokes a certificate, as the account that ordered it. It is no error if it was revoked before.
    pub async fn revoke(&self, chain_pem: &str, reason: Reason) -> Result<(), CaError> {
        let leaf = leaf(chain_pem)?;
        let (account, wire) = self.open(false).await?;
        let reason = match reason {
            // "Unspecified" is said by saying nothing (RFC 5280 §5.3.1).
            Reason::Unspecified => None,
            Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Reason::Superseded => Some(RevocationReason::Superseded),
            Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        };
        let request = RevocationRequest { certificate: &leaf, reason };
        match signed!(wire, account.revoke(&request)) {
            Err(CaError::Refused(problem)) if problem.kind == "alreadyRevoked" => Ok(()),
            answer => answer.map_err(|error| self.noticed(error)),
        }
    }

    /// The library's account for one conversation, and what is between the two.
    async fn open(&self, again: bool) -> Result<(Account, Wire), CaError> {
        let directory = self.directory().await?;
        let credentials = self.credentials(&directory, again).await?;
        let url: Arc<str> = self.0.authority.directory.as_str().into();
        let wire = Wire::new(self.0.https.clone(), self.0.clock.clone(), (Arc::clone(&url), directory.raw.clone()));
        let builder = Account::builder_with_http(Box::new(wire.clone()));
        let key = PrivatePkcs8KeyDer::from(credentials.key.as_slice());
        let account = builder.from_parts(credentials.id.clone(), key, url.to_string()).await;
        Ok((account.map_err(wire::unwrapped)?, wire))
    }

    /// `again`: also if there are some, since they are said to be unknown.
    async fn credentials(&self, directory: &Directory, again: bool) -> Opened {
        let inner = &self.0;
        let before = inner.openings.load(Ordering::SeqCst);
        let mut last = inner.credentials.lock().await;
        match &*last {
            Some(Ok(credentials)) if !again => return Ok(Arc::clone(credentials)),
            // Who has waited for another's try takes what came of it: else a hundred would wait out a hundred deadlines.
            Some(opened) if inner.openings.load(Ordering::SeqCst) != before => return opened.clone(),
            _ => {}
        }
        let talk = (&inner.https, &inner.clock);
        let opened = account::open(&inner.store, talk, &inner.authority, (directory, &inner.contact), again).await;
        let opened = opened.map(Arc::new).map_err(present);
        inner.openings.fetch_add(1, Ordering::SeqCst);
        *last = Some(opened.clone());
        opened
    }

    async fn directory(&self) -> Result<Arc<Directory>, CaError> {
        if let Some((read, directory)) = &*self.0.directory.lock().unwrap_or_else(PoisonError::into_inner)
            && self.0.clock.now().since(*read) < DIRECTORY_AGE
        {
            return Ok(Arc::clone(directory));
        }
        let request = Request::builder().uri(&self.0.authority.directory).body(Bytes::new()).map_err(senseless)?;
        let answer = wire::ask(&self.0.https, &self.0.clock, request).await.map_err(present)?;
        let directory = Arc::new(Directory::parse(answer.into_body()).map_err(senseless)?);
        let read = (self.0.clock.now(), Arc::clone(&directory));
        *self.0.directory.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(directory)
    }

    /// What the directory says may be why an authority is not available: it is read again before the next call.
    fn noticed(&self, error: CaError) -> CaError {
        if matches!(error, CaError::Unavailable { .. }) {
            *self.0.directory.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        error
    }

    fn profile(&self, directory: &Directory) -> Result<Option<&str>, CaError> {
        let Some(profile) = self.0.authority.profile.as_deref() else { return Ok(None) };
        let offered = &directory.meta.profiles;
        if offered.contains_key(profile) {
            return Ok(Some(profile));
        }
        let offered = offered.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let offered = if offered.is_empty() { "none" } else { &offered };
        let detail = format!("the authority \"{}\" has no profile \"{profile}\"; it offers {offered}", self.name());
        Err(CaError::Refused(Problem { kind: "invalidProfile".into(), detail }))
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ca").field(&self.0.authority).finish()
    }
}

/// RFC 9773 §4.2
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: Window,
}

#[derive(Deserialize)]
struct Window {
    start: Timestamp,
    end: Timestamp,
}

fn leaf(chain_pem: &str) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(chain_pem.as_bytes())
        .map_err(|error| CaError::Broken(format!("the chain at hand holds no certificate: {error}")))
}

/// What an authority always has cannot be gone: it is not well.
fn present(error: CaError) -> CaError {
    match error {
        CaError::Gone(problem) => CaError::Unavailable { retry_after: None, why: problem.to_string() },
        error => error,
    }
}

fn senseless(why: impl fmt::Display) -> CaError {
    CaError::Unavailable { retry_after: None, why: format!("its answer makes no sense: {why}") }
}
