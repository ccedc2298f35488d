//! The program is killed (SIGKILL) at random moments while it is written to, and started again: what was acknowledged is
//! there, what was not is there whole or not at all, and what is counted is what there is.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyPool, Row};
use tenantry::clock::Clock;
use tokio::net::TcpStream;

use super::{House, PATIENCE};
use crate::support::internet::size;
use crate::support::postgres::Server;

/// Who writes at the same time, each about tenants of their own.
const WRITERS: usize = 3;
/// Rows of an imported table.
const ROWS: usize = 40;

/// What a writer knows of one tenant: the last name and status that were acknowledged, and what may have become of them
/// since.
#[derive(Default)]
struct Believed {
    name: Vec<String>,
    status: Vec<String>,
}

#[derive(Default)]
struct Book {
    tenants: HashMap<String, Believed>,
    /// By request id: acknowledged with this revision, or `None`.
    calls: HashMap<String, Option<i64>>,
    domains: Vec<String>,
    /// Tables whose import was acknowledged, by the prefix of their slugs.
    tables: HashMap<String, bool>,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_keeps_what_it_acknowledged_and_nothing_by_halves() {
    killed_and_started_again(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_it_does_with_postgresql() {
    killed_and_started_again(Some(Server::shared().database().await)).await;
}

async fn killed_and_started_again(store: Option<String>) {
    let (writes, kills) = (size(120, 1_000), size(3, 25));
    let begun = Instant::now();
    let settings = "[dns]\nservers = [\"127.0.0.1:1\"]\ntimeout = \"200ms\"\n";
    let mut house = House::start_at(store, settings, &[]).await;
    let seed = Clock::system().now().millis() as u64;
    println!("seed {seed}");
    let (book, acknowledged) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let writer = Writer {
                n,
                at: house.site.admin,
                token: house.token.clone(),
                book: Arc::clone(&book),
                acknowledged: Arc::clone(&acknowledged),
                writes,
                random: Random(seed + n as u64),
            };
            tokio::spawn(writer.run())
        })
        .collect();
    let mut random = Random(seed ^ 0x5eed);
    for kill in 0..kills {
        let until = writes * kill / kills + random.below(writes / kills) + 1;
        let begun = Instant::now();
        while acknowledged.load(Ordering::SeqCst) < until {
            assert!(begun.elapsed() < PATIENCE * 4, "nothing is written any more:\n{}", house.process.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Not a moment between two writes, but any.
        tokio::time::sleep(Duration::from_micros(random.below(20_000) as u64)).await;
        // Dropped first: the one that follows needs its addresses.
        house.process = crate::support::program::Program::start("true", &[], &[]);
        house.process = house.site.start_as(&house.program(), &[]);
        assert!(house.process.listens(&[house.site.admin]).await, "{}", house.process.log());
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let (code, said) = house.tenantry(&["audit", "verify"]).await;
    assert_eq!(code, 0, "every chain verifies: {said}");
    house.process = crate::support::program::Program::start("true", &[], &[]);
    sqlx::any::install_default_drivers();
    let store = AnyPoolOptions::new().max_connections(1).connect(&house.site.store).await.unwrap();
    let book = std::mem::take(&mut *book.lock().unwrap());
    check_calls(&store, &book).await;
    check_rows(&store, &book).await;
    check_counts(&store).await;
    let lost = book.calls.values().filter(|revision| revision.is_none()).count();
    let done = book.calls.len() - lost;
    println!("{done} writes acknowledged, {lost} cut off, in {kills} kills: {:.1?}", begun.elapsed());
}

/// Each acknowledged call has its one line in the ledger and its change, in the revision that it was told; the others one of
/// each or none.
async fn check_calls(store: &AnyPool, book: &Book) {
    for (call, acknowledged) in &book.calls {
        let lines = sqlx::query("SELECT revision FROM audit WHERE request_id = $1").bind(call);
        let lines: Vec<i64> = lines.fetch_all(store).await.unwrap().iter().map(|row| row.get(0)).collect();
        match acknowledged {
            Some(revision) => assert_eq!(lines, [*revision], "{call}: acknowledged"),
            None => assert!(lines.len() <= 1, "{call}: {lines:?}"),
        }
        for revision in lines {
            let changes = sqlx::query("SELECT COUNT(*) FROM changes WHERE revision = $1").bind(revision);
            assert!(changes.fetch_one(store).await.unwrap().get::<i64, _>(0) > 0, "{call}: no change with its line");
        }
    }
    let gaps = "SELECT COUNT(*), MAX(id), (SELECT audit FROM feed) FROM audit";
    let row = sqlx::query(gaps).fetch_one(store).await.unwrap();
    let (lines, last, counted) = (row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2));
    assert_eq!((lines, last), (counted, counted), "the ledger has no gaps and no line too many");
    let beyond = "SELECT COUNT(*) FROM changes WHERE revision > (SELECT revision FROM feed)";
    assert_eq!(sqlx::query(beyond).fetch_one(store).await.unwrap().get::<i64, _>(0), 0);
}

async fn check_rows(store: &AnyPool, book: &Book) {
    for (slug, believed) in &book.tenants {
        let row = sqlx::query("SELECT name, status, id FROM tenants WHERE slug = $1").bind(slug);
        let Some(row) = row.fetch_optional(store).await.unwrap() else {
            assert!(believed.name.iter().any(String::is_empty), "{slug} was acknowledged, and is not there");
            continue;
        };
        let (name, status): (String, String) = (row.get(0), row.get(1));
        assert!(believed.name.contains(&name), "{slug}: {name} is none of {:?}", believed.name);
        assert!(believed.status.contains(&status), "{slug}: {status} is none of {:?}", believed.status);
        let made = sqlx::query("SELECT COUNT(*) FROM audit WHERE tenant = $1 AND action = 'tenant.create'");
        let made = made.bind(row.get::<String, _>(2)).fetch_one(store).await.unwrap();
        assert_eq!(made.get::<i64, _>(0), 1, "{slug}: a row without its line");
    }
    for domain in &book.domains {
        let found = sqlx::query("SELECT COUNT(*) FROM domains WHERE name = $1").bind(domain);
        assert_eq!(found.fetch_one(store).await.unwrap().get::<i64, _>(0), 1, "{domain}");
    }
    for (prefix, acknowledged) in &book.tables {
        let rows = sqlx::query("SELECT COUNT(*) FROM tenants WHERE slug LIKE $1").bind(format!("{prefix}-%"));
        let rows = rows.fetch_one(store).await.unwrap().get::<i64, _>(0) as usize;
        assert!(rows == ROWS || !acknowledged && rows == 0, "{prefix}: {rows} of {ROWS}");
    }
}

async fn check_counts(store: &AnyPool) {
    for (kept, counted) in [
        (
            "SELECT status, plan, number FROM tenant_counts WHERE number <> 0",
            "SELECT status, COALESCE(plan, ''), COUNT(*) FROM tenants GROUP BY 1, 2",
        ),
        (
            "SELECT state, '', number FROM domain_counts WHERE number <> 0",
            "SELECT state, '', COUNT(*) FROM domains GROUP BY 1",
        ),
    ] {
        let rows = async |sql: &'static str| {
            let rows = sqlx::query(sql).fetch_all(store).await.unwrap();
            let row = |row: &AnyRow| (row.get(0), row.get(1), row.get(2));
            rows.iter().map(row).collect::<BTreeSet<(String, String, i64)>>()
        };
        assert_eq!(rows(kept).await, rows(counted).await);
    }
}

struct Writer {
    n: usize,
    at: std::net::SocketAddr,
    token: String,
    book: Arc<Mutex<Book>>,
    acknowledged: Arc<AtomicUsize>,
    writes: usize,
    random: Random,
}

impl Writer {
    async fn run(mut self) {
        let mut own: Vec<String> = Vec::new();
        let mut turn = 0;
        while self.acknowledged.load(Ordering::SeqCst) < self.writes {
            turn += 1;
            let which = self.random.below(own.len().max(1));
            match (self.random.below(8), own.get(which).cloned()) {
                (0, Some(slug)) => self.rename(&slug, turn).await,
                (1, Some(slug)) => self.set_status(&slug, "suspend", "suspended").await,
                (2, Some(slug)) => self.set_status(&slug, "activate", "active").await,
                (3..=4, Some(slug)) => self.claim(&slug, turn).await,
                (5, _) => self.import(turn).await,
                _ => own.extend(self.create(turn).await),
            }
        }
    }

    async fn create(&mut self, turn: usize) -> Option<String> {
        let slug = format!("w{}-{turn}", self.n);
        // Empty: it may not be there.
        let maybe = || Believed { name: vec![String::new(), "First".into()], status: vec!["active".into()] };
        self.book.lock().unwrap().tenants.insert(slug.clone(), maybe());
        let body = json!({"slug": slug, "name": "First", "plan": "growth", "status": "active"});
        let done = self.call(Method::POST, "/v1/tenants", body).await;
        let sure = Believed { name: vec!["First".into()], status: vec!["active".into()] };
        done.then(|| {
            self.book.lock().unwrap().tenants.insert(slug.clone(), sure);
            slug
        })
    }

    async fn rename(&mut self, slug: &str, turn: usize) {
        let name = format!("Name {turn}");
        self.believe(slug, |believed| believed.name.push(name.clone()));
        if self.call(Method::PATCH, &format!("/v1/tenants/{slug}"), json!({ "name": name })).await {
            self.believe(slug, |believed| believed.name = vec![name.clone()]);
        }
    }

    async fn set_status(&mut self, slug: &str, action: &str, status: &str) {
        self.believe(slug, |believed| believed.status.push(status.to_owned()));
        if self.call(Method::POST, &format!("/v1/tenants/{slug}/{action}"), json!({})).await {
            self.believe(slug, |believed| believed.status = vec![status.to_owned()]);
        }
    }

    async fn claim(&mut self, slug: &str, turn: usize) {
        let domain = format!("d{turn}.{slug}.example");
        let body = json!({"domain": domain, "verified": turn.is_multiple_of(2)});
        if self.call(Method::POST, &format!("/v1/tenants/{slug}/domains"), body).await {
            self.book.lock().unwrap().domains.push(domain);
        }
    }

    async fn import(&mut self, turn: usize) {
        let prefix = format!("t{}-{turn}", self.n);
        let mut table = "slug,name,plan,status\n".to_owned();
        (0..ROWS).for_each(|n| table.push_str(&format!("{prefix}-{n},Imported {n},free,active\n")));
        self.book.lock().unwrap().tables.insert(prefix.clone(), false);
        if self.call(Method::POST, "/v1/imports/tenants", Value::String(table)).await {
            self.book.lock().unwrap().tables.insert(prefix, true);
        }
    }

    fn believe(&self, slug: &str, change: impl FnOnce(&mut Believed)) {
        if let Some(believed) = self.book.lock().unwrap().tenants.get_mut(slug) {
            change(believed);
        }
    }

    /// Makes a call, and notes whether it was acknowledged. A refusal is neither that nor lost.
    async fn call(&mut self, method: Method, path: &str, body: Value) -> bool {
        let id = format!("w{}-{:016x}", self.n, self.random.next());
        self.book.lock().unwrap().calls.insert(id.clone(), None);
        let (kind, body) = match body {
            Value::String(table) => ("text/csv", table),
            body => ("application/json", body.to_string()),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind)
            .header("x-request-id", &id)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        // While the program is away, nobody is asked.
        let begun = Instant::now();
        let stream = loop {
            match TcpStream::connect(self.at).await {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let answer = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            assert!(head.status.as_u16() != 500, "{path}: {}", String::from_utf8_lossy(&body));
            let revision = head.headers.get("tenantry-revision").and_then(|value| value.to_str().ok()?.parse().ok());
            revision.filter(|_: &i64| head.status.is_success())
        };
        let Some(revision) = answer.await else { return false };
        self.book.lock().unwrap().calls.insert(id, Some(revision));
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }
}

/// Knuth's MMIX generator; its high bits are good enough here.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }
}
