//! What is a head and what is none, byte by byte.

use proptest::prelude::*;

use super::*;

const BYTES: usize = 4096;
const FIELDS: usize = 20;

fn verdict(head: &[u8]) -> Result<Option<Head>, HeadFault> {
    Scan::default().feed(head, BYTES, FIELDS)
}

/// The same, with the bytes arriving in pieces of these sizes.
fn in_pieces(head: &[u8], sizes: &[usize]) -> Result<Option<Head>, HeadFault> {
    let (mut scan, mut end, mut sizes) = (Scan::default(), 0, sizes.iter().cycle());
    while end < head.len() {
        end = (end + sizes.next().copied().unwrap_or(1)).min(head.len());
        match scan.feed(&head[..end], BYTES, FIELDS) {
            Ok(None) => {}
            done => return done,
        }
    }
    Ok(None)
}

const SOUND: &[(&str, Framing)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None),
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None),
    ("GET /a?b=c|d{} HTTP/1.0\r\nhost:a\r\n\r\n", Framing::None),
    ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None),
    ("GET http://a:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", Framing::None),
    ("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None),
    ("GET / HTTP/1.1\r\nHost: b\u{fc}cher.example\r\nX: \u{fc}\tz\r\n\r\n", Framing::None),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Framing::None),
    ("POST / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH:  007\t\r\n\r\n", Framing::Length(7)),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked),
];

#[test]
fn sound_heads_pass_with_their_framing() {
    for (head, framing) in SOUND {
        let found = verdict(head.as_bytes()).unwrap().unwrap();
        assert_eq!((found.end, found.framing), (head.len(), *framing), "{head:?}");
    }
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    assert!(verdict(upgrade.as_bytes()).unwrap().unwrap().websocket);
}

#[test]
fn limits_are_exact() {
    let head = |fields: usize, pad: usize| {
        let fields: String = (1..fields).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", "a".repeat(pad))
    };
    assert!(verdict(head(FIELDS, 1).as_bytes()).is_ok());
    assert_eq!(verdict(head(FIELDS + 1, 1).as_bytes()), Err(HeadFault::TooManyHeaders));
    let pad = BYTES - head(1, 0).len();
    assert!(verdict(head(1, pad).as_bytes()).unwrap().is_some());
    assert_eq!(verdict(head(1, pad + 1).as_bytes()), Err(HeadFault::TooLarge));
    assert_eq!(verdict("GET /".repeat(1000).as_bytes()), Err(HeadFault::TooLarge));
}

#[test]
fn a_target_that_passes_is_one_that_pingora_takes_as_it_is() {
    for byte in 0..=255u8 {
        let mut head = b"GET /a?".to_vec();
        head.push(byte);
        head.extend(b" HTTP/1.1\r\nHost: a\r\n\r\n");
        if verdict(&head).is_ok_and(|head| head.is_some()) {
            let target = [b'/', b'a', b'?', byte];
            let path = [b'/', byte];
            for target in [&target[..], &path] {
                let header = pingora_http::RequestHeader::build("GET", target, None).unwrap();
                assert_eq!(header.raw_path(), target);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_verdict_does_not_depend_on_how_the_bytes_arrive(
        lines in proptest::collection::vec(prop_oneof![
            Just("GET / HTTP/1.1".to_owned()), Just("Host: a".to_owned()), Just(String::new()),
            Just("Content-Length: 5".to_owned()), "[ -~\t]{0,30}", "[A-Za-z-]{1,12}: [ -~]{0,20}", "\\PC{0,4}",
        ], 0..26),
        ends in proptest::collection::vec(prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")], 26),
        sizes in proptest::collection::vec(1usize..40, 1..10), sound in any::<bool>(),
    ) {
        let mut head: String = if sound { "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() } else { String::new() };
        for (line, end) in lines.iter().zip(&ends) {
            head.push_str(line);
            head.push_str(end);
        }
        let whole = verdict(head.as_bytes());
        prop_assert_eq!(whole, in_pieces(head.as_bytes(), &sizes));
        prop_assert_eq!(whole, in_pieces(head.as_bytes(), &[1]));
    }
}

#[test]
fn sound_heads_pass_however_they_are_cut() {
    for (head, _) in SOUND {
        for size in 1..head.len() {
            assert_eq!(verdict(head.as_bytes()), in_pieces(head.as_bytes(), &[size]), "{head:?} by {size}");
        }
    }
}
