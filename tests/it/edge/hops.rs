//! What belongs to one hop stays on it, both ways; cookies and HSTS that would reach further than the tenant's host do
//! not get there.

use http::{Method, Request, Response};
use http_body_util::Full;
use tokio::io::AsyncWriteExt;

use super::forwarding::world;
use crate::support::client::{get, h1, h2, raw, request, send_h1, send_h2};
use crate::support::script::{Script, full, read_head};
use crate::support::world::{BASE, World};

const HOST: &str = "acme.connect.localhost";

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_hop_by_hop_headers_end_here() {
    let world = World::start().await;
    world.tenant("acme", "free").await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\
         X-Kept: 1\r\nAccept: a\r\nAccept: b\r\nAuthorization: Bearer x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    let answer = String::from_utf8(raw(&world, HOST, head.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = world.backend.take().remove(0);
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "http2-settings"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!((seen.header("x-kept"), seen.header("authorization")), (Some("1"), Some("Bearer x")));
    let accepts: Vec<_> = seen.headers.get_all("accept").iter().collect();
    assert_eq!(accepts, ["a", "b"]);
    assert_eq!(seen.body, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookie_crumbs_are_joined_for_http_1() {
    let world = World::start().await;
    world.tenant("acme", "free").await;
    let ask = request(Method::GET, HOST, "/").header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3");
    send_h2(&mut h2(&world, HOST).await, ask.body(Full::default()).unwrap()).await;
    let seen = world.backend.take().remove(0);
    let cookies: Vec<_> = seen.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_hop_by_hop_headers_and_wide_cookies_end_here() {
    let backend = Script::http(|_| async {
        Response::builder()
            .header("connection", "X-Hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-request-id", "the backend's own")
            .header("strict-transport-security", "max-age=1; includeSubDomains; preload")
            .header("set-cookie", "own=1; Path=/; HttpOnly")
            .header("set-cookie", format!("wide=1; Domain={BASE}"))
            .header("set-cookie", format!("mine=1; Domain={HOST}"))
            .header("set-cookie", "wider=1; domain=.LOCALHOST")
            .body(full("ok"))
            .unwrap()
    })
    .await;
    let world = world(&[backend.address], "").await;
    let ask = || request(Method::GET, HOST, "/").body(Full::default()).unwrap();
    for answer in [send_h1(&mut h1(&world, HOST).await, ask()).await, send_h2(&mut h2(&world, HOST).await, ask()).await]
    {
        for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
            assert!(!answer.headers.contains_key(name), "{name}");
        }
        assert_ne!(answer.header("x-request-id"), "the backend's own");
        assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
        assert_eq!(cookies, ["own=1; Path=/; HttpOnly", "mine=1; Domain=acme.connect.localhost"]);
    }
    assert_eq!(world.running.metrics().cookies_dropped.get(), 4);
}

/// RFC 8297 and RFC 9112 §4: hints pass without what was for the hop alone, and the final answer keeps the phrase that its
/// backend gave it.
#[tokio::test(flavor = "multi_thread")]
async fn early_hints_are_cleaned_and_a_reason_phrase_stays() {
    let backend = Script::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
                     Set-Cookie: wide=1; Domain=connect.localhost\r\n\r\n";
        let last = "HTTP/1.1 404 Gone Fishing\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 2\r\n\r\nok";
        let _ = stream.write_all(hints.as_bytes()).await;
        let _ = stream.write_all(last.as_bytes()).await;
    })
    .await;
    let world = world(&[backend.address], "").await;
    let ask = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(raw(&world, HOST, ask.as_bytes()).await).unwrap();
    let (hints, last) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload");
    assert!(last.starts_with("HTTP/1.1 404 Gone Fishing\r\n") && last.ends_with("\r\n\r\nok"), "{last}");
    assert!(last.contains("x-request-id: ") && !last.contains("x-hop"), "{last}");
}

/// What the visitor of a host is told about HSTS.
async fn hsts(settings: &str, backends_own: Option<&'static str>) -> [String; 3] {
    let backend = Script::http(move |_: Request<_>| async move {
        let mut answer = Response::builder();
        if let Some(own) = backends_own {
            answer = answer.header("strict-transport-security", own);
        }
        answer.body(full("ok")).unwrap()
    })
    .await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let world = World::builder().settings(settings).routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "community.acme.example").await;
    let mut told = [HOST, "community.acme.example", BASE].map(str::to_owned);
    for host in &mut told {
        let answer = get(&world, host, "/").await;
        assert!(answer.headers.get_all("strict-transport-security").iter().count() <= 1);
        *host = answer.header("strict-transport-security").to_owned();
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn hsts_speaks_for_the_host_alone() {
    let wides = "max-age=1; includeSubDomains; preload";
    let wide = Some(wides);
    let half_a_year = "max-age=15552000";
    assert_eq!(hsts("", None).await, [half_a_year, half_a_year, ""]);
    // What the application behind the main site says is the operator's own affair.
    assert_eq!(hsts("", wide).await, [half_a_year, half_a_year, wides]);
    let day = "[tenancy]\nhsts = \"1d\"\n";
    assert_eq!(hsts(day, wide).await, ["max-age=86400", "max-age=86400", wides]);
    let off = "[tenancy]\nhsts = \"off\"\n";
    assert_eq!(hsts(off, None).await, ["", "", ""]);
    assert_eq!(hsts(off, wide).await[1], "", "never on a customer's own domain");
}
