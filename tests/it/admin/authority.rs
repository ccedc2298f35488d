//! What somebody may do is looked at again when they do it: whoever loses it while their call is under way changes nothing.
//! And no browser does anything that its owner did not mean.

use serde_json::{Value, json};
use tenantry::tenancy::{Origin, csrf_token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::access::operations;
use super::members::{member, tenant};
use super::world::World;

/// A call whose caller has been let in, and whose body is still to come.
struct UnderWay {
    stream: TcpStream,
    body: String,
}

impl UnderWay {
    /// The server asks for the body (RFC 9110 §10.1.1) when the handler reads it: behind the check.
    async fn begin(world: &World, method: &str, path: &str, headers: &[(&str, String)], body: Value) -> Self {
        let mut stream = TcpStream::connect(world.base.strip_prefix("http://").unwrap()).await.unwrap();
        let body = body.to_string();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let mut go_on = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&go_on), "HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, body }
    }

    /// Status and code.
    async fn end(mut self) -> (u16, String) {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        let mut text = String::new();
        self.stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        (head[9..12].parse().unwrap(), json["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn bearer(made: &Value) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer {}", made["token"].as_str().unwrap()))]
}

#[tokio::test]
async fn whoever_loses_their_right_while_their_call_is_under_way_changes_nothing() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    member(&world, "acme", "owner@example.com", "owner").await;
    let admin = member(&world, "acme", "admin@example.com", "admin").await;
    let session = async || {
        let person = tenantry::model::PersonId::parse(&admin.person).unwrap();
        let done = world.tenancy().begin_session(person, &Origin::default(), None, None).await.unwrap();
        let secret = done.value.secret.to_string();
        [("cookie", format!("__Host-tenantry={secret}")), ("x-csrf-token", csrf_token(&secret))]
    };
    let (members, invitations) = ("/v1/tenants/acme/members", "/v1/tenants/acme/invitations");
    let new = || json!({"email": "friend@example.com", "role": "admin"});

    // Nothing is taken away: it is done.
    let calm = json!({"email": "calm@example.com", "role": "admin"});
    assert_eq!(UnderWay::begin(&world, "POST", invitations, &session().await, calm).await.end().await.0, 201);

    // Demoted.
    let call = UnderWay::begin(&world, "POST", invitations, &session().await, new()).await;
    let at = format!("{members}/admin@example.com");
    world.call("PATCH", &at, json!({"role": "moderator"})).await.expect(200);
    assert_eq!(call.end().await, (403, "insufficient-scope".into()));
    world.call("PATCH", &at, json!({"role": "admin"})).await.expect(200);

    // Removed.
    let call = UnderWay::begin(&world, "POST", invitations, &session().await, new()).await;
    world.call("DELETE", &at, Value::Null).await.expect(200);
    assert_eq!(call.end().await, (404, "tenant-not-found".into()));
    world.call("POST", &format!("{at}/restore"), Value::Null).await.expect(200);

    // Signed out everywhere.
    let call = UnderWay::begin(&world, "POST", invitations, &session().await, new()).await;
    world.call("DELETE", "/v1/people/admin@example.com/sessions", Value::Null).await.expect(200);
    assert_eq!(call.end().await, (401, "unauthorized".into()));

    // A token of the tenant's, and one of the operators'.
    for path in ["/v1/tenants/acme/tokens", "/v1/tokens"] {
        let made = world.post(path, json!({"name": "ci"})).await.expect(201).clone();
        let call = UnderWay::begin(&world, "POST", invitations, &bearer(&made), new()).await;
        world.call("DELETE", &format!("{path}/ci"), Value::Null).await.expect(204);
        assert_eq!(call.end().await, (401, "unauthorized".into()), "{path}");
    }
    let listed = world.get(invitations).await.text;
    assert!(listed.contains("calm@example.com") && !listed.contains("friend@example.com"), "{listed}");
}

#[tokio::test]
async fn what_an_operator_began_within_a_tenant_ends_with_what_let_them() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    let made = world.post("/v1/tokens", json!({"name": "support"})).await.expect(201).clone();
    let [(_, support)] = bearer(&made);
    let headers = [("authorization", support.as_str()), ("content-type", "application/json")];
    let how = json!({"reason": "ticket 7", "minutes": 60}).to_string();
    let made = world.raw("POST", "/v1/tenants/acme/impersonate", &headers, &how).await.expect(201).clone();
    let [(_, within)] = bearer(&made);
    let look = async || world.raw("GET", "/v1/tenants/acme", &[("authorization", &within)], "").await;
    look().await.expect(200);
    world.call("DELETE", "/v1/tokens/support", Value::Null).await.expect(204);
    look().await.refused(401, "unauthorized");
}

#[tokio::test]
async fn no_write_is_done_by_a_cookie_alone() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    let owner = member(&world, "acme", "owner@example.com", "owner").await;
    let person = tenantry::model::PersonId::parse(&owner.person).unwrap();
    let done = world.tenancy().begin_session(person, &Origin::default(), None, None).await.unwrap();
    let secret = done.value.secret.to_string();
    let (cookie, csrf) = (format!("__Host-tenantry={secret}"), csrf_token(&secret));
    let before = world.revision().await;
    let operations = operations(&world).await;
    for operation in operations.iter().filter(|operation| operation.method != "GET" && operation.of != "public") {
        // As a form of another site sends it, from a browser that says nothing of where it comes from.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json"] {
            let headers = [("authorization", "-"), ("cookie", cookie.as_str()), ("content-type", kind)];
            let body = if operation.takes_body { "{}" } else { "" };
            let at = operation.at("acme", "nothing");
            world.raw(&operation.method, &at, &headers, body).await.refused(403, "csrf");
            // And one that says so, whatever it brings.
            let more = [("x-csrf-token", csrf.as_str()), ("origin", "null")];
            let headers = [headers.as_slice(), more.as_slice()].concat();
            world.raw(&operation.method, &at, &headers, body).await.refused(403, "csrf");
        }
    }
    assert_eq!(world.revision().await, before, "nothing was written");
    // Whoever tries is told of in the ledger.
    let told = async || world.get("/v1/audit?action=access.refused").await.text.contains("\"csrf\"");
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !told().await {
        assert!(tokio::time::Instant::now() < patience, "no line tells of it");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
