//! The ledger's chains in the store: whatever is done to them behind its back is found and named; what is erased or cut by
//! the rules is not.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry::audit::{Cut, Format, Ledger, Notes, Report, Summary};
use tenantry::ledger::{Fault, INSTALLATION, Signed};
use tenantry::model::TenantId;
use tenantry::store::{AuditEntry, AuditFilter, AuditOrder, MOST_EXAMINED, Store};
use tokio::sync::mpsc;

use super::{Ground, LONG, contract, page};

contract!(
    chains_grow_and_verify,
    what_is_written_while_a_chain_is_checked_is_no_fault,
    what_is_done_behind_the_stores_back_is_found_and_named,
    a_missing_tail_is_told_by_an_exported_checkpoint,
    personal_data_is_erased_and_the_chain_verifies,
    what_is_old_is_cut_and_the_rest_verifies,
    what_is_older_than_the_chains_is_cut_in_its_time,
    lines_are_found_by_what_they_say,
    what_no_index_knows_is_looked_for_a_stretch_at_a_time,
    a_flood_of_events_is_a_few_lines,
);

fn entry(tenant: Option<TenantId>, subject: &str) -> AuditEntry {
    AuditEntry {
        actor: "operator:ci".into(),
        action: "tenant.rename".into(),
        tenant,
        subject: subject.into(),
        detail: json!({"was": subject}),
        ..AuditEntry::default()
    }
}

pub async fn write(store: &Store, entries: &[AuditEntry]) {
    let mut write = store.write().await.unwrap();
    write.audit_all(entries).await.unwrap();
    write.commit().await.unwrap();
}

/// The faults, each with its chain, and the sum.
pub async fn verify(ledger: &Ledger, only: Option<&str>) -> (Vec<(String, Fault)>, Summary) {
    let (sender, mut reports) = mpsc::channel(16);
    let collect = async {
        let mut faults = Vec::new();
        while let Some(report) = reports.recv().await {
            if let Report::Fault { chain, fault, .. } = report {
                faults.push((chain, fault));
            }
        }
        faults
    };
    let (sum, faults) = tokio::join!(ledger.verify(only, sender), collect);
    (faults, sum.unwrap())
}

async fn chains_grow_and_verify(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let (one, two) = (TenantId::new(), TenantId::new());
    let all: Vec<_> = (0..700)
        .map(|at| entry([None, Some(one), Some(two)][at % 3], &format!("s{at}")).changed(json!(at), json!({"to": at})))
        .collect();
    write(&store, &all[..1]).await;
    write(&store, &all[1..]).await;
    // What is abandoned leaves no gap.
    let mut gone = store.write().await.unwrap();
    gone.audit(&entry(None, "gone")).await.unwrap();
    drop(gone);
    let (faults, sum) = verify(&ledger, None).await;
    // The keys that the check asks for are made once, and that is a line, too.
    assert_eq!((faults, sum), (vec![], Summary { chains: 3, lines: 701, faults: 0, unchained: 0 }));
    let (faults, sum) = verify(&ledger, Some(&one.to_string())).await;
    assert_eq!((faults, sum), (vec![], Summary { chains: 1, lines: 233, faults: 0, unchained: 0 }));
    let filter = AuditFilter { tenant: Some(two), ..AuditFilter::default() };
    let lines = store.audit_lines(&filter, AuditOrder::OldestFirst, &page(1_000, None)).await.unwrap().rows;
    let numbers: Vec<_> = lines.iter().map(|line| line.link.as_ref().unwrap().1).collect();
    assert_eq!(numbers, (1..=233).collect::<Vec<_>>());
    assert_eq!(lines[0].entry, all[2]);
}

/// It may even be written for as long as the check takes.
async fn what_is_written_while_a_chain_is_checked_is_no_fault(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let tenant = TenantId::new();
    let chain = tenant.to_string();
    let all: Vec<_> = (0..6_000).map(|at| entry(Some(tenant), &format!("n{at}@x.example"))).collect();
    write(&store, &all).await;
    let begun = ledger.checkpoint(&chain).await.unwrap().checkpoint.number;
    let checked = std::cell::Cell::new(false);
    let busy = async {
        let mut at = 0;
        while !checked.get() {
            at += 1;
            write(&store, &[entry(Some(tenant), "more")]).await;
            let mut write = store.write().await.unwrap();
            write.erase_from_audit(&[&format!("n{at}@x.example")], Some(tenant)).await.unwrap();
            write.commit().await.unwrap();
        }
    };
    let check = async {
        for only in [Some(chain.as_str()), None] {
            assert_eq!(verify(&ledger, only).await.0, []);
        }
        checked.set(true);
    };
    tokio::join!(busy, check);
    assert!(ledger.checkpoint(&chain).await.unwrap().checkpoint.number > begun, "nothing was written meanwhile");
    assert_eq!(verify(&ledger, None).await.0, []);
}

async fn what_is_done_behind_the_stores_back_is_found_and_named(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    ledger.keys().await.unwrap();
    let cases: [(&str, &[Fault]); 11] = [
        ("UPDATE audit SET subject = 'x' WHERE {chain} AND number = 5", &[Fault::Changed { number: 5 }]),
        ("UPDATE audit SET at = at - 1 WHERE {chain} AND number = 20", &[Fault::Changed { number: 20 }]),
        ("DELETE FROM audit WHERE {chain} AND number = 7", &[Fault::Missing { from: 7, to: 7 }]),
        ("DELETE FROM audit WHERE {chain} AND number > 17", &[Fault::Missing { from: 18, to: 20 }]),
        (
            "UPDATE audit SET number = 103 - number WHERE {chain} AND number IN (50, 53); \
             UPDATE audit SET number = 13 - number WHERE {chain} AND number IN (4, 9)",
            &[Fault::Reordered { number: 4, really: 9 }, Fault::Reordered { number: 9, really: 4 }],
        ),
        (
            "DELETE FROM audit WHERE {chain} AND number = 3; \
             UPDATE audit SET number = number - 1 WHERE {chain} AND number > 3; \
             UPDATE audit_chains SET number = number - 1 WHERE {chain}",
            &[Fault::Missing { from: 3, to: 3 }],
        ),
        (
            "UPDATE audit_personal SET value = '\"192.0.2.9\"' WHERE line = (SELECT id FROM audit WHERE {chain} AND number = 2)",
            &[Fault::Changed { number: 2 }],
        ),
        (
            "UPDATE audit_personal SET person = 'person:else' WHERE line = (SELECT id FROM audit WHERE {chain} AND number = 3)",
            &[Fault::Changed { number: 3 }],
        ),
        // What an erasure leaves behind, but no line that tells of it.
        (
            "UPDATE audit_personal SET person = NULL, salt = NULL, value = NULL WHERE line IN (SELECT id FROM audit WHERE \
             {chain} AND number IN (4, 6))",
            &[Fault::Erased { number: 4 }, Fault::Erased { number: 6 }],
        ),
        ("DELETE FROM audit_chains WHERE {chain}", &[Fault::Headless { lines: 20 }]),
        (
            "DELETE FROM audit WHERE {chain} AND number < 3; UPDATE audit_chains SET cut_number = 2, cut_hash = \
             (SELECT prev FROM audit WHERE {chain} AND number = 3) WHERE {chain}",
            &[Fault::Beginning { number: 3 }],
        ),
    ];
    for (sql, expected) in cases {
        let tenant = TenantId::new();
        let from = Some(IpAddr::from([192, 0, 2, 1]));
        let all: Vec<_> = (1..=20).map(|at| AuditEntry { from, ..entry(Some(tenant), &format!("s{at}")) }).collect();
        write(&store, &all).await;
        let chain = tenant.to_string();
        assert_eq!(verify(&ledger, Some(&chain)).await.0, []);
        ground.raw(&sql.replace("{chain}", &format!("chain = '{chain}'"))).await;
        let named = |fault: &Fault| (chain.clone(), *fault);
        assert_eq!(verify(&ledger, Some(&chain)).await.0, expected.iter().map(named).collect::<Vec<_>>(), "{sql}");
        // Among all others, too, which have none.
        let (faults, _) = verify(&ledger, None).await;
        assert_eq!(faults.iter().filter(|(of, _)| *of == chain).count(), expected.len());
    }
    let (faults, sum) = verify(&ledger, None).await;
    // One row was set back by one, and one with 20 lines is gone: that is in the count of all, too.
    let count = Fault::Count { written: 221, chained: 200 };
    assert_eq!((sum.chains, faults.len()), (12, 14), "{faults:?}");
    assert_eq!(faults.last(), Some(&(INSTALLATION.to_owned(), count)));
}

async fn a_missing_tail_is_told_by_an_exported_checkpoint(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoints.jsonl");
    let tenant = TenantId::new();
    let chain = tenant.to_string();
    let all: Vec<_> = (1..=10).map(|at| entry(Some(tenant), &format!("s{at}"))).collect();
    write(&store, &all).await;
    assert_eq!(ledger.export_checkpoints(&path).await.unwrap().0, 2);
    assert_eq!(ledger.export_checkpoints(&path).await.unwrap().0, 0, "nothing has grown");
    let read = || -> Vec<Signed> {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let comparison = ledger.compare(&read()).await.unwrap();
    assert_eq!((comparison.compared, comparison.faults.len()), (2, 0));

    // The tail goes, and the chain's row is made to fit: where shows from outside alone.
    ground
        .raw(&format!(
            "DELETE FROM audit WHERE chain = '{chain}' AND number > 8; UPDATE audit_chains SET number = 8, \
             head = (SELECT hash FROM audit WHERE chain = '{chain}' AND number = 8) WHERE chain = '{chain}'"
        ))
        .await;
    assert_eq!(verify(&ledger, Some(&chain)).await.0, []);
    let count = Fault::Count { written: 11, chained: 9 };
    assert_eq!(verify(&ledger, None).await.0, [(INSTALLATION.to_owned(), count)]);
    let faults = ledger.compare(&read()).await.unwrap().faults;
    let told: Vec<_> = faults.iter().map(|told| (told.chain.as_str(), told.fault)).collect();
    assert_eq!(told, [(chain.as_str(), Some(Fault::Missing { from: 9, to: 10 }))]);
    // It grows again, over what was there: another chain.
    write(&store, &all[..3]).await;
    let faults = ledger.compare(&read()).await.unwrap().faults;
    assert_eq!(faults[0].fault, Some(Fault::Rewritten { after: 0, number: 10 }));
    // A whole chain that is gone; and a word that was never given.
    ground
        .raw(&format!("DELETE FROM audit WHERE chain = '{chain}'; DELETE FROM audit_chains WHERE chain = '{chain}'"))
        .await;
    let mut signed = read();
    signed.iter_mut().filter(|told| told.checkpoint.chain == INSTALLATION).for_each(|told| told.checkpoint.number += 1);
    let faults = ledger.compare(&signed).await.unwrap().faults;
    let told: Vec<_> = faults.iter().map(|told| told.fault).collect();
    assert_eq!(told, [None, Some(Fault::Missing { from: 1, to: 10 })]);
}

async fn personal_data_is_erased_and_the_chain_verifies(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let from = Some(IpAddr::from([198, 51, 100, 7]));
    let invite = AuditEntry {
        actor: "person:0199-ann".into(),
        action: "member.invite".into(),
        subject: "Bob@Example.com".into(),
        detail: json!({"name": "Bob Builder", "role": "admin", "cc": ["carol@example.com"]}),
        from,
        ..AuditEntry::default()
    };
    let invite = invite.about_person("0199-bob", &["/detail/name"]);
    write(&store, &[invite.clone(), invite]).await;
    let lines = async || store.audit(None, &page(10, None)).await.unwrap();
    let read = lines().await.remove(0).2;
    assert_eq!((read.subject.as_str(), read.from), ("Bob@Example.com", from));
    assert_eq!(read.detail, json!({"name": "Bob Builder", "role": "admin", "cc": ["carol@example.com"]}));

    let mut write = store.write().await.unwrap();
    assert_eq!(write.erase_from_audit(&["0199-bob", "bob@example.com"], None).await.unwrap().values, 4);
    write.commit().await.unwrap();
    let told = lines().await.remove(0).2;
    assert_eq!((told.action.as_str(), told.detail["erased"].as_array().unwrap().len()), ("audit.erase", 4));
    assert_eq!(
        (&told.detail["erased"][0]["line"], &told.detail["erased"][0]["place"]),
        (&json!(1), &json!("/detail/name"))
    );
    let read = lines().await.remove(2).2;
    assert_eq!((read.subject.as_str(), read.from), ("(erased)", from));
    assert_eq!(read.detail, json!({"name": "(erased)", "role": "admin", "cc": ["carol@example.com"]}));
    let mut write = store.write().await.unwrap();
    assert_eq!(write.erase_from_audit(&["0199-ann"], None).await.unwrap().values, 2);
    write.commit().await.unwrap();
    assert_eq!(lines().await.remove(3).2.from, None);
    assert_eq!(verify(&ledger, None).await.0, []);
    // Not by half: a salt that is gone alone is a change.
    ground.raw("UPDATE audit_personal SET salt = NULL WHERE place = '/detail/cc/0' AND line = 1").await;
    assert_eq!(verify(&ledger, None).await.0, [(INSTALLATION.into(), Fault::Changed { number: 1 })]);
    // A program of the schema before does not say in which chain a value is, and it is found there.
    ground.raw("INSERT INTO audit_personal (line, place, person, digest) VALUES (1, '/z', 'z@example.com', '')").await;
    let sql = "SELECT chain, line FROM audit_personal WHERE person = 'z@example.com'";
    assert_eq!(ground.ask(sql).await, [(INSTALLATION.to_owned(), 1)]);
}

async fn what_is_old_is_cut_and_the_rest_verifies(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    ledger.keys().await.unwrap();
    let tenant = TenantId::new();
    let chain = tenant.to_string();
    let day = Duration::from_secs(86_400);
    for at in 1..=10 {
        write(&store, &[entry(Some(tenant), &format!("s{at}@example.com"))]).await;
        ground.clock.advance(day);
    }
    let signed = ledger.checkpoint(&chain).await.unwrap();
    let now = ground.clock.now();
    assert!(matches!(ledger.cut(&chain, now - 30 * day).await.unwrap(), Cut::Nothing { oldest: Some(_) }));
    assert_eq!(ledger.cut(&chain, now - 4 * day).await.unwrap(), Cut::Lines { gone: 6, more: false });
    let (faults, sum) = verify(&ledger, Some(&chain)).await;
    assert_eq!((faults, sum.lines), (vec![], 5), "four are left, and the word of the cut");
    let (_, _, word) = store.audit(Some(tenant), &page(1, None)).await.unwrap().remove(0);
    assert_eq!(
        (word.action.as_str(), &word.detail["through"], &word.detail["lines"]),
        ("audit.cut", &json!(6), &json!(6))
    );
    let comparison = ledger.compare(std::slice::from_ref(&signed)).await.unwrap();
    assert_eq!((comparison.compared, comparison.faults.len()), (1, 0));
    // All that is left goes, but for the word of it; that alone is no reason for another.
    ground.clock.advance(100 * day);
    assert_eq!(ledger.cut(&chain, ground.clock.now() - 50 * day).await.unwrap(), Cut::Lines { gone: 5, more: false });
    ground.clock.advance(100 * day);
    assert!(matches!(ledger.cut(&chain, ground.clock.now() - 50 * day).await.unwrap(), Cut::Nothing { .. }));
    assert_eq!(verify(&ledger, None).await.0, []);
    assert_eq!(ledger.compare(&[signed]).await.unwrap().older, 1);
    // What is not in order is not swept under the carpet.
    write(&store, &[entry(Some(tenant), "late"), entry(Some(tenant), "later")]).await;
    ground.raw(&format!("UPDATE audit SET subject = 'x' WHERE chain = '{chain}' AND subject = 'late'")).await;
    ground.clock.advance(100 * day);
    let kept = ledger.cut(&chain, ground.clock.now() - 50 * day).await.unwrap();
    assert_eq!(kept, Cut::Kept(Fault::Changed { number: 13 }));
    // A cut that nobody signed.
    ground.raw(&format!("UPDATE audit_chains SET cut_signature = 'AAAA' WHERE chain = '{chain}'")).await;
    let faults = verify(&ledger, Some(&chain)).await.0;
    assert!(faults.contains(&(chain.clone(), Fault::Beginning { number: 12 })), "{faults:?}");
}

async fn what_is_older_than_the_chains_is_cut_in_its_time(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let tenant = TenantId::new();
    write(&store, &[entry(Some(tenant), "one"), entry(Some(tenant), "two")]).await;
    ground
        .raw(
            "DELETE FROM audit_personal; DELETE FROM audit_chains; \
             UPDATE audit SET chain = NULL, number = NULL, prev = NULL, hash = NULL; \
             UPDATE audit_start SET through = 2, written = 2, kept = 2",
        )
        .await;
    let then = ground.clock.now();
    ground.clock.advance(Duration::from_secs(86_400));
    write(&store, &[entry(Some(tenant), "three")]).await;
    assert_eq!(ledger.cut_unchained(then).await.unwrap(), 0, "it is not old enough");
    assert_eq!(ledger.cut_unchained(ground.clock.now() + Duration::from_secs(1)).await.unwrap(), 2);
    assert_eq!(ledger.cut_unchained(ground.clock.now() + Duration::from_secs(1)).await.unwrap(), 0);
    let left: Vec<_> = store.audit(None, &page(10, None)).await.unwrap().into_iter().map(|line| line.2).collect();
    assert_eq!(left[0].detail["lines"], 2);
    assert_eq!(left.iter().map(|line| line.subject.as_str()).collect::<Vec<_>>(), ["audit", "three"]);
    assert_eq!(verify(&ledger, None).await.0, []);
}

async fn lines_are_found_by_what_they_say(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let tenant = TenantId::new();
    let start = ground.clock.now();
    for at in 0..12 {
        let action = ["tenant.create", "tenant.rename", "domain.add", "tenants.import"][at % 4];
        let actor = ["operator:a", "operator:b"][at % 2];
        let of = (at % 3 == 0).then_some(tenant);
        write(
            &store,
            &[AuditEntry { action: action.into(), actor: actor.into(), ..entry(of, &format!("s{}", at / 2)) }],
        )
        .await;
        ground.clock.advance(Duration::from_secs(60));
    }
    let minute = |at: u64| Some(start + Duration::from_secs(60 * at));
    let all = AuditFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (all(), (1..=12).rev().collect::<Vec<i64>>()),
        (AuditFilter { tenant: Some(tenant), ..all() }, vec![10, 7, 4, 1]),
        (AuditFilter { action: text("tenant."), ..all() }, vec![10, 9, 6, 5, 2, 1]),
        (AuditFilter { action: text("domain.add"), ..all() }, vec![11, 7, 3]),
        (AuditFilter { action: text("x"), ..all() }, vec![]),
        (AuditFilter { actor: text("operator:b"), tenant: Some(tenant), ..all() }, vec![10, 4]),
        (AuditFilter { action: text("tenant."), tenant: Some(tenant), ..all() }, vec![10, 1]),
        (AuditFilter { action: text("domain.add"), tenant: Some(tenant), ..all() }, vec![7]),
        (AuditFilter { action: text("tenant.rename"), tenant: Some(TenantId::new()), ..all() }, vec![]),
        (AuditFilter { subject: text("s3"), tenant: Some(tenant), ..all() }, vec![7]),
        (
            AuditFilter { action: text("tenant"), actor: text("operator:b"), from: minute(2), ..all() },
            vec![12, 10, 8, 6, 4],
        ),
        (AuditFilter { action: text("tenant."), subject: text("s4"), ..all() }, vec![10, 9]),
        (AuditFilter { action: text(""), until: minute(2), ..all() }, vec![2, 1]),
        (AuditFilter { subject: text("s1"), ..all() }, vec![4, 3]),
        (AuditFilter { from: minute(3), until: minute(5), ..all() }, vec![5, 4]),
        (AuditFilter { action: text("tenant"), until: minute(5), ..all() }, vec![5, 4, 2, 1]),
    ] {
        for limit in [50, 2] {
            let (mut ids, mut after): (Vec<i64>, Option<String>) = (Vec::new(), None);
            loop {
                let page = page(limit, after.as_deref());
                let found = store.audit_lines(&filter, AuditOrder::NewestFirst, &page).await.unwrap();
                ids.extend(found.rows.iter().map(|line| line.id));
                after = found.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(ids, expected, "{limit} at a time, {filter:?}");
        }
        let (sender, mut receiver) = mpsc::channel(100);
        assert_eq!(ledger.export(&filter, Format::JsonLines, sender).await.unwrap(), expected.len() as u64);
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.recv().await {
            bytes.extend(piece);
        }
        let text = String::from_utf8(bytes).unwrap();
        let exported: Vec<_> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
        assert_eq!(exported, expected.iter().rev().map(|id| json!(id)).collect::<Vec<_>>());
    }
}

async fn what_no_index_knows_is_looked_for_a_stretch_at_a_time(ground: Ground) {
    let store = ground.open().await;
    let (tenant, other) = (TenantId::new(), TenantId::new());
    let by = |actor: &str, tenant| AuditEntry { actor: actor.into(), ..entry(Some(tenant), "s") };
    let mut all = vec![by("operator:rare", tenant)];
    all.extend((0..MOST_EXAMINED + 500).map(|_| by("operator:ci", tenant)));
    all.push(by("operator:rare", other));
    write(&store, &all).await;
    let (actor, action) = (Some("operator:rare".to_owned()), Some("tenant.".to_owned()));
    let filter = AuditFilter { tenant: Some(tenant), actor, action, ..AuditFilter::default() };
    let list = async |after: Option<&str>| {
        store.audit_lines(&filter, AuditOrder::NewestFirst, &page(10, after)).await.unwrap()
    };
    let first = list(None).await;
    assert_eq!(first.rows, [], "it is behind what is looked at for one page");
    let second = list(first.next.as_deref()).await;
    assert_eq!((second.rows.len(), second.rows[0].id, second.next), (1, 1, None));
}

async fn a_flood_of_events_is_a_few_lines(ground: Ground) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    let notes = Notes::new(store.clone());
    let refused = |subject: String| AuditEntry {
        actor: "nobody".into(),
        action: "access.refused".into(),
        subject,
        detail: json!({"why": "unknown token"}),
        ..AuditEntry::default()
    };
    notes.note(refused("first".into()));
    let lines = async || store.audit(None, &page(1_000, None)).await.unwrap();
    let one = tokio::time::timeout(LONG, async {
        while lines().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    one.await.unwrap();
    for at in 0..100_000 {
        notes.note(refused(format!("s{}", at % 5_000)));
        if at % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Whoever goes leaves nothing unsaid.
    drop(notes);
    let told =
        async || -> u64 { lines().await.iter().map(|(_, _, line)| line.detail["times"].as_u64().unwrap_or(1)).sum() };
    let all = tokio::time::timeout(LONG, async {
        while told().await < 100_001 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    all.await.unwrap();
    let written = lines().await.len();
    println!("100,001 events are {written} lines");
    assert!(written <= 110, "{written}");
    assert_eq!((told().await, verify(&ledger, None).await.0), (100_001, vec![]));
}
