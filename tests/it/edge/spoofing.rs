//! What a client says about itself does not reach backends as our word: two hundred spellings of our headers, in heads
//! and trailers, over both protocols; and whose word about the way here is believed.

use std::collections::BTreeSet;

use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::support::backend::Seen;
use crate::support::client::{self, Answer, get_with, h2_streaming, raw, request, send_h2};
use crate::support::script::Body;
use crate::support::world::World;

/// The eight headers that only the edge may set (design.md, *The header contract*).
const OURS: [&str; 8] = ["id", "slug", "plan", "status", "features", "host", "via", "assertion"];

const ROUTING: &str = r#"
[[pool]]
name = "app"
backends = ["${BACKEND}"]

[[pool]]
name = "grpc"
backends = ["${BACKEND}"]
protocol = "h2c"

[[route]]
name = "grpc"
host = "any"
path_prefix = "/h2c"
pool = "grpc"

[[route]]
name = "everything-else"
host = "any"
pool = "app"
"#;

async fn world(settings: &str) -> World {
    let world = World::builder().settings(settings).routing(ROUTING).start().await;
    world.tenant("acme", "growth").await;
    world
}

/// Every way to write the dashes of our eight names and some more, in several cases: lowercase first.
fn spellings() -> Vec<String> {
    let mut names = BTreeSet::new();
    for own in OURS.into_iter().chain(["anything", "", "id-", "id-2"]) {
        for first in ['-', '_', '.'] {
            for second in ['-', '_', '.'] {
                let lower = format!("x{first}tenant{second}{own}");
                let title = format!("X{first}Tenant{second}{}", own.to_uppercase());
                names.extend([lower.to_uppercase(), title, lower]);
            }
        }
    }
    // Lowercase sorts last.
    names.into_iter().rev().collect()
}

/// Of everything that a backend could read as `X-Tenant-*`, there is exactly ours, once and intact.
fn assert_ours(seen: &Seen, host: &str) {
    let folded = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    let mut names: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| folded(name.as_str()).starts_with("x-tenant"))
        .map(|(name, value)| {
            assert!(!value.to_str().unwrap().contains("forged"), "{name}: {value:?}");
            name.as_str().to_owned()
        })
        .collect();
    names.sort();
    let mut expected = OURS.map(|own| format!("x-tenant-{own}"));
    expected.sort();
    assert_eq!(names, expected);
    for (name, value) in
        [("slug", "acme"), ("plan", "growth"), ("status", "active"), ("host", host), ("via", "subdomain")]
    {
        assert_eq!(seen.header(&format!("x-tenant-{name}")), Some(value));
    }
    assert_eq!(seen.header("x-tenant-features"), Some("catch_up_ai,csv_export,custom_domain,embed_sdk"));
    if let Some(trailers) = &seen.trailers {
        assert!(!trailers.keys().any(|name| folded(name.as_str()).starts_with("x-tenant")), "{trailers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_tenant_header_passes_over_http_1() {
    let world = world("").await;
    let host = world.host("acme");
    let names = spellings();
    assert!(names.len() >= 200, "{}", names.len());
    for path in ["/h1", "/h2c"] {
        for names in names.chunks(30) {
            let fields: String =
                names.iter().map(|name| format!("{name}: forged\r\n{name}: forged, forged\r\n")).collect();
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
            let answer = String::from_utf8(raw(&world, &host, head.as_bytes()).await).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert_ours(&world.backend.take()[0], &host);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_tenant_header_passes_over_http_2() {
    let world = world("").await;
    let host = world.host("acme");
    let names: Vec<String> = spellings().into_iter().filter(|name| *name == name.to_lowercase()).collect();
    assert!(names.len() >= 80, "{}", names.len());
    let mut sender = client::h2(&world, &host).await;
    for path in ["/h1", "/h2c"] {
        for names in names.chunks(30) {
            let mut builder = request(Method::GET, &host, path);
            for name in names {
                builder = builder.header(name, "forged").header(name, "forged, forged");
            }
            let answer = send_h2(&mut sender, builder.body(Default::default()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::OK);
            let seen = world.backend.take().remove(0);
            assert_ours(&seen, &host);
            assert_eq!(seen.version, if path == "/h2c" { Version::HTTP_2 } else { Version::HTTP_11 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_have_our_headers_removed() {
    let world = world("").await;
    let host = world.host("acme");
    let ours = OURS.map(|own| format!("x-tenant-{own}")).join(", ");
    for nominated in [
        ours.as_str(),
        "close, X-TENANT-ID",
        "x_tenant_id",
        "x-request-id, forwarded, x-forwarded-port, content-length, te",
    ] {
        for path in ["/h1", "/h2c"] {
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nConnection: {nominated}\r\n\
                 X-Tenant-Id: forged\r\nx_tenant_id: forged\r\n\r\n"
            );
            let answer = String::from_utf8(raw(&world, &host, head.as_bytes()).await).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{nominated}: {answer}");
            let seen = world.backend.take().remove(0);
            assert_ours(&seen, &host);
            for name in ["x-request-id", "forwarded", "x-forwarded-for", "x-forwarded-port"] {
                assert!(seen.header(name).is_some(), "{nominated}: {name}");
            }
        }
    }
    // What would take the request's own addressing away is refused outright.
    for nominated in ["host", "X-Forwarded-For", "keep-alive, x-forwarded-proto", ":authority", "\"x-tenant-id\""] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: {nominated}\r\n\r\n");
        let answer = String::from_utf8(raw(&world, &host, head.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{nominated}: {answer}");
        assert!(answer.contains("a header field of it is not allowed"), "{nominated}: {answer}");
    }
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_carry_nothing_of_ours() {
    let world = world("").await;
    let host = world.host("acme");
    for path in ["/h1", "/h2c"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTE: trailers\r\nTrailer: X-Tenant-Id, x_tenant_slug\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Tenant-Id: forged\r\nx_tenant_slug: forged\r\nDigest: kept?\r\n\r\n"
        );
        let answer = String::from_utf8(raw(&world, &host, head.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let seen = world.backend.take().remove(0);
        assert_eq!(seen.body, "hello");
        assert_ours(&seen, &host);

        let mut sender = h2_streaming(&world, &host).await;
        let trailers: HeaderMap = ["x-tenant-id", "x_tenant_slug", "x.tenant.plan", "x-forwarded-for"]
            .into_iter()
            .map(|name| (name.parse().unwrap(), "forged".parse().unwrap()))
            .collect();
        let frames = [Frame::data("hello".into()), Frame::trailers(trailers)].map(Ok);
        let body: Body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        let response = sender.send_request(request(Method::POST, &host, path).body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let seen = world.backend.take().remove(0);
        assert_eq!(seen.body, "hello");
        assert_ours(&seen, &host);
        assert!(seen.trailers.is_none_or(|trailers| !trailers.contains_key("x-forwarded-for")));
    }
}

/// What a client could say about the way that its request took.
const CLAIMS: [(&str, &str); 14] = [
    ("x-forwarded-for", "198.51.100.1, 127.0.0.9"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "forged.example"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-prefix", "/forged"),
    ("x-forwarded-server", "forged"),
    ("x_forwarded_for", "198.51.100.1"),
    ("x.forwarded.host", "forged.example"),
    ("x-real-ip", "198.51.100.1"),
    ("forwarded", "for=198.51.100.1;host=forged.example"),
    ("x-request-id", "forged"),
    ("x_request_id", "forged"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "forged=1"),
];

async fn claim(world: &World, claims: &[(&str, &str)]) -> (Answer, Seen) {
    let answer = get_with(world, &world.host("acme"), "/", claims).await;
    (answer, world.backend.take().remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_about_its_way_is_not_passed_on() {
    let world = world("").await;
    let host = world.host("acme");
    let (answer, seen) = claim(&world, &CLAIMS).await;
    assert_eq!(answer.status, StatusCode::OK);
    for (name, value) in &seen.headers {
        let value = value.to_str().unwrap();
        assert!(!value.contains("forged") && !value.contains("198.51.100.1"), "{name}: {value}");
        assert!(!name.as_str().contains(['_', '.']), "{name}");
    }
    let port = world.https().port();
    let authority = format!("{host}:{port}");
    for (name, value) in [
        ("host", authority.as_str()),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", &authority),
        ("x-forwarded-port", &port.to_string()),
        ("forwarded", &format!("for=127.0.0.1;host={host};proto=https")),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.header("x-request-id"), Some(answer.header("x-request-id")));
    // Where spans are not sent no trace begins, and a stranger's is none.
    for name in ["x-real-ip", "traceparent", "tracestate", "x-forwarded-prefix", "x-forwarded-server"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed_and_its_list_is_read_from_the_right() {
    let world = world("[headers]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n").await;
    let (answer, seen) = claim(
        &world,
        &[
            ("x-forwarded-for", "203.0.113.66"),
            ("x-forwarded-for", "198.51.100.1, 10.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "proxy-7"),
            ("traceparent", CLAIMS[12].1),
            ("tracestate", "vendor=1"),
            ("x-tenant-id", "forged"),
            ("x_forwarded_for", "198.51.100.9"),
            ("x-forwarded-prefix", "/app"),
            ("x_forwarded_prefix", "/forged"),
        ],
    )
    .await;
    assert_eq!(answer.header("x-request-id"), "proxy-7");
    let host = world.host("acme");
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.66, 198.51.100.1, 10.1.1.1, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-port", "443"),
        ("x-request-id", "proxy-7"),
        ("tracestate", "vendor=1"),
        ("x-forwarded-prefix", "/app"),
        ("forwarded", &format!("for=198.51.100.1;host={host};proto=https")),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    // The trace goes on, and beneath a span of the edge's own.
    let traceparent = seen.header("traceparent").unwrap();
    assert!(traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && traceparent.ends_with("-01"));
    assert!(!traceparent.contains("b7ad6b7169203331"), "{traceparent}");
    assert!(!seen.headers.contains_key("x_forwarded_for") && !seen.headers.contains_key("x_forwarded_prefix"));
    assert_ours(&seen, &host);
}

/// What is told alike with all requests of a connection is told of those alone whom it fits.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_of_each_request_is_told_whoever_used_its_connection_before() {
    let world = world("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
    world.tenant("beta", "growth").await;
    let mut proxy = client::h1_plain(&world).await;
    for (slug, visitor) in [("acme", "198.51.100.1"), ("beta", "198.51.100.2"), ("acme", "198.51.100.3")] {
        let host = world.host(slug);
        let ask = http::Request::builder().uri("/").header("host", &host).header("x-forwarded-proto", "https");
        let ask = ask.header("x-forwarded-for", visitor).body(Default::default()).unwrap();
        proxy.ready().await.unwrap();
        assert_eq!(client::collect(proxy.send_request(ask).await.unwrap()).await.status, StatusCode::OK);
        let seen = world.backend.take().pop().unwrap();
        for (name, value) in [
            ("x-forwarded-for", format!("{visitor}, 127.0.0.1")),
            ("x-forwarded-host", host.clone()),
            ("host", host.clone()),
            ("x-tenant-slug", slug.to_owned()),
            ("forwarded", format!("for={visitor};host={host};proto=https")),
        ] {
            assert_eq!(seen.header(name), Some(&*value), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_that_speaks_tls_for_us_is_served_in_the_clear() {
    let world = world("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
    let host = world.host("acme");
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\r\n");
    let answer = String::from_utf8(client::raw_plain(world.http(), head.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(world.backend.take()[0].header("x-forwarded-proto"), Some("https"));
    // Whoever came to it in the clear is sent to TLS.
    let head = head.replace("https", "http");
    let answer = String::from_utf8(client::raw_plain(world.http(), head.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(world.backend.take().is_empty());
}
