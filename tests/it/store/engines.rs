//! When PostgreSQL goes away, stops answering, and comes back. (SQLite's file does not.)

use std::path::PathBuf;

use tenantry::clock::Clock;
use tenantry::store::{Store, StoreError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

use super::{LONG, insert, sealer, slug, tenant};
use crate::support::postgres::Server;

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(url, 6, sealer(1), Clock::system()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_is_unavailable_and_comes_back_without_reopening() {
    let mut server = Server::start();
    let url = server.database().await;
    let (store, other) = (open(&url).await.unwrap(), open(&url).await.unwrap());
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let open_write = store.write().await.unwrap();
    for _ in 0..2 {
        server.stop();
        for _ in 0..3 {
            assert!(matches!(store.tenant(acme.id).await, Err(StoreError::Unavailable(_))));
            assert!(matches!(store.news(0).await, Err(StoreError::Unavailable(_))));
        }
        assert!(matches!(store.write().await, Err(StoreError::Unavailable(_))));
        server.resume();
        assert_eq!(store.tenant(acme.id).await.unwrap().unwrap().slug, acme.slug);
        let cursor = store.revision().await.unwrap();
        let name = format!("after-{cursor}");
        assert_eq!(insert(&store, &[&tenant(&name)]).await, cursor + 1);
        // The other handle's listener is back too, or looks what it missed as soon as it is.
        tokio::time::timeout(LONG, other.wait_for_news(cursor, LONG * 60)).await.unwrap();
        assert!(other.tenant_by_slug(&slug(&name)).await.unwrap().is_some());
    }
    assert!(matches!(open_write.commit().await, Err(StoreError::Unavailable(_))));
    server.stop();
    assert!(matches!(open(&url).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_server_that_stops_answering_holds_nobody_up_for_ever() {
    let server = Server::shared();
    let proxy = Proxy::start(server.socket()).await;
    let store = open(&proxy.url(&server.database().await)).await.unwrap();
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let mut write = store.write().await.unwrap();
    write.update_tenant(&acme).await.unwrap();

    proxy.stalled.send_replace(true);
    // From here every limit passes as soon as nothing else can happen.
    tokio::time::pause();
    assert!(matches!(store.tenant(acme.id).await, Err(StoreError::Unavailable(_))));
    let error = write.update_tenant(&acme).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("no answer within 5 s")), "{error}");
    assert!(matches!(write.commit().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.write().await, Err(StoreError::Unavailable(_))));
    tokio::time::resume();
    proxy.stalled.send_replace(false);

    assert_eq!(store.tenant(acme.id).await.unwrap().unwrap().revision, 1);
    assert_eq!(insert(&store, &[&tenant("beta")]).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answered_fails_the_opening() {
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@{}/x", hole.local_addr().unwrap());
    assert!(matches!(open(&url).await, Err(StoreError::Unavailable(_))));
}

/// A way to the server that can be made to stand still.
struct Proxy {
    port: u16,
    stalled: watch::Sender<bool>,
}

impl Proxy {
    async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stalled = watch::Sender::new(false);
        let gate = stalled.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = UnixStream::connect(&socket).await.unwrap().into_split();
                tokio::spawn(pass(client_read, server_write, gate.clone()));
                tokio::spawn(pass(server_read, client_write, gate.clone()));
            }
        });
        Self { port, stalled }
    }

    /// The same database, by way of here.
    fn url(&self, direct: &str) -> String {
        let database = direct.split(['/', '?']).nth(3).unwrap();
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut stalled: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let open = stalled.wait_for(|stalled| !stalled).await.is_ok();
        if !open || to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
