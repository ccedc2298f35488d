//! What Tenantry is measured against: the smallest program on pingora that does the same to a request. Its own server and its
//! own TLS, a map of hosts that never changes, the same headers, which are prepared, and the same log line, written by a thread
//! of its own. It refuses nothing, counts nothing and limits nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{HeaderValue, Version};
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::protocols::Digest;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use tenantry::clock::Clock;
use uuid::Uuid;

use super::names;

/// The hosts that it knows.
const HOSTS: usize = 10_000;

/// The word that makes this program the bare one: its address, its backend, its certificate, its key, its log.
pub const WORD: &str = "bare-pingora";

/// Never comes back.
pub fn run(arguments: &[String]) -> ! {
    let [address, backend, certificate, key, log] = arguments else { panic!("five words: {arguments:?}") };
    tenantry::app::install_crypto().expect("a provider");
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let bare = Bare {
        tenants: (0..HOSTS).map(|n| (names::slug_host(n), Arc::new(Tenant::new(n)))).collect(),
        backend: backend.clone(),
        log: writer(Path::new(log)),
    };
    let mut service = http_proxy_service(&server.configuration, bare);
    let mut tls = TlsSettings::intermediate(certificate, key).expect("a certificate");
    tls.enable_h2();
    service.add_tls_with_settings(address, None, tls);
    server.add_service(service);
    server.run_forever()
}

struct Bare {
    tenants: HashMap<String, Arc<Tenant>, foldhash::fast::RandomState>,
    backend: String,
    log: SyncSender<Vec<u8>>,
}

/// A tenant as it is told to backends.
struct Tenant {
    slug: String,
    host: String,
    headers: Vec<(&'static str, HeaderValue)>,
    forwarded_host: HeaderValue,
}

impl Tenant {
    fn new(n: usize) -> Self {
        let value = |text: String| HeaderValue::from_str(&text).expect("a value");
        let host = names::slug_host(n);
        let headers = vec![
            ("x-tenant-id", value(Uuid::from_u128(n as u128).to_string())),
            ("x-tenant-slug", value(names::slug(n))),
            ("x-tenant-plan", value("growth".into())),
            ("x-tenant-status", value("active".into())),
            ("x-tenant-features", value("catch_up_ai,csv_export,custom_domain,embed_sdk".into())),
            ("x-tenant-host", value(host.clone())),
            ("x-tenant-via", value("subdomain".into())),
            // As long as a signed one is.
            ("x-tenant-assertion", value("a".repeat(478))),
        ];
        Self { slug: names::slug(n), forwarded_host: value(host.clone()), host, headers }
    }
}

/// What is known of a request.
struct Asked {
    started: Instant,
    begun: Option<Instant>,
    answered: Option<Instant>,
    reused: bool,
    id: String,
    tenant: Option<Arc<Tenant>>,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = Asked;

    fn new_ctx(&self) -> Asked {
        // As Tenantry makes them.
        let millis = u64::try_from(Clock::system().now().millis()).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid().simple().to_string();
        Asked { started: Instant::now(), begun: None, answered: None, reused: false, id, tenant: None }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Asked) -> Result<Box<HttpPeer>> {
        let request = session.req_header();
        let host = request.headers.get("host").and_then(|host| host.to_str().ok()).or(request.uri.host());
        let name = host.map(|host| host.split(':').next().unwrap_or_default());
        ctx.tenant = name.and_then(|name| self.tenants.get(name)).cloned();
        if ctx.tenant.is_none() {
            return Err(Error::explain(ErrorType::HTTPStatus(404), "nobody's host"));
        }
        ctx.begun = Some(Instant::now());
        Ok(Box::new(HttpPeer::new(&*self.backend, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Asked,
    ) -> Result<()> {
        let Some(tenant) = &ctx.tenant else { return Ok(()) };
        let theirs: Vec<_> =
            request.headers.keys().filter(|name| name.as_str().starts_with("x-tenant-")).cloned().collect();
        for name in &theirs {
            request.remove_header(name);
        }
        for (name, value) in &tenant.headers {
            request.insert_header(*name, value.clone())?;
        }
        let client = client(session);
        request.insert_header("x-forwarded-for", client.to_string())?;
        request.insert_header("x-forwarded-proto", HeaderValue::from_static("https"))?;
        request.insert_header("x-forwarded-port", HeaderValue::from_static("443"))?;
        request.insert_header("forwarded", format!("for={client};host={};proto=https", tenant.host))?;
        request.insert_header("x-forwarded-host", tenant.forwarded_host.clone())?;
        request.insert_header("host", tenant.forwarded_host.clone())?;
        request.insert_header("x-request-id", ctx.id.as_str())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: RawFd,
        _: Option<&Digest>,
        ctx: &mut Asked,
    ) -> Result<()> {
        ctx.reused = reused;
        Ok(())
    }

    async fn response_filter(&self, _: &mut Session, _: &mut ResponseHeader, ctx: &mut Asked) -> Result<()> {
        ctx.answered.get_or_insert_with(Instant::now);
        Ok(())
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Asked) {
        // As the real one does: whoever has no room for a line loses it.
        let _ = self.log.try_send(line(session, ctx, &self.backend).into_bytes());
    }
}

fn client(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map_or(IpAddr::from([0, 0, 0, 0]), |address| address.ip())
}

/// The fields of Tenantry's access line.
fn line(session: &Session, ctx: &Asked, backend: &str) -> String {
    let request = session.req_header();
    let status = session.response_written().map_or(0, |response| response.status.as_u16());
    let begun = ctx.begun.unwrap_or(ctx.started);
    let upstream = ctx.answered.map_or_else(Duration::default, |answered| answered.duration_since(begun));
    let (slug, host) = ctx.tenant.as_ref().map_or(("", ""), |tenant| (&*tenant.slug, &*tenant.host));
    let protocol = if request.version == Version::HTTP_2 { "h2" } else { "http/1.1" };
    let mut line = String::with_capacity(768);
    let _ = writeln!(
        line,
        "{{\"client.address\":\"{}\",\"duration_us\":{},\"edge_us\":{},\"fault\":\"none\",\"http.host\":\"{host}\",\
         \"http.method\":\"{}\",\"http.path\":\"{}\",\"http.protocol\":\"{protocol}\",\"http.status\":{status},\
         \"level\":\"INFO\",\"pool\":\"app\",\"request.body_bytes\":{},\"request.id\":\"{}\",\"response.body_bytes\":{},\
         \"route\":\"rest\",\"target\":\"access\",\"tenant.slug\":\"{slug}\",\"tenant.via\":\"subdomain\",\
         \"timestamp\":\"{}\",\"tls.alpn\":\"{protocol}\",\"tls.resumed\":false,\"tls.version\":\"TLSv1.3\",\
         \"upstream.address\":\"{backend}\",\"upstream.reused\":{},\"upstream.tries\":1,\"upstream_us\":{}}}",
        client(session),
        ctx.started.elapsed().as_micros(),
        begun.duration_since(ctx.started).as_micros(),
        request.method,
        request.uri.path(),
        session.body_bytes_read(),
        ctx.id,
        session.body_bytes_sent(),
        Clock::system().now(),
        ctx.reused,
        upstream.as_micros(),
    );
    line
}

/// A thread that writes lines in batches, as the real one does.
fn writer(path: &Path) -> SyncSender<Vec<u8>> {
    let mut file = BufWriter::with_capacity(64 * 1024, File::create(path).expect("a log"));
    let (sender, lines): (_, Receiver<Vec<u8>>) = sync_channel(65_536);
    std::thread::spawn(move || {
        while let Ok(first) = lines.recv() {
            std::thread::sleep(Duration::from_millis(5));
            for line in std::iter::once(first).chain(lines.try_iter()) {
                let _ = file.write_all(&line);
            }
            let _ = file.flush();
        }
    });
    sender
}
