//! How long a change takes until it holds, and a start until it serves, of Tenantry with its large store; and what visitors
//! feel of a flood. The nearest that others have is in `generated.rs`.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::client::{Tls, get};
use super::loads::{Load, flood, measure};
use super::names;
use super::report::{Fact, count, ends, median};
use super::servers::{Server, until_answered, until_served};
use super::site::Site;

const PATIENCE: Duration = Duration::from_secs(120);

/// All that is asked of Tenantry while it runs.
pub async fn of_tenantry(site: &Site, server: &Server, times: usize, routes: usize) -> Vec<Fact> {
    let api = site.api();
    let asked = [
        new_hosts(site, server, &api, times).await,
        suspensions(server, &api, times).await,
        reloads(site, server, &api, times.min(5), routes).await,
    ];
    asked.into_iter().flatten().flatten().collect()
}

async fn reloads(site: &Site, server: &Server, api: &Api, times: usize, routes: usize) -> Option<Vec<Fact>> {
    let mut took = Some(Vec::new());
    for round in 1..=times {
        let one = reload(site, server, api, (routes, round)).await;
        took = took.zip(one).map(|(took, one)| [took, vec![one]].concat());
    }
    // Whatever came of it, the next measurement is to have the usual ones.
    site.route(0, 0);
    post(api, "/v1/config/reload", json!({})).await?;
    Some(vec![Fact::millis(&reloading(routes), &server.name, &took?)])
}

/// With so many routes, and a marker of so many bytes.
async fn reload(site: &Site, server: &Server, api: &Api, (routes, marker): (usize, usize)) -> Option<Duration> {
    site.route(routes, marker);
    let begun = Instant::now();
    post(api, "/v1/config/reload", json!({})).await?;
    let seen = until_answered(server.https, &server.host(0), "/marker", marker, PATIENCE).await;
    if seen.is_none() {
        println!("a configuration is not in force within {PATIENCE:?} of its reload: not measured");
    }
    seen.map(|_| begun.elapsed())
}

/// What is asked of all who are told routes by files.
pub fn reloading(routes: usize) -> String {
    format!("a configuration with {} routes: from asking for the reload until it is in force", count(routes))
}

async fn new_hosts(site: &Site, server: &Server, api: &Api, times: usize) -> Option<Vec<Fact>> {
    let (mut writes, mut waits) = (Vec::new(), Vec::new());
    // Names of another run may be in a store that is kept.
    let run = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    for n in 0..times {
        let slug = format!("new-{run}-{n}");
        let begun = Instant::now();
        let body = json!({ "slug": slug, "name": "New", "plan": "growth", "status": "active" });
        post(api, "/v1/tenants", body).await?;
        writes.push(begun.elapsed());
        let host = format!("{slug}.{}", names::BASE);
        waits.push(until_served(server.https, &host, PATIENCE).await?);
    }
    let what = format!("host {} is written: until the write is answered", count(site.hosts() + 1));
    let then = "from then until it is served, a handshake and a request included";
    Some(vec![Fact::millis(&what, &server.name, &writes), Fact::millis(then, &server.name, &waits)])
}

/// Each of a tenant that has just been served.
async fn suspensions(server: &Server, api: &Api, times: usize) -> Option<Vec<Fact>> {
    let (tls, mut writes, mut waits, mut late) = (Tls::new("http/1.1", 0), Vec::new(), Vec::new(), 0);
    for n in 0..times {
        let n = n % server.hosts;
        let (host, tenant) = (names::slug_host(n), format!("/v1/tenants/{}", names::slug(n)));
        until_served(server.https, &host, PATIENCE).await?;
        let begun = Instant::now();
        post(api, &format!("{tenant}/suspend"), json!({ "reason": "compare" })).await?;
        writes.push(begun.elapsed());
        let begun = Instant::now();
        let mut refused = None;
        while refused.is_none() && begun.elapsed() < PATIENCE {
            let asked = async { tls.open(server.https, &host).await?.ask(&get(&host, "/")).await };
            match asked.await {
                Ok(answer) if answer.status == 403 => refused = Some(begun.elapsed()),
                Ok(_) => late += 1,
                // Closed, perhaps by the suspension itself: the next one tells.
                Err(_) => {}
            }
        }
        // The store may be kept for another run.
        post(api, &format!("{tenant}/activate"), json!({})).await?;
        let Some(wait) = refused else {
            println!("{host} is not refused within {PATIENCE:?} of its suspension: not measured");
            return None;
        };
        waits.push(wait);
    }
    let requests = Fact::number("requests that were served after that answer", &server.name, f64::from(late), "");
    Some(vec![
        Fact::millis("a tenant is suspended: until the write is answered", &server.name, &writes),
        Fact::millis("from then until its host gets 403, a handshake and a request included", &server.name, &waits),
        requests,
    ])
}

/// `None`, with a word about it: it was not done.
async fn post(api: &Api, path: &str, body: Value) -> Option<()> {
    let (status, answer) = api.send(Method::POST, path, "application/json", Bytes::from(body.to_string())).await;
    if status < 300 {
        return Some(());
    }
    println!("{path}: {status} {}: not measured", String::from_utf8_lossy(&answer));
    None
}

/// Starts with the store as it is, so many times: until the first request is answered, TLS included. The last one stays.
pub async fn starts(site: &Site, name: &str, program: &Path, times: usize) -> Option<(Server, Fact)> {
    let (mut took, mut last) = (Vec::new(), None);
    for _ in 0..times {
        // The one before has to go first.
        drop(last.take());
        let begun = Instant::now();
        let server = site.start(name, program)?;
        until_served(server.https, &names::slug_host(0), PATIENCE).await?;
        took.push(begun.elapsed());
        last = Some(server);
    }
    let certificates = if site.domains > 0 { site.tenants + 1 } else { 1 };
    let what = format!(
        "start with {} hosts and {} certificates: until the first request is answered",
        count(site.hosts()),
        count(certificates)
    );
    Some((last?, Fact::millis(&what, name, &took)))
}

/// The slowest hundredth of good visitors, alone and beside a flood of unknown names.
pub async fn under_flood(server: &Server, rate: u64, lasting: Duration) -> Vec<Fact> {
    let warm = Duration::from_millis(500);
    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let alone = measure(Load::Even, server, warm, lasting).await;
        let strangers = flood(server.https, rate);
        let beside = measure(Load::Even, server, warm, lasting).await;
        drop(strangers);
        match (alone, beside) {
            (Ok(alone), Ok(beside)) => {
                quiet.push(f64::from(alone.p99_us) / 1e3);
                flooded.push(f64::from(beside.p99_us) / 1e3);
            }
            (Err(why), _) | (_, Err(why)) => println!("{}: no figure beside a flood: {why}", server.name),
        }
    }
    if quiet.is_empty() {
        return Vec::new();
    }
    let what = format!("p99 of 2,000 requests a second beside {} handshakes a second for unknown names", count(rate));
    let mut fact = Fact::number(&what, &server.name, median(&flooded), "ms");
    fact.spread = Some(ends(&flooded));
    vec![Fact::number("p99 of 2,000 requests a second", &server.name, median(&quiet), "ms"), fact]
}
