//! The admin API, as a client in this process asks it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

#[derive(Clone)]
pub struct Api {
    at: SocketAddr,
    token: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    pub fn new(at: SocketAddr, token: String) -> Self {
        Self { at, token, http: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    pub async fn import(&self, what: &str, table: String) -> Value {
        self.call(Method::POST, &format!("/v1/imports/{what}"), "text/csv", table.into()).await
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Value {
        let (status, body) = self.send(method, path, kind, body).await;
        assert!(status < 300, "{path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Whatever is answered.
    pub async fn send(&self, method: Method, path: &str, kind: &str, body: Bytes) -> (u16, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.at))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind)
            .body(Full::new(body))
            .expect("a request");
        let (head, body) = self.http.request(request).await.expect("an answer").into_parts();
        (head.status.as_u16(), body.collect().await.expect("a body").to_bytes())
    }
}
