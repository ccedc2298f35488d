//! Pools: protocols, verification, balance, keep-alive, and what happens when a backend does not do its part.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use tenantry::clock::Clock;
use tenantry::tls::LocalCa;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, get, h1, h2, h2_streaming, raw, request, send_h1, send_h2};
use crate::support::script::{Body, Script, full, read_head, streamed};
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";

/// A world whose one pool has these backends and these further settings.
pub async fn world(backends: &[std::net::SocketAddr], pool: &str) -> World {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = {:?}\n{pool}\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backends.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world
}

/// Says by which protocol and with which `Host` it was asked.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let version = format!("{:?}", request.version());
    let authority = request.uri().authority().map(ToString::to_string);
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned()).or(authority);
    let forwarded = request.headers()["x-forwarded-host"].clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let answer = Response::builder().header("x-version", version).header("x-host", host.unwrap());
    answer.header("x-forwarded", forwarded).body(full(body)).unwrap()
}

async fn post(world: &World, path: &str, body: &str) -> Answer {
    let ask = request(Method::POST, HOST, path).body(Full::from(body.to_owned())).unwrap();
    send_h2(&mut h2(world, HOST).await, ask).await
}

fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_of_a_backend_is_spoken() {
    let ca = LocalCa::create(Clock::system()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, ca.certificate()).unwrap();
    let tls = format!("protocol = \"tls\"\nserver_name = \"backend.internal\"\nca = \"{}\"", pem.display());
    for (backend, pool, version) in [
        (Script::http(echo).await, "", Version::HTTP_11),
        (Script::http(echo).await, "protocol = \"h2c\"", Version::HTTP_2),
        (Script::tls(&ca, "backend.internal", &["h2", "http/1.1"], echo).await, &tls, Version::HTTP_2),
        (Script::tls(&ca, "backend.internal", &["http/1.1"], echo).await, &tls, Version::HTTP_11),
        (Script::tls(&ca, "backend.internal", &[], echo).await, &tls, Version::HTTP_11),
    ] {
        let plain = world(&[backend.address], pool).await;
        let named = world(&[backend.address], &format!("{pool}\nhost_header = \"app.internal:81\"")).await;
        let authority = |world: &World| format!("{HOST}:{}", world.https().port());
        for (world, host) in [(&plain, authority(&plain)), (&named, "app.internal:81".into())] {
            let ask = || request(Method::PUT, HOST, "/x").body(Full::from("hello")).unwrap();
            for answer in
                [send_h1(&mut h1(world, HOST).await, ask()).await, send_h2(&mut h2(world, HOST).await, ask()).await]
            {
                assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"hello"[..]), "{pool}");
                assert_eq!((answer.header("x-version"), answer.header("x-host")), (&*format!("{version:?}"), &*host));
                assert_eq!(answer.header("x-forwarded"), authority(world));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_too_many_fields_is_502() {
    for (fields, status) in [(300, 200), (1025, 502), (20_000, 502)] {
        let backend = Script::http(move |_| async move {
            let mut answer = Response::new(full("ok"));
            for n in 0..fields {
                answer.headers_mut().append(HeaderName::try_from(format!("x-{n}")).unwrap(), n.into());
            }
            answer
        })
        .await;
        let world = world(&[backend.address], "protocol = \"h2c\"").await;
        let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        assert_eq!(send_h2(&mut h2(&world, HOST).await, ask).await.status, status, "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_backend_that_cannot_prove_itself_gets_nothing() {
    let (ca, stranger) = (LocalCa::create(Clock::system()).unwrap(), LocalCa::create(Clock::system()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, ca.certificate()).unwrap();
    let trusted = format!("ca = \"{}\"\n", pem.display());
    for (issuer, name, ca) in [
        (&ca, "other.internal", trusted.as_str()),
        (&stranger, "backend.internal", &trusted),
        // Without an authority of its own, a pool trusts the system's.
        (&ca, "backend.internal", ""),
    ] {
        let backend = Script::tls(issuer, name, &["h2", "http/1.1"], |_| async { Response::new(full("secret")) }).await;
        let pool = format!("protocol = \"tls\"\nserver_name = \"backend.internal\"\n{ca}");
        let world = world(&[backend.address], &pool).await;
        let answer = get(&world, HOST, "/").await;
        assert_eq!(outcome(&answer), (502, "upstream-failed".into()), "{name} {ca}");
        assert!(backend.accepted() >= 1);
    }
    // A pool that speaks TLS to a backend that does not.
    let backend = Script::http(echo).await;
    let world = world(&[backend.address], "protocol = \"tls\"\nserver_name = \"backend.internal\"").await;
    assert_eq!(outcome(&get(&world, HOST, "/").await), (502, "upstream-failed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_take_turns_and_connections_are_kept() {
    for protocol in ["h1", "h2c"] {
        let backends = [Script::http(echo).await, Script::http(echo).await, Script::http(echo).await];
        let addresses = backends.each_ref().map(|backend| backend.address);
        let world = world(&addresses, &format!("protocol = \"{protocol}\"")).await;
        let mut sender = h2(&world, HOST).await;
        for _ in 0..30 {
            let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
            assert_eq!(send_h2(&mut sender, ask).await.status, StatusCode::OK);
        }
        // Each has had its share, all of it over one connection.
        assert_eq!(backends.each_ref().map(Script::accepted), [1, 1, 1], "{protocol}");
    }
}

/// An address at which nothing listens.
async fn dead() -> std::net::SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A listener whose queue is full, so that connecting to it takes for ever.
struct Blackhole {
    address: std::net::SocketAddr,
    _listener: socket2::Socket,
    _queued: Vec<TcpStream>,
}

async fn blackhole() -> Blackhole {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream);
    }
    Blackhole { address, _listener: listener, _queued: queued }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_or_does_not_answer_is_named_by_status() {
    let world_of_dead = world(&[dead().await], "").await;
    let answer = get(&world_of_dead, HOST, "/").await;
    assert_eq!(outcome(&answer), (503, "upstream-unavailable".into()));
    assert_eq!((answer.header("retry-after"), answer.header("cache-control")), ("5", "no-store"));

    let full = blackhole().await;
    let world_of_full = world(&[full.address], "connect_timeout = \"200ms\"").await;
    assert_eq!(outcome(&get(&world_of_full, HOST, "/").await), (504, "upstream-timeout".into()));

    let silent = Script::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.read_u8().await;
    })
    .await;
    let world_of_silence = world(&[silent.address], "read_timeout = \"200ms\"").await;
    for method in [Method::GET, Method::POST] {
        let ask = request(method, HOST, "/").body(Full::default()).unwrap();
        let answer = send_h1(&mut h1(&world_of_silence, HOST).await, ask).await;
        assert_eq!(outcome(&answer), (504, "upstream-timeout".into()));
    }
    // Slowness is not retried: it would double the load of a backend that is already slow.
    assert_eq!(silent.accepted(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_timeout_ends_what_never_stops_trickling() {
    let trickle = Script::http(|_| async {
        let (bytes, body) = streamed();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while bytes.send(Frame::data("x".into())).await.is_ok() {
                tick.tick().await;
            }
        });
        Response::new(body)
    })
    .await;
    let world = world(&[trickle.address], "connect_timeout = \"100ms\"\ntotal_timeout = \"400ms\"").await;
    let started = Instant::now();
    let ask = request(Method::GET, HOST, "/").body(full("")).unwrap();
    let answer = h2_streaming(&world, HOST).await.send_request(ask).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.is_err(), "cut short, and not as if it were whole");
    assert!((Duration::from_millis(400)..Duration::from_secs(10)).contains(&started.elapsed()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_safe_to_repeat_is_tried_once_elsewhere() {
    let live = Script::http(echo).await;
    // Nothing was sent to a backend that is not there, so even a POST can go elsewhere.
    let world_of_one = world(&[dead().await, live.address], "").await;
    for n in 0..6 {
        assert_eq!(get(&world_of_one, HOST, "/").await.status, StatusCode::OK, "{n}");
        assert_eq!(post(&world_of_one, "/", "hello").await.body, "hello", "{n}");
    }
    let world_of_none = world(&[dead().await, dead().await, dead().await], "").await;
    assert_eq!(outcome(&get(&world_of_none, HOST, "/").await), (503, "upstream-unavailable".into()));

    // One that takes the request and dies may have acted on it.
    let dying = Script::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
    })
    .await;
    let world = world(&[dying.address, live.address], "").await;
    let mut refused = 0;
    for _ in 0..4 {
        assert_eq!(get(&world, HOST, "/").await.status, StatusCode::OK);
        let ask = request(Method::PUT, HOST, "/").body(Full::from("again")).unwrap();
        assert_eq!(send_h2(&mut h2(&world, HOST).await, ask).await.body, "again");
        // An odd number of requests a round, so that a POST meets both.
        let answer = post(&world, "/", "once").await;
        match answer.status {
            StatusCode::OK => assert_eq!(answer.body, "once"),
            _ => {
                assert_eq!(outcome(&answer), (502, "upstream-failed".into()));
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_a_backend_has_closed_meanwhile_is_no_failure() {
    let backend = Script::raw(|mut stream, _| async move {
        // Promises to stay, and leaves.
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let world = world(&[backend.address], "").await;
    for _ in 0..20 {
        assert_eq!(get(&world, HOST, "/").await.body, "ok");
    }
    assert_eq!(backend.accepted(), 20);
}

/// Whether an answer came to its end. One that breaks off at once may take its head with it.
async fn whole(answer: Result<Response<Incoming>, hyper::Error>) -> bool {
    match answer {
        Ok(answer) => answer.into_body().collect().await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n01234",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nzz\r\n",
    ] {
        let backend = Script::raw(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let world = world(&[backend.address], "").await;
        let ask = request(Method::GET, HOST, "/").body(full("")).unwrap();
        assert!(!whole(h2_streaming(&world, HOST).await.send_request(ask).await).await, "{answer}");
        let mut sender = h1(&world, HOST).await;
        let ask = Request::get("/").header("host", HOST).body(Full::<Bytes>::default()).unwrap();
        assert!(!whole(sender.send_request(ask).await).await, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_502() {
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "",
    ] {
        let backend = Script::raw(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let world = world(&[backend.address], "").await;
        let answered = post(&world, "/", "hello").await;
        assert_eq!(outcome(&answered), (502, "upstream-failed".into()), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_with_its_connection_is_passed_on_whole() {
    for version in ["1.0", "1.1"] {
        let backend = Script::raw(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(format!("HTTP/{version} 200 OK\r\nX-A: b\r\n\r\n").as_bytes()).await;
            let _ = stream.write_all("0123456789".repeat(10_000).as_bytes()).await;
        })
        .await;
        let world = world(&[backend.address], "").await;
        let answer = get(&world, HOST, "/").await;
        assert_eq!((answer.body.len(), answer.header("x-a")), (100_000, "b"));
        let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        assert_eq!(send_h1(&mut h1(&world, HOST).await, ask).await.body.len(), 100_000);
        for version in ["1.0", "1.1"] {
            let head = format!("GET / HTTP/{version}\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
            let answer = String::from_utf8(raw(&world, HOST, head.as_bytes()).await).unwrap();
            assert!(answer.matches("0123456789").count() == 10_000, "{version}: {}", answer.len());
            let chunked = answer.to_lowercase().contains("transfer-encoding");
            assert!(!(version == "1.0" && chunked), "HTTP/1.0 knows no chunks");
        }
    }
}
