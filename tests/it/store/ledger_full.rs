//! A ledger of a million lines, checked from end to end: one that was changed, removed or moved is named. A small one
//! always, the million where `TENANTRY_TEST_FULL` says so.

use std::time::Instant;

use serde_json::json;
use tenantry::audit::Ledger;
use tenantry::ledger::Fault;
use tenantry::model::TenantId;
use tenantry::store::{AuditEntry, Store};

use super::ledger::{verify, write};
use super::{Ground, contract};

contract!(one_line_among_all_is_found);

fn lines() -> usize {
    if std::env::var_os("TENANTRY_TEST_FULL").is_some() { 1_000_000 } else { 3_000 }
}

async fn fill(store: &Store, tenants: &[TenantId], lines: usize) {
    const AT_ONCE: usize = 5_000;
    let entry = |at: usize| AuditEntry {
        actor: "operator:ci".into(),
        action: "tenant.rename".into(),
        // One has half of all.
        tenant: Some(if at.is_multiple_of(2) { tenants[0] } else { tenants[at / 2 % tenants.len()] }),
        subject: format!("s{at}"),
        detail: json!({"from": "a", "to": "b"}),
        from: at.is_multiple_of(10).then_some([192, 0, 2, 1].into()),
        ..AuditEntry::default()
    };
    for begin in (0..lines).step_by(AT_ONCE) {
        let entries: Vec<_> = (begin..(begin + AT_ONCE).min(lines)).map(entry).collect();
        write(store, &entries).await;
    }
}

async fn one_line_among_all_is_found(ground: Ground) {
    let (store, lines) = (ground.open().await, lines());
    let ledger = Ledger::new(store.clone(), ground.clock.clone());
    ledger.keys().await.unwrap();
    let tenants: Vec<_> = (0..1_200).map(|_| TenantId::new()).collect();
    let started = Instant::now();
    fill(&store, &tenants, lines).await;
    let filled = started.elapsed();
    let started = Instant::now();
    let (faults, sum) = verify(&ledger, None).await;
    println!("{lines} lines: written in {filled:?}, checked in {:?}: {sum:?}", started.elapsed());
    assert_eq!((faults, sum.lines, sum.chains), (vec![], lines as u64 + 1, 1_201));

    let chain = tenants[0].to_string();
    let (changed, removed) = (lines as i64 / 3, lines as i64 / 4);
    let of = format!("chain = '{chain}' AND number");
    ground
        .raw(&format!(
            "UPDATE audit SET detail = '{{}}' WHERE {of} = {changed}; DELETE FROM audit WHERE {of} = {removed}; \
             UPDATE audit SET number = 15 - number WHERE {of} IN (5, 10)"
        ))
        .await;
    let (mut faults, _) = verify(&ledger, None).await;
    faults.sort_by_key(|(_, fault)| fault.to_string());
    let expected = [
        Fault::Reordered { number: 10, really: 5 },
        Fault::Reordered { number: 5, really: 10 },
        Fault::Changed { number: changed },
        Fault::Missing { from: removed, to: removed },
    ];
    let mut expected: Vec<_> = expected.into_iter().map(|fault| (chain.clone(), fault)).collect();
    expected.sort_by_key(|(_, fault)| fault.to_string());
    assert_eq!(faults, expected);
}
