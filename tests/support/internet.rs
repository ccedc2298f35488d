//! What an edge that orders certificates finds outside: a DNS, an authority, and a front before it that misbehaves as told;
//! all of them know the two ports at which the edge is.

use std::future::Future;
use std::time::{Duration, Instant};

use tenantry::acme::order::Order;
use tenantry::store::{ISSUED, OrderRow, Page, Store};

use super::front::Front;
use super::pebble::{Builder, ChallTest, Pebble};
use super::program::port;
use super::world::{self, World};

/// It ends with the value.
pub struct Internet {
    pub dns: ChallTest,
    pub pebble: Pebble,
    pub front: Front,
    /// Where the edge has to listen.
    pub https: u16,
    pub http: u16,
}

/// Limits that stop nobody.
pub const BOUNDLESS: &str = "[acme.authority.limits]\norders = \"1000000/1s\"\nper_domain = \"1000000/1s\"\n\
                             per_set = \"1000000/1s\"\nfailures = \"1000000/1s\"\n";

impl Internet {
    /// Every name leads to the edge.
    pub async fn start() -> Self {
        Self::with(|pebble| pebble).await
    }

    pub async fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        let (https, http) = (port(), port());
        let dns = ChallTest::start().await;
        let pebble = change(Pebble::builder().ports(https, http).dns(&dns)).start().await;
        let front = Front::start(&pebble).await;
        Self { dns, pebble, front, https, http }
    }

    /// The tables of `tenantry.toml` for an edge here; `acme`: more lines of `[acme]`; `authorities`: whole tables.
    pub fn settings(&self, acme: &str, authorities: &str) -> String {
        format!(
            "[dns]\nservers = [\"{}\"]\nauthoritative = false\n[outbound]\nallow = [\"127.0.0.0/8\"]\n\
             [domains]\naddresses = [\"127.0.0.1\"]\n[acme]\nhttp_port = {}\ntls_port = {}\n{acme}\n{authorities}",
            self.dns.address, self.http, self.https,
        )
    }

    /// A world at these ports that asks the front, within boundless limits.
    pub fn world(&self, acme: &str) -> world::Builder {
        self.world_asking(acme, &format!("{}{BOUNDLESS}", self.front.settings("front")))
    }

    pub fn world_asking(&self, acme: &str, authorities: &str) -> world::Builder {
        World::builder().settings(&self.settings(acme, authorities)).ports(self.https, self.http)
    }
}

/// The size of a test: `small`, or `full` where `TENANTRY_TEST_FULL` is set.
pub fn size(small: usize, full: usize) -> usize {
    if std::env::var_os("TENANTRY_TEST_FULL").is_some() { full } else { small }
}

/// Waits until it is true; shows the orders if that takes too long.
pub async fn until<F: Future<Output = bool>>(store: &Store, within: Duration, mut is: impl FnMut() -> F) {
    let started = Instant::now();
    while !is().await {
        if started.elapsed() > within {
            let orders = orders(store).await;
            let unfinished: Vec<_> = orders.iter().filter(|order| order.stage != ISSUED).take(10).collect();
            panic!("not within {within:?}: {} orders, of which {unfinished:#?}", orders.len());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until so many orders are issued.
pub async fn issued(store: &Store, number: usize, within: Duration) {
    until(store, within, async || count(store, ISSUED).await == number).await;
}

/// How many orders are in this stage.
pub async fn count(store: &Store, stage: &str) -> usize {
    let counts = store.order_counts().await.unwrap();
    counts.iter().find(|count| count.stage == stage).map_or(0, |count| count.count as usize)
}

/// All of them.
pub async fn orders(store: &Store) -> Vec<OrderRow> {
    let mut all: Vec<OrderRow> = Vec::new();
    loop {
        let after = all.last().map(|order| order.name.clone());
        let page = store.orders(&Page { limit: Page::MOST, after }).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What a row says of its life.
pub fn life(row: &OrderRow) -> Order {
    serde_json::from_str(&row.data).unwrap()
}
