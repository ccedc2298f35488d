//! Lists of certificates are complete and in order, whatever is asked for and in whatever pages; and places in the queue.

use std::time::Duration;

use tenantry::clock::Timestamp;
use tenantry::model::{Certificate, CertificateSource, DomainState};
use tenantry::store::{CertificateFilter, CertificateSort, Page, Span};

use super::vault::certificate;
use super::{Ground, claim, contract, insert, page, tenant};

contract!(every_list_of_certificates_is_complete_and_in_order, places_in_the_queue_are_counted_together,);

const HOUR: Duration = Duration::from_secs(3_600);

async fn every_list_of_certificates_is_complete_and_in_order(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let now = ground.clock.now();
    let mut all: Vec<Certificate> = Vec::new();
    for n in 0..40_usize {
        let names = [format!("c{}.example", n / 2), format!("www.c{n}.example"), format!("c{}.x.example", n % 3)];
        let names: Vec<&str> = names.iter().take(1 + n % 3).map(String::as_str).collect();
        all.push(Certificate {
            not_after: now + HOUR * (n as u32 * 7 % 5 + 1),
            source: CertificateSource::ALL[n % 3],
            ..certificate(&format!("{:03}", n * 37 % 100), &names)
        });
    }
    let mut write = store.write().await.unwrap();
    for certificate in &all {
        write.insert_certificate(certificate).await.unwrap();
    }
    for name in ["c3.example", "c4.example", "www.c11.example"] {
        write.insert_domain(&claim(name, acme.id, DomainState::Live)).await.unwrap();
    }
    write.insert_domain(&claim("c5.example", acme.id, DomainState::Pending)).await.unwrap();
    write.commit().await.unwrap();
    let own = ["c3.example", "c4.example", "www.c11.example"];
    let every = CertificateFilter::default;
    let ends = Span { from: Some(now + HOUR * 2), until: Some(now + HOUR * 5) };
    let uploaded = Some(CertificateSource::Uploaded);
    for filter in [
        every(),
        CertificateFilter { source: uploaded, ..every() },
        CertificateFilter { ends, ..every() },
        CertificateFilter { ends, source: uploaded, ..every() },
        CertificateFilter { name: Some("c7.example".into()), ..every() },
        CertificateFilter { name: Some("c7.example".into()), source: uploaded, ..every() },
        CertificateFilter { tenant: Some(acme.id), ..every() },
        CertificateFilter { tenant: Some(acme.id), name: Some("c4.example".into()), ends, ..every() },
        CertificateFilter { prefix: Some("c1".into()), ..every() },
        CertificateFilter { prefix: Some("c".into()), source: uploaded, ends, ..every() },
        CertificateFilter { prefix: Some("zzz".into()), ..every() },
    ] {
        for (sort, descending, limit) in [
            (CertificateSort::Id, false, 3),
            (CertificateSort::Id, true, 100),
            (CertificateSort::Ends, false, 100),
            (CertificateSort::Ends, true, 1),
        ] {
            let found_by = |one: &Certificate| match &filter.prefix {
                Some(prefix) => one.names.iter().filter(|name| name.starts_with(prefix.as_str())).min().cloned(),
                None => Some(String::new()),
            };
            let fits = |one: &&Certificate| {
                found_by(one).is_some()
                    && filter.source.is_none_or(|source| one.source == source)
                    && filter.ends.from.is_none_or(|from| one.not_after >= from)
                    && filter.ends.until.is_none_or(|until| one.not_after < until)
                    && filter.name.as_ref().is_none_or(|name| one.names.contains(name))
                    && filter.tenant.is_none_or(|_| {
                        let name = |name: &&String| own.contains(&name.as_str());
                        let asked = |name: &&String| filter.name.as_ref().is_none_or(|asked| asked == *name);
                        one.names.iter().filter(name).any(|name| asked(&name))
                    })
            };
            let mut expected: Vec<&Certificate> = all.iter().filter(fits).collect();
            expected.sort_by_key(|one| match (&filter.prefix, sort) {
                (Some(_), _) => (found_by(one), Timestamp(0), one.id.clone()),
                (None, CertificateSort::Id) => (None, Timestamp(0), one.id.clone()),
                (None, CertificateSort::Ends) => (None, one.not_after, one.id.clone()),
            });
            if descending && filter.prefix.is_none() {
                expected.reverse();
            }
            let (mut found, mut after) = (Vec::new(), None::<String>);
            loop {
                let asked = page(limit, after.as_deref());
                let part = store.list_certificates(&filter, sort, descending, &asked).await.unwrap();
                assert!(part.rows.len() <= limit as usize);
                found.extend(part.rows.into_iter().map(|row| row.id));
                match part.next {
                    Some(next) => assert_ne!(after.replace(next), after, "a cursor moves on"),
                    None => break,
                }
            }
            let expected: Vec<&str> = expected.iter().map(|one| one.id.as_str()).collect();
            assert_eq!(found, expected, "{filter:?} {sort:?} {descending}");
        }
    }
    // Those in use, together and one by one.
    let names: Vec<&str> = all.iter().flat_map(|one| &one.names).map(String::as_str).collect();
    let used = store.certificates_in_use(&names).await.unwrap();
    for name in names {
        assert_eq!(used.get(name).cloned(), store.certificate_in_use(name).await.unwrap(), "{name}");
    }
}

async fn places_in_the_queue_are_counted_together(ground: Ground) {
    let store = ground.open().await;
    let tenants = [tenant("acme"), tenant("beta")];
    insert(&store, &tenants.iter().collect::<Vec<_>>()).await;
    let mut write = store.write().await.unwrap();
    let now = write.now();
    for n in 0..30_i64 {
        let tenant = tenants[usize::from(n >= 20)].id;
        let waits = if n % 10 == 9 { now + HOUR } else { now };
        write.want_order(&[format!("c{n}.example")], Some(tenant), waits).await.unwrap();
    }
    write.commit().await.unwrap();
    let orders = store.orders(&Page { limit: 100, after: None }).await.unwrap();
    let turns = orders.iter().map(|order| order.turn).collect();
    let before = store.orders_before(&turns, now).await.unwrap();
    for order in &orders {
        let earlier = orders.iter().filter(|other| other.turn < order.turn && other.not_before <= now).count();
        assert_eq!(before[&order.turn], earlier as u64, "{}", order.name);
    }
    assert!(store.orders_before(&Default::default(), now).await.unwrap().is_empty());
}
