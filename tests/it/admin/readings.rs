//! Exports and checks of the ledger: few at once, one for each tenant, and whoever has none is told when to come again.

use std::time::Duration;

use serde_json::json;
use tenantry::model::TenantId;
use tenantry::store::AuditEntry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::world::World;

/// So much about a tenant that no buffer on the way holds all of it.
async fn much(world: &World, slug: &str) {
    let tenant = world.get(&format!("/v1/tenants/{slug}")).await.expect(200)["id"].clone();
    let entry = AuditEntry {
        actor: "system".into(),
        action: "test.note".into(),
        tenant: TenantId::parse(tenant.as_str().unwrap()),
        subject: slug.into(),
        detail: json!({ "text": "x".repeat(6 * 1024) }),
        ..AuditEntry::default()
    };
    let mut write = world.store.write().await.unwrap();
    write.audit_all(&vec![entry; 4_500]).await.unwrap();
    write.commit().await.unwrap();
}

/// Asks for something, and has its answer begin; what comes is not read.
async fn begin(world: &World, bearer: &str, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(world.base.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200", "{path}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_one_reading_under_way_and_takes_none_from_others() {
    let world = World::new().await;
    for slug in ["acme", "beta"] {
        world.tenant_with_domains(slug, &[]).await;
    }
    much(&world, "acme").await;
    let mut bearers = Vec::new();
    for slug in ["acme", "beta"] {
        let made = world.post(&format!("/v1/tenants/{slug}/tokens"), json!({"name": "reader"})).await;
        bearers.push(format!("Bearer {}", made.expect(201)["token"].as_str().unwrap()));
    }
    let with = async |bearer: &str, path: &str| world.raw("GET", path, &[("authorization", bearer)], "").await;
    for path in ["/v1/tenants/acme/export", "/v1/tenants/acme/audit/export?format=proof", "/v1/audit/export"] {
        let open = begin(&world, &bearers[0], path).await;
        for second in ["/v1/tenants/acme/export", "/v1/audit/verify", "/v1/tenants/acme/audit/export"] {
            let reply = with(&bearers[0], second).await;
            reply.refused(429, "readings-under-way");
            assert_eq!(reply.header("retry-after"), "10", "{path}: {second}");
        }
        assert_eq!(with(&bearers[0], "/v1/tenants/acme/audit").await.status, 200, "lists are read all the same");
        assert_eq!(with(&bearers[1], "/v1/tenants/beta/audit/verify").await.status, 200);
        assert_eq!(world.get("/v1/tenants/beta/export").await.status, 200);
        drop(open);
        let free = async {
            while with(&bearers[0], "/v1/tenants/acme/audit/export?action=none").await.status == 429 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), free).await.expect("whoever hangs up leaves their place");
    }
    // One after the other there is always a place: it is free before the answer has ended.
    for _ in 0..20 {
        assert_eq!(with(&bearers[1], "/v1/tenants/beta/export").await.status, 200);
        assert_eq!(with(&bearers[1], "/v1/audit/verify").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_four() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &[]).await;
    much(&world, "acme").await;
    let bearer = format!("Bearer {}", world.token);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(begin(&world, &bearer, "/v1/tenants/acme/export").await);
    }
    world.get("/v1/audit/verify").await.refused(429, "readings-under-way");
    world.get("/v1/audit").await.expect(200);
}
