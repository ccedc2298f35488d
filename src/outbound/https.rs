//! HTTP requests to addresses that the operator configured: certificate authorities. No request outlives its deadline, no
//! body outgrows its bound, and no redirect is followed. Never for an address that a customer can influence: those go
//! through the guard.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How often an HTTP/2 connection with requests on it is asked whether it still lives, and how long it may take to answer.
const ALIVE: Duration = Duration::from_secs(10);

/// A client that keeps its connections; clones share them.
#[derive(Clone)]
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    deadline: Duration,
    max_body: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Trust anchors that cannot be read. Only from [`Https::new`].
    #[error("{}: no trust anchors: {why}", .path.display())]
    Roots { path: PathBuf, why: String },
    /// The system's trust anchors cannot be read. Only from [`Https::new`].
    #[error("the system has no trust anchors (on Debian: the package ca-certificates): {0}")]
    SystemRoots(String),
    /// No connection: name, route, port or TLS. Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No whole answer within the deadline. The request may have been carried out.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The answer's body is larger than the bound.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection ended within the exchange, or what came is no HTTP. The request may have been carried out.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Connects with TLS where the address says `https`, plainly where it says `http`.
pub type Connector = HttpsConnector<HttpConnector>;

/// Whose certificates are believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'p> {
    /// Nobody's: for addresses without TLS.
    Nobody,
    /// Whom the system trusts.
    System,
    /// The certificates of this PEM file alone.
    File(&'p Path),
}

/// For a client that takes answers piece by piece. HTTP/1.1.
pub fn connector(trust: Trust<'_>) -> Result<Connector, HttpsError> {
    let tls = match trust {
        Trust::Nobody => builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        Trust::System => tls(None)?,
        Trust::File(path) => tls(Some(path))?,
    };
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build())
}

impl Https {
    /// Trusts the certificates of the PEM file `roots` alone, or what the system trusts. `deadline` is for a whole
    /// exchange: name, connection, request, answer; `max_body` in bytes.
    pub fn new(roots: Option<&Path>, deadline: Duration, max_body: usize) -> Result<Self, HttpsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(roots)?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(ALIVE)
            .http2_keep_alive_timeout(ALIVE)
            .build(connector);
        Ok(Self { client, deadline, max_body })
    }

    /// One exchange. The URI is absolute. An answer of whatever status is an answer.
    pub async fn request(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpsError> {
        let exchange = tokio::time::timeout(self.deadline, self.exchange(request));
        exchange.await.map_err(|_| HttpsError::Timeout(self.deadline))?
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpsError> {
        let answer = self.client.request(request.map(Full::new)).await.map_err(|error| match error.is_connect() {
            true => HttpsError::Connect(whole(&error)),
            false => HttpsError::Broken(whole(&error)),
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.max_body).collect().await.map_err(|error| {
            match error.is::<LengthLimitError>() {
                true => HttpsError::TooLarge(self.max_body),
                false => HttpsError::Broken(whole(error.as_ref())),
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, HttpsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    builder.with_safe_default_protocol_versions().map_err(|error| HttpsError::SystemRoots(error.to_string()))
}

fn tls(roots: Option<&Path>) -> Result<ClientConfig, HttpsError> {
    let builder = builder()?;
    let builder = match roots {
        Some(path) => builder.with_root_certificates(read(path)?),
        None => builder.with_native_roots().map_err(|error| HttpsError::SystemRoots(error.to_string()))?,
    };
    Ok(builder.with_no_client_auth())
}

fn read(path: &Path) -> Result<RootCertStore, HttpsError> {
    let unusable = |why: String| HttpsError::Roots { path: path.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("the file holds no certificate".into()));
    }
    Ok(roots)
}

/// An error with what caused it: the outermost alone says no more than "client error (Connect)".
fn whole(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
