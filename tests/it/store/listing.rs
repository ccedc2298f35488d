//! Lists and searches find what a plain look at all rows finds, in whatever pages; kept counts are true ones.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tenantry::clock::Timestamp;
use tenantry::model::{
    Domain, DomainName, DomainState, Hostname, Listing, PlanName, Status, Tenant, TenantId, search_key,
};
use tenantry::store::{DomainFilter, DomainSort, Page, Span, Store, TenantFilter, TenantSort};

use super::{Ground, claim, contract, insert, page, tenant};

contract!(
    every_list_of_tenants_is_complete_and_in_order,
    a_search_finds_slugs_words_and_held_domains_once,
    every_list_of_domains_is_complete_and_in_order,
    counts_are_true_whatever_is_written,
    keys_that_another_program_left_out_are_mended,
);

const HOUR: i64 = 3_600_000;

fn any_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(values.to_vec())
}

fn plan(text: &str) -> PlanName {
    PlanName::parse(text).unwrap()
}

/// Tenants with much in common, so that filters find some and orders have ties.
fn some_tenants(number: usize) -> Vec<Tenant> {
    let mut runner = TestRunner::deterministic();
    let word = any_of(&["Acme", "acmé", "North", "Sea", "shop", "Ltd.", "ÄB", "1", "of"]);
    let name = proptest::collection::vec(word, 1..4).prop_map(|words| words.join(" "));
    let plans = any_of(&[None, Some(plan("free")), Some(plan("growth"))]);
    let time = (1..6_i64).prop_map(|day| Timestamp(day * 24 * HOUR));
    let facts = (name, any_of(&Status::ALL), plans, time.clone(), time.clone(), proptest::option::of(time), 0..4_u8);
    let mut tenants: Vec<Tenant> = Vec::new();
    for n in 0..number {
        let (name, status, plan, created, updated, trial_ends, parent) = facts.new_tree(&mut runner).unwrap().current();
        let first = name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
        tenants.push(Tenant {
            parent: tenants.get(parent as usize).filter(|_| n > 10 && parent < 2).map(|parent| parent.id),
            name,
            status,
            plan,
            created,
            updated,
            trial_ends,
            ..tenant(&format!("{first}{n}"))
        });
    }
    tenants
}

async fn pages<T, F>(limit: u32, ask: impl Fn(Page) -> F) -> Vec<T>
where
    F: Future<Output = tenantry::store::Found<T>>,
{
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let found = ask(page(limit, after.as_deref())).await;
        assert!(found.rows.len() <= limit as usize);
        all.extend(found.rows);
        match found.next {
            Some(next) => assert_ne!(after.replace(next), after, "a cursor moves on"),
            None => return all,
        }
    }
}

/// Of each seventh of them, for instance.
fn is_listed(tenants: &[Tenant], tenant: &Tenant) -> bool {
    tenants.iter().position(|other| other.id == tenant.id).is_some_and(|at| at.is_multiple_of(7))
}

/// A plain look at one row.
fn admits(filter: &TenantFilter, tenant: &Tenant, listed: bool) -> bool {
    let has = |span: &Span, at: Timestamp| {
        span.from.is_none_or(|from| at >= from) && span.until.is_none_or(|until| at < until)
    };
    let trial = filter.trial_ends == Span::default()
        || tenant.status == Status::Trial && tenant.trial_ends.is_some_and(|at| has(&filter.trial_ends, at));
    trial
        && filter.only.is_none_or(|id| tenant.id == id)
        && filter.status.is_none_or(|status| tenant.status == status)
        && filter.plan.as_ref().is_none_or(|plan| tenant.plan.as_ref() == Some(plan))
        && filter.parent.is_none_or(|parent| tenant.parent == Some(parent))
        && filter.listed.is_none_or(|wanted| wanted == listed)
        && filter.prefix.as_ref().is_none_or(|prefix| tenant.slug.as_str().starts_with(prefix.as_str()))
        && has(&filter.created, tenant.created)
        && has(&filter.updated, tenant.updated)
}

/// Lists each seventh, takes one of them back, and lists it again.
async fn list_some(store: &Store, tenants: &[Tenant]) {
    let mut write = store.write().await.unwrap();
    for (n, tenant) in tenants.iter().enumerate().filter(|(n, _)| n.is_multiple_of(7)) {
        write.set_listing(tenant.id, Listing { listed: n != 14, priority: 0 }).await.unwrap();
    }
    write.set_listing(tenants[0].id, Listing { listed: false, priority: 1 }).await.unwrap();
    write.set_listing(tenants[1].id, Listing { listed: false, priority: 1 }).await.unwrap();
    for n in [0, 14] {
        write.set_listing(tenants[n].id, Listing { listed: true, priority: 2 }).await.unwrap();
    }
    write.commit().await.unwrap();
}

fn sort_key(tenant: &Tenant, sort: TenantSort) -> (i64, String, String) {
    let slug = tenant.slug.to_string();
    match sort {
        TenantSort::Slug => (0, String::new(), slug),
        TenantSort::Name => (0, search_key(&tenant.name), slug),
        TenantSort::Created => (tenant.created.millis(), String::new(), slug),
        TenantSort::Updated => (tenant.updated.millis(), String::new(), slug),
        TenantSort::TrialEnds => (tenant.trial_ends.unwrap().millis(), String::new(), slug),
    }
}

async fn every_list_of_tenants_is_complete_and_in_order(ground: Ground) {
    let store = ground.open().await;
    let tenants = some_tenants(120);
    insert(&store, &tenants.iter().collect::<Vec<_>>()).await;
    list_some(&store, &tenants).await;
    let span = Span { from: Some(Timestamp(2 * 24 * HOUR)), until: Some(Timestamp(4 * 24 * HOUR)) };
    let nobody = Span { from: span.until, until: span.from };
    let parent = Some(tenants[0].id);
    let every = TenantFilter::default;
    let filters = [
        every(),
        TenantFilter { status: Some(Status::Trial), ..every() },
        TenantFilter { plan: Some(plan("growth")), ..every() },
        TenantFilter { status: Some(Status::Active), plan: Some(plan("free")), ..every() },
        TenantFilter { plan: Some(plan("nobodys")), ..every() },
        TenantFilter { parent, ..every() },
        TenantFilter { parent, status: Some(Status::Suspended), ..every() },
        TenantFilter { prefix: Some("acme1".into()), ..every() },
        TenantFilter { prefix: Some("acme".into()), status: Some(Status::Pending), ..every() },
        TenantFilter { created: span, ..every() },
        TenantFilter { created: span, updated: span, plan: Some(plan("free")), ..every() },
        TenantFilter { updated: nobody, ..every() },
        TenantFilter { trial_ends: span, ..every() },
        TenantFilter { trial_ends: span, plan: Some(plan("growth")), created: span, ..every() },
        TenantFilter { listed: Some(true), ..every() },
        TenantFilter { listed: Some(false), status: Some(Status::Active), ..every() },
        TenantFilter { listed: Some(true), plan: Some(plan("growth")), prefix: Some("a".into()), ..every() },
        TenantFilter { listed: Some(true), parent, ..every() },
        TenantFilter { only: Some(tenants[7].id), ..every() },
        TenantFilter { only: Some(tenants[7].id), prefix: Some("{".into()), ..every() },
    ];
    let sorts = [TenantSort::Slug, TenantSort::Name, TenantSort::Created, TenantSort::Updated, TenantSort::TrialEnds];
    for filter in &filters {
        for (n, sort) in sorts.into_iter().enumerate() {
            for (descending, limit) in [(false, 7), (true, if n % 2 == 0 { 1 } else { 3 }), (n % 2 == 0, 1_000)] {
                let trials = sort == TenantSort::TrialEnds && filter.only.is_none();
                let fits = |tenant: &&Tenant| {
                    let trial = tenant.status == Status::Trial && tenant.trial_ends.is_some();
                    admits(filter, tenant, is_listed(&tenants, tenant)) && (!trials || trial)
                };
                let mut expected: Vec<&Tenant> = tenants.iter().filter(fits).collect();
                if filter.only.is_none() {
                    expected.sort_by_key(|tenant| sort_key(tenant, sort));
                }
                if descending {
                    expected.reverse();
                }
                let found =
                    pages(limit, async |page| store.list_tenants(filter, sort, descending, &page).await.unwrap());
                let found: Vec<TenantId> = found.await.iter().map(|tenant| tenant.id).collect();
                let expected: Vec<TenantId> = expected.iter().map(|tenant| tenant.id).collect();
                assert_eq!(found, expected, "{filter:?} {sort:?} {descending} {limit}");
            }
        }
    }
    let wrong = store.list_tenants(&every(), TenantSort::Created, false, &page(5, Some("acme"))).await;
    assert!(matches!(wrong, Err(tenantry::store::StoreError::Cursor)));
}

async fn a_search_finds_slugs_words_and_held_domains_once(ground: Ground) {
    let store = ground.open().await;
    let tenants = some_tenants(60);
    insert(&store, &tenants.iter().collect::<Vec<_>>()).await;
    let mut write = store.write().await.unwrap();
    for (n, tenant) in tenants.iter().enumerate().take(20) {
        let state = if n % 3 == 0 { DomainState::Pending } else { DomainState::Live };
        for name in [format!("acme.shop{n}.example"), format!("sea-{n}.example")] {
            write.insert_domain(&claim(&name, tenant.id, state)).await.unwrap();
        }
    }
    write.commit().await.unwrap();
    let domains = |n: usize| match n {
        n if n >= 20 || n.is_multiple_of(3) => vec![],
        n => vec![format!("acme.shop{n}.example"), format!("sea-{n}.example")],
    };
    let every = TenantFilter::default();
    let trials = TenantFilter { status: Some(Status::Trial), ..every.clone() };
    let one = TenantFilter { only: Some(tenants[7].id), ..every.clone() };
    let listed = TenantFilter { listed: Some(true), prefix: Some("a".into()), ..every.clone() };
    list_some(&store, &tenants).await;
    for text in
        ["acme", "ACMÉ", "a", "sea", "north sea", "ltd", "acme1", "acme.shop", "sea-1", "of 1", "zzz", "{", "%", "ab"]
    {
        for filter in [&every, &trials, &one, &listed] {
            let mut expected: Vec<(String, &Tenant)> = Vec::new();
            for (n, tenant) in tenants.iter().enumerate() {
                if !admits(filter, tenant, is_listed(&tenants, tenant)) {
                    continue;
                }
                let (plain, key) = (text.to_ascii_lowercase(), search_key(text));
                let name = search_key(&tenant.name);
                let words = (0..name.len()).filter(|at| *at == 0 || name.as_bytes()[at - 1] == b' ');
                let found = words.map(|at| name[at..].to_owned()).filter(|word| word.starts_with(&key));
                let plainly = domains(n).into_iter().chain([tenant.slug.to_string()]);
                let first = found.chain(plainly.filter(|text| text.starts_with(&plain))).min();
                expected.extend(first.map(|first| (first, tenant)));
            }
            expected.sort_by_key(|(first, tenant)| (first.clone(), tenant.slug.to_string()));
            for limit in [1, 4, 100] {
                let found = pages(limit, async |page| store.search_tenants(text, filter, &page).await.unwrap()).await;
                let found: Vec<&str> = found.iter().map(|tenant| tenant.slug.as_str()).collect();
                let expected: Vec<&str> = expected.iter().map(|(_, tenant)| tenant.slug.as_str()).collect();
                assert_eq!(found, expected, "{text} {limit}");
            }
        }
    }
    // A new name is found, the old one is not.
    let renamed = Tenant { name: "Zoë of Zürich".into(), ..tenants[3].clone() };
    let mut write = store.write().await.unwrap();
    write.update_tenant(&renamed).await.unwrap();
    write.delete_tenant(tenants[50].id).await.unwrap();
    write.commit().await.unwrap();
    let found = store.search_tenants("zurich", &every, &page(5, None)).await.unwrap().rows;
    assert_eq!(found.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [renamed.id]);
    let gone = tenants[50].slug.as_str();
    let found = pages(50, async |page| store.search_tenants(gone, &every, &page).await.unwrap()).await;
    assert!(found.iter().all(|tenant| tenant.id != tenants[50].id));
}

async fn every_list_of_domains_is_complete_and_in_order(ground: Ground) {
    let store = ground.open().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&store, &[&acme, &beta]).await;
    let mut domains = Vec::new();
    for n in 0..40_i64 {
        let name = match n % 4 {
            0 => format!("shop{n}.acme.example"),
            1 => format!("acme.example{n}.test"),
            2 => format!("a{n}.b.acme.example"),
            _ => format!("x{n}.notacme.example"),
        };
        let state = DomainState::ALL[(n as usize * 5) % 7];
        let owner = if n % 3 == 0 { &beta } else { &acme };
        domains.push(Domain { created: Timestamp(n / 5 * HOUR), ..claim(&name, owner.id, state) });
    }
    // Two claim the same, and one is a wildcard.
    domains.push(claim("shop0.acme.example", acme.id, DomainState::Pending));
    domains.push(Domain {
        name: DomainName::parse("*.acme.example").unwrap(),
        ..claim("x.example", acme.id, DomainState::Pending)
    });
    let mut write = store.write().await.unwrap();
    for domain in &domains {
        write.insert_domain(domain).await.unwrap();
    }
    write.commit().await.unwrap();
    let every = DomainFilter::default;
    let beneath = |text: &str| Some(Hostname::parse(text).unwrap());
    for filter in [
        every(),
        DomainFilter { tenant: Some(beta.id), ..every() },
        DomainFilter { state: Some(DomainState::Pending), ..every() },
        DomainFilter { tenant: Some(acme.id), state: Some(DomainState::Live), ..every() },
        DomainFilter { prefix: Some("shop".into()), ..every() },
        DomainFilter { prefix: Some("a".into()), state: Some(DomainState::Moved), ..every() },
        DomainFilter { beneath: beneath("acme.example"), ..every() },
        DomainFilter { beneath: beneath("acme.example"), tenant: Some(beta.id), prefix: Some("s".into()), ..every() },
        DomainFilter { beneath: beneath("nobody.example"), ..every() },
    ] {
        for (sort, descending, limit) in [
            (DomainSort::Name, false, 3),
            (DomainSort::Name, true, 100),
            (DomainSort::Created, false, 4),
            (DomainSort::Created, true, 1),
        ] {
            let fits = |domain: &&Domain| {
                let name = domain.name.to_string();
                filter.tenant.is_none_or(|tenant| tenant == domain.tenant)
                    && filter.state.is_none_or(|state| state == domain.state)
                    && filter.prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix))
                    && filter.beneath.as_ref().is_none_or(|host| name.ends_with(&format!(".{host}")))
            };
            let mut expected: Vec<&Domain> = domains.iter().filter(fits).collect();
            expected.sort_by_key(|domain| {
                let (name, tenant) = (domain.name.to_string(), domain.tenant.to_string());
                let labels = name.rsplit('.').collect::<Vec<_>>().join(".");
                match (&filter.beneath, sort) {
                    (Some(_), _) => (0, labels, tenant),
                    (None, DomainSort::Name) => (0, name, tenant),
                    (None, DomainSort::Created) => (domain.created.millis(), name, tenant),
                }
            });
            if descending {
                expected.reverse();
            }
            let found =
                pages(limit, async |page| store.list_domains(&filter, sort, descending, &page).await.unwrap()).await;
            let names = |domain: &Domain| (domain.name.to_string(), domain.tenant);
            let found: Vec<_> = found.iter().map(names).collect();
            assert_eq!(found, expected.into_iter().map(names).collect::<Vec<_>>(), "{filter:?} {sort:?} {descending}");
        }
    }
    let held = store.held_beneath(&Hostname::parse("acme.example").unwrap()).await.unwrap();
    let direct = |domain: &&Domain| domain.state.is_held() && domain.name.to_string().starts_with("shop");
    assert_eq!(held.len(), domains.iter().filter(direct).count());
}

/// What the counts should be, by a look at every row.
async fn check_counts(store: &Store, tenants: &[Tenant], domains: &[(String, TenantId, DomainState)]) {
    let before = Timestamp(3 * 24 * HOUR - 1);
    let counts = store.tenant_counts(before).await.unwrap();
    assert_eq!(counts.total, tenants.len() as u64);
    for (status, number) in &counts.by_status {
        assert_eq!(*number, tenants.iter().filter(|tenant| tenant.status == *status).count() as u64, "{status}");
    }
    for (plan, number) in &counts.by_plan {
        assert_eq!(*number, tenants.iter().filter(|tenant| tenant.plan == *plan).count() as u64, "{plan:?}");
    }
    assert_eq!(counts.by_plan.iter().map(|(_, number)| number).sum::<u64>(), counts.total);
    assert_eq!(counts.expiring_before, Timestamp(3 * 24 * HOUR));
    let expiring = |tenant: &&Tenant| {
        tenant.status == Status::Trial && tenant.trial_ends.is_some_and(|at| at < counts.expiring_before)
    };
    assert_eq!(counts.expiring, tenants.iter().filter(expiring).count() as u64);
    for (state, number) in store.domain_counts().await.unwrap() {
        assert_eq!(number, domains.iter().filter(|(.., other)| *other == state).count() as u64, "{state}");
    }
}

async fn counts_are_true_whatever_is_written(ground: Ground) {
    let store = ground.open().await;
    let mut fresh = some_tenants(150).into_iter();
    let mut runner = TestRunner::deterministic();
    let step =
        (0..9_u8, any::<proptest::sample::Index>(), any_of(&Status::ALL), any_of(&DomainState::ALL), any::<bool>());
    let (mut tenants, mut domains): (Vec<Tenant>, Vec<(String, TenantId, DomainState)>) = Default::default();
    for n in 0..200 {
        let (what, which, status, state, commit) = step.new_tree(&mut runner).unwrap().current();
        let (old_tenants, old_domains) = (tenants.clone(), domains.clone());
        let mut write = store.write().await.unwrap();
        match what {
            0..=2 => {
                let tenant = Tenant { parent: None, ..fresh.next().unwrap_or_else(|| tenant(&format!("more-{n}"))) };
                write.insert_tenant(&tenant).await.unwrap();
                tenants.push(tenant);
            }
            3..=4 if !tenants.is_empty() => {
                let tenant = which.get(&tenants).clone();
                let trial_ends = tenant.trial_ends.map(|at| Timestamp(at.millis() + 7 * HOUR)).filter(|_| what == 3);
                let changed = Tenant { status, trial_ends, plan: tenant.plan.clone().filter(|_| commit), ..tenant };
                write.update_tenant(&changed).await.unwrap();
                tenants
                    .iter_mut()
                    .filter(|tenant| tenant.id == changed.id)
                    .for_each(|tenant| *tenant = changed.clone());
            }
            5 if !tenants.is_empty() => {
                let gone = which.get(&tenants).id;
                write.delete_tenant(gone).await.unwrap();
                tenants.retain(|tenant| tenant.id != gone);
                domains.retain(|(_, owner, _)| *owner != gone);
            }
            6 if !tenants.is_empty() => {
                let domain = claim(&format!("d{n}.example"), which.get(&tenants).id, state);
                write.insert_domain(&domain).await.unwrap();
                domains.push((domain.name.to_string(), domain.tenant, state));
            }
            7 if !domains.is_empty() => {
                let at = which.index(domains.len());
                let (name, owner, _) = domains[at].clone();
                write.set_domain_state(&DomainName::parse(&name).unwrap(), owner, state).await.unwrap();
                domains[at].2 = state;
            }
            8 if !domains.is_empty() => {
                let (name, owner, _) = domains.swap_remove(which.index(domains.len()));
                write.delete_domain(&DomainName::parse(&name).unwrap(), owner).await.unwrap();
            }
            _ => {}
        }
        // What is not committed is not counted.
        match commit || n % 3 > 0 {
            true => drop(write.commit().await.unwrap()),
            false => (tenants, domains) = (old_tenants, old_domains),
        }
        if n % 10 == 9 {
            check_counts(&store, &tenants, &domains).await;
        }
    }
    check_counts(&store, &tenants, &domains).await;
}

async fn keys_that_another_program_left_out_are_mended(ground: Ground) {
    let store = ground.open().await;
    let tenants = some_tenants(30);
    insert(&store, &tenants.iter().collect::<Vec<_>>()).await;
    let mut write = store.write().await.unwrap();
    write.insert_domain(&claim("shop.acme.example", tenants[0].id, DomainState::Live)).await.unwrap();
    write.commit().await.unwrap();
    let by_name = async |store: &Store| {
        let found = store.list_tenants(&TenantFilter::default(), TenantSort::Name, false, &page(50, None)).await;
        found.unwrap().rows.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>()
    };
    let before = by_name(&store).await;
    let found = store.search_tenants("sea", &TenantFilter::default(), &page(50, None)).await.unwrap();
    ground.raw("UPDATE tenants SET name_key = ''; UPDATE domains SET reversed = ''; DELETE FROM tenant_words").await;
    assert_eq!(store.mend_keys().await.unwrap(), 31);
    assert_eq!(store.mend_keys().await.unwrap(), 0);
    assert_eq!(by_name(&store).await, before);
    assert_eq!(store.search_tenants("sea", &TenantFilter::default(), &page(50, None)).await.unwrap(), found);
    let acme = DomainFilter { beneath: Some(Hostname::parse("acme.example").unwrap()), ..Default::default() };
    assert_eq!(store.list_domains(&acme, DomainSort::Name, false, &page(5, None)).await.unwrap().rows.len(), 1);
}
