//! What a tenant may take of a node, what one client address may, and what is counted of it: through real sockets, with
//! time moved by hand.

mod access;
mod addresses;
mod bodies;
mod named;
mod places;
mod rates;
mod traffic;

use std::time::{Duration, Instant};

use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tenantry::clock::Clock;
use tenantry::tenancy::{Actor, Expect};
use tenantry::traffic::Meter;
use tokio::sync::watch;

use crate::support::script::{Body, Script, full};
use crate::support::world::{Builder, World};

const HOST: &str = "acme.connect.localhost";

/// A world whose time stands still, with the tenant `acme`.
async fn still(builder: Builder) -> World {
    let world = builder.clock(Clock::manual(Clock::system().now())).start().await;
    world.tenant("acme", "growth").await;
    world
}

/// Sets what the edge does for a tenant.
async fn set(world: &World, tenant: &str, edge: Value) {
    let edge = serde_json::from_value(edge).unwrap();
    world.running.tenancy().set_edge(&Actor::new("test"), tenant, &Expect::Anything, edge).await.unwrap();
}

/// Sets the limits of `acme`.
async fn limit(world: &World, limits: Value) {
    set(world, "acme", json!({ "limits": limits })).await;
}

/// The meter of a tenant that has traffic: it comes with the first request, a moment after that counts as under way.
async fn meter(world: &World, slug: &str) -> std::sync::Arc<Meter> {
    let id = world.running.tenancy().show(slug).await.unwrap().tenant.id;
    let mut meter = None;
    until("it has traffic", || {
        meter = world.running.meters().find(id);
        meter.is_some()
    })
    .await;
    meter.unwrap()
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A backend that answers when it is told to, and routing that leads to it.
async fn patient() -> (Script, watch::Sender<bool>, String) {
    let (go, told) = watch::channel(false);
    let answer = move |_: http::Request<Incoming>| {
        let mut told = told.clone();
        async move {
            let _ = told.wait_for(|go| *go).await;
            Response::<Body>::new(full("done"))
        }
    };
    let backend = Script::http(answer).await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    (backend, go, routing)
}
