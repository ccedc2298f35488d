//! The shipped `routing.toml`, but for the addresses in it: each of its routes leads where it says.

use http::{HeaderMap, Method, Response};
use http_body_util::Full;
use tenantry::clock::Clock;
use tenantry::tls::LocalCa;

use crate::support::client::{Answer, h2, request, send_h2};
use crate::support::script::{Body, Script, full};
use crate::support::world::World;

/// Says which backend it is, and what it was asked for.
fn told(name: &str, target: &str, headers: &HeaderMap) -> Response<Body> {
    let area = headers.get("x-area").map_or("-", |area| area.to_str().unwrap());
    Response::new(full(format!("{name} {target} {area}")))
}

async fn plain(name: &'static str) -> Script {
    Script::http(move |request| async move { told(name, &request.uri().to_string(), request.headers()) }).await
}

async fn ask(world: &World, method: Method, host: &str, path: &str) -> Answer {
    let ask = request(method, host, path).body(Full::default()).unwrap();
    send_h2(&mut h2(world, host).await, ask).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_shipped_example_leads_where_it_says() {
    let ca = LocalCa::create(Clock::system()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("ca.pem").display().to_string();
    std::fs::write(&pem, ca.certificate()).unwrap();
    let analytics = Script::tls(&ca, "analytics.internal", &["h2", "http/1.1"], |request| async move {
        told("analytics", request.uri().path(), request.headers())
    })
    .await;
    let [app, console, site] = [plain("app").await, plain("console").await, plain("site").await];
    let mut routing = include_str!("../../../config/routing.toml").to_owned();
    for (shipped, here) in [
        ("\"10.0.1.10:8080\", \"10.0.1.11:8080\"", app.address),
        ("\"analytics.internal:8443\"", analytics.address),
        ("\"10.0.1.20:8080\"", console.address),
        ("\"10.0.1.30:8080\"", site.address),
    ] {
        assert!(routing.contains(shipped), "{shipped}");
        routing = routing.replace(shipped, &format!("\"{here}\""));
    }
    let routing = routing.replace("#   ca = \"/etc/tenantry/internal-ca.pem\"", &format!("ca = \"{pem}\""));
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "custom").await;
    world.tenant("small", "free").await;
    let base = "connect.localhost";
    let host = |label: &str| format!("{label}.{base}");
    for (method, host, path, route, said) in [
        (Method::POST, host("acme"), "/analytics/export", "analytics-export", "analytics /analytics/export -"),
        (Method::GET, host("acme"), "/analytics/x", "analytics", "analytics /analytics/x -"),
        (Method::GET, host("acme"), "/embed/x", "embed", "app /widgets/x embed"),
        (Method::GET, host("acme"), "/", "tenants", "app / -"),
        (Method::GET, host("ops"), "/tenants", "console", "console /tenants -"),
        (Method::GET, host("www"), "/x", "own-hosts", "site /x -"),
        (Method::GET, base.to_owned(), "/", "main-site", "site / -"),
        (Method::GET, base.to_owned(), "/robots.txt", "robots", "User-agent: *\nDisallow: /\n"),
    ] {
        let answer = ask(&world, method, &host, path).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!((answer.status.as_u16(), &*body), (200, said), "{route}");
    }
    let moved = ask(&world, Method::GET, &host("ops"), "/help/x?a=1").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (200, ""), "the console comes first");
    let moved = ask(&world, Method::GET, &host("www"), "/help/x?a=1").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (308, "https://help.arythmatic.cloud/help/x?a=1"));
    for (method, path) in [(Method::POST, "/analytics/export"), (Method::GET, "/embed/x")] {
        let refused = ask(&world, method, &host("small"), path).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (402, "plan-required".into()), "{path}");
    }
}
