//! Glewlwyd, an OpenID Connect provider from Debian, with a database of its own and no page shown to anybody: whoever signs
//! in there does so by its API, as its own login page would.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::program::{Program, local, port};

const SCHEMA: &str = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";
const MODULES: &str = "/usr/lib/glewlwyd";
const PASSWORD: &str = "password";

/// A running provider that knows one client.
pub struct Glewlwyd {
    _program: Program,
    _dir: TempDir,
    base: String,
    admin: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Glewlwyd {
    pub const CLIENT: &str = "tenantry";
    /// Of characters that need no encoding: it takes them as they come (RFC 6749 §2.3.1 says otherwise).
    pub const SECRET: &str = "a-secret-of-theirs";

    /// Starts it with a client that comes back to `redirect`.
    pub async fn start(redirect: &str) -> Self {
        loop {
            let dir = TempDir::new().unwrap();
            let port = port();
            let config = dir.path().join("glewlwyd.conf");
            create_database(&dir.path().join("glewlwyd.db")).await;
            std::fs::write(&config, settings(dir.path(), port)).unwrap();
            let program = Program::start("glewlwyd", &["-c", config.to_str().unwrap()], &[]);
            if !program.listens(&[local(port)]).await {
                continue;
            }
            let http = Client::builder(TokioExecutor::new()).build_http();
            let base = format!("http://127.0.0.1:{port}");
            let mut provider = Self { _program: program, _dir: dir, base, admin: String::new(), http };
            provider.admin = provider.session("admin").await;
            provider.set_up(redirect).await;
            return provider;
        }
    }

    pub fn issuer(&self) -> String {
        format!("{}/api/oidc", self.base)
    }

    /// Makes an account there.
    pub async fn account(&self, name: &str, email: &str, verified: bool) {
        let verified = if verified { "yes" } else { "no" };
        let account = json!({ "username": name, "name": format!("{name} there"), "email": email, "verified": verified,
            "password": PASSWORD, "enabled": true, "scope": ["openid", "g_profile"] });
        self.call(Method::POST, "/api/user/", &self.admin, Some(account)).await;
    }

    /// Signs that account in there, lets it grant what `url` asks for, and answers with where the browser is sent.
    pub async fn consent(&self, name: &str, url: &str) -> String {
        let session = self.session(name).await;
        let grant = format!("/api/auth/grant/{}", Self::CLIENT);
        self.call(Method::PUT, &grant, &session, Some(json!({ "scope": "openid" }))).await;
        let path = url.strip_prefix(&self.base).unwrap();
        let answer = self.call(Method::GET, &format!("{path}&g_continue"), &session, None).await;
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn set_up(&self, redirect: &str) {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let no = ["token", "implicit", "id-token", "password", "client", "refresh", "none"];
        let mut parameters = json!({
            "iss": self.issuer(), "jwt-type": "rsa", "jwt-key-size": "256",
            "key": key.serialize_pem(), "cert": key.public_key_pem(), "jwks-show": true,
            "access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 600,
            "refresh-token-rolling": false, "allow-non-oidc": false, "auth-type-code-enabled": true,
            "pkce-allowed": true, "pkce-required": true, "pkce-method-plain-allowed": false, "subject-type": "public",
            "name-claim": "mandatory", "email-claim": "mandatory", "scope-claim": "no", "oauth-as-iss-id": true,
            "claims": [{ "name": "email_verified", "user-property": "verified", "type": "boolean",
                "boolean-value-true": "yes", "boolean-value-false": "no", "mandatory": true }],
        });
        for kind in no {
            parameters[format!("auth-type-{kind}-enabled")] = json!(false);
        }
        let plugin = json!({ "module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": parameters });
        self.call(Method::POST, "/api/mod/plugin/", &self.admin, Some(plugin)).await;
        let client = json!({ "client_id": Self::CLIENT, "name": "Tenantry", "confidential": true, "enabled": true,
            "client_secret": Self::SECRET, "redirect_uri": [redirect], "authorization_type": ["code"],
            "token_endpoint_auth_method": ["client_secret_basic"], "scope": ["openid"] });
        self.call(Method::POST, "/api/client/", &self.admin, Some(client)).await;
    }

    /// The cookie of a session there.
    async fn session(&self, name: &str) -> String {
        let proof = json!({ "username": name, "password": PASSWORD });
        let answer = self.call(Method::POST, "/api/auth/", "", Some(proof)).await;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn call(&self, method: Method, path: &str, cookie: &str, body: Option<Value>) -> http::Response<Bytes> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.base)).header("cookie", cookie);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let answer = self.http.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(head.status.is_success() || head.status == 302, "{path}: {} {body:?}", head.status);
        http::Response::from_parts(head, body)
    }
}

/// The schema that Debian installs, with one more property of users.
async fn create_database(path: &Path) {
    let schema = std::fs::read_to_string(SCHEMA).expect("the package glewlwyd: scripts/setup test installs it");
    let known = "\"user-code\":{";
    let more = format!("\"verified\":{{\"multiple\":false,\"read\":true,\"write\":true}},{known}");
    let mut connection = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(schema.replace(known, &more))).execute(&mut connection).await.unwrap();
}

fn settings(dir: &Path, port: u16) -> String {
    let none = dir.join("none").display().to_string();
    format!(
        "port={port}\nbind_address=\"127.0.0.1\"\nexternal_url=\"http://127.0.0.1:{port}\"\nlogin_url=\"login.html\"\n\
         api_prefix=\"api\"\nlog_mode=\"console\"\nlog_level=\"INFO\"\ncookie_secure=0\ncookie_same_site=\"empty\"\n\
         session_key=\"GL\"\nsession_expiration=3600\nadmin_session_authentication=\"cookie\"\n\
         profile_session_authentication=\"cookie\"\nallow_multiple_user_per_session=true\nlogin_api_enabled=true\n\
         plugin_api_run_enabled=\"\"\nmax_post_size=1048576\nadmin_scope=\"g_admin\"\nprofile_scope=\"g_profile\"\n\
         user_module_path=\"{MODULES}/user\"\nuser_middleware_module_path=\"{none}\"\n\
         client_module_path=\"{MODULES}/client\"\nuser_auth_scheme_module_path=\"{MODULES}/scheme\"\n\
         plugin_module_path=\"{MODULES}/plugin\"\nuse_secure_connection=false\nsecure_connection_key_file=\"{none}\"\n\
         secure_connection_pem_file=\"{none}\"\nsecure_connection_ca_file=\"{none}\"\nhash_algorithm=\"SHA512\"\n\
         database =\n{{\n  type = \"sqlite3\"\n  path = \"{}\"\n}};\n",
        dir.join("glewlwyd.db").display()
    )
}
