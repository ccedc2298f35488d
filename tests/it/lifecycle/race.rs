//! Suspensions that race with connections being made: whatever got in just before is closed, and nothing gets in after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::{Api, close_code, drip, dripping, ends_at_once, eventually, get, get_h1, h1, h2};
use crate::support::client::tls;
use crate::support::world::World;

const ROUNDS: u64 = 50;
const VISITORS: u64 = 8;

/// Comes in by one of the ways there are, and returns when it is sent away or closed. `answered`: the suspension is.
async fn visit(world: &World, host: &str, way: u64, answered: &AtomicBool) {
    let after = answered.load(Ordering::SeqCst);
    let refused = |status: StatusCode| {
        assert!(!(after && status.is_success()), "way {way} was served after the suspension was answered: {status}");
        status == StatusCode::FORBIDDEN
    };
    match way % 4 {
        0 => {
            let stream = tls(world, host, &["http/1.1"]).await.unwrap();
            if let Ok((socket, _)) = tokio_tungstenite::client_async(format!("wss://{host}/ws"), stream).await {
                assert!(!after, "a WebSocket was opened after the suspension was answered");
                close_code(socket).await;
            }
        }
        1 => {
            let (mut sender, end) = h1(world, host).await;
            match sender.send_request(get_h1(host, "/")).await {
                Ok(answer) if refused(answer.status()) => {}
                Ok(answer) => {
                    // It may be cut short.
                    let _ = answer.into_body().collect().await;
                    end.await.unwrap();
                }
                Err(_) => {}
            }
        }
        2 => {
            let (mut sender, end) = h2(world, host).await;
            match sender.send_request(get(host, "/")).await {
                Ok(answer) if refused(answer.status()) => {}
                _ => end.await.unwrap(),
            }
        }
        _ => {
            let (mut sender, _end) = h2(world, host).await;
            if let Ok(answer) = sender.send_request(get(host, "/drip")).await
                && !refused(answer.status())
            {
                let mut body = answer.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_connection_survives_a_suspension_that_it_raced_with() {
    let world = Arc::new(dripping(drip().await).start().await);
    world.tenant("holding", "growth").await;
    world.child("shop", "holding").await;
    let (api, host) = (Api::of(&world).await, world.host("shop"));
    for round in 0..ROUNDS {
        let answered = Arc::new(AtomicBool::new(false));
        let mut visitors = JoinSet::new();
        for visitor in 0..VISITORS {
            let (world, host, answered) = (Arc::clone(&world), host.clone(), Arc::clone(&answered));
            visitors.spawn(async move {
                for _ in 0..crate::directory::scatter(round * VISITORS + visitor) % 2_000 {
                    tokio::task::yield_now().await;
                }
                visit(&world, &host, visitor, &answered).await;
            });
        }
        for _ in 0..crate::directory::scatter(round) % 2_000 {
            tokio::task::yield_now().await;
        }
        api.post(if round % 2 == 0 { "holding" } else { "shop" }, "suspend").await;
        answered.store(true, Ordering::SeqCst);
        // Those who are only coming now are refused; they count from here.
        let all = async {
            while let Some(visitor) = visitors.join_next().await {
                visitor.unwrap();
            }
        };
        ends_at_once(&format!("round {round}: a visitor"), all).await;
        api.post(if round % 2 == 0 { "holding" } else { "shop" }, "activate").await;
    }
    let open = &world.running.metrics().connections_open;
    eventually("every connection is gone", async || open.get() == 0).await;
}
