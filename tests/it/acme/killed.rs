//! The process is killed at random moments while it orders certificates, and started again: everything is had in the end,
//! nothing is had twice, and no key is left without its certificate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row, SqlitePool};
use tenantry::clock::Clock;
use tenantry::config::Rate;
use tenantry::model::{DomainState, Status};
use tenantry::tenancy::{Actor, NewDomain, NewTenant};

use crate::support::client::tls_trusting;
use crate::support::internet::{Internet, orders, size};
use crate::support::node::Site;

/// A budget that comes back so slowly that what is left of it tells what was taken.
const ACCOUNT: Rate = Rate { number: 5_000, per: Duration::from_secs(366 * 24 * 3600) };
const LIMITS: &str = "[acme.authority.limits]\norders = \"5000/366d\"\nper_domain = \"1000000/1s\"\n\
                      per_set = \"100/366d\"\nfailures = \"1000000/1s\"\n";
const SET: Rate = Rate { number: 100, ..ACCOUNT };

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_ends_with_one_certificate_for_each_domain() {
    let (domains, kills) = (size(12, 60), size(5, 50));
    let internet = Internet::start().await;
    let authority = format!("{}{LIMITS}", internet.front.settings("front"));
    let site = Site::new(internet.https, internet.http, &internet.settings("concurrency = 8", &authority)).await;
    let names: Vec<_> = (0..domains).map(|n| format!("community.customer-{n}.example")).collect();
    seed(&site, &names).await;
    let store = watch(&site).await;
    let mut random = Random::new();

    let mut done = Vec::new();
    for _ in 0..kills {
        let until = internet.front.seen().len() + random.below(1 + domains * 12 / kills);
        let process = site.start();
        let patience = Instant::now() + Duration::from_secs(60);
        while internet.front.seen().len() < until && is_busy(&store).await {
            assert!(Instant::now() < patience, "nothing is asked of the authority any more:\n{}", process.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Not a moment of the authority's, but any.
        tokio::time::sleep(Duration::from_millis(random.below(60) as u64)).await;
        drop(process);
        done.push(issued(&store).await);
    }
    let restarted = Instant::now();
    let process = site.start();
    while issued(&store).await < domains {
        assert!(restarted.elapsed() < Duration::from_secs(120), "{}", process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("killed {kills} times, with {done:?} of {domains} issued; all {:?} later", restarted.elapsed());
    let root = internet.pebble.root().await;
    for name in &names {
        tls_trusting(&root, site.https, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    drop(process);
    store.close().await;
    nothing_is_left_over(&site, &internet.front.orders(), &names).await;
}

async fn seed(site: &Site, names: &[String]) {
    let (app, actor) = (site.open().await, Actor::new("test"));
    let tenant =
        NewTenant { slug: "acme".into(), name: "Acme".into(), plan: Some("growth".into()), ..Default::default() };
    let tenant = NewTenant { status: Some(Status::Active), ..tenant };
    app.tenancy().create(&actor, &tenant).await.unwrap();
    for name in names {
        let new = NewDomain { domain: name.clone(), verified: true };
        app.tenancy().add_domain(&actor, "acme", &new).await.unwrap();
    }
    app.store().close().await;
}

/// The budget that was taken covers every order that the authority has made; each certificate has its key, and no other key
/// is kept.
async fn nothing_is_left_over(site: &Site, placed: &BTreeMap<Vec<String>, usize>, names: &[String]) {
    let (app, now) = (site.open().await, Clock::system().now());
    let store = app.store();
    let level = async |id: String, rate| {
        let row = store.bucket(&id).await.unwrap();
        rate_taken(tenantry::acme::limiter::level(&row, rate, now), rate)
    };
    let (made, taken) = (placed.values().sum::<usize>(), level("orders/front".into(), ACCOUNT).await);
    println!("{made} orders made, {taken} taken from the budget, for {} domains", names.len());
    assert!(made >= names.len() && made <= taken, "{made} orders made, {taken} counted");
    for name in names {
        let made = placed.get(std::slice::from_ref(name)).copied().unwrap_or_default();
        let taken = level(format!("set/front/{name}"), SET).await;
        assert!(made >= 1 && made <= taken, "{name}: {made} made, {taken} counted");
        assert!(store.order_key(name).await.unwrap().is_none(), "{name}: a key is left");
        let certificate = store.certificate(name).await.unwrap().unwrap();
        assert!(certificate.key.contains("PRIVATE KEY"));
        let claim = app.tenancy().domain(name, None).await.unwrap();
        assert_eq!(claim.domain.state, DomainState::Live, "{name}");
    }
    assert_eq!(orders(store).await.len(), names.len());
    let database = watch(site).await;
    let count = async |sql: &'static str| sqlx::query(sql).fetch_one(&database).await.unwrap().get::<i64, _>(0);
    assert_eq!(count("SELECT COUNT(*) FROM orders WHERE sealed_key IS NOT NULL").await, 0);
    assert_eq!(count("SELECT COUNT(*) FROM certificates").await, names.len() as i64);
}

fn rate_taken(level: u32, rate: Rate) -> usize {
    (rate.number - level) as usize
}

/// The file, without being at the store: a process that is started must find itself alone.
async fn watch(site: &Site) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(site.database()).read_only(true);
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

/// Something is under way or due: what the authority has disproved because nobody was there to answer rests for a while.
async fn is_busy(store: &SqlitePool) -> bool {
    let busy = "SELECT COUNT(*) FROM orders WHERE stage <> 'issued' AND not_before <= $1";
    let row = sqlx::query(busy).bind(Clock::system().now().millis()).fetch_one(store).await.unwrap();
    row.get::<i64, _>(0) > 0
}

async fn issued(store: &SqlitePool) -> usize {
    let row = sqlx::query("SELECT COUNT(*) FROM orders WHERE stage = 'issued'").fetch_one(store).await.unwrap();
    row.get::<i64, _>(0) as usize
}

/// Moments that differ from run to run; what they were is printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = Clock::system().now().millis() as u64;
        println!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        // Knuth's MMIX generator; its high bits are good enough here.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}
