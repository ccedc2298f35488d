//! 1,000,000 tenants and 1,000,000 domains in SQLite, and in PostgreSQL where its programs are installed: imported, listed,
//! searched, filtered and counted through the API, over HTTP on loopback. Prints the rate of the imports, and the median
//! and the slowest hundredth of each question. `cargo bench --bench listing`; `TENANTRY_BENCH_TENANTS` takes another size.

#[allow(dead_code)]
#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tenantry::app::{self, App, Origin, Roles};
use tenantry::clock::Clock;
use tenantry::seal::KeyFile;
use tenantry::tenancy::{Actor, NewToken};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each question is asked, each time about something else.
const ASKED: usize = 200;
/// Rows of one imported table.
const TABLE: usize = 250_000;

const WORDS: [&str; 24] = [
    "acme", "north", "sea", "trading", "kontor", "atelier", "müller", "garcía", "søren", "blue", "stone", "river",
    "garden", "works", "labs", "media", "foods", "motors", "textil", "optik", "holding", "union", "first", "urban",
];

fn main() {
    // `cargo test` builds and starts benchmarks too, to see that they run.
    if std::env::args().any(|argument| argument == "--bench") {
        let size = std::env::var("TENANTRY_BENCH_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(measure("SQLite", None, size));
        match std::fs::exists("/usr/lib/postgresql") {
            Ok(true) => {
                let server = postgres::Server::start();
                let url = runtime.block_on(server.database());
                runtime.block_on(measure("PostgreSQL", Some(url), size));
            }
            _ => println!("PostgreSQL is not installed: not measured"),
        }
    }
}

async fn measure(engine: &str, url: Option<String>, size: usize) {
    app::install_crypto().expect("a provider");
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    KeyFile::create(&path("store.key")).expect("a key");
    let url = url.unwrap_or_else(|| format!("sqlite:{}", path("t.db").display()));
    let tenantry = format!(
        "[brand]\nbase = \"connect.localhost\"\n[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\nfilter = \"off\"\n\
         [dns]\nservers = [\"127.0.0.1:1\"]\ntimeout = \"200ms\"\n\
         [store]\nurl = \"{url}\"\nkey = \"file:{}\"\n",
        path("store.key").display()
    );
    std::fs::write(path("tenantry.toml"), tenantry).expect("a file");
    std::fs::write(path("plans.toml"), include_str!("../config/plans.toml")).expect("a file");
    std::fs::write(path("routing.toml"), "[[pool]]\nname = \"app\"\nbackends = [\"127.0.0.1:1\"]\n[[route]]\nname = \"r\"\nhost = \"any\"\npool = \"app\"\n")
        .expect("a file");
    let origin = Origin::new(dir.path(), Some(dir.path()));
    let loaded = origin.read().expect("a configuration");
    // The API alone: nobody looks at a million domains meanwhile.
    let app =
        App::open_from(origin, loaded, Clock::system(), Roles { edge: false, admin: true }).await.expect("a store");
    let issued = app
        .tenancy()
        .create_token(&Actor::new("system"), None, &NewToken { name: "bench".into(), ..NewToken::default() })
        .await
        .expect("a token");
    let token = issued.value.secret.to_string();
    let running = app.start(Vec::new()).await.expect("a start");
    let api = Api { at: running.admin_address(), token, http: client() };
    println!("{engine}: {size} tenants, {size} domains");
    fill(&api, size).await;
    for (name, question) in questions() {
        let mut took = Vec::with_capacity(ASKED);
        let mut cursor: Option<String> = None;
        for n in 0..ASKED {
            let mut path = question(n, size);
            // Every other time the next page of the answer before, if there is one.
            if let Some(cursor) = cursor.take().filter(|_| n % 2 == 1) {
                path = format!("{}&cursor={cursor}", question(n - 1, size));
            }
            let begun = Instant::now();
            let answer = api.get(&path).await;
            took.push(begun.elapsed());
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
        }
        took.sort();
        println!("{engine}: {name:<44} p50 {:>9.2?}  p99 {:>9.2?}", took[ASKED / 2], took[ASKED * 99 / 100]);
    }
    running.stop(Duration::from_secs(1)).await;
}

type Question = fn(usize, usize) -> String;

/// What is asked, the `n`th time.
fn questions() -> Vec<(&'static str, Question)> {
    vec![
        ("dashboard counts", |_, _| "/v1/stats?expiring_days=7".into()),
        ("tenants by slug", |n, size| format!("/v1/tenants?prefix={}", &slug(n * 7919 % size)[..3])),
        ("tenants by slug, the last first", |_, _| "/v1/tenants?sort=-slug".into()),
        ("tenants by name", |_, _| "/v1/tenants?sort=name".into()),
        ("tenants by creation, the newest first", |_, _| "/v1/tenants?sort=-created".into()),
        ("tenants by last change", |_, _| "/v1/tenants?sort=-updated".into()),
        ("of a status", |n, _| format!("/v1/tenants?status={}", ["trial", "active", "pending"][n / 2 % 3])),
        ("of a status, by name", |n, _| format!("/v1/tenants?sort=name&status={}", ["trial", "active"][n / 2 % 2])),
        ("of a status that nobody has", |_, _| "/v1/tenants?status=archived".into()),
        ("of a plan, the newest first", |n, _| format!("/v1/tenants?sort=-created&plan={}", plan(n / 2))),
        ("of a status and a plan, by name", |n, _| format!("/v1/tenants?sort=name&status=trial&plan={}", plan(n / 2))),
        ("children of a tenant, by name", |n, size| {
            format!("/v1/tenants?sort=name&parent={}", slug(n / 2 % 100 % size))
        }),
        ("trials that end soon", |_, _| "/v1/tenants?trial_ends_before=2099-01-01T00:00:00Z".into()),
        ("of a plan, by prefix, updated lately (rows looked at)", |n, size| {
            let prefix = &slug(n * 104_729 % size)[..2];
            format!(
                "/v1/tenants?plan=growth&status=pending&prefix={prefix}&sort=name&updated_from=2020-01-01T00:00:00Z"
            )
        }),
        ("search, one letter", |n, _| format!("/v1/tenants?search={}", (b'a' + (n / 2 % 26) as u8) as char)),
        ("search, a word", |n, _| format!("/v1/tenants?search={}", WORDS[n / 2 % 6])),
        ("search, a slug", |n, size| format!("/v1/tenants?search={}", slug(n * 104_729 % size))),
        ("search, a word, suspended ones only", |n, _| {
            format!("/v1/tenants?status=suspended&search={}", WORDS[n / 2 % 6])
        }),
        ("search, a domain", |n, size| format!("/v1/tenants?search=www.{}", slug(n * 7919 % size))),
        ("one tenant", |n, size| format!("/v1/tenants/{}", slug(n * 104_729 % size))),
        ("domains by name", |n, size| format!("/v1/domains?prefix=www.{}", &slug(n * 7919 % size)[..2])),
        ("domains by creation, the newest first", |_, _| "/v1/domains?sort=-created".into()),
        ("domains in a state", |n, _| format!("/v1/domains?state={}", ["pending", "verified", "live"][n / 2 % 3])),
        ("domains in a state, the oldest first", |_, _| "/v1/domains?state=pending&sort=created".into()),
        ("domains of a tenant", |n, size| format!("/v1/domains?tenant={}", slug(n * 7919 % size))),
        ("domains beneath a name", |n, _| format!("/v1/domains?beneath=zone{}.example", n / 2 % 1000)),
    ]
}

/// Tables of tenants, then of domains; the first hundred tenants have ten thousand children each.
async fn fill(api: &Api, size: usize) {
    for (what, row) in [("tenants", tenant as fn(usize) -> String), ("domains", domain)] {
        let heading = if what == "tenants" { "slug,name,plan,parent,status\n" } else { "domain,tenant,verified\n" };
        let (mut spent, mut done) = (Duration::ZERO, 0);
        let mut slowest = f64::MAX;
        while done < size {
            let rows = TABLE.min(size - done);
            let mut table = heading.to_owned();
            (done..done + rows).for_each(|n| table.push_str(&row(n)));
            let begun = Instant::now();
            let answer = api.import(what, table).await;
            let took = begun.elapsed();
            assert_eq!(answer["imported"], rows, "{answer}");
            slowest = slowest.min(rows as f64 / took.as_secs_f64());
            spent += took;
            done += rows;
        }
        println!(
            "import: {:.0} {what} a second; the slowest table of {TABLE}: {slowest:.0}",
            size as f64 / spent.as_secs_f64()
        );
    }
}

fn tenant(n: usize) -> String {
    let status = ["active", "trial", "active", "pending"][n % 4];
    let parent = if n >= 100 && n.is_multiple_of(2) { slug(n / 2 % 100) } else { String::new() };
    let name = format!("{} {} {}", WORDS[n % 24], WORDS[n / 24 % 24], WORDS[n / 576 % 24]);
    format!("{},{name} {n},{},{parent},{status}\n", slug(n), plan(n))
}

fn domain(n: usize) -> String {
    let verified = n.is_multiple_of(50);
    match n % 3 {
        0 => format!("s{n}.zone{}.example,{},{verified}\n", n % 1000, slug(n)),
        _ => format!("www.{}.example,{},{verified}\n", slug(n), slug(n)),
    }
}

fn plan(n: usize) -> &'static str {
    ["creators", "growth", "professional"][n % 3]
}

/// In no order: the letters come from the number's bits turned around.
fn slug(n: usize) -> String {
    let mut mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(14);
    for _ in 0..6 {
        let _ = write!(text, "{}", (b'a' + (mixed >> 58) as u8 % 26) as char);
        mixed = mixed.rotate_left(7);
    }
    let _ = write!(text, "-{n}");
    text
}

struct Api {
    at: SocketAddr,
    token: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    async fn import(&self, what: &str, table: String) -> Value {
        self.call(Method::POST, &format!("/v1/imports/{what}"), "text/csv", table.into()).await
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.at))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind)
            .body(Full::new(body))
            .expect("a request");
        let (head, body) = self.http.request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        assert!(head.status.is_success(), "{path}: {} {}", head.status, String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}
