//! A listener of each kind, pingora behind them, and a backend that remembers what it was asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{HttpProxy, ProxyHttp, Session, http_proxy};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use tenantry::clock::Timestamp;
use tenantry::config::{self, Limits};
use tenantry::edge::connection::{Connection, HeadFault};
use tenantry::edge::listener::{Inherited, Listeners, Parts, Settings, socket};
use tenantry::edge::patient::expect_upgrade;
use tenantry::metrics::Metrics;
use tenantry::model::{Certificate, CertificateSource, Hostname};
use tenantry::tls::{Certificates, Refusal, ServerConfig, ServerConfigs};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// The proxy under test.
pub struct World {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    /// Plain, with a PROXY header required from loopback.
    pub proxied: SocketAddr,
    pub ca: CertificateDer<'static>,
    pub metrics: Arc<Metrics>,
    pub log: Arc<Log>,
    pub listeners: Listeners<HttpProxy<App>>,
    pub shutdown: watch::Sender<bool>,
}

/// What was seen on the way.
#[derive(Default)]
pub struct Log {
    /// Requests that reached the backend: `GET /path`.
    pub backend: Mutex<Vec<String>>,
    pub faults: Mutex<Vec<HeadFault>>,
    pub connections: Mutex<Vec<Arc<Connection>>>,
}

/// Short where a test waits for it, long where it must not matter.
pub fn limits() -> Limits {
    Limits {
        connections: 1000,
        connections_per_address: 1000,
        new_connections: None,
        unknown_sni: None,
        header_bytes: 8192,
        header_count: 50,
        head_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        body_timeout: Duration::from_secs(20),
        requests_per_connection: 1000,
        h2_streams: 100,
        body_bytes: None,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(limits(), None).await
    }

    /// `sources`: who may send PROXY headers; by default loopback.
    pub async fn with(limits: Limits, sources: Option<&str>) -> Self {
        let log = Arc::<Log>::default();
        let backend = backend(log.clone()).await;
        let conf = Arc::new(ServerConf::default());
        let app = Arc::new(http_proxy(&conf, App { backend, log: log.clone() }));
        let (certificates, ca) = Shop::new();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (shutdown, down) = watch::channel(false);
        let settings = Settings { limits, handshake_timeout: Duration::from_secs(2) };
        let listeners = Listeners::new(Parts {
            app,
            certificates: Arc::new(certificates),
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            registry: tenantry::edge::Registry::new().0,
            metrics: metrics.clone(),
            clock: tenantry::clock::Clock::system(),
            shutdown: down,
        });
        let sources = vec![sources.unwrap_or("127.0.0.0/8").parse().unwrap()];
        let mut addresses = Vec::new();
        for (name, tls, proxy_protocol) in [("plain", false, None), ("tls", true, None), ("lb", false, Some(sources))] {
            let listener = config::Listener {
                name: name.to_owned(),
                address: "127.0.0.1:0".parse().unwrap(),
                tls,
                proxy_protocol,
                public_port: 0,
            };
            let socket = socket(&listener, &mut Inherited::default()).unwrap();
            addresses.push(socket.local_addr().unwrap());
            listeners.serve(Arc::new(listener), socket).unwrap();
        }
        let [plain, tls, proxied] = addresses[..] else { unreachable!() };
        Self { plain, tls, proxied, ca, metrics, log, listeners, shutdown }
    }

    /// The connection that the last request came on.
    pub fn last(&self) -> Arc<Connection> {
        self.log.connections.lock().unwrap().last().expect("a request has come").clone()
    }

    pub fn backend_saw(&self) -> Vec<String> {
        self.log.backend.lock().unwrap().clone()
    }

    pub fn refused(&self, reason: &str) -> u64 {
        self.metrics.connections_refused.with_label_values(&[reason]).get()
    }
}

/// Sells a certificate for `a.test` and `b.test`, and nothing to anyone else.
pub struct Shop {
    config: Arc<ServerConfig>,
    challenge: Arc<ServerConfig>,
}

impl Shop {
    fn new() -> (Self, CertificateDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let configs = ServerConfigs::new(false).unwrap();
        let config = configs.build(&certificate(&ca)).unwrap();
        let challenge = configs.challenge(&Hostname::parse("c.test").unwrap(), "token.thumbprint").unwrap();
        (Self { config, challenge }, ca.der().clone())
    }
}

pub fn certificate(ca: &CertifiedIssuer<'_, KeyPair>) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let names = vec!["a.test".to_owned(), "b.test".to_owned()];
    let leaf = CertificateParams::new(names.clone()).unwrap().signed_by(&key, ca).unwrap();
    Certificate {
        id: "test".to_owned(),
        names,
        chain: leaf.pem() + &ca.pem(),
        key: Zeroizing::new(key.serialize_pem()),
        not_before: Timestamp(0),
        not_after: Timestamp::MAX,
        source: CertificateSource::Local,
        authority: "local".into(),
    }
}

#[async_trait]
impl Certificates for Shop {
    async fn config_for(
        &self,
        name: Option<&Hostname>,
        alpn_acme: bool,
        _client: IpAddr,
    ) -> Result<Arc<ServerConfig>, Refusal> {
        match (name.map(Hostname::as_str), alpn_acme) {
            (Some("c.test"), true) => Ok(self.challenge.clone()),
            (Some("a.test" | "b.test"), false) => Ok(self.config.clone()),
            (Some("busy.test"), _) => Err(Refusal::Busy),
            _ => Err(Refusal::UnknownName),
        }
    }

    fn knows(&self, name: &Hostname) -> bool {
        matches!(name.as_str(), "a.test" | "b.test")
    }

    fn is_fallback(&self, _config: &Arc<ServerConfig>) -> bool {
        false
    }
}

/// Forwards everything to the backend, and refuses what the connection says was refused.
pub struct App {
    backend: SocketAddr,
    log: Arc<Log>,
}

#[async_trait]
impl ProxyHttp for App {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<bool> {
        let connection = Connection::of(session.digest().unwrap()).unwrap().clone();
        self.log.connections.lock().unwrap().push(connection.clone());
        let status = match connection.take_head_fault() {
            Some(fault) => {
                self.log.faults.lock().unwrap().push(fault);
                match fault {
                    HeadFault::Malformed(_) => 400,
                    HeadFault::TooLarge | HeadFault::TooManyHeaders => 431,
                    HeadFault::Timeout => 408,
                }
            }
            None if session.req_header().uri.path() == "/too-large" => {
                connection.linger();
                413
            }
            None if session.req_header().uri.path() == "/too-large-by-error" => {
                connection.linger();
                return Err(Error::explain(ErrorType::HTTPStatus(413), "refused"));
            }
            None => return Ok(false),
        };
        session.set_keepalive(None);
        let mut response = ResponseHeader::build(status, None)?;
        response.insert_header("content-length", "8")?;
        session.write_response_header(Box::new(response), false).await?;
        session.write_response_body(Some(Bytes::from_static(b"refused\n")), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.backend, false, String::new());
        if session.is_upgrade_req() {
            expect_upgrade(&mut peer, Duration::from_secs(5), None);
        }
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        _ctx: &mut (),
    ) -> Result<()> {
        // Absolute-form is for proxies; a backend gets a path.
        let path = request.uri.path_and_query().map_or("/".to_owned(), ToString::to_string);
        request.set_raw_path(path.as_bytes())
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, _ctx: &mut ()) {
        Connection::of(session.digest().unwrap()).unwrap().request_done();
    }
}

/// Answers `METHOD path body`, or talks WebSocket: echoes, and sends `early` in two halves to who asks for it.
async fn backend(log: Arc<Log>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve_backend(tcp, log.clone()));
        }
    });
    address
}

async fn serve_backend(tcp: TcpStream, log: Arc<Log>) {
    let mut start = [0; 8];
    while tcp.peek(&mut start).await.is_ok_and(|seen| seen > 0 && seen < 8) {}
    if &start == b"GET /ws " {
        return super::closing::websocket_backend(tcp).await;
    }
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let log = log.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            log.backend.lock().unwrap().push(line.clone());
            let body = request.into_body().collect().await?.to_bytes();
            let text = format!("{line} {}", String::from_utf8_lossy(&body));
            Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from(text))))
        }
    });
    // The edge may drop the connection at any time.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(tcp), service).await;
}
