//! The servers, each a process of its own on the servers' core. What each is told is what its own documentation says of a TLS
//! reverse proxy: connections to the backend are kept, a line is logged for each request, names that nobody knows get no handshake.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tenantry::model::Certificate;

use super::client::{Answer, Tls, get};
use super::program::{local, port};
use super::{bare, machine, names};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program that was started on a core; it ends with the value, and everything that it has started with it.
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// What it says goes into `<directory>/<label>.out`.
    pub fn start(directory: &Path, label: &str, program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let output = directory.join(format!("{label}.out"));
        let said = File::create(&output)?;
        let mut command = Command::new("taskset");
        command.args(["-c", machine::SERVERS]).arg(program).args(arguments).current_dir(directory);
        command.env("HOME", directory).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.spawn()?;
        Ok(Self { child, output })
    }

    pub fn family(&self) -> Vec<u32> {
        machine::family(self.child.id())
    }

    pub fn signal(&self, signal: Signal) {
        machine::send(&[self.child.id()], signal);
    }

    /// The end of what it has said.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        machine::send(&self.family(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// One that serves hosts beneath the base domain.
pub struct Server {
    /// As the table calls it.
    pub name: String,
    pub version: String,
    pub https: SocketAddr,
    /// How many hosts are visited there.
    pub hosts: usize,
    /// Whether many have been there already, whose memory it may keep for the next.
    pub visited: bool,
    /// Whether a name that nobody knows gets no handshake there.
    pub refuses_strangers: bool,
    pub process: Process,
}

impl Server {
    pub fn new(name: &str, version: String, https: SocketAddr, process: Process) -> Self {
        let name = name.to_owned();
        Self { name, version, https, hosts: 10_000, visited: false, refuses_strangers: true, process }
    }

    fn knowing_nobody(self) -> Self {
        Self { refuses_strangers: false, ..self }
    }

    /// Waits until it serves; `false`, with a word about it, when it does not.
    pub async fn is_ready(&self) -> bool {
        let is_ready = until_served(self.https, &names::slug_host(0), PATIENCE).await.is_some();
        if !is_ready {
            println!("{} does not serve: not measured\n{}", self.name, self.process.said());
        }
        is_ready
    }

    /// A host for the `n`th visitor.
    pub fn host(&self, n: usize) -> String {
        names::slug_host(names::scatter(n) % self.hosts)
    }
}

/// How long it takes until this host gets 200.
pub async fn until_served(address: SocketAddr, host: &str, patience: Duration) -> Option<Duration> {
    until(address, host, "/", patience, |answer| answer.status == 200).await
}

/// How long it takes until a path is answered with 200 and this length.
pub async fn until_answered(
    address: SocketAddr,
    host: &str,
    path: &str,
    length: usize,
    patience: Duration,
) -> Option<Duration> {
    until(address, host, path, patience, |answer| answer == Answer { status: 200, length }).await
}

async fn until(
    address: SocketAddr,
    host: &str,
    path: &str,
    patience: Duration,
    is_it: impl Fn(Answer) -> bool,
) -> Option<Duration> {
    let (tls, request, begun) = (Tls::new("http/1.1", 0), get(host, path), Instant::now());
    while begun.elapsed() < patience {
        let asked = async { tls.open(address, host).await?.ask(&request).await };
        // Whoever accepts and never answers has no more patience than the others.
        match tokio::time::timeout(patience - begun.elapsed().min(patience), asked).await {
            Ok(Ok(answer)) if is_it(answer) => return Some(begun.elapsed()),
            Ok(_) | Err(_) => {}
        }
        // Asking takes time on the server's core: the longer it needs, the less it is asked.
        tokio::time::sleep((begun.elapsed() / 50).max(Duration::from_millis(1))).await;
    }
    None
}

/// What those have in common that are told by files.
pub struct Ground {
    pub directory: PathBuf,
    pub backend: SocketAddr,
    chain: PathBuf,
    key: PathBuf,
    pub both: PathBuf,
}

impl Ground {
    pub fn new(directory: &Path, backend: SocketAddr, certificate: &Certificate) -> Self {
        let path = |name: &str| directory.join(name);
        let ground = Self {
            directory: directory.to_owned(),
            backend,
            chain: path("chain.pem"),
            key: path("key.pem"),
            both: path("both.pem"),
        };
        let write = |path: &Path, text: &str| std::fs::write(path, text).expect("a file");
        write(&ground.chain, &certificate.chain);
        write(&ground.key, &certificate.key);
        write(&ground.both, &format!("{}{}", certificate.chain, certificate.key.as_str()));
        ground
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// The same program as this one, told to be another.
    pub fn bare(&self) -> Option<Server> {
        let https = local(port());
        let path = |path: &Path| path.display().to_string();
        let words = [https.to_string(), self.backend.to_string(), path(&self.chain), path(&self.key)];
        let log = path(&self.directory.join("bare.log"));
        let words: Vec<&str> =
            [bare::WORD].into_iter().chain(words.iter().map(String::as_str)).chain([&*log]).collect();
        let program = std::env::current_exe().ok()?;
        let process = Process::start(&self.directory, "bare", &program, &words).ok()?;
        Some(Server::new("bare pingora", pingora_version(), https, process).knowing_nobody())
    }

    pub fn nginx(&self) -> Option<Server> {
        let (https, program) = (local(port()), wanted("nginx")?);
        let settings = self.file("nginx.conf", &self.nginx_settings(https, "nginx", "", ""));
        let process = Process::start(&self.directory, "nginx", &program, &["-c", &settings]).ok()?;
        Some(Server::new("nginx", said(&program, "-v"), https, process))
    }

    /// `routes`: what else the site has; `more`: what else `http` has.
    pub fn nginx_settings(&self, https: SocketAddr, label: &str, routes: &str, more: &str) -> String {
        let Self { directory, backend, chain, key, .. } = self;
        let (directory, chain, key) = (directory.display(), chain.display(), key.display());
        format!(
            r#"daemon off; worker_processes 1; worker_rlimit_nofile 20000; user root;
pid {directory}/{label}.pid; error_log {directory}/{label}.error.log;
events {{ worker_connections 20000; }}
http {{
    log_format line escape=json '{{"time":"$time_iso8601","id":"$request_id","client":"$remote_addr","host":"$host",'
        '"method":"$request_method","path":"$uri","protocol":"$server_protocol","status":$status,"upstream":"$upstream_addr",'
        '"seconds":$request_time,"upstream_seconds":"$upstream_response_time","bytes":$body_bytes_sent,"tls":"$ssl_protocol"}}';
    access_log {directory}/{label}.log line buffer=64k flush=1s;
    client_body_temp_path {directory}/{label}-body; proxy_temp_path {directory}/{label}-proxy;
    fastcgi_temp_path {directory}/{label}-f; uwsgi_temp_path {directory}/{label}-u; scgi_temp_path {directory}/{label}-s;
    client_body_buffer_size 128k; proxy_buffers 24 8k; server_names_hash_max_size 4194304;
    keepalive_requests 100000000; keepalive_timeout 300s;
    ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:16m;
    upstream app {{ server {backend}; keepalive 256; keepalive_requests 100000000; }}
    map $http_upgrade $upgraded {{ default upgrade; '' ''; }}
    proxy_http_version 1.1;
    proxy_set_header Host $host; proxy_set_header Connection $upgraded; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id;
    server {{ listen {https} ssl http2 default_server backlog=4096; ssl_reject_handshake on; }}
    server {{ listen {https} ssl http2; server_name .{base}; location / {{ proxy_pass http://app; }} {routes} }}
    {more}
}}
"#,
            base = names::BASE,
        )
    }

    pub fn haproxy(&self) -> Option<Server> {
        let (https, program) = (local(port()), wanted("haproxy")?);
        let settings = self.haproxy_settings(https, &format!("crt {}", self.both.display()), "", "");
        let settings = self.file("haproxy.cfg", &settings);
        let process = Process::start(&self.directory, "haproxy", &program, &["-db", "-f", &settings]).ok()?;
        Some(Server::new("HAProxy", said(&program, "-v"), https, process))
    }

    /// `certificates`: where they are; `rules`: what else the frontend has; `more`: sections besides.
    pub fn haproxy_settings(&self, https: SocketAddr, certificates: &str, rules: &str, more: &str) -> String {
        let backend = self.backend;
        format!(
            r#"global
    nbthread 1
    maxconn 12000
    no strict-limits
    log stdout format raw local0 info
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    timeout tunnel 1h
frontend edge
    bind {https} ssl {certificates} alpn h2,http/1.1 strict-sni
    option forwardfor
    unique-id-format %[uuid()]
    unique-id-header X-Request-Id
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
{rules}
    default_backend app
backend app
    http-reuse always
    server app {backend}
{more}
"#
        )
    }

    pub fn caddy(&self) -> Option<Server> {
        let (https, program) = (local(port()), wanted("caddy")?);
        let settings = self.file("Caddyfile", &self.caddy_settings(https, "off", "", ""));
        let words = ["run", "--config", &settings, "--adapter", "caddyfile"];
        let process = Process::start(&self.directory, "caddy", &program, &words).ok()?;
        Some(Server::new("Caddy", said(&program, "version"), https, process))
    }

    /// `admin`: where its API listens; `routes`: what else the site has; `more`: sites besides, which may import `app`.
    pub fn caddy_settings(&self, https: SocketAddr, admin: &str, routes: &str, more: &str) -> String {
        let Self { directory, backend, chain, key, .. } = self;
        let (directory, chain, key) = (directory.display(), chain.display(), key.display());
        format!(
            r#"{{
    admin {admin}
    auto_https off
    log {{
        output file {directory}/caddy-{port}.log {{
            roll_disabled
        }}
    }}
    servers {{
        protocols h1 h2
    }}
}}
(app) {{
    bind 127.0.0.1
    tls {chain} {key}
    log
    reverse_proxy {backend} {{
        header_up X-Request-Id {{http.request.uuid}}
        transport http {{
            keepalive_idle_conns_per_host 256
        }}
    }}
}}
https://*.{base}:{port} {{
    import app
{routes}
}}
{more}
"#,
            base = names::BASE,
            port = https.port()
        )
    }
}

/// That of the lock file, for which this was built.
fn pingora_version() -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = lock.split_once("name = \"pingora-proxy\"\nversion = \"").and_then(|(_, rest)| rest.split_once('"'));
    version.map_or_else(String::new, |(version, _)| version.to_owned())
}

/// Where a program is. Debian keeps some of these where only root's PATH looks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|directory| Path::new(directory).join(program)).find(|path| path.is_file())
}

/// The same, with a word about it when there is none.
fn wanted(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        println!("{program} is not installed: not measured");
    }
    found
}

/// Tenantry's own word: its version, and how it was built. What was not built by `make release` does not know from which
/// revision, and has just been built from this tree.
pub fn built(program: &Path) -> String {
    let Ok(output) = Command::new(program).args(["version", "--verbose", "--json"]).output() else {
        return String::new();
    };
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let text = |name: &str| facts[name].as_str().map(str::to_owned);
    let revision = text("revision").unwrap_or_else(machine::revision);
    let lto = text("lto").unwrap_or_default();
    let more = ["pgo", "bolt"].into_iter().filter(|name| facts[*name] == true).map(|name| format!(", {name}"));
    format!("{} of {revision} (lto: {lto}{})", text("version").unwrap_or_default(), more.collect::<String>())
}

/// The version in the first line of what a program says of itself.
fn said(program: &Path, word: &str) -> String {
    let Ok(output) = Command::new(program).arg(word).output() else { return String::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let number = |word: &&str| word.trim_start_matches(|c: char| !c.is_ascii_digit()).contains('.');
    let word = text.lines().next().unwrap_or_default().split([' ', '/']).find(number).unwrap_or_default();
    word.to_owned()
}
