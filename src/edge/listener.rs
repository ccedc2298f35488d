//! From a listening socket to pingora: accept, PROXY header, TLS, and one task per connection that ends when the
//! connection is told to close. No request is looked at here.

mod admission;
mod proxy_protocol;
mod sockets;
mod strangers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::apps::ServerApp;
use prometheus::IntGauge;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use sockets::{Inherited, PREDECESSOR, SocketError, socket};

use self::admission::{Admission, Place};
use self::strangers::{Guarded, Strangers};
use super::connection::{CloseReason, Conn, Connection, Facts, Protocol, Wire};
use super::keep_alive::keep_alive;
use super::registry::Registry;
use crate::clock::Clock;
use crate::config::{self, Limits};
use crate::metrics::Metrics;
use crate::model::Rate;
use crate::tls::{self, Alpn, Certificates};

/// What a reload may change under way: read once for each connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// From accept to the end of the handshake, PROXY header included.
    pub handshake_timeout: Duration,
}

/// What all listeners of one process share, and what their connections are handed to.
pub struct Parts<A> {
    pub app: Arc<A>,
    pub certificates: Arc<dyn Certificates>,
    pub settings: Arc<ArcSwap<Settings>>,
    /// Where every open connection can be found, by whoever has to close some.
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// `true`: no more connections are accepted, and pingora ends each with its next response.
    pub shutdown: watch::Receiver<bool>,
}

/// The listeners of one process, and every connection that came through them.
pub struct Listeners<A> {
    shared: Arc<Shared<A>>,
    tasks: TaskTracker,
}

struct Shared<A> {
    parts: Parts<A>,
    admission: Arc<Admission>,
    strangers: Arc<Strangers>,
    ids: AtomicU64,
    /// The drain is over: whoever is left goes.
    end: CancellationToken,
}

impl<A: ServerApp + Send + Sync + 'static> Listeners<A> {
    pub fn new(parts: Parts<A>) -> Self {
        let strangers = Arc::new(Strangers::new(parts.clock.clone()));
        let (ids, end) = (AtomicU64::new(1), CancellationToken::new());
        let shared = Shared { parts, admission: Arc::default(), strangers, ids, end };
        Self { shared: Arc::new(shared), tasks: TaskTracker::new() }
    }

    /// Starts to accept on a socket of [`socket()`]. Must be called on the runtime that is to serve.
    pub fn serve(&self, listener: Arc<config::Listener>, socket: std::net::TcpListener) -> io::Result<()> {
        let socket = TcpListener::from_std(socket)?;
        let (shared, tasks) = (self.shared.clone(), self.tasks.clone());
        self.tasks.spawn(async move { accept(&shared, &tasks, &listener, &socket).await });
        Ok(())
    }

    /// Waits until every connection has ended, but no longer than `deadline`; then ends those that are left, WebSockets
    /// with a close frame (1001), which takes up to a second more. `shutdown` must have been set before.
    pub async fn drain(&self, deadline: Duration) {
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_err() {
            self.shared.end.cancel();
            // Whoever registers from here on sees that the end has come.
            for connection in self.shared.parts.registry.connections() {
                connection.close(CloseReason::GoingAway);
            }
            self.tasks.wait().await;
        }
    }
}

/// Accepts until shutdown. What goes wrong with one connection is no reason to stop.
async fn accept<A: ServerApp + Send + Sync + 'static>(
    shared: &Arc<Shared<A>>,
    tasks: &TaskTracker,
    listener: &Arc<config::Listener>,
    socket: &TcpListener,
) {
    const PAUSE: Duration = Duration::from_millis(10);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    let mut shutdown = shared.parts.shutdown.clone();
    let mut pause = PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that nobody is left who could end us otherwise.
            _ = shutdown.wait_for(|down| *down) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                pause = PAUSE;
                shared.parts.metrics.connections.with_label_values(&[&listener.name]).inc();
                let settings = shared.parts.settings.load_full();
                match shared.admission.enter(settings.limits.connections) {
                    Some(place) => {
                        let newcomer = Newcomer { listener: listener.clone(), settings, tcp, peer, place };
                        tasks.spawn(run(shared.clone(), newcomer));
                    }
                    None => shared.refuse("connections"),
                }
            }
            // The client was gone before we came.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            // No descriptors, no memory: the connections that are open must end first.
            Err(error) => {
                tracing::warn!(listener.name = %listener.name, %error, "accept failed");
                shared.refuse("accept");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// An accepted connection that nothing is known of.
struct Newcomer {
    listener: Arc<config::Listener>,
    settings: Arc<Settings>,
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// One connection, from its first byte to its last.
async fn run<A: ServerApp + Send + Sync + 'static>(shared: Arc<Shared<A>>, newcomer: Newcomer) {
    let _open = Open::new(&shared.parts.metrics.connections_open);
    let Newcomer { listener, settings, tcp, peer, place: _place } = newcomer;
    let deadline = Instant::now() + settings.handshake_timeout;
    let _address_place;
    let opening = async {
        let (tcp, client) = shared.client(tcp, peer, &listener).await?;
        if !shared.strangers.admit(client.ip(), settings.limits.new_connections) {
            shared.refuse("new-connections");
            return None;
        }
        let most = settings.limits.connections_per_address;
        let Some(place) = shared.admission.enter_address(client.ip(), most) else {
            shared.refuse("address");
            return None;
        };
        let opened = shared.open(tcp, peer, client, &listener, settings.limits.unknown_sni).await?;
        Some((opened, place))
    };
    let ((wire, connection, protocol), place) = tokio::select! {
        _ = shared.end.cancelled() => return,
        opened = timeout_at(deadline, opening) => match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return,
            Err(_) => {
                let reason = "timeout";
                shared.parts.metrics.handshakes_failed.with_label_values(&[reason]).inc();
                return;
            }
        },
    };
    _address_place = place;
    let _registered = shared.parts.registry.register(&connection);
    if shared.end.is_cancelled() {
        connection.close(CloseReason::GoingAway);
    }
    let conn = Conn::new(wire, connection.clone(), protocol, settings.limits.clone());
    // Dropping pingora's future ends the connection with everything on it.
    tokio::select! {
        _ = shared.parts.app.process_new(Box::new(conn), &shared.parts.shutdown) => {}
        () = connection.closed() => {}
    }
    if let Some(reason) = connection.ended_because() {
        shared.refuse(reason);
    }
}

impl<A> Shared<A> {
    fn refuse(&self, reason: &str) {
        self.parts.metrics.connections_refused.with_label_values(&[reason]).inc();
    }

    /// Who the visitor is, where a PROXY header is to tell.
    async fn client(
        &self,
        mut tcp: TcpStream,
        peer: SocketAddr,
        listener: &config::Listener,
    ) -> Option<(TcpStream, SocketAddr)> {
        let Some(sources) = &listener.proxy_protocol else { return Some((tcp, plain(peer))) };
        match proxy_protocol::client(&mut tcp, peer, sources).await {
            Ok(client) => Some((tcp, plain(client))),
            Err(error) => {
                tracing::debug!(listener.name = %listener.name, peer.address = %peer, %error, "connection refused");
                self.refuse(error.reason());
                None
            }
        }
    }

    /// The handshake, where the listener has one. `None`: the connection ends here.
    async fn open(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        client: SocketAddr,
        listener: &Arc<config::Listener>,
        unknown_sni: Option<Rate>,
    ) -> Option<(Wire, Arc<Connection>, Protocol)> {
        // Responses are joined above us; an error means that the client is gone.
        tcp.set_nodelay(true).ok()?;
        // A socket that cannot be probed serves as well.
        let _ = keep_alive(&tcp);
        let local = tcp.local_addr().ok()?;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let facts = Facts { id, listener: listener.clone(), peer, client, local, sni: None, tls: None };
        if !listener.tls {
            return Some((Wire::Plain(tcp), Connection::new(facts), Protocol::H1));
        }
        let metrics = &self.parts.metrics;
        let certificates = Guarded {
            certificates: Arc::clone(&self.parts.certificates),
            strangers: Arc::clone(&self.strangers),
            rate: unknown_sni,
            metrics: Arc::clone(metrics),
        };
        match tls::accept(tcp, &certificates, client.ip()).await {
            Ok(mut accepted) => {
                let resumed = if accepted.facts.resumed { "true" } else { "false" };
                metrics.handshakes.with_label_values(&[accepted.facts.version.as_str(), resumed]).inc();
                let protocol = match accepted.facts.alpn {
                    Some(Alpn::H2) => Protocol::H2,
                    Some(Alpn::Http11) | None => Protocol::H1,
                    Some(Alpn::AcmeTls1) => {
                        // The certificate was all that the CA wanted to see.
                        let _ = accepted.stream.shutdown().await;
                        return None;
                    }
                };
                let facts = Facts { sni: accepted.sni, tls: Some(accepted.facts), ..facts };
                Some((Wire::Tls(Box::new(accepted.stream)), Connection::new(facts), protocol))
            }
            Err(error) => {
                tracing::debug!(client.address = %client, %error, "handshake failed");
                metrics.handshakes_failed.with_label_values(&[error.reason()]).inc();
                None
            }
        }
    }
}

/// An IPv4 address that came in an IPv6 coat is told to backends without it.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Counts a connection as open while it lives.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
