//! How much is measured: a whole run, which takes no more than twenty minutes on two cores, or a quick one.

use std::time::Duration;

pub struct Scale {
    pub quick: bool,
    /// Tenants, each with a host, and how many domains each has besides; the large store last.
    pub sites: [(usize, usize); 3],
    pub rounds: usize,
    /// Of a sample: before anything is counted, and after.
    pub warm: Duration,
    pub lasting: Duration,
    /// Connections that rest.
    pub idle: usize,
    /// How long hosts are made known, first one of each tenant and then the others.
    pub known: Duration,
    /// How many are served to be weighed.
    pub certificates: usize,
    /// How often the large store is started.
    pub starts: usize,
    /// How often each kind of change is made.
    pub times: usize,
    pub routes: usize,
    /// Server blocks that are generated for nginx.
    pub blocks: usize,
    /// Strangers' handshakes a second, and how long each stretch beside them lasts.
    pub flood: u64,
    pub beside: Duration,
}

impl Scale {
    pub fn from_environment() -> Self {
        let scale = match std::env::var_os("TENANTRY_BENCH_QUICK") {
            Some(_) => Self::quick(),
            None => Self::whole(),
        };
        let rounds = std::env::var("TENANTRY_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        Self { rounds: rounds.unwrap_or(scale.rounds), ..scale }
    }

    fn whole() -> Self {
        Self {
            quick: false,
            sites: [(10, 0), (100_000, 0), (100_000, super::names::DOMAINS)],
            rounds: 5,
            warm: Duration::from_millis(300),
            lasting: Duration::from_millis(1_000),
            idle: 10_000,
            known: Duration::from_secs(20),
            certificates: 5_000,
            starts: 3,
            times: 20,
            routes: 10_000,
            blocks: 10_000,
            flood: 1_000,
            beside: Duration::from_secs(3),
        }
    }

    fn quick() -> Self {
        Self {
            quick: true,
            sites: [(10, 0), (1_000, 0), (1_000, super::names::DOMAINS)],
            rounds: 1,
            warm: Duration::from_millis(150),
            lasting: Duration::from_millis(250),
            idle: 200,
            known: Duration::from_secs(2),
            certificates: 100,
            starts: 1,
            times: 2,
            routes: 200,
            blocks: 200,
            flood: 200,
            beside: Duration::from_millis(500),
        }
    }
}
