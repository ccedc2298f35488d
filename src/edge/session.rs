//! The signed session cookie of the main site: which of their tenants a member has picked. A JWT with HMAC-SHA-256,
//! written by the admin service, read here; off unless `tenancy.session_cookie` names it.

use std::time::Duration;

use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::keyring::Keyring;
use crate::model::TenantId;

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    tenant: TenantId,
    exp: i64,
}

/// The cookie's value for a member who picked `tenant`, good for `life`. `None` only when the ring is empty.
pub fn issue(tenant: TenantId, keyring: &Keyring, now: Timestamp, life: Duration) -> Option<String> {
    let key = keyring.current(now)?;
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key.id.clone());
    let claims = Claims { aud: AUDIENCE.into(), tenant, exp: (now + life).secs() };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.session_secret())).ok()
}

/// The tenant in a cookie's value: `None` for anything forged, expired or signed by a key that is gone.
pub fn verify(cookie: &str, keyring: &Keyring, now: Timestamp) -> Option<TenantId> {
    let key = keyring.find(&jsonwebtoken::decode_header(cookie).ok()?.kid?)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    // The expiry is checked against our own clock below.
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["aud", "exp"]);
    let key = DecodingKey::from_secret(key.session_secret());
    let claims = jsonwebtoken::decode::<Claims>(cookie, &key, &validation).ok()?.claims;
    (claims.exp > now.secs()).then_some(claims.tenant)
}

/// The value of the cookie of this name. A second cookie of the same name makes it nobody's: which one counts is a
/// guess that an attacker on a sibling host could win.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = None;
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    for pair in pairs.flat_map(|value| value.split(';')) {
        if let Some((key, value)) = pair.trim().split_once('=')
            && key == name
            && found.replace(value).is_some()
        {
            return None;
        }
    }
    found
}

const AUDIENCE: &str = "tenantry-session";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_names_its_tenant_until_it_expires_and_nobody_can_forge_one() {
        let now = Timestamp(1_700_000_000_000);
        let ring = Keyring::generate(now).unwrap();
        let tenant = TenantId::new();
        let cookie = issue(tenant, &ring, now, Duration::from_secs(60)).unwrap();
        assert_eq!(verify(&cookie, &ring, now), Some(tenant));
        assert_eq!(verify(&cookie, &ring, now + Duration::from_secs(60)), None);
        assert_eq!(verify(&cookie, &Keyring::generate(now).unwrap(), now), None);
        assert_eq!(verify("", &ring, now), None);
        let (head, _) = cookie.rsplit_once('.').unwrap();
        assert_eq!(verify(&format!("{head}.AAAA"), &ring, now), None);
    }

    #[test]
    fn two_cookies_of_one_name_are_none() {
        let headers = |value: &str| HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())]);
        assert_eq!(cookie(&headers("a=1; t=x; b=2"), "t"), Some("x"));
        assert_eq!(cookie(&headers("t=x; t=y"), "t"), None);
        assert_eq!(cookie(&headers("tt=x"), "t"), None);
    }
}
