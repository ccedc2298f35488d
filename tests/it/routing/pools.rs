//! Pools that a tenant has in the place of others: for its own, and as a canary for a share of its visitors.

use std::collections::BTreeSet;

use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use crate::support::client::{get, get_with};
use crate::support::script::{Body, Script, full};
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";

async fn canary(_: Request<Incoming>) -> Response<Body> {
    Response::new(full("canary"))
}

async fn own(_: Request<Incoming>) -> Response<Body> {
    Response::new(full("own"))
}

async fn world() -> World {
    let (own, canary) = (Script::http(own).await, Script::http(canary).await);
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"${{BACKEND}}\"]\n\
         [[pool]]\nname = \"acme\"\nbackends = [\"{}\"]\ndedicated = true\n\
         [[pool]]\nname = \"next\"\nbackends = [\"{}\"]\ndedicated = true\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        own.address, canary.address
    );
    // The scripts serve for as long as the test's runtime does.
    let world = World::builder().routing(&routing).start().await;
    std::mem::forget((own, canary));
    world.tenant("acme", "growth").await;
    world.child("shop", "acme").await;
    world.tenant("beta", "growth").await;
    world
}

#[tokio::test]
async fn a_tenant_and_its_children_have_backends_of_their_own() {
    let world = world().await;
    world.edge("acme", json!({"pools": {"app": "acme"}})).await;
    for (host, expected) in [(HOST, true), ("shop.connect.localhost", true), ("beta.connect.localhost", false)] {
        assert_eq!(get(&world, host, "/").await.body == "own", expected, "{host}");
    }
    world.edge("shop", json!({"pools": {}})).await;
    assert_ne!(get(&world, "shop.connect.localhost", "/").await.body, "own", "the child's own word counts");
    world.edge("acme", json!({"pools": null})).await;
    assert_ne!(get(&world, HOST, "/").await.body, "own", "in force with the answer");
}

#[tokio::test]
async fn a_share_of_the_visitors_gets_the_canary_and_keeps_it() {
    let world = world().await;
    world.edge("acme", json!({"canary": {"of": "app", "pool": "next", "percent": 30}})).await;
    let first = get(&world, HOST, "/").await;
    let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-tenantry-visitor="), "{cookie}");
    let again = get_with(&world, HOST, "/", &[("cookie", &cookie)]).await;
    assert_eq!(again.body == "canary", first.body == "canary");
    assert_eq!(again.header("set-cookie"), "", "told once");
    let mut canaries = BTreeSet::new();
    for bucket in 0..100 {
        let answer = get_with(&world, HOST, "/", &[("cookie", &format!("__Host-tenantry-visitor={bucket}"))]).await;
        if answer.body == "canary" {
            canaries.insert(bucket);
        }
    }
    assert_eq!(canaries, (0..30).collect());
    // A larger share takes nobody back.
    world.edge("acme", json!({"canary": {"of": "app", "pool": "next", "percent": 60}})).await;
    let answer = get_with(&world, HOST, "/", &[("cookie", "__Host-tenantry-visitor=29")]).await;
    assert_eq!(answer.body, "canary");
    for odd in ["100", "-1", "x", "1; __Host-tenantry-visitor=2"] {
        let answer = get_with(&world, HOST, "/", &[("cookie", &format!("__Host-tenantry-visitor={odd}"))]).await;
        assert_eq!(answer.status.as_u16(), 200, "{odd}");
    }
    assert_eq!(get(&world, "beta.connect.localhost", "/").await.header("set-cookie"), "");
}

#[tokio::test]
async fn a_pool_that_a_reload_took_away_is_missed_loudly_and_the_next_in_line_serves() {
    let world = world().await;
    let canary = json!({"of": "app", "pool": "next", "percent": 100});
    world.edge("acme", json!({"pools": {"app": "acme"}, "canary": canary})).await;
    assert_eq!(get(&world, HOST, "/").await.body, "canary");
    let without = async |name: &str| {
        let routing = world.read("routing");
        let pool = routing.split("[[").find(|part| part.contains(&format!("name = \"{name}\""))).unwrap().to_owned();
        world.write("routing", &routing.replace(&format!("[[{pool}"), ""));
        world.running.reloader().reload(false).await.unwrap();
    };
    let missed = || world.running.metrics().pool_missing.get();
    without("next").await;
    assert_eq!(get(&world, HOST, "/").await.body, "own", "the tenant's own comes before everybody's");
    assert_eq!(missed(), 1);
    without("acme").await;
    let answer = get(&world, HOST, "/").await;
    assert!(answer.status == 200 && answer.body != "own", "everybody's");
    assert_eq!(missed(), 2);
    get(&world, "beta.connect.localhost", "/").await;
    assert_eq!(missed(), 2, "nobody else misses anything");
}
