//! Branding, pictures and listing over the API and from a shell: what is taken, what is left out, who may.

use serde_json::{Value, json};

use super::cli::{good, json_of, run};
use super::world::{Reply, World};
use crate::support::picture::{png, svg};

const AT: &str = "/v1/tenants/acme/branding";

async fn world() -> World {
    let world = World::new().await;
    world.tenant_with_domains("acme", &[]).await;
    world
}

async fn put(world: &World, picture: &str, media: &str, bytes: &[u8]) -> Reply {
    world.raw_bytes("PUT", &format!("{AT}/{picture}"), &[("content-type", media)], bytes).await
}

#[tokio::test]
async fn a_branding_is_set_patched_and_inherited_field_by_field() {
    let world = world().await;
    world.post("/v1/tenants", json!({"slug": "shop", "name": "Shop", "parent": "acme"})).await.expect(201);
    let set = json!({
        "display_name": " Acme ", "tagline": "For all", "primary_colour": "#F00", "text_colour": "#bbb",
        "custom_css": "h1{color:red}\nfooter{position:fixed;color:blue}\n@import 'x';",
    });
    let reply = world.call("PUT", AT, set).await;
    let body = reply.expect(200);
    assert_eq!(body["own"]["display_name"], "Acme");
    assert_eq!(body["own"]["primary_colour"], "#ff0000");
    let css = ".tenant-page h1{color:red}\n.tenant-page footer{color:blue}\n";
    assert_eq!(body["own"]["custom_css"], css);
    let dropped: Vec<_> = body["dropped"].as_array().unwrap().iter().map(|d| (&d["line"], &d["text"])).collect();
    assert_eq!(dropped, [(&json!(2), &json!("position:fixed;")), (&json!(3), &json!("@import 'x'"))]);
    assert_eq!(body["advice"][0]["pointer"], "/text_colour");
    assert_eq!((&body["advice"][0]["code"], &body["advice"][0]["wanted"]), (&json!("low-contrast"), &json!(4.5)));

    let etag = reply.header("etag").to_owned();
    let shop =
        world.call("PATCH", "/v1/tenants/shop/branding", json!({"tagline": "Ours", "button_colour": "#00f"})).await;
    let shop = shop.expect(200);
    assert_eq!(shop["own"], json!({"tagline": "Ours", "button_colour": "#0000ff"}));
    assert_eq!(shop["effective"]["tagline"], "Ours");
    assert_eq!((&shop["effective"]["display_name"], &shop["effective"]["custom_css"]), (&json!(null), &json!(css)));

    // What was read can be sent back, and null takes a value back.
    let own = world.get(AT).await.expect(200)["own"].clone();
    let back =
        world.raw("PUT", AT, &[("content-type", "application/json"), ("if-match", &etag)], &own.to_string()).await;
    assert_eq!(back.expect(200)["own"], own);
    assert_eq!(back.json["dropped"], json!([]));
    let stale = world.raw("PUT", AT, &[("content-type", "application/json"), ("if-match", &etag)], "{}").await;
    stale.refused(412, "precondition-failed");
    let less = world.call("PATCH", AT, json!({"custom_css": null, "text_colour": null})).await;
    assert_eq!(less.expect(200)["own"].as_object().unwrap().len(), 3);
    let ledger = world.ledger().await;
    assert_eq!(
        (&ledger[0]["action"], &ledger[0]["before"]["branding"]["text_colour"]),
        (&json!("tenant.branding"), &json!("#bbbbbb"))
    );
    assert_eq!(ledger[0]["after"], json!({"branding": {}}));
}

#[tokio::test]
async fn what_breaks_a_rule_is_named() {
    let world = world().await;
    for (body, pointer, code) in [
        (json!({"primary_colour": "red"}), "/primary_colour", "wrong-type"),
        (json!({"colour": "#fff"}), "/colour", "unknown-field"),
        (json!({"display_name": ""}), "/display_name", "required"),
        (json!({"blurb": "x".repeat(301)}), "/blurb", "too-long"),
        (json!({"tagline": "x".repeat(201)}), "/tagline", "too-long"),
        (
            json!({"images": {"social": {"hash": "x", "media": "image/png", "width": 1, "height": 1, "size": 1}}}),
            "/images",
            "read-only",
        ),
    ] {
        let reply = world.call("PUT", AT, body.clone()).await;
        let problem = reply.refused(422, "invalid");
        assert_eq!(
            (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
            (&json!(pointer), &json!(code)),
            "{body}"
        );
    }
    assert_eq!(world.get(AT).await.expect(200)["own"], json!({}));
}

#[tokio::test]
async fn pictures_are_judged_stored_and_gone_when_they_are_replaced() {
    let world = world().await;
    let logo = put(&world, "logo-light", "image/png", &png(300, 100)).await;
    let image = logo.expect(200)["own"]["images"]["logo_light"].clone();
    assert_eq!((&image["media"], &image["width"], &image["size"]), (&json!("image/png"), &json!(300), &json!(33)));
    let shown = world.get(&format!("{AT}/logo-light")).await;
    assert_eq!((shown.status.as_u16(), shown.header("content-type")), (200, "image/png"));
    assert!(shown.header("content-security-policy").contains("sandbox"));

    let drawn = svg("#0f0", "<script>alert(1)</script><g onload=\"alert(2)\"/>");
    let reply = put(&world, "logo-light", "image/svg+xml; charset=utf-8", drawn.as_bytes()).await;
    let dropped: Vec<_> =
        reply.expect(200)["dropped"].as_array().unwrap().iter().map(|d| d["text"].as_str().unwrap()).collect();
    assert_eq!(dropped, ["<script>", "onload"]);
    let shown = world.get(&format!("{AT}/logo-light")).await;
    assert!(shown.text.contains("<rect") && !shown.text.contains("alert"), "{}", shown.text);
    assert_eq!(world.store.asset(image["hash"].as_str().unwrap()).await.unwrap(), None, "the one before is gone");

    for (picture, media, bytes, status, code, detail) in [
        ("social", "image/png", png(1200, 600), 422, "invalid", "1200 × 630"),
        ("logo-dark", "image/png", png(5000, 1), 422, "invalid", "1 to 4096"),
        ("logo-dark", "image/jpeg", png(5, 5), 422, "invalid", "its bytes are image/png"),
        ("logo-dark", "text/html", png(5, 5), 415, "unsupported-media-type", "one of image/png"),
        ("logo-dark", "-", png(5, 5), 415, "unsupported-media-type", "one of image/png"),
        ("logo-dark", "image/png", vec![0; 2_000_001], 413, "body-too-large", "at most 2000000"),
        ("favicon", "image/png", png(5, 5), 404, "picture-not-found", "logo-light, logo-dark, social"),
    ] {
        let reply = put(&world, picture, media, &bytes).await;
        let problem = reply.refused(status, code);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }
    put(&world, "social", "image/png", &png(1200, 630)).await.expect(200);
    let gone = world.call("DELETE", &format!("{AT}/social"), Value::Null).await;
    assert_eq!(gone.expect(200)["own"]["images"].get("social"), None);
    world.call("DELETE", &format!("{AT}/social"), Value::Null).await.refused(404, "picture-not-found");
    world.get(&format!("{AT}/social")).await.refused(404, "picture-not-found");
    let left = world.get(AT).await.expect(200)["own"].clone();
    let kept = world.call("PUT", AT, json!({"tagline": "x"})).await;
    assert_eq!(kept.expect(200)["own"]["images"], left["images"], "pictures stay when the rest is replaced");
}

#[tokio::test]
async fn a_tenant_lists_itself_and_only_operators_put_it_first() {
    let world = world().await;
    let at = "/v1/tenants/acme/listing";
    assert_eq!(*world.get(at).await.expect(200), json!({"listed": false, "priority": 0}));
    let made = world
        .post("/v1/tenants/acme/tokens", json!({"name": "site", "scopes": ["tenant:read", "listing:manage"]}))
        .await;
    let bearer = format!("Bearer {}", made.expect(201)["token"].as_str().unwrap());
    let as_tenant = async |body: &str| {
        world.raw("PUT", at, &[("authorization", &bearer), ("content-type", "application/json")], body).await
    };
    assert_eq!(*as_tenant("{\"listed\": true}").await.expect(200), json!({"listed": true, "priority": 0}));
    as_tenant("{\"listed\": true, \"priority\": 9}").await.refused(403, "insufficient-scope");
    assert_eq!(
        *world.call("PUT", at, json!({"listed": true, "priority": 9})).await.expect(200),
        json!({"listed": true, "priority": 9})
    );
    assert_eq!(
        *as_tenant("{\"listed\": false, \"priority\": 9}").await.expect(200),
        json!({"listed": false, "priority": 9})
    );
    world.call("PUT", at, json!({"listed": true, "priority": 1001})).await.refused(422, "invalid");
    world.call("PUT", at, json!({"priority": 1})).await.refused(422, "invalid");
    assert_eq!(world.ledger().await[0]["action"], "tenant.listing");
}

#[tokio::test]
async fn branding_and_listing_from_a_shell() {
    let world = world().await;
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(world.dir.path().join(name), bytes).unwrap();
        name.to_owned()
    };
    let (logo, css) = (file("logo.png", &png(30, 10)), file("acme.css", b"h1{color:red;behavior:url(x)}"));
    let line =
        ["tenant", "branding", "set", "acme", "--set", "primary_colour=#123456", "--set", "tagline=a=b", "--css", &css];
    let (code, out, err) = run(&world, &line).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("#123456") && out.contains("a=b"), "{out}");
    assert!(err.contains("left out: line 1: behavior:url(x)"), "{err}");
    let out = good(&world, &["tenant", "branding", "upload", "acme", "logo-light", &logo]).await;
    assert!(out.contains("image/png 30×10, 33 bytes"), "{out}");
    let shown = json_of(&world, &["tenant", "branding", "get", "acme", "--json"]).await;
    assert_eq!(shown["own"]["images"]["logo_light"]["width"], 30);
    let (code, _, err) = run(&world, &["tenant", "branding", "upload", "acme", "social", &logo]).await;
    assert!(code == 1 && err.contains("1200 × 630"), "{err}");
    let (code, _, err) = run(&world, &["tenant", "branding", "upload", "acme", "social", &css]).await;
    assert!(code == 1 && err.contains(".png"), "{err}");
    let less = json_of(&world, &["tenant", "branding", "remove", "acme", "logo-light", "--json"]).await;
    assert_eq!(less["own"].get("images"), None);
    let less = json_of(&world, &["tenant", "branding", "set", "acme", "--unset", "tagline", "--json"]).await;
    assert_eq!(less["own"].get("tagline"), None);
    assert_eq!(good(&world, &["tenant", "listing", "acme", "--listed", "true"]).await, "listed    true\npriority  0\n");
    let listing = json_of(&world, &["tenant", "listing", "acme", "--priority", "-3", "--json"]).await;
    assert_eq!(listing, json!({"listed": true, "priority": -3}));
}

#[tokio::test]
async fn uploads_that_would_hang_who_reads_them_are_refused_at_once() {
    let world = world().await;
    let attributes: String = (0..70_000).map(|n| format!(" a{n}=\"\"")).collect();
    let mut masks = String::new();
    for level in 1..8 {
        let masked = format!("<rect width=\"9\" height=\"9\" mask=\"url(#m{})\"/>", level - 1).repeat(8);
        masks.push_str(&format!("<mask id=\"m{level}\">{masked}</mask>"));
    }
    let masks = format!("<mask id=\"m0\"><rect/></mask>{masks}<rect mask=\"url(#m7)\"/>");
    let quotes = format!("<title>{}</title>", "\"".repeat(500_000));
    for (inner, said) in [
        (format!("<g{attributes}/>"), "attributes"),
        (masks, "masks"),
        ("<g xmlns:a=\"b\"/>".repeat(200), "namespaces"),
        (quotes, "when it is cleaned"),
    ] {
        let reply = put(&world, "logo-light", "image/svg+xml", svg("#000", &inner).as_bytes()).await;
        reply.refused(422, "invalid");
        let detail = reply.json["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(said) || said == "masks", "{said}: {detail}");
    }
    let css = "a{background:url('data:image/svg+xml,%3Csvg/%3E');color:red} body{display:contents}";
    let kept = world.call("PATCH", AT, json!({ "custom_css": css })).await;
    let kept = kept.expect(200);
    assert_eq!(kept["own"]["custom_css"], ".tenant-page a{color:red}\n");
    assert_eq!(kept["dropped"].as_array().unwrap().len(), 2);
}
