//! What a browser carries for us: claims in a JWT with HMAC-SHA-256, each kind for an audience of its own. The session cookie
//! of the main site is one: which of their tenants a member has picked; written by the control plane, read at the edge.
//! Whether its session was ended since is not known here.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Keyring;
use crate::clock::Timestamp;
use crate::model::{SessionId, TenantId};

/// What the session cookie says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SiteCookie {
    /// The session at the edge: what ends when a person signs out, or is a member no more.
    pub session: SessionId,
    pub tenant: TenantId,
    /// In whole seconds.
    pub expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    aud: String,
    exp: i64,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize, Deserialize)]
struct Site {
    sid: SessionId,
    tenant: TenantId,
}

impl Keyring {
    /// A text that says `body` until `expires`, for `audience` alone. `None` only when the ring has no key that signs yet.
    pub fn sign(&self, audience: &str, expires: Timestamp, body: &impl Serialize, now: Timestamp) -> Option<String> {
        let key = self.current(now)?;
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        let claims = Envelope { aud: audience.to_owned(), exp: expires.secs(), body };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.session_secret())).ok()
    }

    /// What a text says, and until when: `None` for anything forged, expired, meant for others, or signed by a key that is
    /// gone.
    pub fn verify<T: DeserializeOwned>(&self, audience: &str, text: &str, now: Timestamp) -> Option<(T, Timestamp)> {
        let key = self.find(&jsonwebtoken::decode_header(text).ok()?.kid?)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[audience]);
        // The expiry is checked against our own clock below.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["aud", "exp"]);
        let key = DecodingKey::from_secret(key.session_secret());
        let claims = jsonwebtoken::decode::<Envelope<T>>(text, &key, &validation).ok()?.claims;
        let expires = Timestamp(claims.exp.checked_mul(1000)?);
        (claims.exp > now.secs()).then_some((claims.body, expires))
    }
}

impl SiteCookie {
    pub fn new(session: SessionId, tenant: TenantId, expires: Timestamp) -> Self {
        Self { session, tenant, expires: Timestamp(expires.secs() * 1000) }
    }

    /// The cookie's value. `None` only when the ring has no key that signs yet.
    pub fn sign(&self, keyring: &Keyring, now: Timestamp) -> Option<String> {
        keyring.sign(AUDIENCE, self.expires, &Site { sid: self.session, tenant: self.tenant }, now)
    }

    /// What a cookie's value says; `None` for anything that is not ours, or is over.
    pub fn verify(cookie: &str, keyring: &Keyring, now: Timestamp) -> Option<Self> {
        let (site, expires): (Site, _) = keyring.verify(AUDIENCE, cookie, now)?;
        Some(Self { session: site.sid, tenant: site.tenant, expires })
    }
}

const AUDIENCE: &str = "tenantry-session";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cookie_names_its_tenant_until_it_expires_and_nobody_can_forge_one() {
        let now = Timestamp(1_700_000_000_000);
        let ring = Keyring::generate(now).unwrap();
        let cookie = SiteCookie::new(SessionId::new(), TenantId::new(), now + Duration::from_secs(60));
        let text = cookie.sign(&ring, now).unwrap();
        assert_eq!(SiteCookie::verify(&text, &ring, now), Some(cookie));
        assert_eq!(SiteCookie::verify(&text, &ring, now + Duration::from_secs(60)), None);
        assert_eq!(SiteCookie::verify(&text, &Keyring::generate(now).unwrap(), now), None);
        assert_eq!(SiteCookie::verify("", &ring, now), None);
        let (head, _) = text.rsplit_once('.').unwrap();
        assert_eq!(SiteCookie::verify(&format!("{head}.AAAA"), &ring, now), None);
        assert!(ring.verify::<Site>("tenantry-other", &text, now).is_none(), "meant for others");
    }
}
