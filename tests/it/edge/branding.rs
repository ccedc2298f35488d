//! The edge's own pages in their tenants' branding, and the pictures that they show.

use http::StatusCode;
use serde_json::json;
use tenantry::model::ImageKind;

use crate::support::client::{Answer, get, get_with};
use crate::support::picture::{png, svg};
use crate::support::world::World;

const BROWSER: (&str, &str) = ("accept", "text/html");

async fn page(world: &World, host: &str) -> (Answer, String) {
    let answer = get_with(world, host, "/", &[BROWSER]).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    (answer, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_wears_what_its_tenant_and_the_parents_have_set() {
    let world = World::start().await;
    world.tenant("holding", "growth").await;
    world.child("shop", "holding").await;
    let logo = world.picture("holding", ImageKind::LogoLight, "image/png", png(300, 100)).await;
    let css = "h1{letter-spacing:2px} a{background:url(data:image/gif;base64,R0lGODlhAQABAAAAACw=)}";
    world.branding("holding", json!({"primary_colour": "#12ab9f", "tagline": "<i>ours</i>", "custom_css": css})).await;
    world.branding("shop", json!({"display_name": "Shop & Co", "header_colour": "#000"})).await;
    world.suspend("shop").await;

    let (answer, text) = page(&world, &world.host("shop")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    for part in [
        "--primary:#12ab9f;",
        "--header:#000000;--header-ink:#ffffff;",
        ".tenant-page h1{letter-spacing:2px}",
        "<strong>Shop &#38; Co</strong>",
        "&#60;i&#62;ours",
        &format!("<img src=\"{logo}\" width=\"300\" height=\"100\""),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("<style>").count(), 1);
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("img-src 'self' data:;") && !policy.contains("unsafe"), "{policy}");

    // A name is never a parent's.
    world.child("kiosk", "holding").await;
    world.branding("holding", json!({"display_name": "The Holding"})).await;
    let host = world.host("kiosk");
    assert_eq!(get(&world, &host, &format!("/tenants/by-host/{host}")).await.json()["name"], "kiosk");
    world.suspend("kiosk").await;
    assert!(page(&world, &host).await.1.contains("<strong>kiosk</strong>"));

    // Nobody's page is the operator's, and loads nothing.
    let (answer, text) = page(&world, &world.host("nobody")).await;
    assert!(text.contains("<strong>Test</strong>") && !text.contains("<img"), "{text}");
    assert!(!answer.header("content-security-policy").contains("img-src"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_served_where_its_tenant_is_and_nowhere_else() {
    let world = World::start().await;
    for slug in ["acme", "other"] {
        world.tenant(slug, "growth").await;
    }
    world.child("shop", "acme").await;
    let path = world.picture("acme", ImageKind::LogoLight, "image/svg+xml", svg("#0a0", "<script>x</script>")).await;
    for host in [world.host("acme"), world.host("shop")] {
        let answer = get(&world, &host, &path).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "image/svg+xml"), "{host}");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains("#0a0") && !text.contains("script"), "{text}");
    }
    let unknown = format!("/.well-known/tenantry/assets/{}", "0".repeat(64));
    for (host, path) in [
        (world.host("other"), path.as_str()),
        ("connect.localhost".to_owned(), path.as_str()),
        (world.host("acme"), unknown.as_str()),
        (world.host("acme"), "/.well-known/tenantry/assets/"),
    ] {
        assert_eq!(get(&world, &host, path).await.code(), "not-found", "{host}{path}");
    }
    assert_eq!(get(&world, &world.host("nobody"), &path).await.code(), "tenant-not-found");

    // Its page shows it whatever becomes of the tenant; what was replaced is gone at once.
    world.suspend("acme").await;
    assert_eq!(get(&world, &world.host("acme"), &path).await.status, StatusCode::OK);
    let next = world.picture("acme", ImageKind::LogoLight, "image/png", png(5, 5)).await;
    assert_eq!(get(&world, &world.host("acme"), &path).await.code(), "not-found");
    assert_eq!(get(&world, &world.host("shop"), &next).await.header("content-type"), "image/png");
    assert!(world.backend.take().is_empty());
    let metrics = world.running.metrics().render();
    assert!(metrics.contains("cache=\"pictures\",outcome=\"hit\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn front_ends_are_told_how_a_tenant_looks() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let social = world.picture("acme", ImageKind::Social, "image/png", png(1_200, 630)).await;
    let set = json!({"display_name": "Acme!", "link_colour": "#00f", "blurb": "Shops", "custom_css": "a{color:red}"});
    world.branding("acme", set).await;
    let host = world.host("acme");
    let told = get(&world, &host, &format!("/tenants/by-host/{host}")).await.json();
    let branding = json!({"link_colour": "#0000ff", "blurb": "Shops", "social": social});
    assert_eq!(told, json!({"slug": "acme", "name": "Acme!", "status": "available", "branding": branding}));
}
