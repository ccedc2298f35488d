//! Which tenants Prometheus hears of by name: at most N of however many, and nothing is counted twice or lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tenantry::clock::{Clock, Timestamp};
use tenantry::metrics::Metrics;
use tenantry::model::{Slug, Tenant, TenantId};
use tenantry::traffic::{Busiest, Ended, Kind, Meter, Meters};

use super::{HOST, limit, still};
use crate::support::client::get;
use crate::support::world::World;

struct Node {
    clock: Clock,
    meters: Arc<Meters>,
    busiest: Busiest,
    metrics: Metrics,
}

impl Node {
    fn new(most: usize) -> Self {
        let clock = Clock::manual(Timestamp(1_795_000_000_000));
        let meters = Arc::new(Meters::new("n".into(), clock.clone()));
        let busiest = Busiest::new(Arc::clone(&meters), most).unwrap();
        let metrics = Metrics::new().unwrap();
        metrics.collect_from(busiest.clone()).unwrap();
        Self { clock, meters, busiest, metrics }
    }

    fn meter(&self, n: u128) -> Arc<Meter> {
        let slug = Slug::parse(&format!("t{n}")).unwrap();
        self.meters.of(&Tenant { id: TenantId(uuid::Uuid::from_u128(n)), slug, ..tenant() })
    }

    fn requests(&self, n: u128, times: usize) {
        let meter = self.meter(n);
        for _ in 0..times {
            meter.count(Ended { status: 200, received: 3, sent: 5, refused: false, limited: None });
        }
    }

    /// The values of one metric by tenant.
    fn scrape(&self, name: &str) -> BTreeMap<String, u64> {
        values(&self.metrics.render(), name)
    }
}

fn tenant() -> Tenant {
    Tenant::new(Slug::parse("t").unwrap(), Timestamp(0))
}

fn values(text: &str, name: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(&format!("{name}{{"))) {
        let (labels, value) = line.rsplit_once(' ').unwrap();
        let tenant = labels.split("tenant=\"").nth(1).unwrap().split('"').next().unwrap();
        *all.entry(tenant.to_owned()).or_default() += value.parse::<f64>().unwrap() as u64;
    }
    all
}

const REQUESTS: &str = "tenantry_tenant_requests_total";

#[test]
fn of_a_thousand_tenants_a_hundred_are_named() {
    let node = Node::new(100);
    for n in 0..1000u128 {
        node.requests(n, if n < 900 { 1 } else { 5 });
    }
    for name in [
        REQUESTS,
        "tenantry_tenant_request_bytes_total",
        "tenantry_tenant_response_bytes_total",
        "tenantry_tenant_requests_in_flight",
        "tenantry_tenant_websockets",
    ] {
        assert_eq!(node.scrape(name).len(), 101, "{name}");
    }
    let requests = node.scrape(REQUESTS);
    assert_eq!(requests["_other"], 900);
    assert!((900..1000).all(|n| requests[&format!("t{n}")] == 5));
    assert_eq!(node.scrape("tenantry_tenant_response_bytes_total").values().sum::<u64>(), 5 * 1400);
    node.busiest.set_most(10);
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(node.scrape(REQUESTS).len(), 11);
    node.busiest.set_most(0);
    assert_eq!(node.scrape(REQUESTS).into_keys().collect::<Vec<_>>(), ["_other"]);
}

#[test]
fn a_name_that_leaves_is_gone_and_what_it_counts_then_is_the_others() {
    let node = Node::new(1);
    node.requests(1, 10);
    assert_eq!(node.scrape(REQUESTS)["t1"], 10, "with room, the first scrape names it");
    node.requests(2, 50);
    assert_eq!(node.scrape(REQUESTS), BTreeMap::from([("t1".into(), 10), ("_other".into(), 50)]));
    node.clock.advance(Duration::from_secs(700));
    node.requests(1, 1);
    node.requests(2, 50);
    // The lease is over: what 2 counted before stays with the others, from now on it is its own. What 1 counted since it
    // was last told of is theirs too.
    assert_eq!(
        node.scrape(REQUESTS),
        BTreeMap::from([("_other".into(), 101)]),
        "a series starts with its first request"
    );
    node.requests(1, 4);
    node.requests(2, 7);
    assert_eq!(node.scrape(REQUESTS), BTreeMap::from([("t2".into(), 7), ("_other".into(), 105)]));
    node.clock.advance(Duration::from_secs(700));
    node.requests(1, 1000);
    let back = node.scrape(REQUESTS);
    assert_eq!(back, BTreeMap::from([("t1".into(), 10), ("_other".into(), 1105)]), "it goes on where it was");
}

#[test]
fn what_is_under_way_is_shown_under_the_same_names() {
    let node = Node::new(1);
    node.requests(1, 10);
    let places = [1, 2, 3].map(|n| node.meter(n).enter(Kind::Request, None).unwrap());
    let socket = node.meter(2).enter(Kind::WebSocket, Some(1)).unwrap();
    assert!(node.meter(2).enter(Kind::WebSocket, Some(1)).is_none());
    let flying = |node: &Node| node.scrape("tenantry_tenant_requests_in_flight");
    assert_eq!(flying(&node), BTreeMap::from([("t1".into(), 1), ("_other".into(), 2)]));
    assert_eq!(node.scrape("tenantry_tenant_websockets")["_other"], 1);
    drop((places, socket));
    assert_eq!(flying(&node), BTreeMap::from([("t1".into(), 0), ("_other".into(), 0)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whoever comes and goes: no series ever goes back while it is there or when it returns, and each request is counted
    /// in exactly one.
    #[test]
    fn nothing_is_lost_counted_twice_or_taken_back(
        steps in prop::collection::vec((0u128..8, 0usize..60, 0u64..400), 1..120),
    ) {
        let node = Node::new(3);
        let (mut seen, mut real) = (BTreeMap::<String, u64>::new(), 0);
        for (n, times, pause) in steps {
            node.requests(n, times);
            real += times as u64;
            node.clock.advance(Duration::from_secs(pause));
            let now = node.scrape(REQUESTS);
            prop_assert!(now.len() <= 4);
            for (tenant, value) in now {
                let before = seen.insert(tenant.clone(), value).unwrap_or(0);
                prop_assert!(value >= before, "{tenant} fell from {before} to {value}");
            }
            // Those that have left keep what they had.
            prop_assert_eq!(seen.values().sum::<u64>(), real);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_a_node_names_its_tenants() {
    let world = still(World::builder().settings("[metrics]\ntenants = 2\n")).await;
    limit(&world, json!({"requests_per_second": 1, "burst": 2})).await;
    for slug in ["beta", "gamma", "delta"] {
        world.tenant(slug, "free").await;
        get(&world, &world.host(slug), "/").await;
    }
    for _ in 0..3 {
        get(&world, HOST, "/").await;
    }
    super::until("all are counted", || {
        let mut total = 0;
        world.running.meters().for_each(|meter| total += meter.counts().total());
        total == 6
    })
    .await;
    let text = world.running.metrics().render();
    let requests = values(&text, REQUESTS);
    let names: BTreeSet<&str> = requests.keys().map(String::as_str).collect();
    assert!(names.len() == 3 && names.contains("acme") && names.contains("_other"), "{names:?}");
    assert_eq!((requests["acme"], requests.values().sum::<u64>()), (3, 6));
    assert_eq!(values(&text, "tenantry_tenant_limited_total")["acme"], 1);
    assert!(text.contains("tenantry_tenant_limited_total{limit=\"rate\",tenant=\"acme\"} 1"), "{text}");
}
