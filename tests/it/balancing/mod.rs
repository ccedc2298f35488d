//! Pools: who gets the next request, who gets none and why, and what becomes of a request whose backend fails.

mod deadlines;
mod discovery;
mod failures;
mod health;
mod policies;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Response;
use tenantry::admin::Configuration;
use tenantry::clock::{Clock, Timestamp};
use tenantry::model::BackendStatus;

use crate::support::client::get;
use crate::support::script::{Script, full};
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";
const PATIENCE: Duration = Duration::from_secs(20);

/// `routing.toml` with one pool for everything.
fn routing(backends: &[String], pool: &str) -> String {
    let route = "[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n";
    format!("[[pool]]\nname = \"app\"\nbackends = {backends:?}\n{pool}\n{route}")
}

fn texts(backends: &[SocketAddr]) -> Vec<String> {
    backends.iter().map(ToString::to_string).collect()
}

/// A world with one pool, and a clock that stands still.
async fn world(backends: &[SocketAddr], pool: &str) -> World {
    let clock = Clock::manual(Timestamp::parse("2026-11-21T10:00:00Z").unwrap());
    world_at(clock, backends, pool).await
}

async fn world_at(clock: Clock, backends: &[SocketAddr], pool: &str) -> World {
    let world = World::builder().clock(clock).routing(&routing(&texts(backends), pool)).start().await;
    world.tenant("acme", "growth").await;
    world
}

/// Backends that say their own address.
async fn named(count: usize) -> Vec<Script> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(saying().await);
    }
    all
}

async fn saying() -> Script {
    Script::raw(|stream, _| async move {
        let name = stream.local_addr().unwrap().to_string();
        crate::support::script::serve(stream, move |_| {
            let name = name.clone();
            async move { Response::new(full(name)) }
        })
        .await;
    })
    .await
}

fn addresses(backends: &[Script]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

/// An address at which nothing listens.
async fn dead() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Who answers how many of so many requests.
async fn spread(world: &World, requests: usize) -> BTreeMap<String, usize> {
    let mut connection = crate::support::client::h2(world, HOST).await;
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let ask = crate::support::client::request(http::Method::GET, HOST, "/");
        let ask = ask.body(http_body_util::Full::default()).unwrap();
        let answer = crate::support::client::send_h2(&mut connection, ask).await;
        let who = match answer.status.as_u16() {
            200 => String::from_utf8(answer.body.to_vec()).unwrap(),
            _ => answer.code(),
        };
        *counts.entry(who).or_default() += 1;
    }
    counts
}

/// Status and code of one answer.
async fn outcome(world: &World) -> (u16, String) {
    let answer = get(world, HOST, "/").await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

fn backends(world: &World) -> Vec<BackendStatus> {
    world.running.reloader().pools().unwrap().remove(0).backends
}

fn backend(world: &World, address: SocketAddr) -> BackendStatus {
    let address = Some(address.to_string());
    backends(world).into_iter().find(|backend| backend.address == address).unwrap()
}

/// The value of a series, if it is there.
fn metric(world: &World, series: &str) -> Option<i64> {
    let text = world.running.metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// Looks until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
