//! What our own steps of a request cost: gates, the header contract, assertions.

mod common;

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Method;
use pingora_http::RequestHeader;
use tenantry::clock::Clock;
use tenantry::directory::{Resolution, Via, View};
use tenantry::edge::{Assertions, Contract, Identity, Last, Lasting, Origin, Visit, apply_headers, decide};
use tenantry::keyring::Keyring;
use tenantry::model::{HostClass, Hostname};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Scene {
    host: Hostname,
    class: HostClass,
    view: Arc<View>,
}

fn scene() -> Scene {
    let runtime = Runtime::new().expect("a runtime");
    let config = common::config(include_str!("../config/dev/routing.toml"));
    let host = Hostname::parse("t1.connect.localhost").expect("a host name");
    let class = config.brand.classify(&host);
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let view = runtime.block_on(async {
        let directory = common::directory(Arc::new(common::Memory));
        match directory.resolve(&host, &class, client, &config.catalogue, false).await {
            Ok(Resolution::Tenant(view, _)) => view,
            other => unreachable!("the source knows this tenant: {other:?}"),
        }
    });
    Scene { host, class, view }
}

fn gates(c: &mut Criterion) {
    let Scene { host, class, view } = scene();
    for routes in [10, 1000] {
        let mut routing = String::from("[[pool]]\nname = \"app\"\nbackends = [\"127.0.0.1:1\"]\n");
        for n in 0..routes - 1 {
            let _ = writeln!(
                routing,
                "[[route]]\nname = \"r{n}\"\nhost = \"tenant\"\npath_prefix = \"/area-{n}\"\npool = \"app\""
            );
        }
        routing.push_str("[[route]]\nname = \"rest\"\nhost = \"any\"\npool = \"app\"\n");
        let config = common::config(&routing);
        let headers = http::HeaderMap::new();
        c.bench_function(&format!("gates, the last of {routes} routes"), |b| {
            b.iter(|| {
                let tenant = Some((Arc::clone(&view), Via::Subdomain));
                let visit = Visit {
                    host: &host,
                    class: &class,
                    method: &Method::GET,
                    path: "/orders/7",
                    headers: &headers,
                    tenant,
                    bucket: 0,
                };
                decide(black_box(&config), visit).expect("served")
            });
        });
    }
}

fn headers(c: &mut Criterion) {
    let Scene { host, view, .. } = scene();
    let mut browser = RequestHeader::build("GET", b"/orders/7?page=2", Some(16)).expect("a request");
    for (name, value) in [
        ("host", "t1.connect.localhost"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36",
        ),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
        ("sec-fetch-mode", "navigate"),
        ("upgrade-insecure-requests", "1"),
        ("x-tenant-id", "spoofed"),
    ] {
        browser.insert_header(name, value).expect("a header");
    }
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let assertion = http::HeaderValue::from_static("header.claims.signature");
    let now = Clock::system().now();
    let lasting = Lasting::default();
    c.bench_function("headers, origin and contract", |b| {
        b.iter_batched(
            || browser.clone(),
            |mut request| {
                let origin = Origin::of(client, true, &request.headers, &[], now);
                let tenant = Identity { view: &view, via: Via::Subdomain, assertion: assertion.clone() };
                let contract = Contract {
                    origin: &origin,
                    peer: client,
                    host: &host,
                    port: 443,
                    tenant: Some(tenant),
                    span: 1,
                    host_header: None,
                    lasting: &lasting,
                    session_cookie: None,
                };
                apply_headers(&mut request, &contract).expect("applied");
                request
            },
            BatchSize::SmallInput,
        );
    });
}

fn assertions(c: &mut Criterion) {
    let Scene { host, view, .. } = scene();
    let clock = Clock::system();
    let assertions = Assertions::new("https://connect.localhost".into(), 10_000, clock.clone());
    let ring = Keyring::generate(clock.now()).expect("randomness");
    assertions.install(ring.clone());
    let pool: Arc<str> = Arc::from("app");
    let last = Last::default();
    c.bench_function("assertion, kept", |b| b.iter(|| assertions.header(&view, &pool, &host, &last).expect("a key")));
    c.bench_function("assertion, signed", |b| {
        b.iter_batched(
            // A pool of its own each time: nothing is kept for it.
            || Arc::<str>::from(uuid::Uuid::now_v7().to_string()),
            |pool| assertions.header(&view, &pool, &host, &last).expect("a key"),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, gates, headers, assertions);
criterion_main!(benches);
