//! Somebody with a browser: calls the admin API with a jar of cookies, as a page of its own site would.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::world::{BASE, World};

/// A browser, and the page that it shows.
pub struct Visitor {
    admin: SocketAddr,
    /// The host that it asks for.
    pub host: String,
    pub jar: BTreeMap<String, String>,
    /// What the page knows.
    pub csrf: Option<String>,
    /// Sent along with each call.
    pub headers: Vec<(String, String)>,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// What was answered.
#[derive(Debug)]
pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Said {
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// The first `Set-Cookie` of this name, whole.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
        lines.into_iter().find(|line| line.starts_with(&format!("{name}=")))
    }
}

impl Visitor {
    pub fn new(world: &World) -> Self {
        Self {
            admin: world.admin(),
            host: format!("ops.{BASE}"),
            jar: BTreeMap::new(),
            csrf: None,
            headers: Vec::new(),
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Signed in with a password.
    pub async fn signed_in(world: &World, email: &str, password: &str) -> Self {
        let mut visitor = Self::new(world);
        let said = visitor.sign_in(email, password).await;
        assert_eq!(said.status, 201, "{said:?}");
        visitor
    }

    pub async fn sign_in(&mut self, email: &str, password: &str) -> Said {
        let said = self.post("/v1/session", json!({ "email": email, "password": password })).await;
        if let Some(csrf) = said.json["csrf_token"].as_str() {
            self.csrf = Some(csrf.to_owned());
        }
        said
    }

    pub async fn get(&mut self, path: &str) -> Said {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Said {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&mut self, path: &str) -> Said {
        self.call(Method::DELETE, path, None).await
    }

    pub async fn call(&mut self, method: Method, path: &str, body: Option<Value>) -> Said {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.admin));
        request = request.header("host", &self.host);
        if !self.jar.is_empty() {
            let cookies: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let answer = self.http.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        for line in head.headers.get_all("set-cookie") {
            self.take(line.to_str().unwrap());
        }
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Said { status: head.status, headers: head.headers, json }
    }

    fn take(&mut self, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if name.starts_with("__Host-") {
            let attributes: Vec<_> = attributes.split(';').map(str::trim).collect();
            for needed in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(attributes.contains(&needed), "{line}");
            }
            assert!(!attributes.iter().any(|attribute| attribute.starts_with("Domain")), "{line}");
        }
        if attributes.contains("Max-Age=0") {
            self.jar.remove(name);
        } else {
            self.jar.insert(name.to_owned(), value.to_owned());
        }
    }
}
