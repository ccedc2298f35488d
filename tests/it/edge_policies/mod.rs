//! What a tenant has set for its own hosts, and compression, as visitors see it.

mod browser;
mod canonical;
mod compression;
mod cors;
mod lapsed;
mod maintenance;
mod streams;

use http::Method;
use http_body_util::Full;

use crate::support::client::{self, Answer, request, send_h1, send_h2};
use crate::support::world::World;

/// One request with headers over a connection of its own, in HTTP/1.1 or HTTP/2.
async fn ask(world: &World, h2: bool, method: Method, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut builder = request(method, host, path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request = builder.body(Full::default()).unwrap();
    if h2 {
        return send_h2(&mut client::h2(world, host).await, request).await;
    }
    send_h1(&mut client::h1(world, host).await, request).await
}

/// The origin of a host, as browsers write it.
fn origin(world: &World, host: &str) -> String {
    format!("https://{host}:{}", world.https().port())
}
