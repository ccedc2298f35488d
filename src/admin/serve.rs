//! The admin API on its private listener: HTTP/1.1 and HTTP/2 in the clear, with bounds, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::middleware::{Next, from_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::util::MapRequest;

use super::access::Peer;

/// Connections at once; more wait their turn in the listener's queue.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls may still come over connections that are open when no more are taken. Each is answered, and told that
/// the connection ends with it: nobody's call crosses with our hanging up.
const LINGER: Duration = Duration::from_millis(500);
/// How long calls under way may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// After a failed accept, which usually means that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` turns true (or its sender is gone), then lets calls under way end.
pub async fn serve(listener: TcpListener, router: Router, mut shutdown: watch::Receiver<bool>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let stopping = shutdown.clone();
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let (stopping, ends) = (stopping.clone(), request.version() < Version::HTTP_2);
        async move {
            let mut response = next.run(request).await;
            if ends && *stopping.borrow() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }));
    let stop = shutdown.wait_for(|stop| *stop);
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = &mut stop => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service =
            TowerToHyperService::new(MapRequest::new(router.clone(), move |mut request: http::Request<_>| {
                request.extensions_mut().insert(Peer(peer.ip()));
                request
            }));
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "an admin connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    // All places are free when no connection is open.
    let _ = tokio::time::timeout(LINGER, places.acquire_many(CONNECTIONS as u32)).await;
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("admin calls were still under way when the time for them was over");
    }
}
