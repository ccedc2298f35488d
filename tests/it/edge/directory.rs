//! The public directory and the sitemap of the main site.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tenantry::model::ImageKind;
use tenantry::tenancy::NewTenant;

use crate::support::client::{get, get_with};
use crate::support::picture::png;
use crate::support::world::{BASE, World};

async fn world() -> World {
    World::builder().brand("directory = true\n").start().await
}

/// Asks until the directory says what is expected: it is read again a moment after a change.
async fn shows(world: &World, expected: &[&str]) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let answer = get(world, BASE, "/directory").await;
        assert!([StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(&answer.status), "{}", answer.code());
        if answer.status == StatusCode::OK {
            let json = answer.json();
            let slugs: Vec<_> =
                json["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap()).collect();
            if slugs == expected {
                return json;
            }
            assert!(tokio::time::Instant::now() < deadline, "{slugs:?} instead of {expected:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_shows_listed_tenants_that_are_active_in_order() {
    let world = world().await;
    for slug in ["old", "new", "first", "hidden", "parent"] {
        world.tenant(slug, "growth").await;
    }
    world.child("child", "parent").await;
    for (slug, priority) in [("old", 0), ("new", 0), ("first", 5), ("child", -1)] {
        world.list(slug, priority).await;
    }
    let logo = world.picture("first", ImageKind::LogoLight, "image/png", png(30, 10)).await;
    world
        .branding(
            "first",
            json!({"display_name": "First & Best", "tagline": "t", "blurb": "b", "primary_colour": "#f00"}),
        )
        .await;
    let json = shows(&world, &["first", "new", "old", "child"]).await;
    let port = world.https().port();
    let home = format!("https://first.{BASE}:{port}");
    let first = json!({
        "slug": "first", "name": "First & Best", "url": format!("{home}/"), "tagline": "t", "blurb": "b",
        "logo_light": format!("{home}{logo}"), "logo_dark": null, "social": null, "primary_colour": "#ff0000",
    });
    assert_eq!((&json["items"][0], &json["next_cursor"]), (&first, &Value::Null));

    // A page for browsers, whose logos come from tenants' hosts.
    let page = get_with(&world, BASE, "/directory", &[("accept", "text/html")]).await;
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert_eq!((page.header("cache-control"), page.header("vary")), ("public, max-age=60", "accept"));
    assert!(text.contains("First &#38; Best") && text.contains(&format!("src=\"{home}{logo}\"")), "{text}");
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&format!("img-src https://*.{BASE}:{port};")) && policy.contains("'sha256-"), "{policy}");

    // A suspended tenant is gone, and so are its children; so is one that wants to be.
    world.suspend("parent").await;
    world.suspend("first").await;
    shows(&world, &["new", "old"]).await;
    world.activate("parent").await;
    shows(&world, &["new", "old", "child"]).await;
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_on_by_cursors() {
    let world = world().await;
    let slugs: Vec<String> = (0..60).map(|n| format!("t{n:02}")).collect();
    for (n, slug) in slugs.iter().enumerate() {
        world.tenant(slug, "free").await;
        world.list(slug, -(n as i32)).await;
    }
    let first: Vec<&str> = slugs[..50].iter().map(String::as_str).collect();
    let json = shows(&world, &first).await;
    let cursor = json["next_cursor"].as_str().unwrap();
    let next = get(&world, BASE, &format!("/directory?cursor={cursor}")).await.json();
    let rest: Vec<_> = next["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap()).collect();
    assert_eq!(rest, &slugs[50..]);
    assert_eq!(next["next_cursor"], Value::Null);
    assert_eq!(get(&world, BASE, "/directory?cursor=nonsense").await.code(), "not-found");
    let page = get_with(&world, BASE, "/directory", &[("accept", "text/html")]).await;
    assert!(String::from_utf8_lossy(&page.body).contains(&format!("href=\"/directory?cursor={cursor}\"")));

    let sitemap = get(&world, BASE, "/sitemap.xml").await;
    assert_eq!((sitemap.status, sitemap.header("content-type")), (StatusCode::OK, "application/xml"));
    let text = String::from_utf8(sitemap.body.to_vec()).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let urls: Vec<_> =
        document.descendants().filter(|node| node.tag_name().name() == "loc").filter_map(|node| node.text()).collect();
    assert_eq!(urls.len(), 60);
    assert_eq!(urls[0], format!("https://t00.{BASE}:{}/", world.https().port()));
    assert_eq!(get(&world, BASE, "/sitemap-1.xml").await.status, StatusCode::OK);
    assert_eq!(get(&world, BASE, "/sitemap-2.xml").await.code(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_of_the_main_site_alone_and_off_unless_it_is_wanted() {
    let with = world().await;
    with.tenant("acme", "growth").await;
    for path in ["/directory", "/sitemap.xml"] {
        assert_eq!(get(&with, &with.host("acme"), path).await.status, StatusCode::OK, "{path} is the application's");
        assert_eq!(with.backend.take().len(), 1);
    }
    let without = World::start().await;
    assert_eq!(get(&without, BASE, "/directory").await.status, StatusCode::OK);
    assert_eq!(without.backend.take().len(), 1, "the application has the path");

    // One client does not keep it busy.
    let mut refused = 0;
    for _ in 0..300 {
        refused += usize::from(get(&with, BASE, "/directory").await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
}

/// Asks until the sitemap has these URLs.
async fn maps(world: &World, expected: &[String]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let answer = get(world, BASE, "/sitemap.xml").await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let urls: Vec<_> = text.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next()).collect();
        if answer.status == StatusCode::OK && urls == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{urls:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_to_a_domain_that_its_tenant_has_lost() {
    let settings = "[domains]\ncooldown = \"0s\"\n";
    let world = World::builder().brand("directory = true\n").settings(settings).start().await;
    for (slug, domain) in [("acme", "shop.acme.example"), ("beta", "shop.beta.example")] {
        world.tenant(slug, "growth").await;
        world.domain(slug, domain).await;
        world.edge(slug, json!({ "primary_domain": domain })).await;
    }
    world.list("acme", 2).await;
    world.list("beta", 1).await;
    let port = world.https().port();
    let at = |host: &str| format!("https://{host}:{port}/");
    let url = |json: &Value, at: usize| json["items"][at]["url"].as_str().unwrap().to_owned();
    let json = shows(&world, &["acme", "beta"]).await;
    assert_eq!((url(&json, 0), url(&json, 1)), (at("shop.acme.example"), at("shop.beta.example")));
    maps(&world, &[at("shop.acme.example"), at("shop.beta.example")]).await;

    // Given up, and somebody else's now; the choice went with it.
    world.release("acme", "shop.acme.example").await;
    world.tenant("thief", "growth").await;
    world.claim("thief", "shop.acme.example", true).await;
    let acme = world.running.tenancy().show("acme").await.unwrap().tenant;
    assert_eq!(acme.edge.primary_domain, None);
    // Lost in a way that the choice knows nothing of.
    let mut write = world.running.store().write().await.unwrap();
    let name = tenantry::model::DomainName::parse("shop.beta.example").unwrap();
    let beta = world.running.tenancy().show("beta").await.unwrap().tenant.id;
    write.set_domain_state(&name, beta, tenantry::model::DomainState::Released).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, Duration::from_secs(10)).await);
    let json = shows(&world, &["acme", "beta"]).await;
    let homes = [at(&format!("acme.{BASE}")), at(&format!("beta.{BASE}"))];
    assert_eq!([url(&json, 0), url(&json, 1)], homes);
    maps(&world, &homes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_whose_trial_is_over_takes_its_children_out_of_the_sitemap_too() {
    for (settings, is_there) in [("", true), ("[tenancy]\nexpired_trials = \"suspend\"\n", false)] {
        let clock = tenantry::clock::Clock::manual(tenantry::clock::Clock::system().now());
        let world = World::builder().brand("directory = true\n").settings(settings).clock(clock.clone()).start().await;
        let new = NewTenant {
            slug: "parent".into(),
            name: "Parent".into(),
            plan: Some("growth".into()),
            trial_days: Some(1),
            ..NewTenant::default()
        };
        world.create(new).await;
        world.child("child", "parent").await;
        world.list("child", 0).await;
        clock.advance(Duration::from_secs(2 * 86_400));
        let child = format!("https://child.{BASE}:{}/", world.https().port());
        shows(&world, if is_there { &["child"] } else { &[] }).await;
        maps(&world, if is_there { std::slice::from_ref(&child) } else { &[] }).await;
    }
}
