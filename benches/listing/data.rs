//! What is asked about: tables of tenants and domains through the API, certificates and lines of the ledger through the
//! store; and how long others wait who write meanwhile.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tenantry::clock::{Clock, Timestamp};
use tenantry::model::{Certificate, CertificateSource, Listing, TenantId};
use tenantry::store::{AuditEntry, Page, Store, TenantFilter, TenantSort};
use zeroize::Zeroizing;

use super::Report;
use super::api::Api;

/// Rows of one imported table.
const TABLE: usize = 250_000;
/// Of so many tenants one has a certificate, an order, a line of the ledger.
const FEW: usize = 10;
/// Of so many tenants one is listed publicly.
const LISTED: usize = 100;

pub const WORDS: [&str; 24] = [
    "acme", "north", "sea", "trading", "kontor", "atelier", "müller", "garcía", "søren", "blue", "stone", "river",
    "garden", "works", "labs", "media", "foods", "motors", "textil", "optik", "holding", "union", "first", "urban",
];

/// Fills the store, unless it is full already. The first hundred tenants have ten thousand children each.
pub async fn fill(api: &Api, store: &Store, size: usize, report: &mut Report) {
    let there = api.get("/v1/stats").await["tenants"]["total"].as_u64().unwrap_or(0);
    if there >= size as u64 {
        return println!("  ({there} tenants are there already)");
    }
    // Somebody else writes all the while.
    let mut table = "slug,name,plan,parent,status\n".to_owned();
    let _ = writeln!(table, "{BESIDE},Beside,growth,,active");
    api.import("tenants", table).await;
    for (what, row) in [("tenants", tenant as fn(usize) -> String), ("domains", domain)] {
        let heading = if what == "tenants" { "slug,name,plan,parent,status\n" } else { "domain,tenant,verified\n" };
        let over = Arc::new(AtomicBool::new(false));
        let beside = tokio::spawn(write_beside(api.clone(), Arc::clone(&over)));
        let (mut spent, mut slowest, mut done) = (Duration::ZERO, (0, Duration::ZERO), 0);
        while done < size {
            let rows = TABLE.min(size - done);
            let mut table = heading.to_owned();
            (done..done + rows).for_each(|n| table.push_str(&row(n)));
            let begun = Instant::now();
            let answer = api.import(what, table).await;
            let took = begun.elapsed();
            assert_eq!(answer["imported"], rows, "{answer}");
            if rows as f64 / took.as_secs_f64() < slowest.0 as f64 / slowest.1.as_secs_f64().max(1e-9) || slowest.0 == 0
            {
                slowest = (rows, took);
            }
            spent += took;
            done += rows;
        }
        over.store(true, Ordering::SeqCst);
        let (longest, refused) = beside.await.expect("writes");
        report.rate(&format!("import of {what}"), size, spent);
        report.rate(&format!("import of {what}, the slowest table of {TABLE}"), slowest.0, slowest.1);
        report.told(
            &format!("the longest write of another during the import of {what}"),
            &format!("{longest:.2?}, {refused} refused"),
        );
    }
    let begun = Instant::now();
    few(store, size).await;
    report.told("certificates, orders, lines of the ledger", &format!("{} each ({:.1?})", size / FEW, begun.elapsed()));
}

const BESIDE: &str = "beside";

/// One small write after the other, until it is over: how long the longest took, and how many were refused.
async fn write_beside(api: Api, over: Arc<AtomicBool>) -> (Duration, usize) {
    let (mut longest, mut refused, mut n) = (Duration::ZERO, 0, 0);
    while !over.load(Ordering::SeqCst) {
        n += 1;
        let body = Bytes::from(json!({ "name": format!("Beside {n}") }).to_string());
        let begun = Instant::now();
        let path = format!("/v1/tenants/{BESIDE}");
        let (status, body) = api.send(Method::PATCH, &path, "application/json", body).await;
        assert!(status < 300 || status == 503, "{status} {}", String::from_utf8_lossy(&body));
        refused += usize::from(status == 503);
        longest = longest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (longest, refused)
}

/// Certificates and orders for names of nobody, lines of the ledger about some tenants, and who is listed.
async fn few(store: &Store, size: usize) {
    const AT_ONCE: usize = 500;
    let now = Clock::system().now();
    let page = Page { limit: 1_000, after: None };
    let some = store.list_tenants(&TenantFilter::default(), TenantSort::Created, false, &page).await.expect("tenants");
    let some: Vec<TenantId> = some.rows.iter().map(|tenant| tenant.id).collect();
    for begin in (0..size / FEW).step_by(AT_ONCE) {
        let mut write = store.write().await.expect("a turn");
        let mut lines = Vec::with_capacity(AT_ONCE);
        for n in begin..(begin + AT_ONCE).min(size / FEW) {
            write.insert_certificate(&certificate(n, now)).await.expect("a certificate");
            lines.push(line(n, some[n % some.len()]));
        }
        write.audit_all(&lines).await.expect("lines");
        write.commit().await.expect("a commit");
    }
    let mut listed = store.write().await.expect("a turn");
    let mut after = None;
    for _ in 0..size / LISTED / 100 {
        let page = Page { limit: 100, after: after.take() };
        let found = listed_page(store, &page).await;
        for id in &found.0 {
            listed.set_listing(*id, Listing { listed: true, priority: 0 }).await.expect("a listing");
        }
        after = found.1;
    }
    listed.commit().await.expect("a commit");
}

async fn listed_page(store: &Store, page: &Page) -> (Vec<TenantId>, Option<String>) {
    let found = store.list_tenants(&TenantFilter::default(), TenantSort::Name, false, page).await.expect("tenants");
    (found.rows.iter().map(|tenant| tenant.id).collect(), found.next)
}

fn certificate(n: usize, now: Timestamp) -> Certificate {
    let names = vec![format!("c{}.example", slug(n)), format!("www.c{}.example", slug(n))];
    let hour = Duration::from_secs(3_600);
    Certificate {
        id: uuid::Uuid::now_v7().to_string(),
        names,
        // As long as a chain of two is.
        chain: "MIIB".repeat(800),
        key: Zeroizing::new("MIGH".repeat(60)),
        not_before: now,
        not_after: now + hour * u32::try_from(24 + n * 7_919 % 2_000).unwrap_or(24),
        source: [CertificateSource::Acme, CertificateSource::Acme, CertificateSource::Uploaded][n % 3],
        authority: "letsencrypt".into(),
    }
}

fn line(n: usize, tenant: TenantId) -> AuditEntry {
    AuditEntry {
        actor: format!("operator:{}", WORDS[n % 24]),
        action: ["tenant.rename", "domain.add", "member.invite", "tenant.suspend"][n % 4].into(),
        tenant: Some(tenant),
        subject: slug(n),
        detail: json!({ "from": "a", "to": "b" }),
        from: n.is_multiple_of(10).then_some([192, 0, 2, 1].into()),
        ..AuditEntry::default()
    }
}

fn tenant(n: usize) -> String {
    let status = ["active", "trial", "active", "pending"][n % 4];
    let parent = if n >= 100 && n.is_multiple_of(2) { slug(n / 2 % 100) } else { String::new() };
    let name = format!("{} {} {}", WORDS[n % 24], WORDS[n / 24 % 24], WORDS[n / 576 % 24]);
    format!("{},{name} {n},{},{parent},{status}\n", slug(n), plan(n))
}

/// A name of the `n`th tenant; of those that are `verified`, certificates are ordered.
fn domain(n: usize) -> String {
    format!("{},{},{}\n", name(n), slug(n), n.is_multiple_of(FEW))
}

pub fn name(n: usize) -> String {
    match n % 3 {
        0 => format!("s{n}.zone{}.example", n % 1000),
        _ => format!("www.{}.example", slug(n)),
    }
}

pub fn plan(n: usize) -> &'static str {
    ["creators", "growth", "professional"][n % 3]
}

/// In no order: the letters come from the number's bits turned around.
pub fn slug(n: usize) -> String {
    let mut mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(14);
    for _ in 0..6 {
        let _ = write!(text, "{}", (b'a' + (mixed >> 58) as u8 % 26) as char);
        mixed = mixed.rotate_left(7);
    }
    let _ = write!(text, "-{n}");
    text
}
