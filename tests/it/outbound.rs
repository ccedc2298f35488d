//! HTTP to configured addresses: every exchange ends, every answer is bounded.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tempfile::TempDir;
use tenantry::outbound::{Https, HttpsError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::pebble::Pebble;
use crate::support::program::port;

const SECOND: Duration = Duration::from_secs(1);

async fn get(https: &Https, uri: &str) -> Result<Response<Bytes>, HttpsError> {
    https.request(Request::get(uri).body(Bytes::new()).unwrap()).await
}

/// Says this to one connection, and then no more; ends it or not.
async fn saying(text: &'static str, ends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = connection.read(&mut head).await;
        let _ = connection.write_all(text.as_bytes()).await;
        if !ends {
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
    });
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_end_and_answers_are_bounded() {
    let pebble = Pebble::builder().start().await;
    let https = Https::new(Some(&pebble.roots()), SECOND, 100).unwrap();
    let whole = saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true).await;
    assert_eq!(get(&https, &whole).await.unwrap().body(), "ok");
    // An answer is an answer, also one that leads elsewhere.
    let elsewhere =
        saying("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", true).await;
    assert_eq!(get(&https, &elsewhere).await.unwrap().status(), 302);
    let silent = saying("", false).await;
    assert!(matches!(get(&https, &silent).await, Err(HttpsError::Timeout(SECOND))));
    let halting = saying("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", false).await;
    assert!(matches!(get(&https, &halting).await, Err(HttpsError::Timeout(SECOND))));
    let broken = saying("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbro", true).await;
    assert!(matches!(get(&https, &broken).await, Err(HttpsError::Broken(_))));
    let nonsense = saying("220 mail.example ESMTP\r\n", true).await;
    assert!(matches!(get(&https, &nonsense).await, Err(HttpsError::Broken(_))));
    let nobody = format!("http://127.0.0.1:{}/", port());
    assert!(matches!(get(&https, &nobody).await, Err(HttpsError::Connect(_))));
    // Pebble's directory has more than a hundred bytes.
    assert!(matches!(get(&https, &pebble.directory()).await, Err(HttpsError::TooLarge(100))));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_trust_anchors_are_trusted() {
    let (pebble, stranger) = (Pebble::builder().start().await, Pebble::builder().start().await);
    let https = Https::new(Some(&pebble.roots()), 10 * SECOND, 1 << 20).unwrap();
    assert!(get(&https, &pebble.directory()).await.unwrap().status().is_success());
    let Err(HttpsError::Connect(why)) = get(&https, &stranger.directory()).await else { panic!() };
    assert!(why.contains("certificate"), "{why}");

    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing of the kind\n").unwrap();
    for path in [empty, dir.path().join("missing.pem")] {
        let Err(error @ HttpsError::Roots { .. }) = Https::new(Some(&path), SECOND, 100) else { panic!() };
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
