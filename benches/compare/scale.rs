//! How much is measured: a whole run, which takes no more than twenty minutes on two cores, or a quick one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub struct Scale {
    pub quick: bool,
    /// Tenants, each with a host, and how many domains each has besides; the large store last.
    pub sites: [(usize, usize); 3],
    /// At least and at most.
    pub rounds: (usize, usize),
    /// When all has to be over: what is left of the time after the least number of rounds goes into more of them.
    until: Option<SystemTime>,
    /// What comes after the rounds takes so long.
    after: Duration,
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
    /// Hosts that are generated for the peers.
    pub hosts: usize,
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
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is to be a number, and not {text:?}")))
        };
        let rounds = number("TENANTRY_BENCH_ROUNDS").map(|rounds| rounds.max(1) as usize);
        let rounds = rounds.map(|rounds| (rounds, rounds));
        let until = number("TENANTRY_BENCH_UNTIL").map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        Self { rounds: rounds.unwrap_or(scale.rounds), until, ..scale }
    }

    /// Whether there is to be another round after so many, the last of which took so long.
    pub fn goes_on(&self, done: usize, last: Duration) -> bool {
        let in_time = |until| SystemTime::now() + last + self.after < until;
        done < self.rounds.0 || done < self.rounds.1 && self.until.is_none_or(in_time)
    }

    fn whole() -> Self {
        Self {
            quick: false,
            sites: [(10, 0), (100_000, 0), (100_000, super::names::DOMAINS)],
            rounds: (3, 5),
            until: None,
            after: Duration::from_secs(135),
            warm: Duration::from_millis(250),
            lasting: Duration::from_millis(800),
            idle: 10_000,
            known: Duration::from_secs(10),
            certificates: 5_000,
            starts: 3,
            times: 20,
            routes: 10_000,
            hosts: 10_000,
            flood: 1_000,
            beside: Duration::from_secs(2),
        }
    }

    fn quick() -> Self {
        Self {
            quick: true,
            sites: [(10, 0), (1_000, 0), (1_000, super::names::DOMAINS)],
            rounds: (1, 1),
            until: None,
            after: Duration::ZERO,
            warm: Duration::from_millis(150),
            lasting: Duration::from_millis(250),
            idle: 200,
            known: Duration::from_secs(2),
            certificates: 100,
            starts: 1,
            times: 2,
            routes: 200,
            hosts: 200,
            flood: 200,
            beside: Duration::from_millis(500),
        }
    }
}
