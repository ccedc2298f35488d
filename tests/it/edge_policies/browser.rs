//! A real browser: a page on one host of a tenant reads from another, with a preflight, and is compressed on the way.

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use super::origin;
use crate::browser::{document, key_of};
use crate::support::client;
use crate::support::script::{Body, Script, full};
use crate::support::world::World;

/// Asks the host in its query, and writes what came of it into the document.
const PAGE: &str = r#"<!doctype html><title>app</title><p id="out">waiting</p><script>
const there = location.search.slice(1);
const read = async path => {
    const answer = await fetch(there + path, { method: "PUT", headers: { "X-One": "1" }, credentials: "include" });
    return answer.status + " " + (answer.headers.get("x-total") || (await answer.json()).code);
};
(async () => [await read("/data"), await read("/export")].join(", "))()
    .then(text => { out.textContent = text; }, error => { out.textContent = "failed: " + error; });
</script>"#;

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let page = Bytes::from(format!("{PAGE}<!-- {} -->", "x".repeat(2000)));
    let (media, body) = match request.uri().path() {
        "/data" => ("text/plain", Bytes::from("x".repeat(5000))),
        _ => ("text/html", page),
    };
    Response::builder().header("content-type", media).header("x-total", "5000 bytes").body(full(body)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_from_another_host_of_its_tenant_and_strangers_do_not() {
    let backend = Script::http(answer).await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n\
         [[route]]\nname = \"export\"\nhost = \"tenant\"\npath = \"/export\"\nrequires = \"csv_export\"\npool = \"app\"\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "creators").await;
    world.tenant("evil", "free").await;
    world.domain("acme", "app.shop.localhost").await;
    world.edge("acme", json!({"cors": {"credentials": true, "expose": ["X-Total"]}})).await;
    let mut keys = Vec::new();
    for host in [&world.host("acme"), "app.shop.localhost"] {
        let stream = client::tls(&world, host, &["h2"]).await.unwrap();
        keys.push(key_of(&stream.get_ref().1.peer_certificates().unwrap()[0]));
    }
    let there = origin(&world, &world.host("acme"));
    let page = document(&format!("{}/?{there}", origin(&world, "app.shop.localhost")), &keys.join(",")).await;
    assert!(page.contains("200 5000 bytes, 402 plan-required"), "{page}");
    let metrics = world.running.metrics().render();
    assert!(
        metrics.contains("tenantry_compression_bytes_total{algorithm=\"zstd\",direction=\"in\"}")
            || metrics.contains("algorithm=\"br\""),
        "{metrics}"
    );

    let page = document(&format!("{}/?{there}", origin(&world, &world.host("evil"))), &keys.join(",")).await;
    assert!(page.contains("failed: TypeError"), "{page}");
}
