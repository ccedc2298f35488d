//! The session cookie of the main site: it names a tenant only when it is ours, fresh and alone.

use std::time::Duration;

use tenantry::clock::Clock;
use tenantry::keyring::{Keyring, SiteCookie};
use tenantry::model::{SessionId, TenantId};

use crate::support::client::{get, get_with};
use crate::support::world::{BASE, World};

const MINUTE: Duration = Duration::from_secs(60);

async fn world(settings: &str) -> (World, TenantId, Keyring) {
    let clock = Clock::manual(Clock::system().now());
    let world = World::builder().settings(settings).clock(clock).start().await;
    world.tenant("acme", "growth").await;
    let id = world.running.tenancy().show("acme").await.unwrap().tenant.id;
    let ring = world.running.store().secret(Keyring::SECRET).await.unwrap().unwrap();
    (world, id, Keyring::from_bytes(&ring).unwrap())
}

/// Whose request it is with these `Cookie` lines on this host: slug and way.
async fn visit(world: &World, host: &str, cookies: &[String]) -> Option<(String, String)> {
    let headers: Vec<_> = cookies.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
    let answer = get_with(world, host, "/", &headers).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = world.backend.take().remove(0);
    Some((seen.header("x-tenant-slug")?.to_owned(), seen.header("x-tenant-via")?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_picks_a_tenant_on_the_main_site() {
    let (world, id, ring) = world("[tenancy]\nsession_cookie = \"sid\"\n").await;
    let now = world.clock.now();
    let good = SiteCookie::new(SessionId::new(), id, now + 10 * MINUTE).sign(&ring, now).unwrap();
    let by_session = Some(("acme".to_owned(), "session".to_owned()));
    assert_eq!(visit(&world, BASE, &[format!("sid={good}")]).await, by_session);
    assert_eq!(visit(&world, BASE, &[format!("a=1; sid={good}; b=2")]).await, by_session);
    assert_eq!(visit(&world, BASE, &["a=1".into(), format!("sid={good}")]).await, by_session);

    // It is the edge's, and no backend sees it.
    let cookies = format!("a=1; sid={good}; b=2");
    get_with(&world, BASE, "/", &[("cookie", &cookies)]).await;
    assert_eq!(world.backend.take()[0].header("cookie"), Some("a=1; b=2"));
    get_with(&world, &world.host("acme"), "/", &[("cookie", &format!("sid={good}"))]).await;
    assert_eq!(world.backend.take()[0].header("cookie"), None);

    // Only there: other hosts are whose they are.
    world.tenant("beta", "free").await;
    let cookie = [format!("sid={good}")];
    assert_eq!(visit(&world, &world.host("beta"), &cookie).await, Some(("beta".into(), "subdomain".into())));
    assert_eq!(visit(&world, &world.host("www"), &cookie).await, None);

    let foreign =
        SiteCookie::new(SessionId::new(), id, now + 10 * MINUTE).sign(&Keyring::generate(now).unwrap(), now).unwrap();
    let stranger = SiteCookie::new(SessionId::new(), TenantId::new(), now + 10 * MINUTE).sign(&ring, now).unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    // Never the character that is there.
    let bent = if signature.starts_with('A') { 'B' } else { 'A' };
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", head.split_once('.').unwrap().1);
    let assertion = {
        get(&world, &world.host("acme"), "/").await;
        world.backend.take()[0].header("x-tenant-assertion").unwrap().to_owned()
    };
    for (why, cookies) in [
        ("no cookie", vec![]),
        ("another name", vec![format!("SID={good}")]),
        ("signed by another key", vec![format!("sid={foreign}")]),
        ("a tenant that is not there", vec![format!("sid={stranger}")]),
        ("no signature", vec![format!("sid={unsigned}")]),
        ("a bent signature", vec![format!("sid={head}.{bent}{}", &signature[1..])]),
        ("an assertion is no session", vec![format!("sid={assertion}")]),
        ("twice in a line", vec![format!("sid={good}; sid={good}")]),
        ("twice in two lines", vec![format!("sid={good}"), format!("sid={foreign}")]),
        ("empty", vec!["sid=".into()]),
    ] {
        assert_eq!(visit(&world, BASE, &cookies).await, None, "{why}");
    }
    world.clock.advance(10 * MINUTE);
    assert_eq!(visit(&world, BASE, &cookie).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_session_is_refused() {
    let (world, id, ring) = world("[tenancy]\nsession_cookie = \"sid\"\n").await;
    let cookie = format!(
        "sid={}",
        SiteCookie::new(SessionId::new(), id, world.clock.now() + 10 * MINUTE).sign(&ring, world.clock.now()).unwrap()
    );
    world.suspend("acme").await;
    let answer = get_with(&world, BASE, "/", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "tenant-suspended"));
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_off_unless_they_are_configured() {
    let (world, id, ring) = world("").await;
    let cookie = format!(
        "sid={}",
        SiteCookie::new(SessionId::new(), id, world.clock.now() + 10 * MINUTE).sign(&ring, world.clock.now()).unwrap()
    );
    assert_eq!(visit(&world, BASE, &[cookie]).await, None);
}
