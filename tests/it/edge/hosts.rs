//! Which host leads where: tenants, the operator's own hosts, strangers, and the connection that was made for another
//! host.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use http_body_util::Full;

use crate::support::backend::Seen;
use crate::support::client::{Answer, get, get_plain, h1, h2, request, send_h1, send_h2, tls};
use crate::support::world::{BASE, World};

async fn world() -> World {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.tenant("beta", "creators").await;
    world
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

fn slug(seen: &Seen) -> Option<&str> {
    seen.header("x-tenant-slug")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_hosts_have_no_tenant() {
    let world = world().await;
    for host in [BASE.to_owned(), world.host("ops"), world.host("www"), world.host("api"), world.host("edge")] {
        assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK, "{host}");
        let seen = world.backend.take().remove(0);
        assert!(!seen.headers.keys().any(|name| name.as_str().starts_with("x-tenant")), "{host}: {seen:?}");
        assert!(seen.header("x-request-id").is_some());
    }
    // In the clear too, they are sent to TLS.
    assert_eq!(get_plain(&world, BASE, "/").await.status, StatusCode::PERMANENT_REDIRECT);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unknown_gets_an_honest_answer() {
    let world = world().await;
    let not_found = (404, "tenant-not-found".to_owned());
    let not_configured = (404, "domain-not-configured".to_owned());
    assert_eq!(code(&get(&world, &world.host("nobody"), "/").await), not_found);
    // No wildcard reaches deeper, so these never get as far as a request.
    for stranger in [format!("a.acme.{BASE}"), "stranger.example".into(), "localhost".into()] {
        assert!(tls(&world, &stranger, &["h2"]).await.is_err(), "{stranger}");
    }
    assert_eq!(code(&get_plain(&world, &format!("a.acme.{BASE}"), "/").await), not_found);
    assert_eq!(code(&get(&world, &format!("xn--bcher-kva.{BASE}"), "/").await), not_found);
    for stranger in ["stranger.example", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:80", "localhost", "acme"] {
        assert_eq!(code(&get_plain(&world, stranger, "/").await), not_configured, "{stranger}");
    }
    let answer = get_plain(&world, "stranger.example", "/").await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("acme"));
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_certificate_lets_strangers_be_told() {
    let certificate_of = World::start().await.ca.issue(&["fallback.invalid".to_owned()], 30).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    std::fs::write(&chain, &certificate_of.chain).unwrap();
    std::fs::write(&key, certificate_of.key.as_bytes()).unwrap();
    let settings = format!("[tls.fallback]\nchain = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display());
    let world = World::builder().settings(&settings).start().await;
    world.tenant("acme", "growth").await;
    let address = world.https();
    for (sni, resolved, status, code) in [
        ("stranger.example", "stranger.example", "404", "domain-not-configured"),
        ("stranger.example", "acme.connect.localhost", "421", "misdirected-request"),
        ("acme.connect.localhost", "acme.connect.localhost", "200", ""),
    ] {
        let answer = curl(address, sni, resolved).await;
        assert!(answer.starts_with(&format!("HTTP/2 {status}")) && answer.contains(code), "{sni}: {answer}");
    }
    // A client without SNI is a stranger, whatever host it names later.
    let output = tokio::process::Command::new("curl")
        .args(["-sSki", "--max-time", "20", "-H", "Host: acme.connect.localhost", &format!("https://{address}/")])
        .output()
        .await
        .unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("HTTP/2 421"));
    assert_eq!(world.backend.take().len(), 1);
}

/// A client that verifies nothing, as a scanner would be.
async fn curl(address: SocketAddr, sni: &str, host: &str) -> String {
    let to = format!("{sni}:{}:{}", address.port(), address.ip());
    let url = format!("https://{sni}:{}/", address.port());
    let output = tokio::process::Command::new("curl")
        .args(["-sSki", "--max-time", "20", "--resolve", &to, "-H", &format!("Host: {host}"), &url])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_host_than_the_connection_was_made_for_is_misdirected() {
    let world = world().await;
    world.domain("acme", "community.acme.example").await;
    let (acme, beta) = (world.host("acme"), world.host("beta"));
    let misdirected = (421, "misdirected-request".to_owned());
    for method in [Method::GET, Method::POST] {
        let build = |host: &str| {
            let body = if method == Method::POST { "hello" } else { "" };
            request(method.clone(), host, "/x?y=1").body(Full::from(body)).unwrap()
        };
        let mut over_h2 = h2(&world, &acme).await;
        let mut over_h1 = h1(&world, &acme).await;
        assert_eq!(send_h2(&mut over_h2, build(&acme)).await.status, StatusCode::OK);
        // Whether the other exists makes no difference.
        for other in [beta.as_str(), "nobody.connect.localhost", BASE, "community.acme.example", "stranger.example"] {
            assert_eq!(code(&send_h2(&mut over_h2, build(other)).await), misdirected, "{other}");
            let mut over_h1 = h1(&world, &acme).await;
            assert_eq!(code(&send_h1(&mut over_h1, build(other)).await), misdirected, "{other}");
        }
        // The connection stays good for its own host, and the retry on a new one succeeds.
        assert_eq!(send_h2(&mut over_h2, build(&acme)).await.status, StatusCode::OK);
        assert_eq!(send_h1(&mut over_h1, build(&acme)).await.status, StatusCode::OK);
        assert_eq!(send_h2(&mut h2(&world, &beta).await, build(&beta)).await.status, StatusCode::OK);
        let slugs: Vec<_> = world.backend.take().iter().map(|seen| slug(seen).unwrap().to_owned()).collect();
        assert_eq!(slugs, ["acme", "acme", "acme", "beta"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_host_keeps_working_beside_a_custom_domain_and_a_released_one_stops() {
    let world = world().await;
    world.domain("acme", "community.acme.example").await;
    let via = async |host: &str| {
        let status = get(&world, host, "/").await.status;
        (status.as_u16(), world.backend.take().first().and_then(|seen| seen.header("x-tenant-via").map(str::to_owned)))
    };
    assert_eq!(via("community.acme.example").await, (200, Some("custom-domain".into())));
    assert_eq!(via(&world.host("acme")).await, (200, Some("subdomain".into())));
    world.release("acme", "community.acme.example").await;
    assert_eq!(code(&get(&world, "community.acme.example", "/").await), (404, "domain-not-configured".into()));
    assert_eq!(via(&world.host("acme")).await, (200, Some("subdomain".into())));
    // The next claimant gets it, and nobody before it proves that it may.
    world.claim("beta", "community.acme.example", false).await;
    assert_eq!(code(&get(&world, "community.acme.example", "/").await), (404, "domain-not-configured".into()));
}
