//! A certificate authority that misbehaves: an HTTPS front before Pebble that refuses, hangs, breaks off and babbles as it
//! is told, knows renewal information and profiles, and remembers who asked what, and when.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tenantry::clock::Timestamp;
use tenantry::config::Authority;
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::pebble::{Pebble, authority, settings};

/// What of an authority is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Endpoint {
    Directory,
    Nonce,
    Account,
    NewOrder,
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
    Revoke,
    RenewalInfo,
    Other,
}

/// What it does instead of answering.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status, with `Retry-After` if not empty, and a problem document if its kind is not empty.
    Status { status: u16, retry_after: String, kind: String, detail: String },
    /// Ends the connection; Pebble hears nothing of it.
    Drop,
    /// Ends the connection after Pebble has done what was asked.
    DropAfter,
    /// Never answers.
    Hang,
    /// 200, and no JSON.
    Garbage,
    /// Pebble's answer, after it was cut in half.
    Half,
}

impl Fault {
    pub fn status(status: u16, retry_after: &str) -> Self {
        Self::Status { status, retry_after: retry_after.into(), kind: String::new(), detail: String::new() }
    }

    pub fn problem(status: u16, kind: &str, detail: &str, retry_after: &str) -> Self {
        Self::Status { status, retry_after: retry_after.into(), kind: kind.into(), detail: detail.into() }
    }
}

/// One request, and what came of it. Status 0: no answer.
#[derive(Clone, Debug)]
pub struct Seen {
    pub endpoint: Endpoint,
    pub at: Instant,
    pub status: u16,
    /// Of a new order: the names, sorted, and what else it carried.
    pub names: Vec<String>,
    pub replaces: Option<String>,
    pub profile: Option<String>,
}

/// The front. Ends with the value.
pub struct Front {
    shared: Arc<Shared>,
    roots: PathBuf,
    _server: AbortOnDropHandle<()>,
}

struct Shared {
    own: SocketAddr,
    pebble: SocketAddr,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    state: Mutex<State>,
    /// Pebble 2.4 locks itself up when it makes an order while it shows an authorization: makers share it, a look has it alone.
    gate: RwLock<()>,
}

#[derive(Default)]
struct State {
    /// `None`: whatever is asked. The number: how often.
    faults: VecDeque<(Option<Endpoint>, Fault, usize)>,
    seen: Vec<Seen>,
    profiles: BTreeMap<String, String>,
    window: Option<(Timestamp, Timestamp, String)>,
    patience: String,
}

impl Front {
    pub async fn start(pebble: &Pebble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared {
            own: listener.local_addr().unwrap(),
            pebble: pebble.address,
            client: client(pebble),
            state: Mutex::default(),
            gate: RwLock::default(),
        };
        let shared = Arc::new(shared);
        let server = tokio::spawn(serve(listener, acceptor(pebble), Arc::clone(&shared)));
        Self { shared, roots: pebble.roots(), _server: AbortOnDropHandle::new(server) }
    }

    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.shared.own)
    }

    /// `[[acme.authority]]` for it, under this name.
    pub fn settings(&self, name: &str) -> String {
        settings(name, &self.directory(), &self.roots)
    }

    pub fn authority(&self, name: &str) -> Authority {
        authority(name, &self.directory(), &self.roots)
    }

    /// Does this the next `times` times that `at` is asked, after the faults told before; `None`: whatever is asked.
    pub fn fault(&self, at: Option<Endpoint>, fault: Fault, times: usize) {
        self.state(|state| state.faults.push_back((at, fault, times)));
    }

    /// Behaves from now on.
    pub fn heal(&self) {
        self.state(|state| state.faults.clear());
    }

    /// Offers this profile.
    pub fn profile(&self, name: &str) {
        self.state(|state| state.profiles.insert(name.into(), format!("https://{}/profiles", self.shared.own)));
    }

    /// Offers renewal information (RFC 9773): this window for every certificate, and `Retry-After` unless empty.
    pub fn renewal(&self, start: Timestamp, end: Timestamp, retry_after: &str) {
        self.state(|state| state.window = Some((start, end, retry_after.into())));
    }

    /// Says this as `Retry-After` whenever an order is asked for.
    pub fn patience(&self, retry_after: &str) {
        self.state(|state| state.patience = retry_after.into());
    }

    /// All requests so far, in their order.
    pub fn seen(&self) -> Vec<Seen> {
        self.state(|state| state.seen.clone())
    }

    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.state(|state| state.seen.iter().filter(|seen| seen.endpoint == endpoint).count())
    }

    /// How many orders Pebble has made for each set of names.
    pub fn orders(&self) -> BTreeMap<Vec<String>, usize> {
        let mut orders = BTreeMap::new();
        for seen in self.seen() {
            if seen.endpoint == Endpoint::NewOrder && seen.status == 201 {
                *orders.entry(seen.names).or_default() += 1;
            }
        }
        orders
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }
}

impl Shared {
    /// An error ends the connection.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let endpoint = endpoint(head.uri.path());
        let payload = payload(&body);
        let text = |name: &str| payload[name].as_str().map(str::to_owned);
        let (replaces, profile) = (text("replaces"), text("profile"));
        let seen = Seen { endpoint, at: Instant::now(), status: 0, names: names(&payload), replaces, profile };
        let (index, fault) = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(seen.clone());
            (state.seen.len() - 1, state.fault(endpoint))
        };
        let answered = |status: StatusCode| self.state.lock().unwrap().seen[index].status = status.as_u16();
        let broken = || Err(std::io::Error::other("told to break off"));
        match fault {
            Some(Fault::Drop) => return broken(),
            Some(Fault::Hang) => return std::future::pending().await,
            Some(Fault::Garbage) => {
                answered(StatusCode::OK);
                return Ok(Response::new(Full::from("<html>it works!</html>")));
            }
            Some(Fault::Status { status, retry_after, kind, detail }) => {
                let answer = refusal(status, &retry_after, &kind, &detail);
                answered(answer.status());
                return Ok(answer);
            }
            Some(Fault::DropAfter | Fault::Half) | None => {}
        }
        if endpoint == Endpoint::RenewalInfo {
            let answer = self.renewal_info();
            answered(answer.status());
            return Ok(answer);
        }
        let answer = match endpoint {
            Endpoint::NewOrder => {
                let _making = self.gate.read().await;
                self.forward(head, body).await
            }
            Endpoint::Authorization => {
                let _looking = self.gate.write().await;
                self.forward(head, body).await
            }
            _ => self.forward(head, body).await,
        };
        let answer = answer.map_err(std::io::Error::other)?;
        let answer = self.dressed(answer, &seen);
        answered(answer.status());
        match fault {
            Some(Fault::DropAfter) => broken(),
            Some(Fault::Half) => {
                let mut half = answer.map(|body| Full::from(body.slice(..body.len() / 2)));
                half.headers_mut().remove(CONTENT_LENGTH);
                Ok(half)
            }
            _ => Ok(answer.map(Full::from)),
        }
    }

    /// Pebble makes its URLs from `Host`: they are ours, and so are those that clients have signed.
    async fn forward(
        &self,
        head: http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("https://{}{path}", self.pebble).parse()?;
        let mut request = Request::builder().method(head.method).uri(uri).header(HOST, self.own.to_string());
        if let Some(kind) = head.headers.get(CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, kind);
        }
        let (head, body) = self.client.request(request.body(Full::from(body))?).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Adds what Pebble does not know: to the directory, and to new orders what they asked for.
    fn dressed(&self, answer: Response<Bytes>, seen: &Seen) -> Response<Bytes> {
        let (mut head, body) = answer.into_parts();
        let Ok(mut object) = serde_json::from_slice::<Value>(&body) else { return Response::from_parts(head, body) };
        let state = self.state.lock().unwrap();
        match seen.endpoint {
            Endpoint::Directory => {
                object["meta"]["profiles"] = json!(state.profiles);
                if state.window.is_some() {
                    object["renewalInfo"] = format!("https://{}/renewal-info", self.own).into();
                }
            }
            Endpoint::NewOrder if head.status == StatusCode::CREATED => {
                for (name, value) in [("replaces", &seen.replaces), ("profile", &seen.profile)] {
                    if let Some(value) = value {
                        object[name] = value.as_str().into();
                    }
                }
            }
            Endpoint::Order => {
                retry(&mut head.headers, &state.patience);
                return Response::from_parts(head, body);
            }
            _ => return Response::from_parts(head, body),
        }
        head.headers.remove(CONTENT_LENGTH);
        Response::from_parts(head, Bytes::from(object.to_string()))
    }

    fn renewal_info(&self) -> Response<Full<Bytes>> {
        let Some((start, end, retry_after)) = self.state.lock().unwrap().window.clone() else {
            return refusal(404, "", "malformed", "no such thing");
        };
        let body = json!({ "suggestedWindow": { "start": start, "end": end } });
        let mut answer = Response::new(Full::from(body.to_string()));
        retry(answer.headers_mut(), &retry_after);
        answer
    }
}

impl State {
    fn fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let index = self.faults.iter().position(|(at, _, _)| at.is_none_or(|at| at == endpoint))?;
        let (_, fault, times) = self.faults.get_mut(index)?;
        let fault = fault.clone();
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.faults.remove(index);
        }
        Some(fault)
    }
}

/// By the paths of Pebble.
fn endpoint(path: &str) -> Endpoint {
    let known = [
        ("/dir", Endpoint::Directory),
        ("/nonce-plz", Endpoint::Nonce),
        ("/sign-me-up", Endpoint::Account),
        ("/order-plz", Endpoint::NewOrder),
        ("/my-order/", Endpoint::Order),
        ("/authZ/", Endpoint::Authorization),
        ("/chalZ/", Endpoint::Challenge),
        ("/finalize-order/", Endpoint::Finalize),
        ("/certZ/", Endpoint::Certificate),
        ("/revoke-cert", Endpoint::Revoke),
        ("/renewal-info/", Endpoint::RenewalInfo),
    ];
    known.into_iter().find(|(start, _)| path.starts_with(start)).map_or(Endpoint::Other, |(_, endpoint)| endpoint)
}

/// What a signed request carries; null if it is none.
fn payload(body: &[u8]) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap_or_default()).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

fn names(payload: &Value) -> Vec<String> {
    let identifiers = payload["identifiers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<_> = identifiers.iter().filter_map(|id| id["value"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

fn refusal(status: u16, retry_after: &str, kind: &str, detail: &str) -> Response<Full<Bytes>> {
    let body = match kind {
        "" => "busy".to_owned(),
        kind => json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }).to_string(),
    };
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    retry(answer.headers_mut(), retry_after);
    answer
}

fn retry(headers: &mut HeaderMap, retry_after: &str) {
    if !retry_after.is_empty() {
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Aborted with their owner.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = service_fn(|request| Arc::clone(&shared).answer(request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

fn acceptor(pebble: &Pebble) -> TlsAcceptor {
    let certificate = pebble.ca.issue(&["127.0.0.1".into()], 30).unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn client(pebble: &Pebble) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pebble.ca.certificate().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
    Client::builder(TokioExecutor::new()).build(connector)
}
