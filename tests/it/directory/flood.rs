//! A flood of names that nobody has: bounded in memory, harmless to those who are known, and no wall before a real name
//! that is merely cold.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenantry::clock::{Clock, Timestamp};
use tenantry::directory::{DirectorySettings, GateSettings, Trouble};
use tenantry::model::Status;

use super::source::{House, settings};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let pages: usize =
        std::fs::read_to_string("/proc/self/statm").unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// In a process of its own, or the memory of the tests beside it would be counted too.
#[test]
fn a_million_unknown_hosts_change_nothing_for_the_known_ones() {
    if std::env::var_os(CHILD).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(flood());
    }
    let this = "directory::flood::a_million_unknown_hosts_change_nothing_for_the_known_ones";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

const CHILD: &str = "TENANTRY_TEST_FLOOD";

async fn flood() {
    const FLOOD: usize = 1_000_000;
    const HOT: usize = 100;
    let settings = DirectorySettings { hosts: 1000, tenants: 1000, negatives: 10_000, ..settings() };
    let house = Arc::new(House::with(settings, Clock::system()).await);
    for n in 0..HOT {
        house.put(&format!("hot-{n}"), None).await;
        house.status(&format!("hot-{n}.connect.localhost")).await.unwrap();
    }
    for n in 0..20 {
        house.put(&format!("cold-{n}"), None).await;
    }
    let before = resident();
    let flood: Vec<_> = (0..16)
        .map(|task| {
            let house = house.clone();
            tokio::spawn(async move {
                for n in 0..FLOOD / 16 {
                    // Every guess from another network, as a botnet would.
                    let client = [10 + task as u8, (n >> 16) as u8, (n >> 8) as u8, n as u8];
                    let host = format!("x{task}-{n}.flood.example");
                    let _ = house.resolve_from(&host, client).await;
                }
            })
        })
        .collect();
    // Meanwhile real names that were never asked for resolve, and so do the hot ones.
    for n in 0..20 {
        let host = format!("cold-{n}.connect.localhost");
        let cold = tokio::time::timeout(Duration::from_secs(30), house.status(&host));
        assert_eq!(cold.await.expect("a cold host gets its turn"), Ok(Some(Status::Active)));
    }
    for task in flood {
        task.await.unwrap();
    }
    let reads = house.source.places.load(Ordering::SeqCst);
    for n in 0..HOT {
        assert_eq!(house.status(&format!("hot-{n}.connect.localhost")).await, Ok(Some(Status::Active)));
    }
    assert_eq!(house.source.places.load(Ordering::SeqCst), reads, "no hot host was evicted");
    let (hosts, _) = house.directory.stats();
    assert!(hosts.absent <= 10_500 && hosts.known <= 1000, "{hosts:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "the process grew by {} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_pays_for_its_own_wrong_guesses() {
    let clock = Clock::manual(Timestamp(1_800_000_000_000));
    let gate = GateSettings { rate: 10, burst: 20, ..settings().gate };
    let house = House::with(DirectorySettings { gate, ..settings() }, clock.clone()).await;
    for n in 0..50 {
        house.put(&format!("real-{n}"), None).await;
    }
    let guesser = [198, 51, 100, 7];
    for n in 0..20 {
        assert!(house.resolve_from(&format!("guess-{n}.connect.localhost"), guesser).await.is_ok());
    }
    let refused = house.resolve_from("guess-x.connect.localhost", [198, 51, 100, 8]).await;
    assert_eq!(refused.unwrap_err(), Trouble::Busy, "its whole /24 is one client");
    assert!(
        house.resolve_from("guess-x.connect.localhost", [198, 51, 101, 8]).await.is_ok(),
        "others are not concerned"
    );
    clock.advance(Duration::from_secs(1));
    assert!(house.resolve_from("guess-y.connect.localhost", guesser).await.is_ok(), "it earns new guesses");
    // Names that exist are never charged: fifty cold ones from one client, with a burst of twenty.
    for n in 0..50 {
        let real = house.resolve_from(&format!("real-{n}.connect.localhost"), [203, 0, 113, 9]).await;
        assert!(matches!(real, Ok(tenantry::directory::Resolution::Tenant(..))));
    }
}
