//! Every spelling of a host leads to its tenant and never to another, whether there is one tenant or there are a hundred
//! thousand.

use http::{Request, StatusCode};
use http_body_util::Full;
use tenantry::model::{Domain, DomainState, Hostname, Slug, Tenant};

use crate::support::client::{get, h1, send_h1};
use crate::support::world::World;

/// Every so many tenants have a domain of their own, an international one.
const DOMAIN_EVERY: usize = 50;

fn slug(n: usize) -> String {
    format!("t{n}")
}

fn domain(n: usize) -> String {
    format!("bücher{n}.example")
}

/// Tenants `t0` … in a few transactions, as an import would bring them.
async fn populate(world: &World, many: usize) {
    let now = world.clock.now();
    for first in (0..many).step_by(25_000) {
        let mut write = world.running.store().write().await.unwrap();
        for n in first..many.min(first + 25_000) {
            let tenant = Tenant {
                // Some are visited more often than their plan allows.
                edge: serde_json::from_str(r#"{"limits": {"requests_per_second": "unlimited"}}"#).unwrap(),
                ..Tenant::new(Slug::parse(&slug(n)).unwrap(), now)
            };
            write.insert_tenant(&tenant).await.unwrap();
            if n % DOMAIN_EVERY == 0 {
                let name = Hostname::parse(&domain(n)).unwrap().into();
                let (tenant, token) = (tenant.id, String::new());
                let state = DomainState::Live;
                let row = Domain { name, tenant, state, token, created: now, updated: now, revision: 0 };
                write.insert_domain(&row).await.unwrap();
            }
        }
        let revision = write.commit().await.unwrap();
        assert!(world.running.applied().wait_for(revision, std::time::Duration::from_secs(10)).await);
    }
}

/// The same name as clients may write it.
fn spellings(host: &str) -> Vec<String> {
    let upper = host.to_uppercase();
    let mixed: String =
        host.chars().enumerate().map(|(n, c)| if n % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    vec![
        host.into(),
        format!("{host}."),
        format!("{host}:443"),
        format!("{mixed}.:8443"),
        format!("{host}:"),
        mixed,
        format!("{upper}:65535"),
        upper,
    ]
}

/// Visits with every spelling over one connection, and says whose request the backend got each time.
async fn visit(world: &World, host: &str, spellings: &[String]) -> Vec<String> {
    let mut sender = h1(world, host).await;
    for spelling in spellings {
        let request = Request::get("/").header("host", spelling.as_bytes()).body(Full::default()).unwrap();
        let answer = send_h1(&mut sender, request).await;
        assert_eq!(answer.status, StatusCode::OK, "{spelling}: {answer:?}");
    }
    world.backend.take().iter().map(|seen| seen.header("x-tenant-slug").unwrap().to_owned()).collect()
}

async fn prove(many: usize, samples: usize) {
    let world = World::builder().settings("[directory]\nmiss_rate = 1000000\nmiss_burst = 1000000\n").start().await;
    populate(&world, many).await;
    // A fixed sequence that looks like chance: failures can be repeated.
    let picks: Vec<usize> =
        (0..samples as u64).map(|n| (n.wrapping_mul(6_364_136_223_846_793_005) >> 20) as usize % many).collect();
    let names: Vec<String> =
        picks.iter().map(|n| Hostname::parse(&domain(n - n % DOMAIN_EVERY)).unwrap().to_string()).collect();
    world.certificate(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (n, domain_host) in picks.iter().zip(&names) {
        let host = world.host(&slug(*n));
        let spelled = spellings(&host);
        assert_eq!(visit(&world, &host, &spelled).await, vec![slug(*n); spelled.len()]);

        let owner = n - n % DOMAIN_EVERY;
        let name = domain(owner);
        let mut spelled = spellings(domain_host);
        spelled.extend([
            name.clone(),
            name.to_uppercase(),
            name.replace('ü', "u\u{308}"),
            name.replace('.', "。"),
            name + ".:80",
        ]);
        assert_eq!(visit(&world, domain_host, &spelled).await, vec![slug(owner); spelled.len()]);
    }
    // Neighbours of real names are nobody's.
    for nobody in [slug(many), format!("{}0", slug(many)), "t".into(), "t00".into(), "t-0".into()] {
        assert_eq!(get(&world, &world.host(&nobody), "/").await.code(), "tenant-not-found", "{nobody}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_finds_the_only_tenant() {
    prove(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_finds_its_tenant_among_101() {
    prove(101, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_finds_its_tenant_among_100_000() {
    prove(100_000, 60).await;
}
