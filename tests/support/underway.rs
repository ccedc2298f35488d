//! A download and uploads that are under way for as long as a test wants, and end when it says so.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use super::client::{collect, request};
use super::script::{Body, Script, full, streamed};

/// A backend that answers a GET as the test lets it, and an upload with how long it was.
pub struct Slow {
    script: Script,
    says: Sender<Frame<Bytes>>,
    asked: Arc<AtomicUsize>,
}

/// One answer half said, and two requests half sent, by HTTP/2 and by HTTP/1.1.
pub struct UnderWay {
    download: Response<Incoming>,
    uploads: Vec<(Sender<Frame<Bytes>>, JoinHandle<Bytes>)>,
}

impl Slow {
    pub async fn start() -> Self {
        let (says, body) = streamed();
        let body = Arc::new(Mutex::new(Some(body)));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let script = Script::http(move |request: Request<Incoming>| {
            let (body, count) = (Arc::clone(&body), Arc::clone(&count));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                if request.method() == Method::GET {
                    let body = body.lock().unwrap().take();
                    return Response::new(body.unwrap_or_else(|| full("again")));
                }
                let sent = request.into_body().collect().await.map(|sent| sent.to_bytes().len());
                Response::new(full(format!("took {sent:?}")))
            }
        });
        Self { script: script.await, says, asked }
    }

    pub fn address(&self) -> SocketAddr {
        self.script.address
    }

    /// Returns when all three have reached the backend.
    pub async fn begin(
        &self,
        mut h2: http2::SendRequest<Body>,
        mut h1: http1::SendRequest<Body>,
        host: &str,
    ) -> UnderWay {
        let ask = request(Method::GET, host, "/").body(full("")).unwrap();
        let mut other = h2.clone();
        let download = h2.send_request(ask).await.unwrap();
        self.says.send(Frame::data(Bytes::from_static(b"one "))).await.unwrap();
        let ((one, first), (two, second)) = (streamed(), streamed());
        let ask = request(Method::POST, host, "/").body(first).unwrap();
        let by_h2 = tokio::spawn(async move { collect(other.send_request(ask).await.unwrap()).await.body });
        let ask = Request::post("/").header("host", host).body(second).unwrap();
        let by_h1 = tokio::spawn(async move { collect(h1.send_request(ask).await.unwrap()).await.body });
        for sender in [&one, &two] {
            sender.send(Frame::data(Bytes::from_static(b"abc"))).await.unwrap();
        }
        let until = Instant::now() + Duration::from_secs(20);
        while self.asked.load(Ordering::SeqCst) < 3 {
            assert!(Instant::now() < until, "the uploads never came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        UnderWay { download, uploads: vec![(one, by_h2), (two, by_h1)] }
    }

    /// Says and sends the rest. Each must end as if nothing had happened, and at this backend.
    pub async fn end(self, under_way: UnderWay) {
        self.says.send(Frame::data(Bytes::from_static(b"two"))).await.unwrap();
        drop(self.says);
        for (sender, answer) in under_way.uploads {
            sender.send(Frame::data(Bytes::from_static(b"def"))).await.unwrap();
            drop(sender);
            assert_eq!(answer.await.unwrap(), "took Ok(6)");
        }
        assert_eq!(collect(under_way.download).await.body, "one two");
    }
}
