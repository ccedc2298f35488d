//! A real browser on two slugs that share one wildcard certificate. Chromium reuses an HTTP/2 connection for every name
//! that its certificate covers (RFC 9113 §9.1.1); the edge answers 421, and the browser must try again by itself.

use std::collections::HashMap;
use std::convert::Infallible;
use std::process::Output;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::client;
use crate::support::world::World;

/// Loads beta's data from acme's page by the method in its path, and writes what came of it into the document.
const PAGE: &str = r#"<!doctype html><title>acme</title><p id="out">waiting</p><script>
const beta = location.origin.replace("//acme.", "//beta.");
const ask = (method, body) =>
    fetch(beta + "/data", { method, body, credentials: "include" }).then(answer => answer.text());
const method = location.pathname.slice(1);
ask(method, method === "POST" ? "posted" : undefined)
    .then(text => { out.textContent = text; }, error => { out.textContent = "failed: " + error; });
</script>"#;

/// Serves the page to acme, and to beta what it says who it is.
async fn backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (tenant, origin, method) = (header("x-tenant-slug"), header("origin"), request.method().clone());
    let builder = Response::builder();
    if request.uri().path() != "/data" {
        return Ok(builder.header("content-type", "text/html").body(Full::from(PAGE)).unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let said = match method {
        Method::POST => format!("{tenant} got {}", String::from_utf8_lossy(&body)),
        _ => format!("{tenant} says hello"),
    };
    Ok(builder
        .header("access-control-allow-origin", origin)
        .header("access-control-allow-credentials", "true")
        .body(Full::from(said))
        .unwrap())
}

/// Starts Chromium headless, lets the page come to rest, and returns its document. `trusted_keys` of certificates stand
/// between commas.
pub async fn document(url: &str, trusted_keys: &str) -> String {
    let output = chromium(&["--virtual-time-budget=20000", "--dump-dom", url], trusted_keys).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many pixels of each colour there are on the page.
pub async fn colours(url: &str, trusted_keys: &str) -> HashMap<[u8; 3], usize> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("page.png");
    let into = format!("--screenshot={}", file.display());
    chromium(&["--window-size=800,600", "--force-color-profile=srgb", &into, url], trusted_keys).await;
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(file).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let mut counts = HashMap::new();
    for pixel in pixels[..frame.buffer_size()].chunks(frame.color_type.samples()) {
        *counts.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
    }
    counts
}

/// Starts Chromium headless and waits for its end.
pub async fn chromium(how: &[&str], trusted_keys: &str) -> Output {
    let profile = TempDir::new().unwrap();
    let chromium = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        // As if the authority were installed: a certificate that is merely tolerated is never shared between hosts.
        .arg(format!("--ignore-certificate-errors-spki-list={trusted_keys}"))
        .args(how)
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(Duration::from_secs(90), chromium).await.expect("Chromium ends").unwrap()
}

/// The leaf's public key as Chromium's flag wants it.
pub fn key_of(leaf: &CertificateDer<'_>) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).unwrap();
    STANDARD.encode(digest(&SHA256, certificate.public_key().raw))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_shares_a_connection_between_slugs_recovers_by_itself() {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend().await
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world.tenant("beta", "free").await;
    let stream = client::tls(&world, &world.host("acme"), &["h2"]).await.unwrap();
    let key = key_of(&stream.get_ref().1.peer_certificates().unwrap()[0]);
    let port = world.https().port();

    for (method, expected, times) in [("GET", "beta says hello", 1), ("POST", "beta got posted", 2)] {
        let page = document(&format!("https://{}:{port}/{method}", world.host("acme")), &key).await;
        assert!(page.contains(expected), "{page}");
        let metrics = world.running.metrics().render();
        let told = format!("tenantry_refusals_total{{code=\"misdirected-request\"}} {times}");
        assert!(metrics.contains(&told), "the browser shared the connection, and was told so once more:\n{metrics}");
    }

    world.suspend("beta").await;
    let page = document(&format!("https://{}:{port}/", world.host("beta")), &key).await;
    assert!(page.contains("<h1>Suspended</h1>") && page.contains("tenant-suspended"), "{page}");
}

/// The policy lets no script look at the page, so its picture is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_a_page_in_its_tenants_colours_and_logo() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world
        .branding(
            "acme",
            serde_json::json!({
                "header_colour": "#102030", "text_colour": "#000",
                "custom_css": "main{background:#aa00cc} .edge-foot{display:none} body ~ *{display:none}",
            }),
        )
        .await;
    let kind = tenantry::model::ImageKind::LogoDark;
    world
        .picture(
            "acme",
            kind,
            "image/svg+xml",
            crate::support::picture::svg("#00ee11", "<style>rect{fill:#00ee11}</style>"),
        )
        .await;
    world.suspend("acme").await;
    let stream = client::tls(&world, &world.host("acme"), &["h2"]).await.unwrap();
    let key = key_of(&stream.get_ref().1.peer_certificates().unwrap()[0]);
    let url = format!("https://{}:{}/", world.host("acme"), world.https().port());
    let colours = colours(&url, &key).await;
    for (what, colour) in [("header", [0x10, 0x20, 0x30]), ("logo", [0, 0xee, 0x11]), ("style sheet", [0xaa, 0, 0xcc])]
    {
        assert!(colours.get(&colour).is_some_and(|pixels| *pixels > 500), "{what}: {:?}", colours.get(&colour));
    }
}

/// Says which element a visitor hits who aims at the way to the main site.
const AIM: &str = r#"<script>
const link = document.querySelector(".edge-foot a");
link.scrollIntoView();
const box = link.getBoundingClientRect();
const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
document.title = hit === link ? "reached" : "covered by " + hit?.outerHTML.slice(0, 60);
</script></body>"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_style_sheet_covers_nothing_but_its_own_part_of_the_page() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.suspend("acme").await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("page.html");
    let cover = "main{position:absolute;inset:-9999px;z-index:9999;background:#fff;box-shadow:0 0 0 9999px #fff}";
    for scope in [
        "body{display:contents}",
        "body{--d:contents;display:var(--d)}",
        "body{display:inline;position:static;z-index:99999}",
        "body{display:table-row;margin-bottom:-9999px;outline:9999px solid #fff}",
        "body{order:2;height:1px;overflow:visible;transform:translateY(9999px)}",
    ] {
        world.branding("acme", serde_json::json!({ "custom_css": format!("{scope} {cover}") })).await;
        let answer = client::get_with(&world, &world.host("acme"), "/", &[("accept", "text/html")]).await;
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(page.contains("z-index:9999"), "{page}");
        // The policy lets no script look at the page where it is served, so a copy is looked at.
        std::fs::write(&file, page.replace("</body>", AIM)).unwrap();
        let seen = document(&format!("file://{}", file.display()), "").await;
        assert!(seen.contains("<title>reached</title>"), "{scope}: {seen}");
    }
}
