//! Requests a second: a bucket for each tenant, told to visitors, and changed while they come.

use std::time::Duration;

use http::Method;
use http_body_util::Full;
use serde_json::json;

use tenantry::admin::Configuration;
use tenantry::model::Question;
use tenantry::traffic::Kind;

use super::{HOST, limit, meter, set, still, until};
use crate::support::client::{Answer, get, get_plain, get_with, h1, h2, request, send_h1, send_h2};
use crate::support::script::{Script, full};
use crate::support::world::World;

/// Status, `RateLimit-Policy`, `RateLimit` and `Retry-After`.
fn told(answer: &Answer) -> (u16, &str, &str, &str) {
    let header = |name| answer.header(name);
    (answer.status.as_u16(), header("ratelimit-policy"), header("ratelimit"), header("retry-after"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_and_told_over_both_protocols() {
    let world = still(World::builder()).await;
    assert_eq!(told(&get(&world, HOST, "/").await), (200, "", "", ""), "no limit is no header");
    limit(&world, json!({"requests_per_second": 2, "burst": 5})).await;
    let policy = "\"tenant\";q=5;w=3";
    let (mut one, mut two) = (h1(&world, HOST).await, h2(&world, HOST).await);
    for (left, full_in) in [(4, 1), (3, 1), (2, 2), (1, 2), (0, 3)] {
        let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        let answer = match left % 2 {
            0 => send_h1(&mut one, ask).await,
            _ => send_h2(&mut two, ask).await,
        };
        let level = format!("\"tenant\";r={left};t={full_in}");
        assert_eq!(told(&answer), (200, policy, level.as_str(), ""));
    }
    for _ in 0..2 {
        let ask = || request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        for refused in [send_h1(&mut one, ask()).await, send_h2(&mut two, ask()).await] {
            assert_eq!(told(&refused), (429, policy, "\"tenant\";r=0;t=3", "1"));
            assert_eq!(refused.code(), "rate-limited");
        }
    }
    assert_eq!(world.backend.take().len(), 6);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(told(&get(&world, HOST, "/").await), (200, policy, "\"tenant\";r=0;t=3", ""));
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(told(&get(&world, HOST, "/").await).2, "\"tenant\";r=4;t=1", "no more than the burst is saved up");
    let meter = meter(&world, "acme").await;
    assert_eq!((meter.counts().limited[0], meter.counts().refused), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_with_the_next_request() {
    let world = still(World::builder()).await;
    // A slow rate that is used up is not waited for under a fast one.
    limit(&world, json!({"requests_per_second": 1, "burst": 1})).await;
    assert_eq!(get(&world, HOST, "/").await.status, 200);
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    limit(&world, json!({"requests_per_second": 1, "burst": 3})).await;
    assert_eq!(told(&get(&world, HOST, "/").await).2, "\"tenant\";r=1;t=2");
    limit(&world, json!({"requests_per_second": 0})).await;
    let refused = get(&world, HOST, "/").await;
    assert_eq!(told(&refused), (429, "\"tenant\";q=1;w=1", "\"tenant\";r=0;t=60", "60"));
    limit(&world, json!({"requests_per_second": "unlimited"})).await;
    assert_eq!(told(&get(&world, HOST, "/").await), (200, "", "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_inherit_the_number_and_have_a_bucket_of_their_own() {
    let world = still(World::builder()).await;
    world.child("shop", "acme").await;
    limit(&world, json!({"requests_per_second": 1, "burst": 2})).await;
    let shop = world.host("shop");
    for host in [HOST, &shop, HOST, &shop] {
        assert_eq!(get(&world, host, "/").await.status, 200, "{host}");
    }
    for host in [HOST, &shop] {
        assert_eq!(get(&world, host, "/").await.status, 429, "{host}");
    }
    set(&world, "shop", json!({"limits": {"requests_per_second": "unlimited"}})).await;
    assert_eq!(get(&world, &shop, "/").await.status, 200);
    assert_eq!(get(&world, HOST, "/").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edges_own_paths_and_the_main_site_are_exempt() {
    let world = still(World::builder()).await;
    limit(&world, json!({"requests_per_second": 0})).await;
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    assert_eq!(get(&world, HOST, "/.well-known/tenantry/jwks.json").await.status, 200);
    assert_eq!(get(&world, HOST, "/.well-known/acme-challenge/unknown").await.status, 404);
    assert_eq!(get_plain(&world, HOST, "/.well-known/acme-challenge/unknown").await.status, 404);
    assert_eq!(get(&world, HOST, "/tenants/by-host/acme.connect.localhost").await.status, 200);
    assert_eq!(get(&world, "connect.localhost", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plans_word_holds_where_the_tenant_has_none() {
    let world = still(World::builder()).await;
    world.tenant("small", "free").await;
    let small = world.host("small");
    assert_eq!(told(&get(&world, &small, "/").await).1, "\"tenant\";q=100;w=2");
    set(&world, "small", json!({"limits": {"burst": 10}})).await;
    assert_eq!(told(&get(&world, &small, "/").await).1, "\"tenant\";q=10;w=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_quotas_stand_beside_the_edges_and_answers_of_routes_carry_it_too() {
    let answer = async |_| http::Response::builder().header("ratelimit", "\"app\";r=7;t=9").body(full("x")).unwrap();
    let backend = Script::http(answer).await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n[[route]]\nname = \"robots\"\nhost = \"any\"\n\
         path = \"/robots.txt\"\n[route.answer]\nbody = \"none\"\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let world = still(World::builder().routing(&routing)).await;
    limit(&world, json!({"requests_per_second": 10})).await;
    let passed = get(&world, HOST, "/").await;
    let all: Vec<_> = passed.headers.get_all("ratelimit").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(all, ["\"app\";r=7;t=9", "\"tenant\";r=9;t=1"]);
    let robots = get(&world, HOST, "/robots.txt").await;
    assert_eq!(told(&robots), (200, "\"tenant\";q=10;w=1", "\"tenant\";r=8;t=1", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_plans_limits_for_those_who_are_being_served() {
    let world = still(World::builder()).await;
    world.tenant("small", "free").await;
    let small = world.host("small");
    get(&world, &small, "/").await;
    let plans = world.read("plans").replacen("burst = 100", "burst = 7", 1);
    world.write("plans", &plans);
    let tenantry = world.read("tenantry");
    world.write("tenantry", &format!("{tenantry}[metrics]\ntenants = 0\n"));
    let changes = world.running.reloader().reload(false).await.unwrap().changes;
    assert_eq!((changes.sections, changes.needs_restart.len()), (vec!["metrics"], 0));
    assert_eq!(told(&get(&world, &small, "/").await).1, "\"tenant\";q=7;w=1");
    let text = world.running.metrics().render();
    assert!(text.contains("tenant=\"_other\"") && !text.contains("tenant=\"small\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_explain_a_request_takes_nothing_and_tells_what_is_left() {
    let world = still(World::builder()).await;
    limit(&world, json!({"requests_per_second": 1, "burst": 2, "concurrent_requests": 1})).await;
    let explained = async || {
        let (url, client) = (format!("https://{HOST}/").parse().unwrap(), "127.0.0.1".parse().unwrap());
        let question = Question { url, method: Method::GET, headers: http::HeaderMap::new(), client };
        let told = world.running.reloader().explain(&question).await.unwrap().unwrap();
        let limits = told.steps.iter().find(|told| told.step == "limits").unwrap().text.clone();
        (told.verdict.code.unwrap_or_default(), limits)
    };
    for _ in 0..5 {
        assert_eq!(explained().await, ("", "1 requests a second; 2 of 2 are left on this node".to_owned()));
    }
    for _ in 0..2 {
        assert_eq!(get(&world, HOST, "/").await.status, 200);
    }
    assert_eq!(explained().await, ("rate-limited", "1 requests a second; 0 of 2 are left on this node".to_owned()));
    let meter = meter(&world, "acme").await;
    until("those that were sent are counted", || meter.counts().total() == 2).await;
    assert_eq!(meter.under_way(Kind::Request), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_are_told_in_their_own_way() {
    let world = still(World::builder()).await;
    limit(&world, json!({"requests_per_second": 0})).await;
    let refused = get_with(&world, HOST, "/", &[("content-type", "application/grpc")]).await;
    assert_eq!((refused.status.as_u16(), refused.header("grpc-status")), (200, "8"));
    assert_eq!(refused.header("ratelimit"), "\"tenant\";r=0;t=60");
}
