//! The signed session cookie of the main site: which of their tenants a member has picked. A JWT with HMAC-SHA-256, written
//! by the control plane, read at the edge. Whether its session was ended since is not known here.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::Keyring;
use crate::clock::Timestamp;
use crate::model::{SessionId, TenantId};

/// What the cookie says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SiteCookie {
    /// The session at the edge: what ends when a person signs out, or is a member no more.
    pub session: SessionId,
    pub tenant: TenantId,
    /// In whole seconds.
    pub expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sid: SessionId,
    tenant: TenantId,
    exp: i64,
}

impl SiteCookie {
    pub fn new(session: SessionId, tenant: TenantId, expires: Timestamp) -> Self {
        Self { session, tenant, expires: Timestamp(expires.secs() * 1000) }
    }

    /// The cookie's value. `None` only when the ring has no key that signs yet.
    pub fn sign(&self, keyring: &Keyring, now: Timestamp) -> Option<String> {
        let key = keyring.current(now)?;
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        let claims = Claims { aud: AUDIENCE.into(), sid: self.session, tenant: self.tenant, exp: self.expires.secs() };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.session_secret())).ok()
    }

    /// What a cookie's value says: `None` for anything forged, expired or signed by a key that is gone.
    pub fn verify(cookie: &str, keyring: &Keyring, now: Timestamp) -> Option<Self> {
        let key = keyring.find(&jsonwebtoken::decode_header(cookie).ok()?.kid?)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        // The expiry is checked against our own clock below.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["aud", "exp"]);
        let key = DecodingKey::from_secret(key.session_secret());
        let claims = jsonwebtoken::decode::<Claims>(cookie, &key, &validation).ok()?.claims;
        let expires = Timestamp(claims.exp.checked_mul(1000)?);
        (claims.exp > now.secs()).then_some(Self { session: claims.sid, tenant: claims.tenant, expires })
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
    }
}
