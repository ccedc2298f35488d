//! Sessions of people: begun by whoever has seen proof, known by the secret in a cookie, over when they are not used, too
//! old, or ended. And the tenancy that a session has picked, which is a signed cookie for the edge. How people prove who
//! they are is not known here.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::error::{Kind, TenancyError};
use super::tokens::{hash_token, random};
use super::{Actor, Done, Tenancy, shown};
use crate::clock::Timestamp;
use crate::keyring::{Keyring, SiteCookie};
use crate::model::{Person, PersonId, Rights, SessionId, TenantId};
use crate::store::{Page, SessionRow, SiteSession, StoreError};

/// 256 bits: nobody guesses one.
const SECRET_BYTES: usize = 32;
/// Use is written down no more often.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
const AGENT_MAX: usize = 200;

/// A session that was just begun: the only moment at which its secret exists.
pub struct NewSession {
    pub state: SessionState,
    /// 64 hexadecimal digits, for the cookie.
    pub secret: Zeroizing<String>,
}

/// A session that works, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionState {
    pub session: SessionRow,
    pub person: Person,
}

/// Where and how somebody signs in.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// `password`, or the name of a provider.
    pub method: String,
    pub from: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: Option<String>,
}

/// A tenancy that was picked.
pub struct Picked {
    pub tenant: TenantId,
    /// The signed cookie that the edge reads.
    pub cookie: String,
    pub expires: Timestamp,
}

impl std::fmt::Debug for NewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSession").field("id", &self.state.session.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Picked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picked").field("tenant", &self.tenant).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What a page has to send along with a write, so that no other site can have a browser write: derived from the session's
/// secret, which no page can read, and good for nothing else.
pub fn csrf_token(secret: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"tenantry-csrf\0");
    context.update(secret.as_bytes());
    hex::encode(context.finish().as_ref())
}

impl Tenancy {
    /// Begins a session for somebody who has proven who they are. Always a new one: whoever planted a cookie before has
    /// nothing of it. `former`, the session of the same browser until now, ends.
    pub async fn begin_session(
        &self,
        person: PersonId,
        origin: &Origin,
        former: Option<SessionId>,
        request_id: Option<String>,
    ) -> Result<Done<NewSession>, TenancyError> {
        let mut bytes = random::<SECRET_BYTES>()?;
        let secret = Zeroizing::new(hex::encode(bytes));
        bytes.zeroize();
        let mut write = self.store.write().await?;
        let person = write.person(person).await?.filter(|person| !person.disabled);
        let person = person.ok_or_else(|| TenancyError::NotFound(Kind::Person, "who signs in".to_owned()))?;
        let now = write.now();
        let tenant = match person.default_tenant {
            Some(tenant) if self.is_member(&mut write, person.id, tenant).await? => Some(tenant),
            _ => None,
        };
        let session = SessionRow {
            id: SessionId::new(),
            hash: hash_token(&secret),
            person: person.id,
            method: origin.method.clone(),
            tenant,
            created: now,
            seen: now,
            expires: now + self.config().admin.session_absolute,
            address: origin.from.map(|address| address.to_string()),
            agent: origin.agent.as_deref().map(|agent| agent.chars().take(AGENT_MAX).collect()),
        };
        if let Some(former) = former {
            write.end_session(former).await?;
        }
        write.insert_session(&session).await?;
        let actor = Actor { from: origin.from, request_id, ..Actor::new(format!("person:{}", person.id)) };
        let entry = actor.entry("session.begin", None, session.id, json!({})).made(shown::session(&session));
        self.finish(write, entry, NewSession { state: SessionState { session, person }, secret }).await
    }

    /// Whose session this secret is of; `None` when it is unknown, over, or of somebody who is disabled. Counts as use.
    pub async fn session(&self, secret: &str) -> Result<Option<SessionState>, TenancyError> {
        // What cannot be one costs no question to the store.
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if secret.len() != 2 * SECRET_BYTES || !secret.bytes().all(digit) {
            return Ok(None);
        }
        let now = self.clock.now();
        let Some(mut session) = self.store.session_by_hash(&hash_token(secret)).await? else { return Ok(None) };
        if !self.is_good(&session, now) {
            return Ok(None);
        }
        let person = self.store.person(session.person).await?;
        let Some(person) = person.filter(|person| !person.disabled) else { return Ok(None) };
        if now.since(session.seen) >= TOUCH_EVERY {
            let touch = async {
                let mut aside = self.store.aside().await?;
                aside.touch_session(session.id).await?;
                aside.commit().await
            };
            // Whoever calls is who they are, whether that can be written down at this moment or not.
            match touch.await {
                Ok(()) => session.seen = now,
                Err(error) => tracing::warn!(%error, "sessions.use_not_noted"),
            }
        }
        Ok(Some(SessionState { session, person }))
    }

    /// The session of this id, and whose it is, if it works. Does not count as use.
    pub(super) async fn signed_in(&self, id: SessionId) -> Result<Option<SessionState>, TenancyError> {
        let now = self.clock.now();
        let session = self.store.session(id).await?.filter(|session| self.is_good(session, now));
        let Some(session) = session else { return Ok(None) };
        let person = self.store.person(session.person).await?.filter(|person| !person.disabled);
        Ok(person.map(|person| SessionState { session, person }))
    }

    /// A person's sessions that work, the oldest first.
    pub async fn sessions(&self, person: PersonId, page: &Page) -> Result<Vec<SessionRow>, TenancyError> {
        let now = self.clock.now();
        let idle_since = now - self.config().admin.session_idle;
        Ok(self.store.sessions_of(person, (now, idle_since), page).await?)
    }

    /// Ends one session of a person, here and at the edge.
    pub async fn end_session(&self, actor: &Actor, person: PersonId, id: SessionId) -> Result<Done<()>, TenancyError> {
        let mut write = self.store.write().await?;
        let row = write.session(id).await?.filter(|session| session.person == person);
        let row = row.ok_or_else(|| TenancyError::NotFound(Kind::Session, id.to_string()))?;
        write.end_session(id).await?;
        let entry = actor.entry("session.end", None, id, json!({})).gone(shown::session(&row));
        self.finish(write, entry, ()).await
    }

    /// Ends all sessions of a person, here and at the edge; answers with how many there were.
    pub async fn end_sessions(&self, actor: &Actor, person: PersonId) -> Result<Done<u64>, TenancyError> {
        let mut write = self.store.write().await?;
        if actor.person() != Some(person) {
            self.handle_person(&mut write, actor, person).await?;
        }
        let ended = write.end_sessions_of(person, None).await?;
        let entry = actor.entry("session.end-all", None, person, json!({}));
        let entry = entry.changed(json!({ "sessions": ended }), json!({ "sessions": 0 }));
        self.finish(write, entry, ended).await
    }

    /// Picks a tenancy: answers with the cookie that the edge reads. It lasts as long as the session may at the most, even
    /// when the session itself is not used; whatever ends the session or the membership ends it.
    pub async fn pick_tenancy(
        &self,
        actor: &Actor,
        state: &SessionState,
        key: &str,
    ) -> Result<Done<Picked>, TenancyError> {
        let no_such = || TenancyError::NotFound(Kind::Tenant, key.to_owned());
        let tenant = self.find(key).await?.id;
        let ring = self.keyring().await?;
        let mut write = self.store.write().await?;
        // While nobody else can write: a membership that ends at this moment is either seen here, or ends this.
        if self.membership(state.person.id, tenant).await?.is_none() {
            return Err(no_such());
        }
        let session = write.session(state.session.id).await?;
        let session = session.ok_or_else(|| TenancyError::NotFound(Kind::Session, state.session.id.to_string()))?;
        let site = SiteSession {
            id: SessionId::new(),
            session: session.id,
            person: session.person,
            tenant,
            expires: session.expires,
        };
        let id = write.pick_tenant(&site).await?;
        let cookie = SiteCookie::new(id, tenant, session.expires);
        let value = cookie.sign(&ring, write.now());
        let value = value.ok_or_else(|| StoreError::Unavailable("there is no key to sign with yet".to_owned()))?;
        let entry = actor.entry("session.pick", Some(tenant), session.id, json!({ "person": session.person }));
        let entry = entry.changed(json!({ "tenant": session.tenant }), json!({ "tenant": tenant }));
        self.finish(write, entry, Picked { tenant, cookie: value, expires: cookie.expires }).await
    }

    /// The keys that sign what browsers carry.
    pub async fn keyring(&self) -> Result<Keyring, TenancyError> {
        let bytes = self.store.secret(Keyring::SECRET).await?;
        let ring = bytes.and_then(|bytes| Keyring::from_bytes(&bytes).ok());
        Ok(ring.ok_or_else(|| StoreError::Unavailable("there are no signing keys yet".to_owned()))?)
    }

    /// Forgets the sessions that are over.
    pub async fn forget_sessions(&self) -> Result<u64, TenancyError> {
        let idle_since = self.clock.now() - self.config().admin.session_idle;
        let mut aside = self.store.aside().await?;
        let gone = aside.prune_sessions(idle_since).await?;
        aside.commit().await?;
        Ok(gone)
    }

    /// What whoever is signed in may do: in the tenant of this id or slug where one is named, else in the tenancy that they
    /// have picked. Owners and admins of the operator's own tenant are operators, and may do everything everywhere.
    /// [`TenancyError::NotFound`] when the tenant that is named is not theirs to see.
    pub async fn rights_of_session(&self, state: &SessionState, tenant: Option<&str>) -> Result<Rights, TenancyError> {
        let person = state.person.id;
        if self.is_operator(person).await? {
            return Ok(Rights::all());
        }
        match (tenant, state.session.tenant) {
            (Some(key), _) => {
                let membership = match self.find(key).await {
                    Ok(tenant) => self.membership(person, tenant.id).await?,
                    Err(TenancyError::NotFound(..)) => None,
                    Err(other) => return Err(other),
                };
                let rights = membership.map(|membership| membership.rights());
                rights.ok_or_else(|| TenancyError::NotFound(Kind::Tenant, key.to_owned()))
            }
            (None, Some(picked)) => {
                let membership = self.membership(person, picked).await?;
                Ok(membership.map_or_else(Rights::none, |membership| membership.rights()))
            }
            (None, None) => Ok(Rights::none()),
        }
    }

    /// What somebody may do in one tenant; `None`: nothing.
    pub(super) async fn rights_of_person(
        &self,
        person: PersonId,
        tenant: TenantId,
    ) -> Result<Option<Rights>, TenancyError> {
        if self.is_operator(person).await? {
            return Ok(Some(Rights::all()));
        }
        Ok(self.membership(person, tenant).await?.map(|membership| membership.rights()))
    }

    pub(super) async fn is_operator(&self, person: PersonId) -> Result<bool, TenancyError> {
        let Some(operator) = self.operator_tenant().await? else { return Ok(false) };
        let membership = self.membership(person, operator.id).await?;
        Ok(membership.is_some_and(|membership| membership.position().makes_operators()))
    }

    pub(super) fn is_good(&self, session: &SessionRow, now: Timestamp) -> bool {
        session.expires > now && now.since(session.seen) < self.config().admin.session_idle
    }
}
