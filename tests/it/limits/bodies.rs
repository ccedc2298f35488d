//! How large a request's body may be: the least of the tenant's word and the node's.

use http::Method;
use http_body_util::Full;
use hyper::body::Frame;
use serde_json::json;

use super::{HOST, limit, meter, still, until};
use crate::support::client::{collect, h1, h2, h2_streaming, request, send_h1, send_h2};
use crate::support::script::streamed;
use crate::support::world::World;

async fn post(world: &World, bytes: usize) -> (u16, u16) {
    let ask = || request(Method::POST, HOST, "/").body(Full::from(vec![b'x'; bytes])).unwrap();
    let one = send_h1(&mut h1(world, HOST).await, ask()).await.status.as_u16();
    (one, send_h2(&mut h2(world, HOST).await, ask()).await.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_word_about_a_body_counts() {
    let world = still(World::builder().settings("[limits]\nbody_bytes = \"2KiB\"\n")).await;
    assert_eq!(post(&world, 2048).await, (200, 200));
    assert_eq!(post(&world, 2049).await, (413, 413));
    limit(&world, json!({"body_bytes": 1000})).await;
    assert_eq!(post(&world, 1000).await, (200, 200));
    assert_eq!(post(&world, 1001).await, (413, 413));
    limit(&world, json!({"body_bytes": 1_000_000})).await;
    assert_eq!(post(&world, 2049).await, (413, 413), "a tenant's word does not lift the node's");
    limit(&world, json!({"body_bytes": 0})).await;
    assert_eq!((post(&world, 0).await, post(&world, 1).await), ((200, 200), (413, 413)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_beyond_its_limit_is_cut_off_and_counted() {
    let world = still(World::builder()).await;
    limit(&world, json!({"body_bytes": 1000})).await;
    let mut sender = h2_streaming(&world, HOST).await;
    let (chunks, body) = streamed();
    let answer = sender.send_request(request(Method::POST, HOST, "/").body(body).unwrap());
    let upload = tokio::spawn(async move { while chunks.send(Frame::data(vec![b'x'; 400].into())).await.is_ok() {} });
    let answer = collect(answer.await.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "body-too-large"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("1000"), "{:?}", answer.json());
    upload.await.unwrap();
    let meter = meter(&world, "acme").await;
    until("it is counted", || meter.counts().total() == 1).await;
    let counts = meter.counts();
    assert_eq!((counts.limited, counts.refused), ([0, 0, 0, 1, 0], 1));
    assert!(counts.received > 1000 && counts.sent > 0, "{counts:?}");
    assert!(world.backend.take().is_empty());
}
