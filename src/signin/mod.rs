//! How people prove who they are: with a password, or through an OpenID Connect provider. What follows from it, a session,
//! is begun by `tenancy`. No HTTP of ours is spoken here, and whoever is refused never learns whether there is such a person.

mod oidc;
mod password;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

pub use oidc::{Callback, Started};
pub use password::{LEAST, Passwords, generate as generate_password};

use self::oidc::Provider;
use self::throttle::Throttle;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::{Email, Person, PersonId, SessionId};
use crate::outbound::HttpsError;
use crate::store::{PasswordHash, StoreError};
use crate::tenancy::{
    Actor, Done, Expect, Fault, NAME_MAX, NewSession, Origin, PersonChange, SessionState, Tenancy, TenancyError,
};

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// One answer for a wrong address, a wrong password, and somebody who is disabled.
    #[error("this e-mail address and password do not belong together, or the account is disabled")]
    Refused,
    #[error("there were too many attempts; again in {} s", .retry_after.as_secs().max(1))]
    TooOften { retry_after: Duration },
    #[error("{}", .0.detail)]
    Invalid(Fault),
    #[error("there is no provider {0:?}")]
    NoProvider(String),
    /// What came back from the provider is not what was asked for here, by this browser, lately.
    #[error("this sign-in was not begun here, or too long ago ({0}); begin again")]
    Strange(&'static str),
    /// The provider said no, or what it said does not hold.
    #[error("the provider's word does not let anybody in: {0}")]
    Provider(String),
    /// The provider knows them, and they are nobody here.
    #[error("{0}")]
    Stranger(String),
    /// The provider could not be asked.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Tenancy(error.into())
    }
}

/// The action of lines that tell of a sign-in that came to nothing.
const SESSION_REFUSED: &str = "session.refuse";
/// How often sessions that are over are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// The ways to sign in. Clones share them.
#[derive(Clone)]
pub struct SignIn {
    tenancy: Tenancy,
    passwords: Passwords,
    throttle: Throttle,
    providers: Arc<[Provider]>,
}

/// What a sign-in is about, beside the proof.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    pub origin: Origin,
    /// The session of the same browser until now: it ends.
    pub former: Option<SessionId>,
    pub request_id: Option<String>,
}

impl SignIn {
    /// Providers are those of `config`; they are asked about themselves when first needed.
    pub fn new(tenancy: Tenancy, config: &Config, clock: Clock) -> Result<Self, HttpsError> {
        let throttle = Throttle::new(tenancy.store().clone(), clock.clone());
        let public_url = config.admin.public_url(&config.brand);
        let provider = |settings| Provider::new(settings, &public_url, clock.clone());
        let providers = config.admin.oidc.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { tenancy, passwords: Passwords::default(), throttle, providers: providers.into() })
    }

    /// Forgets sessions that are over, now and then, until the task is dropped.
    pub async fn run(self) {
        loop {
            match self.tenancy.forget_sessions().await {
                Ok(gone) => tracing::debug!(gone, "sessions.forgotten"),
                Err(error) => tracing::warn!(%error, "sessions.not_forgotten: they are over all the same"),
            }
            tokio::time::sleep(FORGET_EVERY).await;
        }
    }

    /// The names of the providers, in the order of the configuration.
    pub fn providers(&self) -> Vec<&str> {
        self.providers.iter().map(Provider::name).collect()
    }

    /// Signs in with a password. It takes as long when there is no such person.
    pub async fn with_password(
        &self,
        email: &str,
        password: &str,
        about: Circumstances,
    ) -> Result<Done<NewSession>, SignInError> {
        let address = Email::parse(email).ok();
        // However it is spelled, it is one account.
        let account =
            address.as_ref().map_or_else(|| email.trim().to_lowercase(), |address| address.as_str().to_owned());
        let tried = self.throttle.enter(&account, about.origin.from).await;
        let tried = tried.inspect_err(|error| self.note_stranger("password", error, &about))?;
        let person = match &address {
            Some(address) => self.tenancy.store().person_by_email(address).await?,
            None => None,
        };
        let hash = match &person {
            Some(person) => self.tenancy.password_of(person.id).await?,
            None => None,
        };
        let right = self.passwords.verify(password, hash.as_ref()).await?;
        let person = match person {
            Some(person) if right && !person.disabled => person,
            Some(person) => {
                self.note_refused(person.id, &about, if right { "disabled" } else { "password" });
                return Err(SignInError::Refused);
            }
            None => {
                self.note_stranger("password", &SignInError::Refused, &about);
                return Err(SignInError::Refused);
            }
        };
        self.throttle.forgive(&tried).await?;
        let origin = Origin { method: "password".to_owned(), ..about.origin };
        Ok(self.tenancy.begin_session(person.id, &origin, about.former, about.request_id).await?)
    }

    /// Has the ledger know of it, beside the answer: that is not to take longer for somebody than for nobody.
    fn note_refused(&self, person: PersonId, about: &Circumstances, why: &'static str) {
        let (tenancy, request_id) = (self.tenancy.clone(), about.request_id.clone());
        let actor = Actor { from: about.origin.from, request_id, ..Actor::new(format!("person:{person}")) };
        tokio::spawn(async move {
            if let Err(error) = tenancy.note_refused_sign_in(&actor, person, why).await {
                tracing::warn!(%error, "signin.refusal_not_noted");
            }
        });
    }

    /// The same where nobody is known that it is about. What was typed is not kept: it may be anything.
    fn note_stranger(&self, method: &str, error: &SignInError, about: &Circumstances) {
        let why = match error {
            SignInError::Refused => "unknown",
            SignInError::TooOften { .. } => "too-often",
            SignInError::Strange(_) => "not-begun-here",
            SignInError::Provider(_) => "provider",
            SignInError::Stranger(_) => "stranger",
            SignInError::NoProvider(_)
            | SignInError::Invalid(_)
            | SignInError::Unreachable(_)
            | SignInError::Tenancy(_) => return,
        };
        let actor = Actor { from: about.origin.from, request_id: about.request_id.clone(), ..Actor::new("nobody") };
        self.tenancy.note(actor.entry(SESSION_REFUSED, None, method, serde_json::json!({ "why": why })));
    }

    /// Changes one's own password, which has to be given; all other sessions end.
    pub async fn change_password(
        &self,
        actor: &Actor,
        state: &SessionState,
        current: &str,
        new: &str,
    ) -> Result<Done<u64>, SignInError> {
        let person = &state.person;
        let tried = self.throttle.enter(person.email.as_str(), actor.from).await?;
        let hash = self.tenancy.password_of(person.id).await?;
        if !self.passwords.verify(current, hash.as_ref()).await? {
            let detail = "this is not your password, or you have none: sign in through your provider then";
            return Err(SignInError::Invalid(Fault::new("/current", "wrong-password", detail)));
        }
        self.throttle.forgive(&tried).await?;
        let hash = self.hash_for("/new", new, &person.email, &person.name).await?;
        Ok(self.tenancy.set_password(actor, person.id, &hash, Some(state.session.id)).await?)
    }

    /// The hash of a password that is fit to be this person's; `pointer` is where it stands in what was sent.
    pub async fn hash_for(
        &self,
        pointer: &str,
        password: &str,
        email: &Email,
        name: &str,
    ) -> Result<PasswordHash, SignInError> {
        let local = email.as_str().split('@').next().unwrap_or_default();
        self.passwords.hash(pointer, password, &[email.as_str(), local, name]).await
    }

    /// Makes a person who signs in with this password, or gives it to the one who has the address (and ends their
    /// sessions). For whoever has the machine in hands, and for accepted invitations.
    pub async fn person_with_password(
        &self,
        actor: &Actor,
        email: &str,
        name: &str,
        password: &str,
    ) -> Result<Person, SignInError> {
        let fault = |error: crate::model::EmailError| Fault::new("/email", "invalid-email", error.to_string());
        let address = Email::parse(email).map_err(|error| SignInError::Invalid(fault(error)))?;
        let hash = self.hash_for("/password", password, &address, name).await?;
        let Some(person) = self.tenancy.store().person_by_email(&address).await? else {
            return Ok(self.tenancy.create_person(actor, email, name, Some(&hash), None).await?.value);
        };
        self.tenancy.set_password(actor, person.id, &hash, None).await?;
        if person.disabled || !person.verified {
            let change = PersonChange { disabled: Some(false), verified: Some(true), name: None };
            let key = person.id.to_string();
            return Ok(self.tenancy.change_person(actor, &key, &Expect::Anything, &change).await?.value);
        }
        Ok(person)
    }

    /// Begins a sign-in through a provider: where to send the browser, and what it has to bring back.
    pub async fn start(
        &self,
        provider: &str,
        return_to: &str,
        from: Option<std::net::IpAddr>,
    ) -> Result<Started, SignInError> {
        self.throttle.count_from(from)?;
        let provider = self.provider(provider)?;
        let ring = self.tenancy.keyring().await?;
        provider.start(return_to, &ring, self.tenancy.clock().now()).await
    }

    /// Ends a sign-in through a provider. Answers with the session, and where the browser wanted to go.
    pub async fn finish(
        &self,
        provider: &str,
        callback: &Callback,
        flow: Option<&str>,
        about: Circumstances,
    ) -> Result<(Done<NewSession>, String), SignInError> {
        let provider = self.provider(provider)?;
        let found = self.by_provider(provider, callback, flow, &about).await;
        let (person, return_to) = found.inspect_err(|error| self.note_stranger(provider.name(), error, &about))?;
        let origin = Origin { method: provider.name().to_owned(), ..about.origin };
        let session = self.tenancy.begin_session(person, &origin, about.former, about.request_id).await;
        let session = session.map_err(|error| match error {
            TenancyError::NotFound(..) => SignInError::Stranger("this account is disabled".to_owned()),
            other => other.into(),
        })?;
        Ok((session, return_to))
    }

    async fn by_provider(
        &self,
        provider: &Provider,
        callback: &Callback,
        flow: Option<&str>,
        about: &Circumstances,
    ) -> Result<(PersonId, String), SignInError> {
        self.throttle.count_from(about.origin.from)?;
        let ring = self.tenancy.keyring().await?;
        let (known, return_to) = provider.finish(callback, flow, &ring, self.tenancy.clock().now()).await?;
        Ok((self.whom(provider, known).await?, return_to))
    }

    /// The person whom a provider's word is about: the one linked to the identity; else whoever has the address, if the
    /// provider has verified it and its word about addresses counts for whoever is here already; else a new one, if the
    /// configuration wants that.
    async fn whom(&self, provider: &Provider, known: oidc::Known) -> Result<PersonId, SignInError> {
        if let Some(person) = self.tenancy.person_by_identity(&known.identity).await? {
            return Ok(person.id);
        }
        // An address that nobody has verified is a claim that anybody can make: it links to nobody.
        let email = known.email.ok_or_else(|| {
            SignInError::Stranger("the provider has not verified an e-mail address of yours".to_owned())
        })?;
        let actor = Actor::new(format!("provider:{}", provider.name()));
        if let Some(person) = self.tenancy.store().person_by_email(&email).await? {
            // The provider has given the address to somebody else since: that is not the person whom we know.
            let known_there = self.tenancy.store().identities_of(person.id).await?;
            if known_there.iter().any(|identity| identity.issuer == known.identity.issuer) {
                let why = "the provider knew somebody else by your e-mail address; ask an operator";
                return Err(SignInError::Stranger(why.to_owned()));
            }
            if !provider.links_by_email() {
                let why = "somebody here has your e-mail address, and this provider's word is not enough to be them; sign in \
                    with your password, or ask an operator";
                return Err(SignInError::Stranger(why.to_owned()));
            }
            self.tenancy.link_identity(&actor, person.id, &known.identity).await?;
            return Ok(person.id);
        }
        if !provider.creates_people() {
            return Err(SignInError::Stranger("nobody here has your e-mail address; ask for an invitation".to_owned()));
        }
        let name = known.name.as_deref().and_then(fit_name).unwrap_or_else(|| email.as_str().to_owned());
        let made = self.tenancy.create_person(&actor, email.as_str(), &name, None, Some(&known.identity)).await?;
        Ok(made.value.id)
    }

    /// Counts a call that nobody should make often, against where it comes from.
    pub fn count_from(&self, from: Option<std::net::IpAddr>) -> Result<(), SignInError> {
        self.throttle.count_from(from)
    }

    fn provider(&self, name: &str) -> Result<&Provider, SignInError> {
        let found = self.providers.iter().find(|provider| provider.name() == name);
        found.ok_or_else(|| SignInError::NoProvider(name.to_owned()))
    }
}

/// What a provider calls somebody, as a name that can be theirs here: without what cannot be seen, and not too long. What is
/// wrong with a name is no reason to let nobody in.
fn fit_name(name: &str) -> Option<String> {
    let visible: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let short: String = visible.trim().chars().take(NAME_MAX).collect();
    Some(short.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_calls_somebody_is_made_fit() {
        assert_eq!(fit_name(" Ada\tLovelace\n").as_deref(), Some("Ada Lovelace"));
        assert_eq!(fit_name(&"é".repeat(500)).map(|name| name.chars().count()), Some(NAME_MAX));
        assert_eq!(fit_name(" \u{0} "), None);
    }
}
