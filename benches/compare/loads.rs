//! What the servers are put under. Visitors ask as fast as they are answered, but for [`Load::Even`]; a sample is a stretch of
//! that with the server's CPU time at both of its ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use super::backend::LARGE;
use super::client::{self, Tls, get, is_resumed, post};
use super::machine::Used;
use super::names;
use super::servers::Server;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    Http1,
    Http2,
    Full,
    Resumed,
    Bodies,
    WebSocket,
    Even,
}

/// Requests a second of [`Load::Even`].
const EVEN_RATE: u64 = 2_000;
/// Of an HTTP/2 connection, at the same time.
const STREAMS: usize = 16;
/// A visitor of [`Load::Resumed`] comes back to one of so many hosts.
const HOSTS_AGAIN: usize = 8;

impl Load {
    pub const ALL: [Self; 7] =
        [Self::Http1, Self::Http2, Self::Full, Self::Resumed, Self::Bodies, Self::WebSocket, Self::Even];

    pub fn key(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Bodies => "bodies",
            Self::WebSocket => "websocket",
            Self::Even => "even",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1 keep-alive",
            Self::Http2 => "h2, 16 streams a connection",
            Self::Full => "new connection + request, full handshake",
            Self::Resumed => "new connection + request, resumed",
            Self::Bodies => "64 KiB there and back",
            Self::WebSocket => "WebSocket message and its echo",
            Self::Even => "h1, an even 2,000 requests a second",
        }
    }

    fn visitors(self) -> usize {
        match self {
            Self::Http1 => 64,
            Self::Http2 => 4,
            Self::Full | Self::Resumed => 8,
            Self::Bodies => 16,
            Self::WebSocket | Self::Even => 32,
        }
    }
}

/// What came of a load in a stretch of time.
#[derive(Clone, Debug)]
pub struct Sample {
    pub done: u64,
    /// Of the server, per request.
    pub cpu_us: f64,
    pub p50_us: u32,
    pub p99_us: u32,
    pub per_second: f64,
}

/// Puts the server under the load and measures. `Err` says why there is no figure.
pub async fn measure(load: Load, server: &Server, warm: Duration, lasting: Duration) -> Result<Sample, String> {
    let tally = Arc::new(Tally::default());
    let mut visitors = JoinSet::new();
    // One for all, so that tickets are found again.
    let tls = match load {
        Load::Http2 => Tls::new("h2", 0),
        Load::Resumed => Tls::new("http/1.1", HOSTS_AGAIN * load.visitors()),
        _ => Tls::new("http/1.1", 0),
    };
    for n in 0..load.visitors() {
        let visitor = Visitor {
            load,
            n,
            address: server.https,
            hosts: (0..256).map(|k| server.host(n * 256 + k)).collect(),
            tls: tls.clone(),
            tally: Arc::clone(&tally),
        };
        visitors.spawn(visitor.live());
    }
    sleep(warm).await;
    let family = server.process.family();
    tally.counting.store(true, Ordering::Relaxed);
    let (before, begun) = (Used::by(&family), Instant::now());
    sleep(lasting).await;
    let (after, lasted) = (Used::by(&family), begun.elapsed());
    tally.counting.store(false, Ordering::Relaxed);
    drop(visitors);
    // What has been aborted ends before the next server has its turn.
    sleep(Duration::from_millis(50)).await;
    tally.sample(after.since(&before), lasted)
}

/// What visitors have seen while it was counted.
#[derive(Default)]
struct Tally {
    counting: AtomicBool,
    failed: AtomicU64,
    /// Full handshakes where resumed ones were wanted.
    not_resumed: AtomicU64,
    times: Mutex<Vec<u32>>,
    failure: Mutex<Option<String>>,
}

impl Tally {
    fn done(&self, begun: Instant) {
        if self.counting.load(Ordering::Relaxed) {
            let micros = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
            self.times.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
        }
    }

    fn failed(&self, error: &io::Error) {
        if self.counting.load(Ordering::Relaxed) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
    }

    fn sample(&self, cpu: Duration, lasted: Duration) -> Result<Sample, String> {
        let mut times = std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let (done, failed) = (times.len() as u64, self.failed.load(Ordering::Relaxed));
        if done == 0 || failed * 100 > done {
            return Err(format!("{failed} of {} failed: {failure}", done + failed));
        }
        if cpu.is_zero() {
            return Err("the system keeps no account of CPU time in /proc/<pid>/task/<tid>/schedstat".into());
        }
        let full = self.not_resumed.load(Ordering::Relaxed);
        if full * 100 > done {
            return Err(format!("{full} of {done} were not resumed"));
        }
        times.sort_unstable();
        Ok(Sample {
            done,
            cpu_us: cpu.as_secs_f64() * 1e6 / done as f64,
            p50_us: times[times.len() / 2],
            p99_us: times[times.len() * 99 / 100],
            per_second: done as f64 / lasted.as_secs_f64(),
        })
    }
}

/// Somebody who makes connections and asks.
struct Visitor {
    load: Load,
    n: usize,
    address: SocketAddr,
    hosts: Vec<String>,
    tls: Tls,
    tally: Arc<Tally>,
}

impl Visitor {
    /// Begins anew after a failure.
    async fn live(self) {
        let mut round = 0;
        loop {
            round += 1;
            let lived = match self.load {
                Load::Http1 => self.keep_asking(&get(&self.hosts[0], "/"), 0).await,
                Load::Bodies => self.keep_asking(&post(&self.hosts[0], LARGE), 0).await,
                Load::Even => self.keep_asking(&get(&self.hosts[0], "/"), EVEN_RATE).await,
                Load::Http2 => self.ask_on_streams().await,
                Load::Full => self.come_anew(&self.hosts[round % self.hosts.len()]).await,
                Load::Resumed => self.come_anew(&self.hosts[round % HOSTS_AGAIN]).await,
                Load::WebSocket => self.keep_talking().await,
            };
            if let Err(error) = lived {
                self.tally.failed(&error);
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// On one connection; `rate`: of all visitors together, 0: as fast as it goes.
    async fn keep_asking(&self, request: &[u8], rate: u64) -> io::Result<()> {
        let mut connection = self.tls.open(self.address, &self.hosts[0]).await?;
        let visitors = self.load.visitors() as u64;
        let mut turns = (rate > 0).then(|| {
            let turn = Duration::from_nanos(1_000_000_000 * visitors / rate);
            // Everybody has a moment of their own.
            let first = tokio::time::Instant::now() + turn * u32::try_from(self.n).unwrap_or(0) / visitors as u32;
            interval_at(first, turn)
        });
        if let Some(turns) = &mut turns {
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            if let Some(turns) = &mut turns {
                turns.tick().await;
            }
            let begun = Instant::now();
            connection.served(request).await?;
            self.tally.done(begun);
        }
    }

    async fn come_anew(&self, host: &str) -> io::Result<()> {
        let begun = Instant::now();
        let mut connection = self.tls.open(self.address, host).await?;
        connection.served(&get(host, "/")).await?;
        self.tally.done(begun);
        if self.load == Load::Resumed && !is_resumed(&connection.stream) && self.tally.counting.load(Ordering::Relaxed)
        {
            self.tally.not_resumed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn keep_talking(&self) -> io::Result<()> {
        let mut connection = self.tls.open(self.address, &self.hosts[0]).await?;
        let answer = connection.ask(&client::upgrade(&self.hosts[0])).await?;
        if answer.status != 101 {
            return Err(io::Error::other(format!("status {} for an upgrade", answer.status)));
        }
        loop {
            let begun = Instant::now();
            connection.echo(b"a message of thirty-two bytes...").await?;
            self.tally.done(begun);
        }
    }

    async fn ask_on_streams(&self) -> io::Result<()> {
        let stream = self.tls.connect(self.address, &self.hosts[0]).await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        // Ends when the last sender is gone.
        tokio::spawn(connection);
        let streams = (0..STREAMS).map(|_| self.ask_on_one(sender.clone()));
        try_join_all(streams).await.map(drop).map_err(io::Error::other)
    }

    async fn ask_on_one(&self, mut sender: h2::client::SendRequest<bytes::Bytes>) -> Result<(), h2::Error> {
        let uri = format!("https://{}/", self.hosts[0]);
        let request = http::Request::get(uri).header("user-agent", "compare").header("accept", "*/*").body(());
        let request = request.expect("a request");
        loop {
            sender = sender.ready().await?;
            let begun = Instant::now();
            let (answer, _) = sender.send_request(request.clone(), true)?;
            let answer = answer.await?;
            let is_served = answer.status() == 200;
            let mut body = answer.into_body();
            while let Some(chunk) = body.data().await {
                body.flow_control().release_capacity(chunk?.len())?;
            }
            match is_served {
                true => self.tally.done(begun),
                false => return Err(h2::Reason::REFUSED_STREAM.into()),
            }
        }
    }
}

/// Makes handshakes under names that nobody knows, so many a second, from 64 networks, until it is dropped.
pub fn flood(address: SocketAddr, rate: u64) -> JoinSet<()> {
    const HANDS: u8 = 64;
    let mut flood = JoinSet::new();
    // Nobody whom an earlier flood has made known as nobody.
    let first_name = u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos()).unwrap_or_default();
    let next = Arc::new(AtomicU64::new(first_name));
    for hand in 0..HANDS {
        let (tls, next) = (Tls::new("http/1.1", 0), Arc::clone(&next));
        let own = Ipv4Addr::new(127, 0, 1 + hand, 1);
        flood.spawn(async move {
            let turn = Duration::from_nanos(1_000_000_000 * u64::from(HANDS) / rate);
            let first = tokio::time::Instant::now() + turn * u32::from(hand) / u32::from(HANDS);
            let mut turns = interval_at(first, turn);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                turns.tick().await;
                let name = names::stranger(next.fetch_add(1, Ordering::Relaxed));
                // It is refused; one that is not answered at all must not hold up the next.
                let _ = tokio::time::timeout(Duration::from_secs(1), tls.connect_from(own, address, &name)).await;
            }
        });
    }
    flood
}
