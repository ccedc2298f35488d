//! Compression as real clients see it: curl's own decoders, both protocols on both sides, and what has to stay as it is.

use std::io::Read;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Frame, Incoming};
use tokio::process::Command;

use super::ask;
use crate::support::client::{Answer, get_with};
use crate::support::script::{Body, Script, full, streamed};
use crate::support::world::World;

const ALL: (&str, &str) = ("accept-encoding", "gzip, deflate, br, zstd");

/// Words that compress well, and differ from place to place.
pub(super) fn text(lines: usize) -> String {
    (0..lines).map(|number| format!("line {number} of many that say much the same\n")).collect()
}

pub(super) fn decode(coding: &str, coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain).unwrap(),
        "br" => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain).unwrap(),
        "zstd" => zstd::Decoder::new(coded).unwrap().read_to_end(&mut plain).unwrap(),
        _ => coded.to_vec().as_slice().read_to_end(&mut plain).unwrap(),
    };
    plain
}

/// Answers by path: `/<name>` with the head and body that the name stands for.
async fn backend(request: Request<Incoming>) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let builder = Response::builder().header("content-type", "text/plain").header("etag", "\"one\"");
    let builder = builder.header("accept-ranges", "bytes");
    let body = text(1000);
    match request.uri().path() {
        "/304" => Response::builder().status(304).header("etag", "\"one\"").body(full("")).unwrap(),
        "/206" => {
            let range = builder.status(206).header("content-range", format!("bytes 0-4/{}", body.len()));
            range.body(full("line ")).unwrap()
        }
        "/png" => Response::builder().header("content-type", "image/png").body(full(body)).unwrap(),
        "/small" => builder.body(full("small")).unwrap(),
        "/empty" => builder.status(200).body(full("")).unwrap(),
        "/204" => Response::builder().status(204).body(full("")).unwrap(),
        "/no-transform" => builder.header("cache-control", "no-transform").body(full(body)).unwrap(),
        "/coded" => builder.header("content-encoding", "br").body(full(body)).unwrap(),
        "/chunked" | "/trailers" if !head => {
            let trailers = request.uri().path() == "/trailers";
            let (sender, stream) = streamed();
            tokio::spawn(async move {
                for piece in body.as_bytes().chunks(3000) {
                    let _ = sender.send(Frame::data(Bytes::copy_from_slice(piece))).await;
                }
                if trailers {
                    let sum = http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
                    let _ = sender.send(Frame::trailers(sum)).await;
                }
            });
            builder.body(stream).unwrap()
        }
        _ => builder.header("content-length", body.len()).body(if head { full("") } else { full(body) }).unwrap(),
    }
}

async fn world(protocol: &str, more: &str) -> (World, Script) {
    let script = Script::http(backend).await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\nprotocol = \"{protocol}\"\n\
         [[route]]\nname = \"raw\"\nhost = \"any\"\npath = \"/raw\"\npool = \"app\"\ncompress = false\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        script.address
    );
    let world = World::builder().routing(&routing).settings(more).start().await;
    world.tenant("acme", "growth").await;
    (world, script)
}

fn coding(answer: &Answer) -> &str {
    answer.header("content-encoding")
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_arrive_whole_in_every_coding_over_every_protocol() {
    let expected = text(1000);
    for protocol in ["h1", "h2c"] {
        let (world, _script) = world(protocol, "").await;
        let host = world.host("acme");
        for path in ["/", "/chunked", "/trailers"] {
            for (accept, expected_coding) in
                [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), (ALL.1, "zstd"), ("", "")]
            {
                for h2 in [false, true] {
                    let answer = ask(&world, h2, Method::GET, &host, path, &[("accept-encoding", accept)]).await;
                    let what = format!("{protocol} {path} {accept} h2: {h2}");
                    assert_eq!((answer.status, coding(&answer)), (StatusCode::OK, expected_coding), "{what}");
                    assert_eq!(answer.header("vary"), "accept-encoding", "{what}");
                    let plain = decode(expected_coding, &answer.body);
                    assert!(plain == expected.as_bytes(), "{what}: {} bytes of {}", plain.len(), expected.len());
                    if !accept.is_empty() {
                        assert!(answer.body.len() * 5 < expected.len(), "{what}: {}", answer.body.len());
                        assert_eq!(
                            (answer.header("etag"), answer.header("accept-ranges")),
                            ("W/\"one\"", ""),
                            "{what}"
                        );
                        assert_eq!(answer.header("content-length"), "", "{what}");
                    }
                }
            }
        }
        let metrics = world.running.metrics().render();
        let counted = |direction: &str| {
            let line = format!("tenantry_compression_bytes_total{{algorithm=\"br\",direction=\"{direction}\"}} ");
            let at = metrics.find(&line).unwrap_or_else(|| panic!("{metrics}")) + line.len();
            metrics[at..].split_whitespace().next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(counted("in"), expected.len() * 6);
        assert!(counted("out") * 5 < counted("in"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_stay_as_it_is_does() {
    for protocol in ["h1", "h2c"] {
        let (world, _script) = world(protocol, "").await;
        let host = world.host("acme");
        let go = async |path: &str| get_with(&world, &host, path, &[ALL]).await;
        for path in ["/206", "/png", "/small", "/204", "/no-transform", "/raw"] {
            let answer = go(path).await;
            assert_eq!((coding(&answer), answer.header("vary")), ("", ""), "{protocol} {path}");
            if path == "/206" {
                assert_eq!((answer.header("etag"), answer.body.as_ref()), ("\"one\"", &b"line "[..]));
            }
        }
        let empty = go("/empty").await;
        assert_eq!((coding(&empty), empty.body.len()), ("", 0), "{protocol}");
        let coded = go("/coded").await;
        assert_eq!((coding(&coded), coded.body.as_ref()), ("br", text(1000).as_bytes()), "whatever it is");
        for h2 in [false, true] {
            let get = ask(&world, h2, Method::GET, &host, "/", &[ALL]).await;
            let head = ask(&world, h2, Method::HEAD, &host, "/", &[ALL]).await;
            let names = ["content-encoding", "etag", "vary", "accept-ranges", "content-length", "content-type"];
            for name in names {
                assert_eq!(head.header(name), get.header(name), "{protocol} {name} h2: {h2}");
            }
            assert!(head.body.is_empty());
            let fresh = ask(&world, h2, Method::GET, &host, "/304", &[ALL, ("if-none-match", "W/\"one\"")]).await;
            assert_eq!((fresh.status, fresh.header("etag")), (StatusCode::NOT_MODIFIED, "W/\"one\""));
        }
        let mut h1 = crate::support::client::h1(&world, &host).await;
        for path in ["/", "/304", "/empty", "/chunked", "/204", "/"] {
            let get = crate::support::client::request(Method::GET, &host, path).header(ALL.0, ALL.1);
            let get = get.body(http_body_util::Full::default()).unwrap();
            let answer = crate::support::client::send_h1(&mut h1, get).await;
            assert!(answer.status.as_u16() < 400, "{protocol} {path}: one connection serves them all");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_it_and_settings_count() {
    let (world, _script) = world("h1", "").await;
    let host = world.host("acme");
    let certificate = world.dir.path().join("ca.pem");
    std::fs::write(&certificate, world.ca.certificate()).unwrap();
    for (accept, version) in [("gzip", "--http1.1"), ("br", "--http2"), ("zstd", "--http2"), ("zstd", "--http1.1")] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--compressed", version, "--cacert"])
            .arg(&certificate)
            .args(["--resolve", &format!("{host}:{}:127.0.0.1", world.https().port())])
            .args(["--header", &format!("Accept-Encoding: {accept}")])
            .arg(format!("https://{host}:{}/chunked", world.https().port()))
            .output();
        let output = output.await.unwrap();
        assert!(output.status.success(), "{accept}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == text(1000).as_bytes(), "{accept} {version}");
    }
    let old = "GET /chunked HTTP/1.0\r\nHost: HOST\r\nAccept-Encoding: gzip\r\n\r\n".replace("HOST", &host);
    let old = crate::support::client::raw(&world, &host, old.as_bytes()).await;
    let old = String::from_utf8(old).expect("plain text");
    assert!(old.ends_with(&text(1000)) && !old.contains("content-encoding"), "HTTP/1.0 gets it plain");

    let (off, _script) = self::world("h1", "[compression]\nenabled = false\n").await;
    assert_eq!(coding(&get_with(&off, &host, "/", &[ALL]).await), "");
    let lines =
        "[compression]\nalgorithms = [\"gzip\", \"br\"]\ntypes = [\"image/png\", \"text/*\"]\nmin_bytes = \"1B\"\n";
    let (own, _script) = self::world("h1", lines).await;
    for (path, expected) in [("/png", "gzip"), ("/small", "gzip"), ("/", "gzip")] {
        assert_eq!(coding(&get_with(&own, &host, path, &[ALL]).await), expected, "{path}");
    }
    assert_eq!(coding(&get_with(&own, &host, "/", &[("accept-encoding", "zstd")]).await), "");
}
