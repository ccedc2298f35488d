//! An OpenID Connect provider that says whatever a test wants it to say, true or not.

use std::sync::{Arc, Mutex};

use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub struct Provider {
    pub issuer: String,
    key: KeyPair,
    said: Arc<Mutex<Said>>,
    server: JoinHandle<()>,
}

/// What it answers next.
#[derive(Clone, Default)]
struct Said {
    tokens: Value,
    about: Value,
}

impl Provider {
    pub const CLIENT: &str = "tenantry";
    pub const KEY: &str = "one";

    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let said = Arc::new(Mutex::new(Said::default()));
        let (description, keys) = (description(&issuer), json!({ "keys": [public(&key)] }));
        let (tokens, about) = (Arc::clone(&said), Arc::clone(&said));
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(description)))
            .route("/keys", get(async move || Json(keys)))
            .route("/token", post(async move || Json(tokens.lock().unwrap().tokens.clone())))
            .route("/userinfo", get(async move || Json(about.lock().unwrap().about.clone())));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { issuer, key, said, server }
    }

    /// What it says of somebody when it is asked beside the token.
    pub fn says(&self, about: Value) {
        self.said.lock().unwrap().about = about;
    }

    /// The token that it hands out next; `None`: none.
    pub fn hands_out(&self, id_token: Option<String>) {
        let mut tokens = json!({ "access_token": "opaque", "token_type": "Bearer", "expires_in": 60 });
        if let Some(id_token) = id_token {
            tokens["id_token"] = id_token.into();
        }
        self.said.lock().unwrap().tokens = tokens;
    }

    /// Signed with the key that it publishes.
    pub fn signed(&self, claims: &Value) -> String {
        sign(&self.key, Some(Self::KEY), claims)
    }

    /// Signed with a key that nobody has heard of, under the name of the one that it publishes.
    pub fn signed_by_another(&self, claims: &Value) -> String {
        sign(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), Some(Self::KEY), claims)
    }

    /// Signed by nobody.
    pub fn unsigned(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
    }

    /// Signed with a secret that everybody knows, which is the public key.
    pub fn signed_with_the_public_key(&self, claims: &Value) -> String {
        let header = Header { kid: Some(Self::KEY.to_owned()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(self.key.public_key_pem().as_bytes());
        jsonwebtoken::encode(&header, claims, &secret).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn sign(key: &KeyPair, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(key.serialized_der())).unwrap()
}

fn public(key: &KeyPair) -> Value {
    let point = key.public_key_raw();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": Provider::KEY, "x": part(&point[1..33]),
        "y": part(&point[33..65]) })
}

fn description(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        // Whatever it says of itself: what is believed is not the provider's to say.
        "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
    })
}
