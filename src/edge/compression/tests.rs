//! What is decided about an answer by its head, and what the head says afterwards.

use super::*;
use crate::config::{Config, Sources};

/// `[compression]` with these lines in it.
fn settings(lines: &str) -> Compression {
    let tenantry = format!("{SMALLEST}[compression]\n{lines}");
    let sources = Sources::new(
        tenantry,
        include_str!("../../../config/routing.toml"),
        include_str!("../../../config/plans.toml"),
    );
    Config::parse(&sources, &|_| None).unwrap_or_else(|faults| panic!("{faults}")).compression
}

const SMALLEST: &str = "[brand]\nbase = \"a.example\"\n[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:80\"\n\
    tls = false\n[store]\nurl = \"sqlite:t.db\"\nkey = \"env:KEY\"\n";

fn request(method: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build(method, b"/", None).unwrap();
    for (name, value) in headers {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn response(status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
    let mut response = ResponseHeader::build(status, None).unwrap();
    for (name, value) in headers {
        response.append_header(*name, *value).unwrap();
    }
    response
}

const GZIP: (&str, &str) = ("accept-encoding", "gzip");
const HTML: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");

/// The coding that an answer gets, and what it says that it varies by.
fn outcome(request: &RequestHeader, response: &mut ResponseHeader, shared: bool) -> (Option<Coding>, String) {
    let plan = plan(&settings(""), request, response, shared).unwrap();
    let vary = response.headers.get(header::VARY).map_or("", |value| value.to_str().unwrap());
    (plan.map(|plan| plan.coding), vary.to_owned())
}

#[test]
fn answers_that_must_stay_as_they_are_do() {
    for (status, headers) in [
        (206, vec![HTML]),
        (204, vec![HTML]),
        (304, vec![HTML]),
        (101, vec![HTML]),
        (200, vec![]),
        (200, vec![("content-type", "image/png")]),
        (200, vec![("content-type", "application/grpc+proto")]),
        (200, vec![("content-type", "text/event-stream")]),
        (200, vec![HTML, ("content-length", "1023")]),
        (200, vec![HTML, ("content-length", "0")]),
        (200, vec![HTML, ("content-encoding", "br")]),
        (200, vec![HTML, ("content-encoding", "identity")]),
        (200, vec![HTML, ("content-range", "bytes 0-9/20")]),
        (200, vec![HTML, ("repr-digest", "sha-256=:AA==:")]),
        (200, vec![HTML, ("cache-control", "public, No-Transform")]),
    ] {
        let mut response = response(status, &headers);
        assert_eq!(
            outcome(&request("GET", &[GZIP]), &mut response, false),
            (None, String::new()),
            "{status} {headers:?}"
        );
    }
    for status in [200, 201, 404, 500] {
        let mut response = response(status, &[HTML, ("content-length", "1024")]);
        let expected = (Some(Coding::Gzip), "accept-encoding".to_owned());
        assert_eq!(outcome(&request("GET", &[GZIP]), &mut response, false), expected, "{status}");
    }
}

#[test]
fn a_plain_answer_that_could_be_compressed_says_what_it_depends_on() {
    let cookie = ("cookie", "session=1");
    let cross = ("sec-fetch-site", "cross-site");
    for (headers, shared, coding) in [
        (vec![], false, None),
        (vec![("accept-encoding", "gzip;q=0")], false, None),
        (vec![GZIP, ("cache-control", "no-transform")], false, None),
        (vec![GZIP, cookie, cross], false, None),
        (vec![GZIP, cookie, ("sec-fetch-site", "same-site")], false, None),
        (vec![GZIP, cookie, ("sec-fetch-site", "same-origin")], false, Some(Coding::Gzip)),
        (vec![GZIP, cookie, ("sec-fetch-site", "none")], false, Some(Coding::Gzip)),
        (vec![GZIP, cookie, cross, ("sec-fetch-user", "?1")], false, Some(Coding::Gzip)),
        (vec![GZIP, cookie, cross], true, Some(Coding::Gzip)),
        (vec![GZIP, cross], false, Some(Coding::Gzip)),
        (vec![GZIP, cookie], false, Some(Coding::Gzip)),
    ] {
        let mut response = response(200, &[HTML]);
        let expected = (coding, "accept-encoding".to_owned());
        assert_eq!(outcome(&request("GET", &headers), &mut response, shared), expected, "{headers:?}");
    }
    let mut old = request("GET", &[GZIP]);
    old.set_version(Version::HTTP_10);
    assert_eq!(outcome(&old, &mut response(200, &[HTML]), false).0, None, "it knows no chunks");
}

#[test]
fn a_heads_answer_says_what_gets_would() {
    let mut heads = Vec::new();
    for method in ["GET", "HEAD"] {
        let mut answer =
            response(200, &[HTML, ("content-length", "2000"), ("etag", "\"a\""), ("accept-ranges", "bytes")]);
        let plan = plan(&settings(""), &request(method, &[GZIP]), &mut answer, false).unwrap().unwrap();
        let mut headers = answer.headers.clone();
        announce(&mut headers, plan);
        headers.remove(header::TRANSFER_ENCODING);
        heads.push(headers);
    }
    assert_eq!(heads[0], heads[1]);
    assert_eq!(heads[0][header::ETAG], "W/\"a\"");
    assert_eq!(heads[0][header::CONTENT_ENCODING], "gzip");
    assert!(!heads[0].contains_key(header::CONTENT_LENGTH) && !heads[0].contains_key(header::ACCEPT_RANGES));
}

#[test]
fn a_304_confirms_the_tag_that_the_visitor_has() {
    for (asked, tag, confirmed) in [
        ("W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"b\", W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"a\"", "\"a\"", "\"a\""),
        ("W/\"b\"", "\"a\"", "\"a\""),
        ("W/\"a\"", "W/\"a\"", "W/\"a\""),
    ] {
        let mut answer = response(304, &[("etag", tag)]);
        plan(&settings(""), &request("GET", &[GZIP, ("if-none-match", asked)]), &mut answer, false).unwrap();
        assert_eq!(answer.headers[header::ETAG], confirmed, "{asked} {tag}");
    }
}

#[test]
fn settings_count() {
    let mut answer = response(200, &[("content-type", "image/png"), ("content-length", "10")]);
    let asked = request("GET", &[("accept-encoding", "gzip, br, zstd")]);
    let own = settings("types = [\"image/*\"]\nmin_bytes = \"10B\"\nalgorithms = [\"br\"]\nbrotli_level = 9\n");
    let planned = plan(&own, &asked, &mut answer, false).unwrap().unwrap();
    assert_eq!(planned, Plan { coding: Coding::Brotli, level: 9, length: Some(10), head_only: false, most: 256 });
    assert_eq!(plan(&settings("enabled = false"), &asked, &mut response(200, &[HTML]), false).unwrap(), None);
}

#[tokio::test]
async fn no_more_answers_are_under_compression_than_may_be() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let shared = Arc::new(Shared::new(&metrics));
    let begin = async || {
        let mut compressor = Compressor { state: State::Asleep, shared: Arc::clone(&shared) };
        let mut answer = response(200, &[HTML]);
        let planned = plan(&settings("most_at_once = 2"), &request("GET", &[GZIP]), &mut answer, false).unwrap();
        compressor.state = planned.map_or(State::Asleep, State::Planned);
        compressor.response_header_filter(&mut answer, false).await.unwrap();
        assert_eq!(answer.headers["vary"], "accept-encoding");
        (compressor, answer.headers.contains_key("content-encoding"))
    };
    let (mut one, first) = begin().await;
    let (two, second) = begin().await;
    let (mut plain, third) = begin().await;
    assert_eq!((first, second, third), (true, true, false));
    let mut body = Some(Bytes::from_static(b"as it is"));
    plain.response_body_filter(&mut body, true).unwrap();
    assert_eq!(body.as_deref(), Some(&b"as it is"[..]));
    assert_eq!(metrics.compression_skipped.get(), 1);
    // One ends, one is cut off: both leave room.
    one.response_body_filter(&mut Some(Bytes::from_static(b"the end")), true).unwrap();
    drop(two);
    let again = (begin().await, begin().await);
    assert!(again.0.1 && again.1.1);
    assert_eq!(shared.under_way.load(Ordering::Acquire), 2);
}
