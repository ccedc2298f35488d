//! What connections, hosts and certificates weigh, by what is resident before and after.

use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Http1, Tls, get};
use super::servers::Server;
use super::site::Site;
use super::{machine, names};

/// Who is at work at the same time; fewer than the look-ups that a node does at once.
const HANDS: usize = 32;
/// Allocators give back what is free after a while, and not at once.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Bytes resident of all of the server's processes, and how many each of so many connections adds that rest after a request.
pub struct Weight {
    pub alone: u64,
    pub each: f64,
    pub count: usize,
}

pub async fn idle_connections(server: &Server, count: usize) -> Result<Weight, String> {
    let family = server.process.family();
    sleep(SETTLE).await;
    let alone = machine::memory(&family);
    let tls = Tls::new("http/1.1", 0);
    let mut hands = JoinSet::new();
    for hand in 0..HANDS {
        let (tls, address) = (tls.clone(), server.https);
        let hosts: Vec<String> = (hand..count).step_by(HANDS).map(|n| server.host(n)).collect();
        hands.spawn(async move {
            let mut held = Vec::with_capacity(hosts.len());
            for host in hosts {
                let mut connection = tls.open(address, &host).await?;
                connection.served(&get(&host, "/")).await?;
                held.push(connection);
            }
            Ok::<_, std::io::Error>(held)
        });
    }
    let mut held = Vec::new();
    while let Some(some) = hands.join_next().await {
        held.push(some.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?);
    }
    sleep(SETTLE).await;
    let with = machine::memory(&family);
    Ok(Weight { alone, each: with.saturating_sub(alone) as f64 / count as f64, count })
}

/// Visits these domains of so many tenants in the clear, which makes them known, until the time is over: the memory that each
/// added, and how long it took. The first of a tenant makes the tenant known as well.
pub async fn known_hosts(
    site: &Site,
    server: &Server,
    tenants: usize,
    which: Range<usize>,
    budget: Duration,
) -> (Weight, Duration) {
    let family = server.process.family();
    sleep(SETTLE).await;
    let alone = machine::memory(&family);
    let (begun, mut hands) = (Instant::now(), JoinSet::new());
    for hand in 0..HANDS {
        let (address, which) = (site.http, which.clone());
        hands.spawn(async move {
            let mut connection = Http1::new(TcpStream::connect(address).await.expect("a connection"));
            let mut visited = 0_usize;
            for k in which {
                for n in (hand..tenants).step_by(HANDS) {
                    if begun.elapsed() > budget {
                        return visited;
                    }
                    let answer = connection.ask(&get(&names::domain(n, k), "/")).await;
                    match answer {
                        // Its certificate is pending: it is somebody's.
                        Ok(answer) if answer.status == 503 => visited += 1,
                        Ok(answer) => panic!("{answer:?} for {}", names::domain(n, k)),
                        Err(_) => connection = Http1::new(TcpStream::connect(address).await.expect("a connection")),
                    }
                }
            }
            visited
        });
    }
    let count: usize = hands.join_all().await.into_iter().sum();
    let took = begun.elapsed();
    sleep(SETTLE).await;
    let with = machine::memory(&family);
    (Weight { alone, each: with.saturating_sub(alone) as f64 / count.max(1) as f64, count }, took)
}

/// One handshake with each of so many certificates; the first hundred are for what a handshake itself leaves behind.
pub async fn served_certificates(site: &Site, server: &Server, count: usize) -> Weight {
    const BEFORE: usize = 100;
    let visit = async |range: Range<usize>| {
        let tls = Tls::new("http/1.1", 0);
        for n in range {
            tls.connect(server.https, &names::domain(n, 0)).await.expect("a handshake");
        }
    };
    let (family, count) = (server.process.family(), count.min(site.tenants - BEFORE));
    visit(0..BEFORE).await;
    sleep(SETTLE).await;
    let alone = machine::memory(&family);
    visit(BEFORE..BEFORE + count).await;
    sleep(SETTLE).await;
    let with = machine::memory(&family);
    Weight { alone, each: with.saturating_sub(alone) as f64 / count as f64, count }
}
