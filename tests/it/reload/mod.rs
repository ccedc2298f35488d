//! Hot reload: what is put into force, what is refused, and what those who are being served notice of it.

mod large;
mod process;
mod whole;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http_body_util::Full;
use tenantry::admin::{Configuration, Refused, Reloaded};
use tokio_tungstenite::tungstenite::Message;

use crate::config::broken;
use crate::support::client::{get, h1, h1_streaming, h2, h2_streaming, request, send_h1, send_h2, websocket};
use crate::support::script::{Script, full};
use crate::support::underway::Slow;
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";

async fn world() -> World {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world
}

async fn reload(world: &World) -> Result<Reloaded, Refused> {
    world.running.reloader().reload(false).await
}

/// Other backends for everything, by replacing the world's own.
fn send_to(world: &World, address: &str) {
    let routing = world.read("routing");
    world.write("routing", &routing.replace("${BACKEND}", address));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_stays_open_and_the_next_request_goes_the_new_way() {
    let world = world().await;
    let next = Script::http(async |_| http::Response::new(full("next"))).await;
    let ask = || request(Method::GET, HOST, "/").body(Full::default()).unwrap();
    let (mut one, mut two) = (h1(&world, HOST).await, h2(&world, HOST).await);
    let mut socket = websocket(&world, HOST).await;
    send_h1(&mut one, ask()).await;
    send_h2(&mut two, ask()).await;

    send_to(&world, &next.address.to_string());
    let looked = world.running.reloader().reload(true).await.unwrap();
    assert_eq!((looked.applied, &*looked.changes.pools.changed), (false, &["app".to_owned()][..]));
    assert_ne!(get(&world, HOST, "/").await.body, "next", "a dry run changes nothing");
    let reloaded = reload(&world).await.unwrap();
    assert_eq!((reloaded.applied, reloaded.revision), (true, 1));
    assert_eq!(reloaded.changes, looked.changes);

    assert_eq!(send_h1(&mut one, ask()).await.body, "next", "the same connection");
    assert_eq!(send_h2(&mut two, ask()).await.body, "next", "the same connection");
    socket.send(Message::text("still here?")).await.unwrap();
    let echoed = socket.next().await.unwrap().unwrap();
    assert!(echoed.to_text().unwrap().contains("still here?"), "{echoed:?}");
    let again = reload(&world).await.unwrap();
    assert!(again.changes.is_empty() && again.revision == 1, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_plans_limits_and_trust_are_reloaded_and_the_rest_waits_for_a_restart() {
    let world = world().await;
    let routing = world.read("routing");
    let more = "[[route]]\nname = \"new\"\nhost = \"any\"\npath = \"/new\"\n[route.answer]\nbody = \"new\"\n";
    world.write("routing", &routing.replacen("[[route]]", &format!("{more}[[route]]"), 1));
    let plans =
        world.read("plans").replacen("features = [\"custom_domain\", \"catch_up_ai\"", "features = [\"sso\"", 1);
    world.write("plans", &plans);
    let tenantry = world.read("tenantry").replace("name = \"Test\"", "name = \"Else\"");
    world.write("tenantry", &format!("{tenantry}[limits]\nbody_bytes = \"10B\"\nh2_streams = 7\n"));
    let changes = reload(&world).await.unwrap().changes;
    assert_eq!(changes.sections, ["brand", "limits"]);
    assert_eq!(changes.routes.added, ["new"]);
    assert_eq!(changes.plans.changed, ["growth"]);
    assert_eq!(changes.needs_restart, ["brand", "limits.h2_streams"]);
    assert!(changes.order && !changes.catalogue);

    assert_eq!(get(&world, HOST, "/new").await.body, "new");
    let ask = request(Method::POST, HOST, "/").body(Full::from("eleven bytes")).unwrap();
    assert_eq!(send_h1(&mut h1(&world, HOST).await, ask).await.status.as_u16(), 413);
    get(&world, HOST, "/").await;
    assert!(world.backend.take().last().unwrap().header("x-tenant-features").unwrap().contains("sso"));
    let page = get(&world, "nobody.connect.localhost", "/").await;
    assert_eq!(page.status.as_u16(), 404);
    assert_eq!(world.running.reloader().state().needs_restart, ["brand", "limits.h2_streams"]);
    // What waits for a restart is still told of when it has not changed since.
    let changes = reload(&world).await.unwrap().changes;
    assert_eq!((changes.sections.len(), changes.needs_restart.len()), (0, 2));
    let state = world.running.reloader().state();
    assert_eq!((state.revision, state.last_reload.unwrap().result), (1, "unchanged"), "nothing was replaced");
    let kept = std::fs::read_to_string(world.files.join("state/last-good-config.json")).unwrap();
    assert!(!kept.contains("Else"), "what nobody has been started with is not known to be good");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_broken_files_are_refused_and_the_old_one_keeps_serving() {
    let world = world().await;
    let mut client = h1(&world, HOST).await;
    let good = ["tenantry", "routing", "plans"].map(|file| (file, world.read(file)));
    let mut refused = 0;
    for broken in broken::table() {
        let file = broken.file;
        broken.write(&world.files);
        let Err(Refused::Faults(faults)) = reload(&world).await else { panic!("{file}.toml: {}: taken", broken.what) };
        assert!(faults.iter().any(|fault| fault.file.ends_with(&format!("{file}.toml"))), "{faults}");
        let answer = send_h1(&mut client, request(Method::GET, HOST, "/").body(Full::default()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), 200, "{file}: {faults}");
        broken.remove(&world.files);
        for (file, text) in &good {
            world.write(file, text);
        }
        refused += 1;
    }
    let metrics = world.running.metrics();
    assert_eq!(metrics.config_reloads.with_label_values(&["refused"]).get(), refused);
    assert_eq!(metrics.config_ok.get(), 0);
    let last = world.running.reloader().state().last_reload.unwrap();
    assert!(last.result == "refused" && !last.faults.is_empty(), "{last:?}");
    assert!(reload(&world).await.unwrap().changes.is_empty());
    assert_eq!(metrics.config_ok.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_noticed_when_they_are_watched() {
    let world = World::builder().settings("[reload]\nwatch = \"100ms\"\n").start().await;
    world.tenant("acme", "growth").await;
    let next = Script::http(async |_| http::Response::new(full("next"))).await;
    send_to(&world, &next.address.to_string());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while get(&world, HOST, "/").await.body != "next" {
        assert!(std::time::Instant::now() < until, "the change was never noticed");
    }
    world.write("routing", "pool = 1");
    let refused = world.running.metrics().config_reloads.with_label_values(&["refused"]);
    while refused.get() == 0 {
        assert!(std::time::Instant::now() < until, "the fault was never noticed");
        assert_eq!(get(&world, HOST, "/").await.body, "next");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_where_it_began() {
    let world = world().await;
    let (slow, next) = (Slow::start().await, Script::http(async |_| http::Response::new(full("next"))).await);
    let routing = world.read("routing");
    let lead_to = async |address: std::net::SocketAddr| {
        world.write("routing", &routing.replace("${BACKEND}", &address.to_string()));
        reload(&world).await.unwrap();
    };
    lead_to(slow.address()).await;
    let (two, one) = (h2_streaming(&world, HOST).await, h1_streaming(&world, HOST).await);
    let under_way = slow.begin(two, one, HOST).await;
    lead_to(next.address).await;
    assert_eq!(get(&world, HOST, "/").await.body, "next");
    slow.end(under_way).await;
}
