//! Our account with an authority (RFC 8555 §7.3): one for the whole fleet. The key is in the store before the authority
//! hears of it, and asking twice with one key gives one account: a crash, or two nodes at once, never makes a second.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::directory::Directory;
use super::wire;
use crate::acme::protocol::{CaError, Problem};
use crate::clock::Clock;
use crate::config::{Authority, ExternalAccount};
use crate::outbound::Https;
use crate::store::{Store, StoreError};

/// Nonces may be refused; this often in a row is an authority that is not well.
const SIGNED_TRIES: usize = 6;

/// The account as the store keeps it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Account {
    /// The directory that it is an account of.
    directory: String,
    /// PKCS#8 DER, base64url.
    key: String,
    /// Its URL; `None` until the authority has answered.
    id: Option<String>,
}

impl Drop for Account {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// What signing as this account takes.
pub(super) struct Credentials {
    pub id: String,
    pub key: Zeroizing<Vec<u8>>,
}

/// Reads the account, and makes or finishes it where it is missing. `again`: the authority does not know it any more
/// (or so it says), so it is told of the same key once more.
pub(super) async fn open(
    store: &Store,
    (https, clock): (&Https, &Clock),
    authority: &Authority,
    (directory, contact): (&Directory, &[String]),
    again: bool,
) -> Result<Credentials, CaError> {
    let account = keyed(store, authority).await?;
    let key = decoded(&account.key)?;
    if let (Some(id), false) = (&account.id, again) {
        return Ok(Credentials { id: id.clone(), key });
    }
    if directory.meta.external_account_required && authority.eab.is_none() {
        let detail = format!("it wants an external account: [acme.authority.eab] of \"{}\" is missing", authority.name);
        return Err(CaError::Refused(Problem { kind: "externalAccountRequired".into(), detail }));
    }
    let registration = Registration { https, clock, directory, key: pair(&key)? };
    let id = registration.register(contact, authority.eab.as_ref()).await?;
    finish(store, authority, &account, &id).await?;
    Ok(Credentials { id, key })
}

/// The account of the store, with its key at least.
async fn keyed(store: &Store, authority: &Authority) -> Result<Account, CaError> {
    let name = secret_name(authority);
    let fits = |account: &Account| account.directory == authority.directory;
    if let Some(account) = read(store.secret(&name).await)?.filter(fits) {
        return Ok(account);
    }
    let mut write = store.write().await.map_err(no_store)?;
    // Another node may have been first.
    if let Some(account) = read(write.secret(&name).await)?.filter(fits) {
        return Ok(account);
    }
    let account = Account { directory: authority.directory.clone(), key: fresh_key()?, id: None };
    write.put_secret(&name, &encoded(&account)?).await.map_err(no_store)?;
    write.commit().await.map_err(no_store)?;
    Ok(account)
}

/// Notes the account's URL, unless the account has been replaced meanwhile.
async fn finish(store: &Store, authority: &Authority, account: &Account, id: &str) -> Result<(), CaError> {
    let name = secret_name(authority);
    let mut write = store.write().await.map_err(no_store)?;
    let current = read(write.secret(&name).await)?;
    if current.is_none_or(|current| current.key != account.key || current.id.as_deref() == Some(id)) {
        return Ok(());
    }
    let mut account = account.clone();
    account.id = Some(id.to_owned());
    write.put_secret(&name, &encoded(&account)?).await.map_err(no_store)?;
    write.commit().await.map_err(no_store)?;
    Ok(())
}

struct Registration<'a> {
    https: &'a Https,
    clock: &'a Clock,
    directory: &'a Directory,
    key: EcdsaKeyPair,
}

impl Registration<'_> {
    /// Asks for an account with this key; where there is one already, that is the answer.
    async fn register(&self, contact: &[String], eab: Option<&ExternalAccount>) -> Result<String, CaError> {
        let url = &self.directory.new_account;
        let mut payload = json!({ "termsOfServiceAgreed": true, "contact": contact });
        if let Some(eab) = eab {
            payload["externalAccountBinding"] = self.bound_to(eab);
        }
        let mut nonce = None;
        for _ in 0..SIGNED_TRIES {
            let fresh = match nonce.take() {
                Some(nonce) => nonce,
                None => self.nonce().await?,
            };
            let protected = json!({ "alg": "ES256", "jwk": jwk(&self.key), "nonce": fresh, "url": url });
            let request =
                Request::builder().method(Method::POST).uri(url).header(CONTENT_TYPE, "application/jose+json");
            let request =
                request.body(Bytes::from(self.signed(&protected, &payload)?.to_string())).map_err(senseless)?;
            let answer = wire::ask(self.https, self.clock, request).await?;
            if answer.status().is_success() {
                return text_of(answer.headers(), LOCATION.as_str())
                    .ok_or_else(|| senseless("an account without a URL"));
            }
            nonce = text_of(answer.headers(), "replay-nonce").filter(|_| wire::nonce_refused(&answer));
        }
        Err(senseless("it refused one nonce after the other"))
    }

    async fn nonce(&self) -> Result<String, CaError> {
        let request = Request::builder().method(Method::HEAD).uri(&self.directory.new_nonce).body(Bytes::new());
        let answer = wire::ask(self.https, self.clock, request.map_err(senseless)?).await?;
        text_of(answer.headers(), "replay-nonce").ok_or_else(|| senseless("no nonce where nonces are had"))
    }

    fn signed(&self, protected: &Value, payload: &Value) -> Result<Value, CaError> {
        let (protected, payload) = (base64(protected.to_string()), base64(payload.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes());
        let signature = signature.map_err(|_| unusable("cannot sign"))?;
        Ok(json!({ "protected": protected, "payload": payload, "signature": base64(signature) }))
    }

    /// RFC 8555 §7.3.4: the authority's key for us vouches for our own.
    fn bound_to(&self, eab: &ExternalAccount) -> Value {
        let protected = json!({ "alg": "HS256", "kid": eab.key_id, "url": self.directory.new_account });
        let (protected, payload) = (base64(protected.to_string()), base64(jwk(&self.key).to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, eab.key.expose());
        let signature = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        json!({ "protected": protected, "payload": payload, "signature": base64(signature) })
    }
}

/// RFC 7517 and RFC 7518 §6.2.
fn jwk(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point: one byte that says so, then both coordinates.
    let point = key.public_key().as_ref();
    let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
    json!({ "crv": "P-256", "kty": "EC", "x": base64(x), "y": base64(y) })
}

fn fresh_key() -> Result<String, CaError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    document.map(base64).map_err(|_| unusable("cannot be made"))
}

fn pair(key: &[u8]) -> Result<EcdsaKeyPair, CaError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).map_err(|_| unusable("is no P-256 key"))
}

fn decoded(key: &str) -> Result<Zeroizing<Vec<u8>>, CaError> {
    BASE64_URL_SAFE_NO_PAD.decode(key).map(Zeroizing::new).map_err(|_| unusable("is no base64url"))
}

fn encoded(account: &Account) -> Result<Zeroizing<Vec<u8>>, CaError> {
    serde_json::to_vec(account).map(Zeroizing::new).map_err(|_| unusable("cannot be written"))
}

fn read(found: Result<Option<Zeroizing<Vec<u8>>>, StoreError>) -> Result<Option<Account>, CaError> {
    let Some(secret) = found.map_err(no_store)? else { return Ok(None) };
    // Not the parser's own words: they could quote the key.
    serde_json::from_slice(&secret).map(Some).map_err(|_| CaError::Broken("the stored ACME account is damaged".into()))
}

fn secret_name(authority: &Authority) -> String {
    format!("acme-account/{}", authority.name)
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn unusable(why: &str) -> CaError {
    CaError::Broken(format!("the ACME account's key {why}"))
}

fn no_store(error: StoreError) -> CaError {
    CaError::Broken(format!("the store: {error}"))
}

fn senseless(why: impl std::fmt::Display) -> CaError {
    CaError::Unavailable { retry_after: None, why: format!("its answer makes no sense: {why}") }
}
