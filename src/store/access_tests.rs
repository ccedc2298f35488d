//! How lists, searches and filters are answered: each of their statements is explained by the engine, and none may read a
//! table of many rows from end to end, nor sort one. What is asserted is the way, not the time.

use std::cell::RefCell;
use std::time::Duration;

use sqlx::any::AnyArguments;
use sqlx::{AnyConnection, AssertSqlSafe, Execute, Row as _, query_with};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::connect::{Place, Statement};
use super::*;
use crate::clock::Timestamp;
use crate::model::{
    Certificate, CertificateSource, Domain, DomainName, DomainState, Hostname, Listing, PersonId, PlanName, Slug,
    Status, Tenant, TenantId,
};

#[allow(dead_code)]
#[path = "../../tests/support/postgres.rs"]
mod postgres;

/// Tenants and domains, and ten times as many as there are certificates and lines of the ledger.
const ROWS: usize = 2_600;
/// Tables that have few rows, whoever has how many tenants.
const SMALL: [&str; 6] = ["tenant_counts", "trial_counts", "domain_counts", "buckets", "feed", "roles"];

const WRITES: &str = "writes about one thing";

tokio::task_local! {
    static SEEN: RefCell<Vec<(String, AnyArguments)>>;
}

/// Keeps a copy of the statement, where somebody looks.
pub fn seen(mut statement: Statement<'_>) -> Statement<'_> {
    if SEEN.try_with(|_| ()).is_err() {
        return statement;
    }
    let arguments = statement.take_arguments().unwrap().unwrap_or_default();
    let sql = statement.sql().as_str().to_owned();
    let copy = |arguments: &AnyArguments| {
        let mut copy = AnyArguments::default();
        copy.values.0.clone_from(&arguments.values.0);
        copy
    };
    SEEN.with(|seen| seen.borrow_mut().push((sql.clone(), copy(&arguments))));
    query_with(AssertSqlSafe(sql), arguments).persistent(false)
}

struct Ground {
    store: Store,
    connection: AnyConnection,
    is_sqlite: bool,
    /// What is wrong, all of it.
    faults: Vec<String>,
    statements: usize,
}

#[tokio::test]
async fn sqlite_reads_lists_off_indexes() {
    let directory = TempDir::new().unwrap();
    Ground::check(&format!("sqlite:{}", directory.path().join("store.db").display())).await;
}

#[tokio::test]
async fn postgresql_reads_lists_off_indexes() {
    let server = postgres::Server::start();
    Ground::check(&server.database().await).await;
}

impl Ground {
    async fn check(url: &str) {
        let (sealer, clock) = (Sealer::from_key_bytes(&[7; 32]).unwrap(), Clock::manual(Timestamp(HOUR * 1_000)));
        let store = Store::open(url, 4, sealer, clock).await.unwrap();
        let tenants = fill(&store).await;
        let connection = Place::parse(url).unwrap().connect().await.unwrap();
        let is_sqlite = url.starts_with("sqlite:");
        let mut ground = Self { store, connection, is_sqlite, faults: Vec::new(), statements: 0 };
        if !is_sqlite {
            // Small tables are read from end to end, and rightly: what is asked is whether there is another way.
            ground.raw("ANALYZE").await;
            ground.raw("SET enable_seqscan = off").await;
            ground.raw("SET enable_sort = off").await;
            ground.raw("SET enable_bitmapscan = off").await;
        }
        ground.lists(&tenants).await;
        ground.searches().await;
        ground.domains(&tenants).await;
        ground.certificates(&tenants).await;
        ground.others(&tenants).await;
        ground.writes(&tenants).await;
        assert!(ground.statements > 150, "{}", ground.statements);
        assert!(ground.faults.is_empty(), "{} faults:\n{}", ground.faults.len(), ground.faults.join("\n\n"));
    }

    async fn lists(&mut self, tenants: &[Tenant]) {
        let every = TenantFilter::default;
        let span = Span { from: Some(Timestamp(5 * HOUR)), until: Some(Timestamp(900 * HOUR)) };
        let (parent, plan) = (Some(tenants[0].id), Some(plan("growth")));
        let filters = [
            every(),
            TenantFilter { status: Some(Status::Trial), ..every() },
            TenantFilter { status: Some(Status::Archived), ..every() },
            TenantFilter { plan: plan.clone(), ..every() },
            TenantFilter { status: Some(Status::Active), plan: plan.clone(), ..every() },
            TenantFilter { parent, ..every() },
            TenantFilter { parent, status: Some(Status::Active), created: span, ..every() },
            TenantFilter { listed: Some(true), ..every() },
            TenantFilter { listed: Some(true), plan, ..every() },
            TenantFilter { listed: Some(false), ..every() },
            TenantFilter { prefix: Some("t1".into()), status: Some(Status::Active), ..every() },
            TenantFilter { created: span, ..every() },
            TenantFilter { updated: span, prefix: Some("t2".into()), ..every() },
            TenantFilter { trial_ends: span, ..every() },
            TenantFilter { only: Some(tenants[9].id), status: Some(Status::Trial), ..every() },
        ];
        let sorts =
            [TenantSort::Slug, TenantSort::Name, TenantSort::Created, TenantSort::Updated, TenantSort::TrialEnds];
        for filter in &filters {
            for (sort, descending) in sorts.iter().flat_map(|sort| [(*sort, false), (*sort, true)]) {
                let what = format!("tenants {filter:?} {sort:?} {descending}");
                let store = self.store.clone();
                let ask = async |page: Page| store.list_tenants(filter, sort, descending, &page).await.unwrap().next;
                self.pages(&what, ask).await;
            }
        }
        let store = self.store.clone();
        self.look("counts", async { store.tenant_counts(Timestamp(0)).await.map(drop).unwrap() }).await;
        self.look("counts", async { store.domain_counts().await.map(drop).unwrap() }).await;
        self.directory(tenants).await;
    }

    async fn directory(&mut self, tenants: &[Tenant]) {
        for after in [None, Some(&tenants[20].slug)] {
            let store = self.store.clone();
            let stretch = async { store.directory(after, 20).await.map(|found| assert!(found.is_some())).unwrap() };
            self.look("directory", stretch).await;
        }
        let store = self.store.clone();
        self.look("sitemap", async { store.listed_ends(20).await.map(drop).unwrap() }).await;
        self.look("sitemap", async { store.listed(Some(tenants[20].id), 20).await.map(drop).unwrap() }).await;
    }

    async fn searches(&mut self) {
        let every = TenantFilter::default();
        let trials = TenantFilter { status: Some(Status::Trial), ..every.clone() };
        for text in ["a", "acme", "north 1", "t1", "www", "zzz", "{"] {
            for filter in [&every, &trials] {
                let store = self.store.clone();
                let ask = async |page: Page| store.search_tenants(text, filter, &page).await.unwrap().next;
                self.pages(&format!("search {text} {filter:?}"), ask).await;
            }
        }
    }

    async fn domains(&mut self, tenants: &[Tenant]) {
        let every = DomainFilter::default;
        let tenant = Some(tenants[0].id);
        let beneath = |name: &str| Some(Hostname::parse(name).unwrap());
        let filters = [
            every(),
            DomainFilter { tenant, ..every() },
            DomainFilter { tenant, state: Some(DomainState::Live), ..every() },
            DomainFilter { state: Some(DomainState::Pending), ..every() },
            DomainFilter { state: Some(DomainState::Verified), prefix: Some("www.".into()), ..every() },
            DomainFilter { prefix: Some("s".into()), ..every() },
            DomainFilter { beneath: beneath("zone.example"), ..every() },
            DomainFilter { beneath: beneath("zone.example"), state: Some(DomainState::Moved), ..every() },
        ];
        for filter in &filters {
            for sort in [DomainSort::Name, DomainSort::Created] {
                for descending in [false, true] {
                    let store = self.store.clone();
                    let ask =
                        async |page: Page| store.list_domains(filter, sort, descending, &page).await.unwrap().next;
                    self.pages(&format!("domains {filter:?} {sort:?} {descending}"), ask).await;
                }
            }
        }
    }

    async fn certificates(&mut self, tenants: &[Tenant]) {
        let every = CertificateFilter::default;
        let ends = Span { from: Some(Timestamp(0)), until: Some(Timestamp(i64::MAX)) };
        let source = Some(CertificateSource::Uploaded);
        let filters = [
            every(),
            CertificateFilter { source, ..every() },
            CertificateFilter { ends, ..every() },
            CertificateFilter { ends, source, ..every() },
            CertificateFilter { name: Some("c1.example".into()), ..every() },
            CertificateFilter { tenant: Some(tenants[0].id), ..every() },
            CertificateFilter { tenant: Some(tenants[0].id), name: Some("c1.example".into()), ..every() },
            CertificateFilter { prefix: Some("c".into()), ..every() },
            CertificateFilter { prefix: Some("www.".into()), source, ..every() },
        ];
        for filter in &filters {
            for sort in [CertificateSort::Id, CertificateSort::Ends] {
                for descending in [false, true] {
                    let store = self.store.clone();
                    let ask =
                        async |page: Page| store.list_certificates(filter, sort, descending, &page).await.unwrap().next;
                    self.pages(&format!("certificates {filter:?} {sort:?} {descending}"), ask).await;
                }
            }
        }
        let store = self.store.clone();
        self.look("in use", async {
            store.certificates_in_use(&["c1.example", "c2.example"]).await.map(drop).unwrap()
        })
        .await;
    }

    async fn others(&mut self, tenants: &[Tenant]) {
        let (store, id) = (self.store.clone(), tenants[0].id);
        let orders = async |page: Page| store.orders(&page).await.unwrap().last().map(|order| order.name.clone());
        self.pages("orders", orders).await;
        let of = async |page: Page| store.orders_of(id, &page).await.unwrap().last().map(|order| order.name.clone());
        self.pages("orders of a tenant", of).await;
        let turns = [1, 5, 9].into();
        self.look("places in the queue", async {
            store.orders_before(&turns, Timestamp(HOUR)).await.map(drop).unwrap();
        })
        .await;
        let every = AuditFilter::default;
        for filter in [
            every(),
            AuditFilter { tenant: Some(id), ..every() },
            AuditFilter { actor: Some("operator:acme".into()), ..every() },
            AuditFilter { action: Some("tenant.".into()), ..every() },
            AuditFilter { subject: Some("t1".into()), ..every() },
            AuditFilter { tenant: Some(id), actor: Some("operator:acme".into()), ..every() },
            AuditFilter { tenant: Some(id), action: Some("tenant.rename".into()), ..every() },
            AuditFilter { tenant: Some(id), action: Some("domain.".into()), from: Some(Timestamp(0)), ..every() },
            AuditFilter { tenant: Some(id), subject: Some("t1".into()), until: Some(Timestamp(HOUR)), ..every() },
            AuditFilter { from: Some(Timestamp(0)), until: Some(Timestamp(2_000 * HOUR)), ..every() },
            AuditFilter { actor: Some("operator:sea".into()), action: Some("t".into()), ..every() },
        ] {
            for order in [AuditOrder::NewestFirst, AuditOrder::OldestFirst] {
                let ask = async |page: Page| store.audit_lines(&filter, order, &page).await.unwrap().next;
                self.pages(&format!("ledger {filter:?} {order:?}"), ask).await;
            }
        }
        for key in ["ann@example.com", "nobody"] {
            let naming = async |page: Page| store.audit_lines_naming(id, key, &page).await.unwrap().next;
            self.pages("lines that name somebody", naming).await;
        }
        for (tenant, subject) in [(None, None), (Some(id), None), (None, Some("t1"))] {
            let filter = EventFilter { tenant, subject, without: &[] };
            let events = async |page: Page| store.events(&filter, &page).await.unwrap().last().map(EventRow::cursor);
            self.pages("events", events).await;
        }
        let people = async |page: Page| {
            store.people(Some("a"), &page).await.unwrap().last().map(|person| person.email.to_string())
        };
        self.pages("people", people).await;
        for tenant in [None, Some(id)] {
            let tokens =
                async |page: Page| store.tokens(tenant, &page).await.unwrap().last().map(|token| token.name.clone());
            self.pages("tokens", tokens).await;
        }
        let somebody = PersonId::new();
        let tenancies = async |page: Page| {
            store.memberships_of(somebody, &page).await.unwrap().last().map(|member| member.tenant.to_string())
        };
        self.pages("memberships", tenancies).await;
    }

    /// What is written about one thing looks at that thing, however many others there are.
    async fn writes(&mut self, tenants: &[Tenant]) {
        let store = self.store.clone();
        self.look(WRITES, async {
            let mut write = store.write().await.unwrap();
            let (gone, kept) = (&tenants[ROWS - 1], &tenants[ROWS - 2]);
            write.insert_certificate(&certificate(ROWS)).await.unwrap();
            write.revoke_certificate(&certificate(ROWS).id).await.unwrap();
            write.update_tenant(&Tenant { name: "Another Name".into(), ..kept.clone() }).await.unwrap();
            write.set_listing(kept.id, Listing { listed: true, priority: 1 }).await.unwrap();
            write.set_domain_state(&claim(ROWS - 2, kept.id).name, kept.id, DomainState::Failed).await.unwrap();
            write.delete_tenant(gone.id).await.unwrap();
            write.commit().await.unwrap();
        })
        .await;
    }

    /// The first page, and the one behind it.
    async fn pages(&mut self, what: &str, ask: impl AsyncFn(Page) -> Option<String>) {
        let first = async {
            let next = ask(Page { limit: 20, after: None }).await;
            if next.is_some() {
                ask(Page { limit: 20, after: next }).await;
            }
        };
        self.look(what, first).await;
    }

    /// Has every statement of it explained.
    async fn look(&mut self, what: &str, asking: impl Future<Output = ()>) {
        let seen = SEEN.scope(RefCell::default(), async {
            asking.await;
            SEEN.with(RefCell::take)
        });
        for (sql, arguments) in seen.await {
            self.statements += 1;
            let explain = if self.is_sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN (COSTS OFF)" };
            let explained = query_with(AssertSqlSafe(format!("{explain} {sql}")), arguments).persistent(false);
            let rows = explained.fetch_all(&mut self.connection).await.unwrap();
            let fault = match self.is_sqlite {
                true => {
                    let step = |row: &AnyRow| Step {
                        id: row.get::<i64, _>("id"),
                        parent: row.get::<i64, _>("parent"),
                        text: row.get::<String, _>("detail"),
                    };
                    let steps: Vec<_> = rows.iter().map(step).collect();
                    // A list may begin with all that are in a state, and ends after a page; a write has no page.
                    let all_in_a_state = |step: &Step| what == WRITES && step.text.ends_with("(state=?)");
                    let lavish = steps.iter().find(|step| all_in_a_state(step)).map(|step| step.text.clone());
                    sqlite_fault(&steps).or(lavish)
                }
                false => postgres_fault(&rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>()),
            };
            self.faults.extend(fault.map(|fault| format!("{what}:\n{fault}\n{sql}")));
        }
    }

    async fn raw(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.connection).await.unwrap();
    }
}

/// A line of `EXPLAIN QUERY PLAN`.
struct Step {
    id: i64,
    parent: i64,
    text: String,
}

/// A table is gone through without a place to begin, or the rows of one are sorted that are not a few that were cut out
/// before.
fn sqlite_fault(steps: &[Step]) -> Option<String> {
    let plan = || steps.iter().map(|step| format!("  {}", step.text)).collect::<Vec<_>>().join("\n");
    let small = |text: &str| SMALL.iter().any(|table| text.split(' ').any(|word| word == *table));
    for step in steps {
        let scan = step.text.strip_prefix("SCAN ");
        let derived = |what: &str| {
            what.starts_with('(')
                || what.starts_with("CONSTANT")
                || what.contains("-ROW")
                || steps.iter().any(|other| {
                    other.text == format!("CO-ROUTINE {what}") || other.text == format!("MATERIALIZE {what}")
                })
        };
        if scan.is_some_and(|what| !derived(what.split(' ').next().unwrap_or_default()) && !small(what)) {
            return Some(format!("{}: all of it is read\n{}", step.text, plan()));
        }
        if step.text.contains("USE TEMP B-TREE FOR") && !step.text.contains("DISTINCT") {
            let first = steps.iter().find(|other| {
                other.parent == step.parent && other.id != step.parent && !other.text.contains("CO-ROUTINE")
            });
            let few = first.is_some_and(|first| !first.text.starts_with("SEARCH") || small(&first.text));
            if !few {
                return Some(format!("{}: sorts what a table has\n{}", step.text, plan()));
            }
        }
    }
    None
}

/// The same: a sequential scan though every other way is dearer, or a sort whose rows are not limited beneath it.
fn postgres_fault(lines: &[String]) -> Option<String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    for (n, line) in lines.iter().enumerate() {
        if let Some((_, table)) = line.split_once("Seq Scan on ")
            && !SMALL.contains(&table.split(' ').next().unwrap_or_default())
        {
            return Some(format!("{}: all of it is read\n{}", line.trim(), lines.join("\n")));
        }
        if line.trim_start().trim_start_matches("->").trim_start().starts_with("Sort") && !line.contains("Sort Key") {
            let beneath: Vec<&String> = lines[n + 1..].iter().take_while(|other| depth(other) > depth(line)).collect();
            let few = beneath.iter().any(|other| other.contains("Limit") || other.contains("Aggregate"))
                || beneath.iter().any(|other| SMALL.iter().any(|table| other.contains(table)));
            if !few {
                return Some(format!("{}: sorts what a table has\n{}", line.trim(), lines.join("\n")));
            }
        }
    }
    None
}

async fn fill(store: &Store) -> Vec<Tenant> {
    let mut tenants: Vec<Tenant> = Vec::new();
    for n in 0..ROWS {
        let parent = tenants.get(n % 3).filter(|_| n % 2 == 0).map(|parent| parent.id);
        tenants.push(tenant(n, parent));
    }
    let mut write = store.write().await.unwrap();
    write.insert_tenants(&tenants).await.unwrap();
    let claims: Vec<_> = tenants.iter().enumerate().map(|(n, tenant)| (claim(n, tenant.id), Timestamp(0))).collect();
    write.insert_domains(&claims).await.unwrap();
    let orders: Vec<_> = (0..ROWS).map(|n| (name(n).to_string(), tenants[n % 7].id, n as i64 % 9)).collect();
    write.want_orders(&orders).await.unwrap();
    let mut lines = Vec::new();
    for (n, tenant) in tenants.iter().enumerate().step_by(10) {
        write.insert_certificate(&certificate(n)).await.unwrap();
        write.set_listing(tenant.id, Listing { listed: true, priority: 0 }).await.unwrap();
        lines.push(AuditEntry {
            actor: format!("operator:{}", WORDS[n % 4]),
            action: ["tenant.rename", "domain.add"][n % 2].into(),
            detail: ["ann@example.com", "ben@example.com", "cy@example.com"][n % 3].into(),
            tenant: Some(tenants[n % 7].id),
            subject: tenant.slug.to_string(),
            ..AuditEntry::default()
        });
        let event = Event {
            kind: "domain.live".into(),
            tenant: Some(tenants[n % 7].id),
            subject: tenant.slug.to_string(),
            detail: serde_json::Value::Null,
        };
        write.event(&event).await.unwrap();
    }
    write.audit_all(&lines).await.unwrap();
    write.commit().await.unwrap();
    tenants
}

const HOUR: i64 = 3_600_000;
const WORDS: [&str; 4] = ["acme", "north", "sea", "trading"];

fn plan(text: &str) -> PlanName {
    PlanName::parse(text).unwrap()
}

fn tenant(n: usize, parent: Option<TenantId>) -> Tenant {
    let status = [Status::Active, Status::Trial, Status::Active, Status::Pending][n % 4];
    let at = Timestamp(n as i64 * HOUR);
    Tenant {
        name: format!("{} {} {n}", WORDS[n % 4], WORDS[n / 4 % 4]),
        status,
        plan: [None, Some(plan("free")), Some(plan("growth"))][n % 3].clone(),
        parent,
        trial_ends: (status == Status::Trial).then_some(at),
        ..Tenant::new(Slug::parse(&format!("t{n}")).unwrap(), at)
    }
}

fn name(n: usize) -> DomainName {
    let name = if n.is_multiple_of(3) { format!("s{n}.zone.example") } else { format!("www.t{n}.example") };
    DomainName::parse(&name).unwrap()
}

fn claim(n: usize, tenant: TenantId) -> Domain {
    let state = [DomainState::Pending, DomainState::Verified, DomainState::Live, DomainState::Failed][n % 4];
    let at = Timestamp(n as i64 * HOUR);
    Domain { name: name(n), tenant, state, token: "t".into(), created: at, updated: at, revision: 0 }
}

fn certificate(n: usize) -> Certificate {
    Certificate {
        id: format!("{n:08}"),
        names: vec![format!("c{n}.example"), format!("www.c{n}.example")],
        chain: "chain".into(),
        key: Zeroizing::new("key".into()),
        not_before: Timestamp(0),
        not_after: Timestamp(0) + Duration::from_secs(3_600 * (2_000 + n as u64 * 7 % 100)),
        source: CertificateSource::ALL[n % 3],
        authority: String::new(),
    }
}
