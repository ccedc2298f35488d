//! What a refusal looks like (design.md): status, code and headers of every row, as a page, as a problem document, to
//! HEAD and to gRPC.

use http::{Method, StatusCode};
use http_body_util::Full;
use tenantry::model::{Branding, Colour, Slug, Status, TenantId};
use tenantry::tenancy::NewTenant;

use crate::support::client::{Answer, get, get_plain, get_with, h1, h2, raw, request, send_h1, send_h2};
use crate::support::world::World;

/// One row of the table.
struct Row {
    slug: &'static str,
    method: Method,
    path: &'static str,
    status: u16,
    code: &'static str,
    retry_after: &'static str,
    grpc: &'static str,
}

fn row(slug: &'static str, status: u16, code: &'static str, retry_after: &'static str, grpc: &'static str) -> Row {
    Row { slug, method: Method::GET, path: "/page", status, code, retry_after, grpc }
}

/// Tenants in every state, each in its own branding; they are told apart by their slugs.
async fn world(settings: &str) -> World {
    let world = World::builder().settings(settings).start().await;
    let new = |slug: &str, status| NewTenant {
        slug: slug.into(),
        name: format!("<{slug}> & Söhne"),
        plan: Some("free".into()),
        status: Some(status),
        ..NewTenant::default()
    };
    world.create(new("active", Status::Active)).await;
    world.create(new("pending", Status::Pending)).await;
    for slug in ["suspended", "cancelled", "archived", "holding"] {
        world.create(new(slug, Status::Active)).await;
    }
    world.child("merchant", "holding").await;
    world.suspend("suspended").await;
    world.suspend("holding").await;
    for (slug, status) in [("cancelled", Status::Cancelled), ("archived", Status::Archived), ("active", Status::Active)]
    {
        set(&world, slug, status).await;
    }
    world
}

/// Writes what no call of the control plane does yet.
async fn set(world: &World, slug: &str, status: Status) {
    let mut write = world.running.store().write().await.unwrap();
    let mut tenant = write.tenant_by_slug(&Slug::parse(slug).unwrap()).await.unwrap().unwrap();
    tenant.status = status;
    tenant.branding = Branding {
        primary_colour: Colour::parse("#12ab9f").ok(),
        tagline: Some("<i>ours</i>".into()),
        ..Branding::default()
    };
    write.update_tenant(&tenant).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, std::time::Duration::from_secs(10)).await);
}

fn check_headers(answer: &Answer, row: &Row) {
    assert_eq!(answer.header("cache-control"), "no-store", "{}", row.code);
    assert_eq!(answer.header("retry-after"), row.retry_after, "{}", row.code);
    assert_eq!(answer.header("x-request-id").len(), 32, "{}", row.code);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_status_code_and_form() {
    let world = world("").await;
    let export =
        Row { method: Method::POST, path: "/analytics/export", ..row("active", 402, "plan-required", "", "9") };
    for row in [
        row("nobody", 404, "tenant-not-found", "", "12"),
        row("pending", 503, "tenant-pending", "60", "14"),
        row("suspended", 403, "tenant-suspended", "", "7"),
        row("merchant", 403, "tenant-suspended", "", "7"),
        row("cancelled", 410, "tenant-cancelled", "", "12"),
        row("archived", 410, "tenant-cancelled", "", "12"),
        export,
    ] {
        let host = world.host(row.slug);
        let ask = |headers: &[(&str, &str)], method: &Method| {
            let mut builder = request(method.clone(), &host, row.path);
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            builder.body(Full::default()).unwrap()
        };
        let mut over_h2 = h2(&world, &host).await;
        let mut over_h1 = h1(&world, &host).await;
        for accept in ["*/*", "application/json", "text/plain"] {
            for answer in [
                send_h2(&mut over_h2, ask(&[("accept", accept)], &row.method)).await,
                send_h1(&mut over_h1, ask(&[("accept", accept)], &row.method)).await,
            ] {
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (row.status, row.code));
                assert_eq!(answer.header("content-type"), "application/problem+json");
                check_headers(&answer, &row);
                let problem = answer.json();
                assert_eq!(problem["request_id"], answer.header("x-request-id"));
                assert_eq!(problem["status"], row.status);
                assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
            }
        }
        let page = send_h2(&mut over_h2, ask(&[("accept", "text/html,*/*;q=0.8")], &row.method)).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (row.status, "text/html; charset=utf-8"));
        check_headers(&page, &row);
        check_page(&page, &row);

        let head = send_h1(&mut over_h1, ask(&[], &Method::HEAD)).await;
        if row.method == Method::GET {
            assert_eq!((head.status.as_u16(), head.body.len()), (row.status, 0));
            assert_ne!(head.header("content-length"), "0");
            check_headers(&head, &row);
        }

        let call = send_h2(&mut over_h2, ask(&[("content-type", "application/grpc+proto")], &row.method)).await;
        assert_eq!((call.status, call.body.len()), (StatusCode::OK, 0));
        assert_eq!((call.header("grpc-status"), call.header("grpc-message")), (row.grpc, row.code));
        assert_eq!((call.header("content-type"), call.header("cache-control")), ("application/grpc", "no-store"));
        assert_eq!(call.header("x-request-id").len(), 32);
        // Over HTTP/1 (gRPC-Web) the end of the answer has to be told as well.
        let call = send_h1(&mut over_h1, ask(&[("content-type", "application/grpc-web")], &row.method)).await;
        assert_eq!((call.status, call.header("grpc-status"), call.body.len()), (StatusCode::OK, row.grpc, 0));
        assert_eq!(send_h1(&mut over_h1, ask(&[], &row.method)).await.status.as_u16(), row.status, "still usable");
    }
    assert_eq!(world.backend.take().len(), 1, "only HEAD of the gated path, which is not gated");
}

/// A page names its tenant where there is one, in its colours, and nothing in it is anybody's markup.
fn check_page(page: &Answer, row: &Row) {
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(text.contains(row.code) && text.contains(page.header("x-request-id")), "{text}");
    assert!(text.contains("href=\"https://connect.localhost/\""), "a way to the main site: {text}");
    let name = format!("&#60;{}&#62; &#38; Söhne", row.slug);
    match row.slug {
        "nobody" => assert!(text.contains("<strong>Test</strong>"), "{text}"),
        "merchant" => assert!(text.contains("<strong>merchant</strong>"), "{text}"),
        _ => assert!(text.contains(&name), "{text}"),
    }
    if matches!(row.slug, "cancelled" | "archived" | "active") {
        assert!(text.contains("--primary:#12ab9f;") && text.contains("&#60;i&#62;ours"), "{text}");
    }
    assert!(!text.contains("unpaid"), "the reason is not public: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_is_shown_only_when_the_operator_allows_it() {
    let world = world("").await;
    let host = world.host("suspended");
    assert!(!get(&world, &host, "/").await.json().to_string().contains("unpaid"));
    let mut write = world.running.store().write().await.unwrap();
    let mut tenant = write.tenant_by_slug(&Slug::parse("suspended").unwrap()).await.unwrap().unwrap();
    tenant.reason_public = true;
    write.update_tenant(&tenant).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, std::time::Duration::from_secs(10)).await);
    assert_eq!(get(&world, &host, "/").await.json()["detail"], "This tenant is suspended: unpaid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_knows_every_spelling_of_its_path() {
    let world = world("").await;
    world.tenant("rich", "growth").await;
    let (poor, rich) = (world.host("active"), world.host("rich"));
    for path in [
        "/analytics/export",
        "/analytics/%65xport",
        "/%61nalytics/export",
        "//analytics//export",
        "/./analytics/./export",
        "/x/../analytics/export",
        "/x/%2e%2E/analytics/export",
        "/%2e/analytics/export",
        "/analytics/export?x=/",
        "/analytics/x/..//export",
        "/analytics/export/",
        "/Analytics/Export",
        "/analytics%2Fexport",
        "/analytics;v=1/export",
    ] {
        for method in [Method::POST, Method::GET] {
            for (host, status) in [(&poor, if method == Method::POST { 402 } else { 200 }), (&rich, 200)] {
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let answer = String::from_utf8(raw(&world, host, head.as_bytes()).await).unwrap();
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path} {host}: {answer}");
                // What passes, passes as it was written.
                if status == 200 {
                    assert_eq!(world.backend.take()[0].target, path);
                }
            }
        }
    }
    assert!(world.backend.take().is_empty());
    let refused = request(Method::POST, &poor, "/analytics/export").body(Full::from("x")).unwrap();
    let problem = send_h2(&mut h2(&world, &poor).await, refused).await.json();
    assert_eq!(problem["feature"], "csv_export");
    assert_eq!(problem["plans"], serde_json::json!(["growth", "professional", "custom"]));
    assert_eq!(problem["upgrade_url"], "https://connect.arythmatic.cloud/upgrade");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_trial_stays_reachable_unless_the_operator_wants_otherwise() {
    for (settings, status) in [("", 200), ("[tenancy]\nexpired_trials = \"suspend\"\n", 403)] {
        let clock = tenantry::clock::Clock::manual(tenantry::clock::Clock::system().now());
        let world = World::builder().settings(settings).clock(clock).start().await;
        let new = NewTenant { slug: "tried".into(), name: "Tried".into(), trial_days: Some(3), ..NewTenant::default() };
        world.create(new).await;
        let host = world.host("tried");
        assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK);
        world.clock.advance(std::time::Duration::from_secs(3 * 86_400));
        assert_eq!(get(&world, &host, "/").await.status.as_u16(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_nobody_serves_are_405() {
    let world = world("").await;
    let host = world.host("active");
    for answer in [
        send_h2(&mut h2(&world, &host).await, request(Method::TRACE, &host, "/").body(Full::default()).unwrap()).await,
        send_h1(&mut h1(&world, &host).await, request(Method::TRACE, &host, "/").body(Full::default()).unwrap()).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "method-not-allowed"));
        assert!(answer.header("allow").contains("GET") && !answer.header("allow").contains("TRACE"));
    }
    for method in ["PATCH", "PROPFIND", "M-SEARCH", "get"] {
        let ask = request(method.parse().unwrap(), &host, "/").body(Full::default()).unwrap();
        assert_eq!(send_h1(&mut h1(&world, &host).await, ask).await.status, StatusCode::OK, "{method}");
        assert_eq!(world.backend.take()[0].method, method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_route_is_404() {
    let routing = "[[pool]]\nname = \"app\"\nbackends = [\"${BACKEND}\"]\n\
                   [[route]]\nname = \"api\"\nhost = \"tenant\"\npath_prefix = \"/api\"\npool = \"app\"\n";
    let world = World::builder().routing(routing).start().await;
    world.tenant("acme", "free").await;
    let host = world.host("acme");
    for (path, status) in [("/api", 200), ("/api/x", 200), ("/apix", 404), ("/", 404), ("/api/../x", 404)] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(raw(&world, &host, head.as_bytes()).await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(status == 200 || answer.contains("route-not-found"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_up_is_503_and_never_a_no() {
    let world = World::builder().settings("[directory]\nmiss_rate = 1\nmiss_burst = 3\n").start().await;
    world.tenant("acme", "free").await;
    assert_eq!(get(&world, &world.host("acme"), "/").await.status, StatusCode::OK);
    let unknown: Vec<String> = (0..4).map(|n| world.host(&format!("nobody-{n}"))).collect();
    for host in &unknown[..3] {
        assert_eq!(get(&world, host, "/").await.code(), "tenant-not-found");
    }
    let busy = get(&world, &unknown[3], "/").await;
    assert_eq!((busy.status.as_u16(), busy.code().as_str(), busy.header("retry-after")), (503, "lookup-busy", "5"));
    // Known tenants are served meanwhile, and when the store is gone.
    assert_eq!(get(&world, &world.host("acme"), "/").await.status, StatusCode::OK);

    let world = World::start().await;
    world.tenant("acme", "free").await;
    assert_eq!(get(&world, &world.host("acme"), "/").await.status, StatusCode::OK);
    world.running.store().close().await;
    let gone = get(&world, &world.host("cold"), "/").await;
    assert_eq!(
        (gone.status.as_u16(), gone.code().as_str(), gone.header("retry-after")),
        (503, "lookup-unavailable", "5")
    );
    assert_eq!(get(&world, &world.host("acme"), "/").await.status, StatusCode::OK);
    assert_eq!(get_plain(&world, "stranger.example", "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_nothing_about_other_tenants() {
    let world = world("").await;
    let id = world.running.tenancy().show("active").await.unwrap().tenant.id;
    assert!(TenantId::parse(&id.to_string()).is_some());
    for slug in ["nobody", "suspended", "pending"] {
        let answer = get_with(&world, &world.host(slug), "/", &[("accept", "text/html")]).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!text.contains(&id.to_string()) && !text.contains("&#60;active"), "{text}");
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("x-tenant")), "{answer:?}");
    }
}
