//! `tenantry dev`: a complete edge on loopback, with everything that a production set-up brings from outside made on
//! the spot: key, authority, certificates, tenants, a backend.

mod backend;
mod issuer;
mod seed;

use std::path::{Path, PathBuf};

use crate::app::{App, AppError, Roles, Running};
use crate::clock::Clock;
use crate::config::{Config, Faults, Log, Sources};
use crate::seal::{KeyFile, SealError};
use crate::tenancy::{Actor, TenancyError};
use crate::tls::{LocalCa, LocalCaError};
use issuer::{IssueError, Issuer};

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
    #[error("the demonstration could not be set up: {0}")]
    Seed(#[from] TenancyError),
}

/// Starts everything; the caller waits for the end of it.
pub async fn start(args: &DevArgs) -> Result<Running, DevError> {
    let state = &args.state;
    create_private_dir(state)?;
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
    let config = config(args, &backend)?;
    let app = App::open(config, clock, Roles::ALL).await?;
    let (issuer, ear) = Issuer::new(app.store().clone(), ca);
    let base = app.config().brand.base.to_string();
    issuer.ensure(&[format!("*.{base}"), base]).await?;
    let running = app.start(vec![ear]).await?;
    tokio::spawn(issuer.run());
    seed::fill(running.tenancy()).await?;
    keep_token(&running, &state.join("operator-token")).await?;
    Ok(running)
}

/// What to try, with the ports that it really has.
pub fn guide(running: &Running, state: &Path) -> String {
    let port = |name| running.address(name).map_or(0, |address| address.port());
    let (https, http) = (port("https"), port("http"));
    let admin = running.admin_address().to_string();
    let base = &running.config().brand.base;
    let state = state.display();
    // curl and browsers resolve *.localhost by themselves (RFC 6761 §6.3).
    let curl = |host: &str| format!("curl --cacert {state}/ca.pem https://{host}:{https}/");
    let flags = match (admin.as_str(), state.to_string().as_str()) {
        ("127.0.0.1:9900", ".dev") => String::new(),
        _ => format!(" --admin http://{admin} --token-file {state}/operator-token"),
    };
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
        Ctrl-C ends it; {state}/ keeps its state.\n",
        domain = seed::DOMAIN,
        acme = curl(&format!("acme.{base}")),
        gamma = curl(&format!("gamma.{base}")),
        custom = curl(seed::DOMAIN),
    )
}

/// How it logs.
pub fn log(args: &DevArgs) -> Result<Log, Faults> {
    Ok(config(args, "127.0.0.1:1")?.log)
}

fn config(args: &DevArgs, backend: &str) -> Result<Config, Faults> {
    let sources = Sources::new(
        include_str!("../../config/dev/tenantry.toml"),
        include_str!("../../config/dev/routing.toml"),
        include_str!("../../config/plans.toml"),
    );
    let lookup = |name: &str| {
        Some(match name {
            "STATE" => args.state.display().to_string(),
            "HTTPS_PORT" => args.https_port.to_string(),
            "HTTP_PORT" => args.http_port.to_string(),
            "ADMIN_PORT" => args.admin_port.to_string(),
            "DEMO_BACKEND" => backend.to_owned(),
            _ => return None,
        })
    };
    Config::parse(&sources, &lookup)
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
    let issued = running.tenancy().create_token(&Actor::new("dev"), &name, None).await?.value;
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
