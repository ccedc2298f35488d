//! `tenantry dev`: a complete edge on loopback, with everything that a production set-up brings from outside made on
//! the spot: key, authority, certificates, tenants, a backend.

mod backend;
mod issuer;
mod pebble;
mod seed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::app::{App, AppError, Roles, Running};
use crate::clock::Clock;
use crate::config::{Config, Faults, Log, Sources};
use crate::outbound::{Https, HttpsError};
use crate::seal::{KeyFile, SealError};
use crate::tenancy::{Actor, NewToken, TenancyError};
use crate::tls::{LocalCa, LocalCaError};
use issuer::{IssueError, Issuer};
use pebble::{Pebble, PebbleError};

/// `tenantry dev` in arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct DevArgs {
    /// Directory for everything that it keeps: store, keys, authority, operator token.
    #[arg(long, default_value = ".dev")]
    pub state: PathBuf,
    /// Port of the HTTPS listener (0: a free one).
    #[arg(long, default_value_t = 8443)]
    pub https_port: u16,
    /// Port of the HTTP listener (0: a free one).
    #[arg(long, default_value_t = 8080)]
    pub http_port: u16,
    /// Port of the admin API (0: a free one).
    #[arg(long, default_value_t = 9900)]
    pub admin_port: u16,
    /// Run a certificate authority and a DNS server to play with (Debian's package pebble), and get the certificates of custom
    /// domains from there, as in production.
    #[arg(long)]
    pub acme: bool,
    /// Port at which DNS records are set, with --acme (0: a free one).
    #[arg(long, default_value_t = 8055)]
    pub acme_dns_port: u16,
    /// Forward to this backend (host:port) instead of the built-in one that echoes what it gets.
    #[arg(long, value_name = "HOST:PORT")]
    pub backend: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the demo backend cannot listen: {0}")]
    Backend(std::io::Error),
    #[error("{0}")]
    Config(#[from] Faults),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Ca(#[from] LocalCaError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Pebble(#[from] PebbleError),
    #[error("the authority's root has no address: {0}")]
    Request(String),
    #[error("the authority's root could not be fetched: {0}")]
    Root(#[from] HttpsError),
    #[error("the demonstration could not be set up: {0}")]
    Seed(#[from] TenancyError),
}

/// Starts everything; the caller waits for the end of it.
pub async fn start(args: &DevArgs) -> Result<Running, DevError> {
    let state = &args.state;
    create_private_dir(state)?;
    // Of an earlier run: the guide speaks of what is there now.
    let _ = std::fs::remove_file(state.join("acme-records"));
    let key = state.join("store.key");
    if !key.exists() {
        KeyFile::create(&key)?;
    }
    let clock = Clock::system();
    let ca = LocalCa::load_or_create(state, clock.clone())?;
    let backend = match &args.backend {
        Some(backend) => backend.clone(),
        None => backend::start().await.map_err(DevError::Backend)?.to_string(),
    };
    let mut args = args.clone();
    let pebble = match args.acme {
        true => Some(start_pebble(&mut args, &ca).await?),
        false => None,
    };
    let config = config(&args, &backend, pebble.as_ref())?;
    let app = App::open(config, clock, Roles::ALL).await?;
    let (issuer, ear) = Issuer::new(app.store().clone(), ca);
    let base = app.config().brand.base.to_string();
    issuer.ensure(&[format!("*.{base}"), base]).await?;
    let mut running = app.start(vec![ear]).await?;
    match pebble {
        // Custom domains get theirs from the authority.
        Some(pebble) => {
            std::fs::write(state.join("acme-records"), pebble.records.to_string())
                .map_err(|source| DevError::File { path: state.join("acme-records"), source })?;
            running.keep(pebble);
        }
        None => drop(tokio::spawn(issuer.run())),
    }
    seed::fill(running.tenancy()).await?;
    keep_token(&running, &state.join("operator-token")).await?;
    Ok(running)
}

/// The authority and its DNS server, for ports that are known before anything listens there.
async fn start_pebble(args: &mut DevArgs, ca: &LocalCa) -> Result<Pebble, DevError> {
    for port in [&mut args.http_port, &mut args.https_port, &mut args.acme_dns_port] {
        if *port == 0 {
            *port = pebble::free_port()?;
        }
    }
    let pebble = Pebble::start(&args.state, ca, args.http_port, args.https_port, args.acme_dns_port).await?;
    let https = Https::new(Some(&args.state.join("ca.pem")), ROOT_DEADLINE, 64 << 10)?;
    let request = http::Request::get(&pebble.roots).body(bytes::Bytes::new());
    let request = request.map_err(|error| DevError::Request(error.to_string()))?;
    let root = https.request(request).await?;
    let path = args.state.join("acme-ca.pem");
    std::fs::write(&path, root.body()).map_err(|source| DevError::File { path, source })?;
    Ok(pebble)
}

/// What to try, with the ports that it really has.
pub fn guide(running: &Running, args: &DevArgs) -> String {
    let port = |name| running.address(name).map_or(0, |address| address.port());
    let (https, http) = (port("https"), port("http"));
    let admin = running.admin_address().to_string();
    let config = running.config();
    let base = &config.brand.base;
    let state = args.state.display();
    // curl and browsers resolve *.localhost by themselves (RFC 6761 §6.3).
    let curl = |host: &str| format!("curl --cacert {state}/ca.pem https://{host}:{https}/");
    let flags = match (admin.as_str(), state.to_string().as_str()) {
        ("127.0.0.1:9900", ".dev") => String::new(),
        _ => format!(" --admin http://{admin} --token-file {state}/operator-token"),
    };
    let acme_lines = std::fs::read_to_string(args.state.join("acme-records")).map_or_else(
        |_| String::new(),
        |records| {
            format!(
                "DNS records are set at http://{records}/, and the authority's root is {state}/acme-ca.pem:\n\
                \x20 tenantry domain add acme {EXAMPLE}{flags}\n\
                \x20 curl -d '{{\"host\":\"{EXAMPLE}.\",\"target\":\"edge.{base}.\"}}' http://{records}/set-cname\n\
                \x20 curl -d '{{\"host\":\"<name of the TXT record>.\",\"value\":\"<its value>\"}}' http://{records}/set-txt\n\
                \x20 tenantry domain verify {EXAMPLE}{flags}\n\
                \x20 curl --cacert {state}/acme-ca.pem --resolve {EXAMPLE}:{https}:127.0.0.1 https://{EXAMPLE}:{https}/\n\
                \n"
            )
        },
    );
    format!(
        "\n\
        Tenantry is up.\n\
        \n\
        \x20 https    https://acme.{base}:{https}/   (beta.{base}, gamma.{base}, {domain})\n\
        \x20 http     http://127.0.0.1:{http}/   (redirects)\n\
        \x20 admin    http://{admin}/   (/openapi.json, /metrics, /healthz, /readyz)\n\
        \x20 token    {state}/operator-token\n\
        \x20 CA       {state}/ca.pem\n\
        \n\
        Try:\n\
        \x20 {acme}\n\
        \x20 {gamma}   (suspended: 403)\n\
        \x20 {custom}   (acme's own domain)\n\
        \x20 tenantry tenant suspend acme{flags}\n\
        \x20 tenantry tenant activate acme{flags}\n\
        \n\
        {acme_lines}\
        Ctrl-C ends it; {state}/ keeps its state.\n",
        domain = seed::DOMAIN,
        acme = curl(&format!("acme.{base}")),
        gamma = curl(&format!("gamma.{base}")),
        custom = curl(seed::DOMAIN),
    )
}

/// How it logs.
pub fn log(args: &DevArgs) -> Result<Log, Faults> {
    Ok(config(&DevArgs { acme: false, ..args.clone() }, "127.0.0.1:1", None)?.log)
}

fn config(args: &DevArgs, backend: &str, pebble: Option<&Pebble>) -> Result<Config, Faults> {
    let mut tenantry = include_str!("../../config/dev/tenantry.toml").to_owned();
    if pebble.is_some() {
        tenantry.push_str(include_str!("../../config/dev/acme.toml"));
    }
    let sources =
        Sources::new(tenantry, include_str!("../../config/dev/routing.toml"), include_str!("../../config/plans.toml"));
    let lookup = |name: &str| {
        Some(match name {
            "STATE" => args.state.display().to_string(),
            "HTTPS_PORT" => args.https_port.to_string(),
            "HTTP_PORT" => args.http_port.to_string(),
            "ADMIN_PORT" => args.admin_port.to_string(),
            "DEMO_BACKEND" => backend.to_owned(),
            "ACME_DNS" => pebble?.dns.to_string(),
            "ACME_DIRECTORY" => pebble?.directory.clone(),
            _ => return None,
        })
    };
    let mut config = Config::parse(&sources, &lookup)?;
    if pebble.is_some() {
        // Where the authority looks; a number in a file has no variables.
        (config.acme.http_port, config.acme.tls_port) = (args.http_port, args.https_port);
    }
    Ok(config)
}

/// A token in the file, good for this store: the one that is there, or a new one.
async fn keep_token(running: &Running, path: &Path) -> Result<(), DevError> {
    let failed = |source| DevError::File { path: path.into(), source };
    if let Ok(token) = std::fs::read_to_string(path)
        && running.knows_token(token.trim()).await
    {
        return Ok(());
    }
    let name = format!("dev-{}", running.clock().now().millis());
    let issued = running
        .tenancy()
        .create_token(&Actor::new("dev"), None, &NewToken { name, ..NewToken::default() })
        .await?
        .value;
    write_private(path, &issued.secret).map_err(failed)
}

fn create_private_dir(path: &Path) -> Result<(), DevError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| DevError::File { path: path.into(), source })
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    // A leftover of other permissions would keep them.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")
}

/// The domain that the guide walks through.
const EXAMPLE: &str = "shop.example.test";
/// How long the authority may take to show its root.
const ROOT_DEADLINE: Duration = Duration::from_secs(10);
