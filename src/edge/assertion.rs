//! The signed word that backends can check: `X-Tenant-Assertion`, an EdDSA JWT (RFC 7519, RFC 8037), and its public
//! keys. Signing costs more than a whole request, so an assertion is kept and signed again at half its life.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::directory::View;
use crate::keyring::{Keyring, SiteCookie};
use crate::model::{Hostname, PlanName, TenantId};

/// Signs and keeps assertions.
pub struct Assertions {
    issuer: String,
    keyring: ArcSwapOption<Ring>,
    kept: moka::sync::Cache<Arc<Key>, Arc<Signed>, foldhash::fast::RandomState>,
    clock: Clock,
}

/// What was signed last for somebody who mostly wants the same again: a client's connection.
#[derive(Default)]
pub struct Last(ArcSwapOption<Signed>);

/// The ring, and its public half as it is served.
struct Ring {
    keyring: Keyring,
    jwks: String,
}

/// Everything that an assertion says; the revision stands for the rest of the tenant's facts.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    revision: i64,
    plan: PlanName,
    pool: Arc<str>,
    host: Hostname,
}

struct Signed {
    key: Arc<Key>,
    ring: Arc<Ring>,
    value: HeaderValue,
    /// When to sign again.
    half_life: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    host: &'a str,
    plan: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

impl Assertions {
    /// `kept` bounds how many assertions are remembered.
    pub fn new(issuer: String, kept: u64, clock: Clock) -> Self {
        Self {
            issuer,
            keyring: ArcSwapOption::empty(),
            kept: moka::sync::Cache::builder()
                .max_capacity(kept)
                .time_to_live(LIFE)
                .build_with_hasher(Default::default()),
            clock,
        }
    }

    /// Publishes another ring; what older keys signed stays valid for its minute.
    pub fn install(&self, keyring: Keyring) {
        let jwks = keyring.jwks().to_string();
        self.keyring.store(Some(Arc::new(Ring { keyring, jwks })));
        self.kept.invalidate_all();
    }

    /// The JSON Web Key Set, once there are keys.
    pub fn jwks(&self) -> Option<String> {
        self.keyring.load().as_ref().map(|ring| ring.jwks.clone())
    }

    /// The assertion for this tenant, towards this pool, on this host; `last` is asked first, and remembers it. `None`:
    /// there is no key, and the request must not go out without one.
    pub fn header(&self, view: &View, pool: &Arc<str>, host: &Hostname, last: &Last) -> Option<HeaderValue> {
        let (now, ring) = (self.clock.now(), self.keyring.load());
        let ring = ring.as_ref()?;
        let holds = |signed: &Signed| now < signed.half_life && Arc::ptr_eq(&signed.ring, ring);
        if let Some(signed) = &*last.0.load()
            && holds(signed)
            && signed.key.is(view, pool, host)
        {
            return Some(signed.value.clone());
        }
        let key = Arc::new(Key::of(view, pool, host));
        let signed = match self.kept.get(&key).filter(|signed| holds(signed)) {
            Some(signed) => signed,
            None => {
                let value = self.sign(ring, view, &key, now)?;
                let (half_life, ring) = (now + LIFE / 2, Arc::clone(ring));
                let signed = Arc::new(Signed { key: Arc::clone(&key), ring, value, half_life });
                self.kept.insert(key, Arc::clone(&signed));
                signed
            }
        };
        last.0.store(Some(Arc::clone(&signed)));
        Some(signed.value.clone())
    }

    /// What a session cookie says, if it is ours and has not expired. Whether its session was ended is another question.
    pub fn session(&self, cookie: &str) -> Option<SiteCookie> {
        let ring = self.keyring.load();
        SiteCookie::verify(cookie, &ring.as_ref()?.keyring, self.clock.now())
    }

    fn sign(&self, ring: &Ring, view: &View, wanted: &Key, now: Timestamp) -> Option<HeaderValue> {
        let key = ring.keyring.current(now)?;
        let claims = Claims {
            iss: &self.issuer,
            sub: view.tenant.id.to_string(),
            aud: &wanted.pool,
            host: wanted.host.as_str(),
            plan: view.effective.plan.as_str(),
            iat: now.secs(),
            exp: now.secs() + LIFE.as_secs() as i64,
            jti: Uuid::now_v7().to_string(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.id.clone());
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(key.pkcs8())).ok()?;
        let mut value = HeaderValue::from_str(&token).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Key {
    fn of(view: &View, pool: &Arc<str>, host: &Hostname) -> Self {
        Self {
            tenant: view.tenant.id,
            revision: view.tenant.revision,
            plan: view.effective.plan.clone(),
            pool: Arc::clone(pool),
            host: host.clone(),
        }
    }

    /// Whether it is the one that [`Key::of`] would make.
    fn is(&self, view: &View, pool: &str, host: &Hostname) -> bool {
        (self.tenant, self.revision) == (view.tenant.id, view.tenant.revision)
            && *self.pool == *pool
            && self.host == *host
            && self.plan == view.effective.plan
    }
}

/// How long an assertion is valid.
pub const LIFE: Duration = Duration::from_secs(60);
