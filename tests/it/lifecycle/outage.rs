//! The store disappears: visitors of known tenants notice nothing, everybody else is told the truth, and recovery needs
//! nobody's hand.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;

use super::{Api, LONG, get, h2};
use crate::support::client::{self, Answer};
use crate::support::postgres::Server;
use crate::support::world::World;

async fn readiness(api: &Api) -> Answer {
    let answer = api.call(Method::GET, "/readyz", Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

fn refused(answer: Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_goes_and_comes_back() {
    let mut server = Server::start();
    let world = World::builder().store(&server.database().await).start().await;
    for slug in ["known", "cold"] {
        world.tenant(slug, "growth").await;
    }
    world.domain("known", "known.example").await;
    let (api, known, cold) = (Api::of(&world).await, world.host("known"), world.host("cold"));
    for host in [known.as_str(), "known.example"] {
        assert_eq!(client::get(&world, host, "/").await.status, StatusCode::OK);
    }
    let (mut open, _end) = h2(&world, &known).await;
    assert_eq!(open.send_request(get(&known, "/")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(readiness(&api).await.json()["store"], "ok");

    server.stop();
    assert!(world.running.applied().wait_for_store(false, LONG).await);
    let ready = readiness(&api).await.json();
    assert_eq!((&ready["status"], &ready["store"]), (&json!("ready"), &json!("degraded")));
    let metrics = api.call(Method::GET, "/metrics", Value::Null).await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("\ntenantry_store_up 0\n"));
    for _ in 0..3 {
        assert_eq!(open.send_request(get(&known, "/")).await.unwrap().status(), StatusCode::OK);
        for host in [known.as_str(), "known.example"] {
            assert_eq!(client::get(&world, host, "/").await.status, StatusCode::OK, "{host}");
        }
    }
    for host in [cold.clone(), world.host("nobody")] {
        let answer = client::get(&world, &host, "/").await;
        assert_eq!(answer.header("retry-after"), "5");
        refused(answer, 503, "lookup-unavailable");
    }
    let suspension = api.call(Method::POST, "/v1/tenants/known/suspend", Value::Null).await;
    assert_eq!(suspension.status, StatusCode::SERVICE_UNAVAILABLE, "{suspension:?}");
    assert_eq!(client::get(&world, &known, "/").await.status, StatusCode::OK, "what was not written is not in force");

    server.resume();
    assert!(world.running.applied().wait_for_store(true, LONG).await);
    assert_eq!(readiness(&api).await.json()["store"], "ok");
    assert_eq!(client::get(&world, &cold, "/").await.status, StatusCode::OK, "the outage was not taken for a no");
    refused(client::get(&world, &world.host("nobody"), "/").await, 404, "tenant-not-found");
    api.post("known", "suspend").await;
    refused(client::get(&world, &known, "/").await, 403, "tenant-suspended");
    let (mut again, _end) = h2(&world, &cold).await;
    assert_eq!(again.send_request(get(&cold, "/")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_that_somebody_else_holds_stops_writers_and_no_visitor() {
    let world = World::start().await;
    for slug in ["known", "cold"] {
        world.tenant(slug, "growth").await;
    }
    let (api, known) = (Api::of(&world).await, world.host("known"));
    assert_eq!(client::get(&world, &known, "/").await.status, StatusCode::OK);
    let url = format!("sqlite:{}", world.dir.path().join("tenantry.db").display());
    let mut holder = sqlx::AnyConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();

    let suspension = api.call(Method::POST, "/v1/tenants/known/suspend", Value::Null);
    let visits = async {
        for slug in ["known", "cold"] {
            assert_eq!(client::get(&world, &world.host(slug), "/").await.status, StatusCode::OK, "{slug}");
        }
        refused(client::get(&world, &world.host("nobody"), "/").await, 404, "tenant-not-found");
    };
    let (suspension, ()) = tokio::join!(suspension, visits);
    assert_eq!(suspension.status, StatusCode::SERVICE_UNAVAILABLE, "{suspension:?}");
    assert_eq!(client::get(&world, &known, "/").await.status, StatusCode::OK);

    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    api.post("known", "suspend").await;
    refused(client::get(&world, &known, "/").await, 403, "tenant-suspended");
}
