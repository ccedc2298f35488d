//! OpenID Connect (Core 1.0, Discovery 1.0): the authorization code flow with PKCE (RFC 7636), state and nonce, against any
//! provider of the configuration. What a browser has to bring back is in a signed cookie of its own, so that any node can
//! finish what another began. No token of a provider is kept.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdTokenClaims, CoreJwsSigningAlgorithm as Algorithm,
    CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::SignInError;
use crate::clock::{Clock, Timestamp};
use crate::config::OidcProvider;
use crate::keyring::Keyring;
use crate::model::Email;
use crate::outbound::{Https, HttpsError};
use crate::store::Identity;

/// What the provider sends the browser back with.
#[derive(Clone, Debug, Default)]
pub struct Callback {
    pub code: Option<String>,
    pub state: Option<String>,
    /// RFC 9207.
    pub iss: Option<String>,
    pub error: Option<String>,
    pub error_description: Option<String>,
}

/// A sign-in that was begun.
pub struct Started {
    /// Where to send the browser.
    pub url: String,
    /// What it has to bring back, for a cookie.
    pub flow: String,
    pub expires: Timestamp,
}

/// Whom a provider's word is about.
pub struct Known {
    pub identity: Identity,
    /// Verified by the provider, or not there.
    pub email: Option<Email>,
    pub name: Option<String>,
}

/// One provider of the configuration.
pub(super) struct Provider {
    settings: OidcProvider,
    redirect: String,
    http: Http,
    clock: Clock,
    /// What it says about itself, and its keys.
    metadata: ArcSwapOption<(CoreProviderMetadata, Timestamp)>,
    asking: Mutex<()>,
}

/// The cookie between the two halves of a sign-in.
#[derive(Serialize, Deserialize)]
struct Flow {
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
}

type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// How long a person may take at the provider's.
const FLOW_LIFE: Duration = Duration::from_secs(600);
const FLOW: &str = "tenantry-oidc";
/// How long what a provider says about itself is believed.
const METADATA_LIFE: Duration = Duration::from_secs(3600);
/// How soon it is asked again when a token was signed with a key that nobody knew.
const METADATA_REST: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 512 << 10;
const RETURN_MAX: usize = 500;

/// Signatures that only the provider can make. `none` and HMAC are not among them.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

impl Provider {
    pub fn new(settings: &OidcProvider, public_url: &str, clock: Clock) -> Result<Self, HttpsError> {
        let http = Http(Https::new(settings.roots.as_deref(), DEADLINE, MAX_BODY)?);
        let redirect = format!("{public_url}/v1/session/oidc/{}/callback", settings.name);
        let (metadata, asking) = (ArcSwapOption::empty(), Mutex::default());
        Ok(Self { settings: settings.clone(), redirect, http, clock, metadata, asking })
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether an address that it has verified makes somebody the person here who has it.
    pub fn links_by_email(&self) -> bool {
        self.settings.link_by_email
    }

    pub fn creates_people(&self) -> bool {
        self.settings.create_people
    }

    pub async fn start(&self, return_to: &str, ring: &Keyring, now: Timestamp) -> Result<Started, SignInError> {
        let client = self.client(METADATA_LIFE).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .set_pkce_challenge(challenge);
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        let flow = Flow {
            provider: self.settings.name.clone(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            return_to: local_path(return_to),
        };
        let expires = now + FLOW_LIFE;
        let flow = ring.sign(FLOW, expires, &flow, now);
        let flow = flow.ok_or_else(|| SignInError::Unreachable("there is no key to sign with yet".to_owned()))?;
        Ok(Started { url: url.to_string(), flow, expires })
    }

    /// Whom it is about, and where the browser wanted to go.
    pub async fn finish(
        &self,
        callback: &Callback,
        flow: Option<&str>,
        ring: &Keyring,
        now: Timestamp,
    ) -> Result<(Known, String), SignInError> {
        let flow = flow.ok_or(SignInError::Strange("this browser brings nothing back"))?;
        let (flow, _): (Flow, _) = ring.verify(FLOW, flow, now).ok_or(SignInError::Strange("its time is over"))?;
        let state = callback.state.as_deref().unwrap_or_default();
        if flow.provider != self.settings.name {
            return Err(SignInError::Strange("it was begun with another provider"));
        }
        if verify_slices_are_equal(state.as_bytes(), flow.state.as_bytes()).is_err() {
            return Err(SignInError::Strange("its state is another's"));
        }
        if callback.iss.as_ref().is_some_and(|issuer| *issuer != self.settings.issuer) {
            return Err(SignInError::Provider("the answer is another issuer's (RFC 9207)".to_owned()));
        }
        if let Some(error) = &callback.error {
            let more = callback.error_description.as_deref().unwrap_or("no more is said");
            return Err(SignInError::Provider(format!("{}: {}", printable(error), printable(more))));
        }
        let code = callback.code.clone().ok_or(SignInError::Strange("there is no code"))?;
        let known = self.exchange(code, flow.nonce, flow.verifier).await?;
        Ok((known, flow.return_to))
    }

    async fn exchange(&self, code: String, nonce: String, verifier: String) -> Result<Known, SignInError> {
        let client = self.client(METADATA_LIFE).await?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(refused)?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.http)
            .await
            .map_err(|error| match error {
                openidconnect::RequestTokenError::Request(why) => SignInError::Unreachable(why.to_string()),
                other => refused(other),
            })?;
        let nonce = Nonce::new(nonce);
        let claims = match self.claims(&client, &tokens, &nonce) {
            Ok(claims) => claims,
            Err(Untrue::Signature) => {
                // It may have new keys since it was asked.
                let client = self.client(METADATA_REST).await?;
                self.claims(&client, &tokens, &nonce)?
            }
            Err(other) => return Err(other.into()),
        };
        let subject = claims.subject().to_string();
        let (mut email, mut verified) = (claims.email().map(|email| email.to_string()), claims.email_verified());
        let mut name = claims.name().and_then(|name| name.get(None)).map(|name| name.to_string());
        if email.is_none() && client.user_info_url().is_some() {
            // Some say it only when asked (Core 1.0 §5.3); the subject has to be the same.
            let request = client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()));
            let info: CoreUserInfoClaims =
                request.map_err(refused)?.request_async(&self.http).await.map_err(refused)?;
            (email, verified) = (info.email().map(|email| email.to_string()), info.email_verified());
            name = name.or_else(|| info.name().and_then(|name| name.get(None)).map(|name| name.to_string()));
        }
        let email = email.filter(|_| verified == Some(true)).and_then(|email| Email::parse(&email).ok());
        self.check_domain(email.as_ref())?;
        Ok(Known { identity: Identity { issuer: self.settings.issuer.clone(), subject }, email, name })
    }

    /// Signature, issuer, audience, expiry, nonce, and that the access token belongs to it (Core 1.0 §3.1.3.7).
    fn claims(&self, client: &Client, tokens: &CoreTokenResponse, nonce: &Nonce) -> Result<CoreIdTokenClaims, Untrue> {
        let id_token = tokens.id_token().ok_or_else(|| Untrue::Other("there is no ID token".to_owned()))?;
        let clock = self.clock.clone();
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || chrono::DateTime::from_timestamp_millis(clock.now().millis()).unwrap_or_default());
        let claims = id_token.claims(&verifier, nonce).map_err(|error| match error {
            openidconnect::ClaimsVerificationError::SignatureVerification(_) => Untrue::Signature,
            other => Untrue::Other(other.to_string()),
        })?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = id_token.signing_alg().map_err(|error| Untrue::Other(error.to_string()))?;
            let key = id_token.signing_key(&verifier).map_err(|error| Untrue::Other(error.to_string()))?;
            let found = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
            if found.map_err(|error| Untrue::Other(error.to_string()))? != *expected {
                return Err(Untrue::Other("the access token is not the one that the ID token goes with".to_owned()));
            }
        }
        Ok(claims.clone())
    }

    fn check_domain(&self, email: Option<&Email>) -> Result<(), SignInError> {
        let domains = &self.settings.email_domains;
        if domains.is_empty() || email.is_some_and(|email| domains.iter().any(|domain| domain == email.domain())) {
            return Ok(());
        }
        Err(SignInError::Stranger("only verified e-mail addresses of certain domains may sign in here".to_owned()))
    }

    /// A client that knows what the provider said about itself at most `age` ago.
    async fn client(&self, age: Duration) -> Result<Client, SignInError> {
        let metadata = match self.fresh(age) {
            Some(metadata) => metadata,
            None => {
                // One asks, the others wait for what it hears.
                let _asking = self.asking.lock().await;
                match self.fresh(age) {
                    Some(metadata) => metadata,
                    None => self.discover().await?,
                }
            }
        };
        let secret = std::str::from_utf8(self.settings.client_secret.expose()).unwrap_or_default().to_owned();
        let basic = metadata
            .token_endpoint_auth_methods_supported()
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let redirect = RedirectUrl::new(self.redirect.clone()).map_err(refused)?;
        let id = ClientId::new(self.settings.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata, id, Some(ClientSecret::new(secret)));
        let how = if basic { AuthType::BasicAuth } else { AuthType::RequestBody };
        Ok(client.set_redirect_uri(redirect).set_auth_type(how))
    }

    fn fresh(&self, age: Duration) -> Option<CoreProviderMetadata> {
        let known = self.metadata.load();
        let (metadata, at) = &**known.as_ref()?;
        (self.clock.now().since(*at) < age).then(|| metadata.clone())
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, SignInError> {
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(refused)?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.http).await;
        let metadata = found.map_err(|error| match error {
            openidconnect::DiscoveryError::Request(why) => SignInError::Unreachable(why.to_string()),
            other => refused(other),
        })?;
        self.metadata.store(Some(Arc::new((metadata.clone(), self.clock.now()))));
        Ok(metadata)
    }
}

/// Our HTTP client, as theirs.
struct Http(Https);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpsError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpsError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async { Ok(self.0.request(request.map(Bytes::from)).await?.map(Vec::from)) })
    }
}

/// Why an ID token is not believed.
enum Untrue {
    Signature,
    Other(String),
}

impl From<Untrue> for SignInError {
    fn from(untrue: Untrue) -> Self {
        match untrue {
            Untrue::Signature => Self::Provider("the ID token is signed by nobody that the provider names".to_owned()),
            Untrue::Other(why) => Self::Provider(why),
        }
    }
}

fn refused(error: impl std::error::Error) -> SignInError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    SignInError::Provider(printable(&text))
}

/// What others say, short enough and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A path of this very site: nothing that a browser takes for another one.
fn local_path(text: &str) -> String {
    let plain = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= RETURN_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain { text.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in ["/", "/tenants/acme?tab=domains", "/a//b"] {
            assert_eq!(local_path(path), path);
        }
        for text in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "/a b", "evil"] {
            assert_eq!(local_path(text), "/", "{text}");
        }
    }
}
