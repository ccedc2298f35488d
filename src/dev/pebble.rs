//! `tenantry dev --acme`: a certificate authority and a DNS server to play with (Let's Encrypt's Pebble and its test server),
//! as processes of their own on loopback, so that a newcomer can watch a domain go live. Never for the public.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::tls::{LocalCa, LocalCaError};

/// Both processes; they end with it.
pub struct Pebble {
    _authority: Process,
    _dns: Process,
    /// The authority's directory.
    pub directory: String,
    /// Whom to ask for records.
    pub dns: SocketAddr,
    /// Where records are set (<https://github.com/letsencrypt/challtestsrv>).
    pub records: SocketAddr,
    /// Where the authority shows its root, which is another one each time that it starts.
    pub roots: String,
}

/// A program under a shell that ends it when its own input ends: with us, however we go.
struct Process(Child);

const GUARD: &str = r#""$@" </dev/null & child=$!; read -r _; kill "$child"; wait "$child""#;

#[derive(Debug, thiserror::Error)]
pub enum PebbleError {
    #[error("{program} cannot be started: {source}")]
    Start { program: &'static str, source: std::io::Error },
    #[error(
        "{program} has not opened {address} within {DEADLINE:?}; its log is {log} (on Debian, it is in the package pebble)"
    )]
    Silent { program: &'static str, address: SocketAddr, log: PathBuf },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("no free port: {0}")]
    Port(std::io::Error),
    #[error(transparent)]
    Ca(#[from] LocalCaError),
}

const DEADLINE: Duration = Duration::from_secs(10);

impl Pebble {
    /// Starts both in `state`, for an edge that answers challenges at these ports. Every name leads to 127.0.0.1 until a
    /// record says otherwise. `records`: the port where records are set; 0: a free one.
    pub async fn start(state: &Path, ca: &LocalCa, http: u16, https: u16, records: u16) -> Result<Self, PebbleError> {
        let dir = state.join("pebble");
        let keep = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(|source| PebbleError::File { path: path.clone(), source })?;
            Ok::<_, PebbleError>(path)
        };
        std::fs::create_dir_all(&dir).map_err(|source| PebbleError::File { path: dir.clone(), source })?;
        let own = ca.issue(&["localhost".to_owned()], 30)?;
        let (authority, management, dns) = (loopback(free_port()?), loopback(free_port()?), loopback(free_port()?));
        let records = loopback(if records == 0 { free_port()? } else { records });
        let config = json!({ "pebble": {
            "listenAddress": authority.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": keep("cert.pem", &own.chain)?,
            "privateKey": keep("key.pem", &own.key)?,
            "httpPort": http,
            "tlsPort": https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let config = keep("config.json", &config.to_string())?;

        let mut server = guarded("pebble-challtestsrv");
        server.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        server.args(["-dns01", &dns.to_string(), "-management", &records.to_string()]);
        let dns_server = Process::start("pebble-challtestsrv", server, &dir, records).await?;
        let mut server = guarded("pebble");
        server.env("PEBBLE_VA_NOSLEEP", "1").arg("-config").arg(config).args(["-dnsserver", &dns.to_string()]);
        let authority_server = Process::start("pebble", server, &dir, authority).await?;
        Ok(Self {
            _authority: authority_server,
            _dns: dns_server,
            directory: format!("https://localhost:{}/dir", authority.port()),
            dns,
            records,
            roots: format!("https://localhost:{}/roots/0", management.port()),
        })
    }
}

/// A port of the loopback that nobody listens at now.
pub fn free_port() -> Result<u16, PebbleError> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(PebbleError::Port)?;
    probe.local_addr().map(|address| address.port()).map_err(PebbleError::Port)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Process {
    /// Starts a program, and returns when it takes connections at `address`.
    async fn start(
        program: &'static str,
        mut command: Command,
        dir: &Path,
        address: SocketAddr,
    ) -> Result<Self, PebbleError> {
        let log = dir.join(format!("{program}.log"));
        let failed = |source| PebbleError::File { path: log.clone(), source };
        let out = std::fs::File::create(&log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut child = Self(command.spawn().map_err(|source| PebbleError::Start { program, source })?);
        let opened = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(DEADLINE, opened).await {
            Ok(()) => Ok(child),
            Err(_) => {
                child.end();
                Err(PebbleError::Silent { program, address, log })
            }
        }
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        // It may have ended by itself.
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program that ends with us.
fn guarded(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "sh", program]);
    command
}
