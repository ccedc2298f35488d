//! The ledger's chains held together: one that is gone with its row is missed, anchors tell where it stood, and no line
//! stands beside all chains unseen.

use std::time::Duration;

use serde_json::json;
use tenantry::audit::{Cut, Ledger, Notes, Summary};
use tenantry::ledger::{Fault, INSTALLATION, LedgerKeys, Proof, Proved, Prover, Signed};
use tenantry::model::TenantId;
use tenantry::store::{Anchoring, AuditEntry, Store};
use tokio::sync::mpsc;

use super::ledger::{verify, write};
use super::{Ground, LONG, contract, page};

contract!(
    a_chain_that_is_gone_row_and_all_is_missed,
    anchors_tell_where_chains_stood,
    a_line_beside_all_chains_is_found,
    lines_from_before_the_chains_are_counted,
    an_export_is_checked_away_from_the_store,
    a_line_that_was_broken_off_takes_no_checkpoint_along,
    what_anchors_many_chains_is_cut_a_few_lines_at_a_time,
    what_is_done_for_somebody_is_not_summed_up_with_what_is_not,
);

fn entries(tenant: TenantId, lines: usize) -> Vec<AuditEntry> {
    let entry = |at: usize| AuditEntry {
        actor: "operator:ci".into(),
        action: "tenant.rename".into(),
        tenant: Some(tenant),
        subject: format!("s{at}"),
        detail: json!({"name": format!("n{at}@example.com")}),
        ..AuditEntry::default()
    };
    (1..=lines).map(entry).collect()
}

async fn with_chains(ground: &Ground, chains: usize, lines: usize) -> (Store, Ledger, Vec<TenantId>) {
    let store = ground.open().await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    ledger.keys().await.unwrap();
    let tenants: Vec<_> = (0..chains).map(|_| TenantId::new()).collect();
    for tenant in &tenants {
        write(&store, &entries(*tenant, lines)).await;
    }
    (store, ledger, tenants)
}

fn gone(chain: &str) -> String {
    format!("DELETE FROM audit WHERE chain = '{chain}'; DELETE FROM audit_chains WHERE chain = '{chain}'")
}

async fn a_chain_that_is_gone_row_and_all_is_missed(ground: Ground) {
    let (_store, ledger, tenants) = with_chains(&ground, 3, 4).await;
    assert_eq!(verify(&ledger, None).await.0, []);
    // A tenant that there never was is no chain in order.
    let nobody = TenantId::new().to_string();
    assert_eq!(verify(&ledger, Some(&nobody)).await.0, [(nobody.clone(), Fault::Absent)]);
    let chain = tenants[1].to_string();
    ground.raw(&gone(&chain)).await;
    assert_eq!(verify(&ledger, Some(&chain)).await.0, [(chain.clone(), Fault::Absent)]);
    let count = Fault::Count { written: 13, chained: 9 };
    assert_eq!(verify(&ledger, None).await.0, [(INSTALLATION.to_owned(), count)]);
    // And the counter set back with it: there are lines after it then.
    ground.raw("UPDATE feed SET audit = audit - 4 WHERE id = 1").await;
    assert_eq!(verify(&ledger, None).await.0, [(INSTALLATION.to_owned(), count)]);
}

async fn anchors_tell_where_chains_stood(ground: Ground) {
    let (store, ledger, tenants) = with_chains(&ground, 4, 5).await;
    assert_eq!(ledger.anchor(Anchoring::Begun).await.unwrap(), 4);
    assert_eq!(ledger.anchor(Anchoring::Begun).await.unwrap(), 0);
    let (_, _, line) = store.audit(None, &page(1, None)).await.unwrap().remove(0);
    assert_eq!((line.action.as_str(), &line.detail["chains"]), ("audit.anchor", &json!(4)));
    write(&store, &entries(tenants[2], 3)).await;
    assert_eq!(ledger.anchor(Anchoring::Begun).await.unwrap(), 0, "it is no new one");
    assert_eq!(ledger.anchor(Anchoring::Grown).await.unwrap(), 1);
    assert_eq!(verify(&ledger, None).await.0, []);

    let chains: Vec<_> = tenants.iter().map(TenantId::to_string).collect();
    // Gone; and cut short with a row that fits, from the middle and behind the first anchor.
    ground.raw(&gone(&chains[1])).await;
    let short = |chain: &str, at: i64| {
        format!(
            "DELETE FROM audit WHERE chain = '{chain}' AND number > {at}; UPDATE audit_chains SET number = {at}, head = \
             (SELECT hash FROM audit WHERE chain = '{chain}' AND number = {at}) WHERE chain = '{chain}'"
        )
    };
    ground.raw(&short(&chains[2], 6)).await;
    ground.raw(&short(&chains[3], 2)).await;
    let missing = |at: usize, from, to| (chains[at].clone(), Fault::Missing { from, to });
    let mut expected = vec![missing(1, 1, 5), missing(2, 7, 8), missing(3, 3, 5)];
    for one in &expected {
        assert_eq!(verify(&ledger, Some(&one.0)).await.0, std::slice::from_ref(one));
    }
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    // 20 lines and 3, the key's and two anchors'; 5, 2 and 3 of them are gone.
    expected.push((INSTALLATION.to_owned(), Fault::Count { written: 26, chained: 16 }));
    assert_eq!(verify(&ledger, None).await.0, expected);

    // What excuses lines and erasures from before is vouched for, too.
    ground.raw("UPDATE audit_start SET erased = 1000 WHERE id = 1").await;
    assert_eq!(verify(&ledger, Some(INSTALLATION)).await.0, [(INSTALLATION.to_owned(), Fault::Start { number: 2 })]);
    ground.raw("UPDATE audit_start SET erased = 0 WHERE id = 1").await;

    // An anchor that was taken out, or changed, does not fit its line.
    ground.raw(&format!("DELETE FROM audit_anchors WHERE chain = '{}'", chains[1])).await;
    let faults = verify(&ledger, Some(INSTALLATION)).await.0;
    assert_eq!(faults, [(INSTALLATION.to_owned(), Fault::Anchors { number: 2 })]);

    // What the installation's chain loses by age is anchored anew, and nothing is wrong about that.
    let day = Duration::from_secs(86_400);
    ground.clock.advance(400 * day);
    ledger.cut(INSTALLATION, ground.clock.now() - 365 * day).await.unwrap();
    assert_eq!(verify(&ledger, Some(INSTALLATION)).await.0, []);
    assert_eq!(ledger.anchor(Anchoring::Begun).await.unwrap(), 3);
}

const FORGED: &str = "INSERT INTO audit (id, at, revision, actor, action, tenant, subject, detail) VALUES";

async fn a_line_beside_all_chains_is_found(ground: Ground) {
    let (store, ledger, tenants) = with_chains(&ground, 1, 2).await;
    let chain = tenants[0].to_string();
    ground.raw(&format!("{FORGED} (0, 1, 1, 'operator:eve', 'tenant.create', '{chain}', 'x', '{{}}')")).await;
    ground.raw(&format!("{FORGED} (900, 1, 1, 'operator:eve', 'tenant.create', NULL, 'x', '{{}}')")).await;
    assert_eq!(store.audit(None, &page(10, None)).await.unwrap().len(), 5, "both are listed");
    assert_eq!(verify(&ledger, Some(&chain)).await.0, [(chain.clone(), Fault::Unchained { id: 0 })]);
    let (faults, sum) = verify(&ledger, None).await;
    let unchained = |id| (INSTALLATION.to_owned(), Fault::Unchained { id });
    let count = (INSTALLATION.to_owned(), Fault::Count { written: 900, chained: 3 });
    assert_eq!(faults[..2], [unchained(0), unchained(900)]);
    assert_eq!((faults.last(), sum.unchained), (Some(&count), 2));
    // One that has a chain and no place in it is listed too, and a walk along that chain does not come by.
    ground.raw("DELETE FROM audit WHERE id IN (0, 900)").await;
    ground.raw(&format!("{FORGED} (-7, 1, 1, 'operator:eve', 'tenant.create', NULL, 'x', '{{}}')")).await;
    ground.raw(&format!("UPDATE audit SET chain = '{chain}' WHERE id = -7")).await;
    for only in [Some(chain.as_str()), None] {
        let found = verify(&ledger, only).await.0;
        assert!(found.iter().any(|(_, fault)| *fault == Fault::Unchained { id: -7 }), "{found:?}");
    }
}

async fn lines_from_before_the_chains_are_counted(ground: Ground) {
    let store = ground.open().await;
    // A store from before there were chains, as the migration finds and notes it.
    ground.raw("UPDATE feed SET audit = 3 WHERE id = 1").await;
    for id in 1..=3 {
        ground.raw(&format!("{FORGED} ({id}, {id}, {id}, 'cli', 'tenant.create', NULL, 'x', '{{}}')")).await;
    }
    ground.raw("UPDATE audit_start SET through = 3, written = 3, kept = 3 WHERE id = 1").await;
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    ledger.keys().await.unwrap();
    let sum = |unchained| Summary { chains: 1, lines: 1, faults: 0, unchained };
    assert_eq!(verify(&ledger, None).await, (vec![], sum(3)));
    // Such a tenant may have no chain yet.
    let old = TenantId::new().to_string();
    assert_eq!(verify(&ledger, Some(&old)).await, (vec![], Summary::default()));
    ground.raw("DELETE FROM audit WHERE id = 2").await;
    let fault = (INSTALLATION.to_owned(), Fault::Outside { lines: 2, left: 3 });
    assert_eq!(verify(&ledger, None).await.0, [fault]);
    // Those that go by age are counted out.
    ground.raw(&format!("{FORGED} (2, 2, 2, 'cli', 'tenant.create', NULL, 'x', '{{}}')")).await;
    assert_eq!(ledger.cut_unchained(tenantry::clock::Timestamp(3)).await.unwrap(), 2);
    assert_eq!(verify(&ledger, None).await, (vec![], Summary { lines: 2, ..sum(1) }));
    // Nor is there room for another in the place of one that went.
    ground.raw(&format!("{FORGED} (1, 1, 1, 'operator:eve', 'tenant.create', NULL, 'x', '{{}}')")).await;
    let fault = (INSTALLATION.to_owned(), Fault::Outside { lines: 2, left: 1 });
    assert_eq!(verify(&ledger, None).await.0, [fault]);
}

async fn proof(ledger: &Ledger, only: Option<&str>) -> Vec<Proof> {
    let (sender, mut receiver) = mpsc::channel(4);
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.recv().await {
            bytes.extend(piece);
        }
        bytes
    };
    let (done, bytes) = tokio::join!(ledger.prove(only, sender), collect);
    done.unwrap();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn an_export_is_checked_away_from_the_store(ground: Ground) {
    let (store, ledger, tenants) = with_chains(&ground, 2, 700).await;
    let mut write = store.write().await.unwrap();
    assert_eq!(write.erase_from_audit(&["n7@example.com"], None).await.unwrap().values, 2);
    write.commit().await.unwrap();
    let day = Duration::from_secs(86_400);
    ground.clock.advance(100 * day);
    let chain = tenants[0].to_string();
    ledger.cut(&chain, ground.clock.now() - 90 * day).await.unwrap();
    let keys = LedgerKeys::from_jwks(&ledger.keys().await.unwrap().jwks()).unwrap();
    let judged = |proofs: &[Proof]| -> Proved {
        let mut prover = Prover::new(keys.clone());
        proofs.iter().for_each(|proof| prover.add(proof.clone()));
        prover.finish()
    };
    let whole = proof(&ledger, None).await;
    let kept = proof(&ledger, Some(&chain)).await;
    let found = judged(&whole);
    assert_eq!((found.chains, found.faults, found.wrong), (3, vec![], Vec::<String>::new()));
    assert_eq!((judged(&kept).chains, judged(&kept).wrong), (1, vec![]));
    let mut changed = whole.clone();
    let line = changed.iter_mut().rev().find_map(|proof| match proof {
        Proof::Line(line) if !line.record.personal.is_empty() => Some(line),
        _ => None,
    });
    line.unwrap().record.personal[0].value = Some("\"other@example.com\"".to_owned());
    assert_eq!(judged(&changed).faults.len(), 1);
}

async fn a_line_that_was_broken_off_takes_no_checkpoint_along(ground: Ground) {
    let (_store, ledger, _) = with_chains(&ground, 2, 1).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoints.jsonl");
    std::fs::write(&path, "{\"chain\":\"inst").unwrap();
    assert_eq!(ledger.export_checkpoints(&path).await.unwrap().0, 3);
    let text = std::fs::read_to_string(&path).unwrap();
    let told = text.lines().map(|line| serde_json::from_str::<Signed>(line).is_ok()).collect::<Vec<_>>();
    assert_eq!((told, text.ends_with('\n')), (vec![false, true, true, true], true));
}

async fn what_is_done_for_somebody_is_not_summed_up_with_what_is_not(ground: Ground) {
    let store = ground.open().await;
    let notes = Notes::new(store.clone());
    for at in 0..40 {
        let on_behalf = [None, Some("tenant:a".to_owned()), Some("tenant:b".to_owned())][at % 3].clone();
        let (actor, action) = ("operator:ci".into(), "access.refused".into());
        notes.note(AuditEntry { actor, action, subject: "x".into(), on_behalf, ..AuditEntry::default() });
    }
    drop(notes);
    let told = async |whom: Option<&str>| -> u64 {
        let lines = store.audit(None, &page(100, None)).await.unwrap();
        let of = lines.iter().filter(|(_, _, line)| line.on_behalf.as_deref() == whom);
        of.map(|(_, _, line)| line.detail["times"].as_u64().unwrap_or(1)).sum()
    };
    let all = tokio::time::timeout(LONG, async {
        while (told(None).await, told(Some("tenant:a")).await, told(Some("tenant:b")).await) != (14, 13, 13) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    all.await.unwrap();
}

async fn what_anchors_many_chains_is_cut_a_few_lines_at_a_time(ground: Ground) {
    let (store, ledger, _) = with_chains(&ground, 0, 0).await;
    let lines: Vec<_> = (0..5_200).flat_map(|_| entries(TenantId::new(), 1)).collect();
    write(&store, &lines).await;
    assert_eq!(ledger.anchor(Anchoring::Begun).await.unwrap(), 5_200);
    let day = Duration::from_secs(86_400);
    ground.clock.advance(400 * day);
    // The key's line, and anchors of 500 chains a line.
    let mut gone = Vec::new();
    while let Cut::Lines { gone: lines, more } = ledger.cut(INSTALLATION, ground.clock.now() - 365 * day).await.unwrap()
    {
        gone.push((lines, more));
    }
    assert_eq!(gone, [(5, true), (4, true), (3, false)]);
    assert_eq!(verify(&ledger, Some(INSTALLATION)).await.0, []);
    assert_eq!(ledger.anchor(Anchoring::Begun).await.unwrap(), 5_200);
    assert_eq!(verify(&ledger, None).await.0, []);
}
