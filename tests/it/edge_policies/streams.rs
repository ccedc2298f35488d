//! Streams through compression: each piece arrives when it is sent, nothing large is gathered, and an answer that breaks off
//! is never made to look whole.

use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzDecoder;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use std::io::Write;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, mpsc};

use crate::support::client::{self, request};
use crate::support::script::{Body, Script, full, read_head, streamed};
use crate::support::world::World;

const SOON: Duration = Duration::from_secs(5);

async fn world(backend: &Script, protocol: &str, more: &str) -> World {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\nprotocol = \"{protocol}\"\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let world = World::builder().routing(&routing).settings(more).start().await;
    world.tenant("acme", "growth").await;
    world
}

async fn open(world: &World, h2: bool) -> Response<Incoming> {
    let host = world.host("acme");
    let get = request(Method::GET, &host, "/").header("accept-encoding", "gzip").header("host", &host);
    let get = get.body(full("")).unwrap();
    if h2 {
        return client::h2_streaming(world, &host).await.send_request(strip_host(get)).await.unwrap();
    }
    client::h1_streaming(world, &host).await.send_request(origin_form(get)).await.unwrap()
}

fn strip_host(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove("host");
    request
}

fn origin_form(mut request: Request<Body>) -> Request<Body> {
    *request.uri_mut() = "/".parse().unwrap();
    request
}

/// Reads until this text has arrived.
async fn read_until(body: &mut Incoming, decoder: &mut GzDecoder<Vec<u8>>, expected: &str) {
    let reading = async {
        while decoder.get_ref() != expected.as_bytes() {
            let frame = body.frame().await.expect("more is to come").unwrap();
            if let Ok(piece) = frame.into_data() {
                decoder.write_all(&piece).unwrap();
                decoder.flush().unwrap();
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.unwrap_or_else(|_| panic!("{expected:?} did not arrive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_piece_arrives_when_it_is_sent() {
    for (media, more, compressed) in [
        ("text/plain", "", true),
        ("text/event-stream", "", false),
        ("text/event-stream", "[compression]\ntypes = [\"text/event-stream\"]\n", true),
    ] {
        for (protocol, h2) in [("h1", false), ("h1", true), ("h2c", false), ("h2c", true)] {
            let (sender, receiver) = mpsc::channel::<(mpsc::Sender<Frame<Bytes>>,)>(1);
            let backend = Script::http(move |_| {
                let sender = sender.clone();
                async move {
                    let (frames, stream) = streamed();
                    sender.send((frames,)).await.unwrap();
                    Response::builder().header("content-type", media).body(stream).unwrap()
                }
            })
            .await;
            let world = world(&backend, protocol, more).await;
            let receiver = Arc::new(Mutex::new(receiver));
            let (answer, frames) =
                tokio::join!(open(&world, h2), async { receiver.lock().await.recv().await.unwrap().0 });
            assert_eq!(answer.headers().contains_key("content-encoding"), compressed, "{media} {protocol} {h2}");
            let mut body = answer.into_body();
            let (mut decoder, mut expected) = (GzDecoder::new(Vec::new()), String::new());
            for number in 0..4 {
                let event = format!("data: {number}\n\n");
                frames.send(Frame::data(Bytes::from(event.clone()))).await.unwrap();
                if compressed {
                    expected.push_str(&event);
                    read_until(&mut body, &mut decoder, &expected).await;
                } else {
                    let piece = tokio::time::timeout(SOON, body.frame()).await.expect("it arrives").unwrap().unwrap();
                    assert_eq!(piece.into_data().unwrap(), event);
                }
            }
            drop(frames);
            while let Some(frame) = body.frame().await {
                decoder.write_all(&frame.unwrap().into_data().unwrap_or_default()).unwrap();
            }
            if compressed {
                decoder.try_finish().expect("the stream has its end");
            }
        }
    }
}

/// A backend that has sent far more than any buffer holds while the visitor reads nothing would have been gathered.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_does_not_read_holds_the_backend_back() {
    // Noise, so that what goes out is as large as what came in.
    let noise: Vec<u8> = {
        let mut state = 1u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .take(64 << 10)
        .collect()
    };
    let noise = Bytes::from(noise);
    const PIECES: usize = 2_000;
    for h2 in [false, true] {
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (count, piece) = (Arc::clone(&sent), noise.clone());
        let backend = Script::http(move |_| {
            let (count, piece) = (Arc::clone(&count), piece.clone());
            async move {
                let (frames, stream) = streamed();
                tokio::spawn(async move {
                    for _ in 0..PIECES {
                        if frames.send(Frame::data(piece.clone())).await.is_err() {
                            return;
                        }
                        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
                Response::builder().header("content-type", "text/plain").body(stream).unwrap()
            }
        })
        .await;
        let world = world(&backend, "h1", "").await;
        let mut body = open(&world, h2).await.into_body();
        // It comes to rest: the same count for a while, far from the end.
        let mut last = (0, std::time::Instant::now());
        while last.1.elapsed() < Duration::from_millis(500) {
            let now = sent.load(std::sync::atomic::Ordering::SeqCst);
            if now != last.0 {
                last = (now, std::time::Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(last.0 < PIECES / 2, "h2: {h2}: {} of {PIECES} pieces went into nobody's hands", last.0);
        let mut decoder = GzDecoder::new(Count(0));
        while let Some(frame) = body.frame().await {
            decoder.write_all(&frame.unwrap().into_data().unwrap()).unwrap();
        }
        assert_eq!(decoder.finish().unwrap().0, PIECES * noise.len());
    }
}

/// Counts what is written.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_not_made_whole() {
    for head in
        ["transfer-encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n", "content-length: 5000\r\n\r\n0123456789"]
    {
        for h2 in [false, true] {
            let backend = Script::raw(move |mut stream, _| async move {
                read_head(&mut stream).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{head}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            })
            .await;
            let world = world(&backend, "h1", "").await;
            let answer = open(&world, h2).await;
            assert!(answer.headers().contains_key("content-encoding"));
            assert!(answer.into_body().collect().await.is_err(), "h2: {h2}, {head:?}");
        }
    }
}
