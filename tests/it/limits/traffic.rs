//! `GET /v1/tenants/{t}/traffic` and `tenantry tenant traffic`: exact counts of this node.

use http::Method;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{HOST, limit, meter, still, until};
use crate::support::client::{get, h2, request, send_h2, websocket};
use crate::support::world::World;

async fn admin(world: &World, token: &str, path: &str) -> (u16, Value) {
    let stream = TcpStream::connect(world.admin()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = http::Request::get(path).header("host", "admin").header("authorization", format!("Bearer {token}"));
    let answer = sender.send_request(ask.body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_shown_with_the_limits() {
    let world = still(World::builder()).await;
    let token = world.token("test").await;
    let path = "/v1/tenants/acme/traffic";
    let (status, nothing) = admin(&world, &token, path).await;
    assert_eq!((status, &nothing["requests_total"], &nothing["limits"]["rate"]), (200, &json!(0), &json!(null)));
    assert_eq!(nothing["since"], json!(world.clock.now()));
    limit(&world, json!({"requests_per_second": 1, "burst": 4, "websockets": 2})).await;
    let mut sender = h2(&world, HOST).await;
    for (method, bytes) in [(Method::POST, 1000), (Method::GET, 0)] {
        let ask = request(method, HOST, "/").body(Full::from(vec![b'x'; bytes])).unwrap();
        assert_eq!(send_h2(&mut sender, ask).await.body.len(), bytes);
    }
    let socket = websocket(&world, HOST).await;
    let refused = {
        get(&world, HOST, "/").await;
        get(&world, HOST, "/").await
    };
    assert_eq!(refused.status, 429);
    let meter = meter(&world, "acme").await;
    until("all have ended but the WebSocket", || meter.counts().total() == 4).await;
    let (_, traffic) = admin(&world, &token, path).await;
    let statuses = json!({"none": 0, "1xx": 0, "2xx": 3, "3xx": 0, "4xx": 1, "5xx": 0});
    assert_eq!((&traffic["requests"], &traffic["requests_total"]), (&statuses, &json!(4)));
    let limited = json!({"rate": 1, "concurrency": 0, "websockets": 0, "body": 0, "access": 0});
    assert_eq!((&traffic["refused"], &traffic["limited"]), (&json!(1), &limited));
    assert_eq!(traffic["request_bytes"], 1000);
    assert_eq!(traffic["response_bytes"], 1000 + refused.body.len());
    assert_eq!((&traffic["requests_in_flight"], &traffic["websockets"]), (&json!(0), &json!(1)));
    let rate = json!({"requests_per_second": 1, "burst": 4, "remaining": 0});
    assert_eq!((&traffic["limits"]["rate"], &traffic["limits"]["websockets"]), (&rate, &json!(2)));
    drop(socket);
    until("the WebSocket is counted", || meter.counts().requests[1] == 1).await;
    assert_eq!(admin(&world, &token, "/v1/tenants/nobody/traffic").await.0, 404);
    shown_in_a_shell(&world, &token).await;
}

async fn shown_in_a_shell(world: &World, token: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command.env("TENANTRY_ADMIN", format!("http://{}", world.admin())).env("TENANTRY_TOKEN", token);
    let output = command.args(["tenant", "traffic", "acme"]).output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let line = |label: &str| out.lines().find_map(|line| line.strip_prefix(label)).map(str::trim).unwrap_or_default();
    assert_eq!((line("requests"), line("for limits")), ("5", "1 rate"), "{out}");
    assert_eq!((line("websockets"), line("rate")), ("0 of 2", "1 a second, 0 of 4 left"), "{out}");
}
