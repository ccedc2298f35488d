//! What the edge knows of one connection, shared by the `IO` below pingora, the pipeline above it and whoever may want
//! the connection closed.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use pingora_core::protocols::Digest;
use tokio::sync::Notify;

use super::super::assertion;
use super::super::headers::Lasting;
use super::{CloseReason, HeadFault};
use crate::config;
use crate::keyring::SiteCookie;
use crate::model::{Hostname, TenantId};
use crate::tls::TlsFacts;

/// What is known of a connection before its first request, and never changes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Unique within this process.
    pub id: u64,
    pub listener: Arc<config::Listener>,
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// The visitor: from the PROXY header where the listener asks for one, else the peer.
    pub client: SocketAddr,
    /// Our end of the TCP connection.
    pub local: SocketAddr,
    /// The name that the TLS client asked for.
    pub sni: Option<Hostname>,
    /// `None` on a plain listener.
    pub tls: Option<TlsFacts>,
}

/// The per-connection context: [`Facts`] by dereference, and what changes while it lives. All methods may be called
/// from any thread.
pub struct Connection {
    facts: Facts,
    /// The visitor's address as it is written.
    address: Box<str>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    tenants: Mutex<Vec<TenantId>>,
    sessions: Mutex<Vec<SiteCookie>>,
    head_fault: Mutex<Option<HeadFault>>,
    /// The request before has been answered and logged; the next head may pass.
    request_done: AtomicBool,
    upgraded: AtomicBool,
    /// Response bytes are a WebSocket's, and we know where its frames end.
    framed: AtomicBool,
    linger: AtomicBool,
    bodies: AtomicUsize,
    close: AtomicU8,
    /// The connection's task, which is to hear of `close`.
    closer: AtomicWaker,
    close_sent: Notify,
    waker: AtomicWaker,
    visitor: OnceLock<Visitor>,
    ended_because: OnceLock<&'static str>,
    /// What backends were last told of its tenant, signed.
    pub assertion: assertion::Last,
    /// What backends are told of the way that its requests come.
    pub told: Lasting,
}

/// Whose WebSocket a connection carries.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// The visitor's own, where a trusted proxy stands before it.
    pub address: IpAddr,
    /// At one of the tenant's own hosts, where the tenant says who may come.
    pub at_home: bool,
}

/// How long a WebSocket may take to come to the end of a frame, to send our close frame and to be closed by its peer.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

impl Connection {
    pub fn new(facts: Facts) -> Arc<Self> {
        Arc::new(Self {
            address: facts.client.ip().to_canonical().to_string().into(),
            facts,
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            tenants: Mutex::default(),
            sessions: Mutex::default(),
            head_fault: Mutex::default(),
            request_done: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            framed: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            bodies: AtomicUsize::new(0),
            close: AtomicU8::new(0),
            closer: AtomicWaker::new(),
            close_sent: Notify::new(),
            waker: AtomicWaker::new(),
            visitor: OnceLock::new(),
            ended_because: OnceLock::new(),
            assertion: assertion::Last::default(),
            told: Lasting::default(),
        })
    }

    /// The address of [`Facts::client`], as it is written.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The connection that a pingora session runs on: `Connection::of(session.digest()?)`. `None` only for sessions
    /// that did not come through our listener.
    pub fn of(digest: &Digest) -> Option<&Arc<Self>> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// Ends this connection within a second: a WebSocket with a close frame where its framing allows, everything else
    /// at once. The first call counts.
    pub fn close(&self, reason: CloseReason) {
        let code = match reason {
            CloseReason::Policy => 1,
            CloseReason::GoingAway => 2,
            CloseReason::TryLater => 3,
        };
        if self.close.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.closer.wake();
            self.waker.wake();
        }
    }

    /// Ends a WebSocket; a connection that carries anything else goes on.
    pub fn close_websocket(&self, reason: CloseReason) {
        if self.framed.load(Ordering::Acquire) {
            self.close(reason);
        }
    }

    /// Why it is being closed, when it is.
    pub fn closing(&self) -> Option<CloseReason> {
        match self.close.load(Ordering::Acquire) {
            1 => Some(CloseReason::Policy),
            2 => Some(CloseReason::GoingAway),
            3 => Some(CloseReason::TryLater),
            _ => None,
        }
    }

    /// The fault in the head of the request that pingora is handling now. When there is one, the request that pingora
    /// sees is not the client's, and must be refused: 400, 431 or 408, and the connection closed.
    pub fn take_head_fault(&self) -> Option<HeadFault> {
        lock(&self.head_fault).take()
    }

    /// The HTTP/1 request under way has been answered; to be called once for each, when it is logged. Until then the
    /// next request's head is held back.
    pub fn request_done(&self) {
        self.request_done.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// The HTTP/1 request under way has become a tunnel. Needed only where no 101 response goes out, which would tell.
    pub fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// A request body is awaited on an HTTP/2 stream: if nothing arrives for `limits.body_timeout` while one is, the
    /// connection ends. HTTP/1 bodies are followed without being told.
    pub fn body_started(&self) {
        self.bodies.fetch_add(1, Ordering::Relaxed);
    }

    /// The counterpart of [`Self::body_started`], once for each.
    pub fn body_ended(&self) {
        let less = |bodies: usize| bodies.checked_sub(1);
        // At zero already: one call too many changes nothing.
        let _ = self.bodies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// An early refusal of an upload: when pingora shuts this connection down, drain what the client still sends
    /// (64 KiB, 2 s at most) before the socket closes, so that the answer arrives instead of a reset.
    pub fn linger(&self) {
        self.linger.store(true, Ordering::Release);
    }

    /// Remembers that a tenant was served here. True the first time.
    pub fn note_tenant(&self, tenant: TenantId) -> bool {
        let mut tenants = lock(&self.tenants);
        let new = !tenants.contains(&tenant);
        if new {
            tenants.push(tenant);
        }
        new
    }

    /// Remembers whose WebSocket it has become.
    pub fn note_visitor(&self, visitor: Visitor) {
        // Nothing follows on a connection that has become a WebSocket.
        let _ = self.visitor.set(visitor);
    }

    /// Whose WebSocket it is; `None`: it is none.
    pub fn visitor(&self) -> Option<Visitor> {
        self.visitor.get().copied()
    }

    /// Forgets them: on a connection that a proxy shares between visitors, the next request is somebody else's.
    pub fn forget_tenants(&self) {
        lock(&self.tenants).clear();
        lock(&self.sessions).clear();
    }

    /// The tenants that were served here.
    pub fn tenants(&self) -> Vec<TenantId> {
        lock(&self.tenants).clone()
    }

    /// Remembers that something was served here under a session of the main site. True the first time.
    pub fn note_session(&self, cookie: SiteCookie) -> bool {
        let mut sessions = lock(&self.sessions);
        match sessions.iter_mut().find(|known| known.session == cookie.session) {
            Some(known) => {
                known.expires = known.expires.max(cookie.expires);
                false
            }
            None => {
                sessions.push(cookie);
                true
            }
        }
    }

    /// Whether something was served here under a session for which `ended` holds.
    pub fn has_session(&self, ended: impl FnMut(&SiteCookie) -> bool) -> bool {
        lock(&self.sessions).iter().any(ended)
    }

    /// Bytes read from the client so far, without TLS and the PROXY header.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes written to the client so far, without TLS.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// Ready when the connection's task is to drop everything: the counterpart of [`Self::close`]. For that task alone, which
    /// asks whenever it is woken: that has to cost next to nothing.
    pub(in crate::edge) async fn closed(&self) {
        let told = poll_fn(|cx| {
            if self.closing().is_none() {
                self.closer.register(cx.waker());
            }
            // Asked again because it may have happened before the waker was there to tell.
            if self.closing().is_some() { Poll::Ready(()) } else { Poll::Pending }
        });
        told.await;
        if self.framed.load(Ordering::Acquire) {
            // Whether the close frame went out or not, the connection has had its time.
            let _ = tokio::time::timeout(CLOSE_GRACE, self.close_sent.notified()).await;
        }
    }

    /// Why the edge itself ended this connection, for the metrics; `None` while it lives or when the client left.
    pub(in crate::edge) fn ended_because(&self) -> Option<&'static str> {
        self.ended_because.get().copied().or(self.closing().map(|reason| match reason {
            CloseReason::Policy => "policy",
            CloseReason::GoingAway => "going-away",
            CloseReason::TryLater => "maintenance",
        }))
    }
}

/// What only the `IO` below may do.
impl Connection {
    pub(super) fn set_head_fault(&self, fault: HeadFault) {
        *lock(&self.head_fault) = Some(fault);
        self.linger();
    }

    pub(super) fn reset_request_done(&self) {
        self.request_done.store(false, Ordering::Release);
    }

    pub(super) fn take_request_done(&self) -> bool {
        self.request_done.load(Ordering::Acquire) && self.request_done.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    pub(super) fn set_framed(&self) {
        self.framed.store(true, Ordering::Release);
    }

    pub(super) fn lingers(&self) -> bool {
        self.linger.load(Ordering::Acquire)
    }

    pub(super) fn bodies(&self) -> usize {
        self.bodies.load(Ordering::Relaxed)
    }

    pub(super) fn set_close_sent(&self) {
        self.close_sent.notify_one();
    }

    pub(super) fn add_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn set_ended_because(&self, why: &'static str) {
        // The first reason is the real one.
        let _ = self.ended_because.set(why);
    }

    pub(super) fn waker(&self) -> &AtomicWaker {
        &self.waker
    }
}

impl std::ops::Deref for Connection {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What the lock guards is whole after every statement, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
