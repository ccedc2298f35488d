//! `tenantry dev` as a newcomer meets it: the binary, real curl, and every line that the README promises.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

/// A running `tenantry dev`, ended with its guard.
pub struct Dev {
    child: Child,
    pub state: String,
    pub https: u16,
    http: u16,
    pub admin: String,
}

fn tenantry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command.env_remove("TENANTRY_ADMIN").env_remove("TENANTRY_TOKEN");
    command
}

impl Dev {
    /// Starts it on free ports and reads its guide up to the end.
    fn start(state: &Path) -> Self {
        Self::start_with(state, &[])
    }

    pub fn start_with(state: &Path, more: &[&str]) -> Self {
        let state = state.to_str().unwrap().to_owned();
        let ports = ["--https-port", "0", "--http-port", "0", "--admin-port", "0"];
        let mut child = tenantry()
            .args(["dev", "--state", &state])
            .args(ports)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut guide = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            guide.push(line.unwrap());
            if guide.last().unwrap().starts_with("Ctrl-C") {
                break;
            }
        }
        let url = |label: &str| {
            let line = guide
                .iter()
                .find(|line| line.split_whitespace().next() == Some(label))
                .unwrap_or_else(|| panic!("{guide:?}"));
            line.split_whitespace().nth(1).unwrap().trim_end_matches('/').to_owned()
        };
        let port = |label: &str| url(label).rsplit(':').next().unwrap().parse().unwrap();
        Self { child, state, https: port("https"), http: port("http"), admin: url("admin") }
    }

    fn curl(&self, host: &str, path: &str, more: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert", &format!("{}/ca.pem", self.state)])
            .args(more)
            .arg(format!("https://{host}:{}{path}", self.https))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Status and body.
    fn status(&self, host: &str, more: &[&str]) -> (String, String) {
        let more: Vec<&str> = more.iter().copied().chain(["--write-out", "\n%{http_code}"]).collect();
        let answer = self.curl(host, "/", &more);
        let (body, status) = answer.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    fn tenantry(&self, arguments: &[&str]) -> Output {
        let token = format!("{}/operator-token", self.state);
        tenantry().args(arguments).args(["--admin", &self.admin, "--token-file", &token]).output().unwrap()
    }

    /// SIGTERM, and the exit code.
    fn stop(mut self) -> Option<i32> {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everything_that_the_guide_promises_is_true() {
    let dir = TempDir::new().unwrap();
    let dev = Dev::start(&dir.path().join("state"));
    for version in ["--http1.1", "--http2"] {
        let acme = dev.curl("acme.connect.localhost", "/", &[version]);
        for expected in [r#""X-Tenant-Slug": "acme""#, r#""X-Tenant-Plan": "growth""#, r#""X-Tenant-Via": "subdomain""#]
        {
            assert!(acme.contains(expected), "{expected}: {acme}");
        }
        assert!(dev.curl("beta.connect.localhost", "/", &[version]).contains(r#""X-Tenant-Status": "trial""#));
        let custom = dev.curl("community.acme.localhost", "/", &[version]);
        assert!(custom.contains(r#""X-Tenant-Via": "custom-domain""#), "{custom}");
        let (status, body) = dev.status("gamma.connect.localhost", &[version]);
        assert!(status == "403" && body.contains("tenant-suspended"), "{status} {body}");
        let (status, body) = dev.status("nobody.connect.localhost", &[version]);
        assert!(status == "404" && body.contains("tenant-not-found"), "{status} {body}");

        assert!(dev.tenantry(&["tenant", "suspend", "acme"]).status.success());
        let (status, body) = dev.status("acme.connect.localhost", &[version]);
        assert!(status == "403" && body.contains("tenant-suspended"), "{status} {body}");
        assert!(dev.tenantry(&["tenant", "activate", "acme"]).status.success());
        assert_eq!(dev.status("acme.connect.localhost", &[version]).0, "200");
    }
    let page = dev.status("gamma.connect.localhost", &["--header", "Accept: text/html"]).1;
    assert!(page.contains("<h1>Suspended</h1>") && page.contains("Gamma"), "{page}");
    assert!(dev.status("beta.connect.localhost", &["--request", "POST"]).0 == "200");
    let export = dev.curl("beta.connect.localhost", "/analytics/export", &["--request", "POST"]);
    assert!(export.contains("plan-required") && export.contains("csv_export"), "{export}");
    let redirect = Command::new("curl")
        .args(["--silent", "--head", "--header", "Host: acme.connect.localhost"])
        .arg(format!("http://127.0.0.1:{}/x?y=1", dev.http))
        .output()
        .unwrap();
    let redirect = String::from_utf8_lossy(&redirect.stdout).to_lowercase();
    let location = format!("location: https://acme.connect.localhost:{}/x?y=1", dev.https);
    assert!(redirect.starts_with("http/1.1 308") && redirect.contains(&location), "{redirect}");
    assert_eq!(dev.stop(), Some(0));
}

#[tokio::test]
async fn a_websocket_works_and_a_suspension_closes_it() {
    let dir = TempDir::new().unwrap();
    let dev = Dev::start(&dir.path().join("state"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(format!("{}/ca.pem", dev.state)).unwrap()).unwrap();
    tenantry::app::install_crypto().unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(("127.0.0.1", dev.https)).await.unwrap();
    let name = ServerName::try_from("acme.connect.localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("wss://acme.connect.localhost/chat", tls).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert!(dev.tenantry(&["tenant", "suspend", "acme"]).status.success());
    let closed = tokio::time::timeout(std::time::Duration::from_secs(1), socket.next()).await;
    match closed.expect("closed within a second") {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1008),
        other => panic!("expected a close frame: {other:?}"),
    }
}

#[test]
fn a_second_start_finds_the_state_of_the_first() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    let first = Dev::start(&state);
    let token = std::fs::read_to_string(state.join("operator-token")).unwrap();
    let created =
        first.tenantry(&["tenant", "create", "shop", "--name", "The Shop", "--plan", "growth", "--status", "active"]);
    assert!(created.status.success(), "{created:?}");
    assert!(first.tenantry(&["domain", "add", "shop", "shop.example.localhost", "--verified"]).status.success());
    assert_eq!(first.stop(), Some(0));

    let second = Dev::start(&state);
    assert_eq!(std::fs::read_to_string(state.join("operator-token")).unwrap(), token);
    let shop = second.curl("shop.example.localhost", "/", &[]);
    assert!(shop.contains(r#""X-Tenant-Slug": "shop""#), "{shop}");
}

#[test]
fn what_cannot_start_says_why() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let state = dir.path().join("state").display().to_string();
    let output = tenantry()
        .args(["dev", "--state", &state, "--https-port", &port, "--http-port", "0", "--admin-port", "0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("listener `https`") && said.contains(&port), "{said}");

    let broken = dir.path().join("config");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("tenantry.toml"), "[brand]\nbase = \"-\"\n[limits]\nhead_timeout = \"soon\"\n").unwrap();
    let output = tenantry().args(["serve", "-c", broken.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    for expected in
        ["tenantry.toml:2:", "brand.base", "tenantry.toml:4:", "limits.head_timeout", "routing.toml", "plans.toml"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn help_shows_the_way() {
    let help = |arguments: &[&str]| {
        let mut text = String::new();
        let mut child = tenantry().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text
    };
    let all = help(&["--help"]);
    for command in ["dev", "serve", "check", "tenant", "domain", "token", "Examples:"] {
        assert!(all.contains(command), "{command}: {all}");
    }
    assert!(help(&["serve", "--help"]).contains("--role"));
    assert!(help(&["dev", "--help"]).contains("--state"));
}
