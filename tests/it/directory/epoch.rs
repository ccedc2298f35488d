//! A load never outlives an invalidation: a change that is applied while a read of the old state is under way makes
//! that read worthless, whatever was read, and however the change was published.

use std::sync::Arc;

use tenantry::clock::Clock;
use tenantry::directory::Resolution;
use tenantry::model::{Certificate, Change, DomainState, Tenant};
use tenantry::store::{MOST_NEWS, Write};
use tenantry::tls::LocalCa;

use super::source::Read;
use super::{Node, Record, claim, host, insert, slug, slug_host, tenant};

/// Something with a history: version 0, 1, 2, …, each of which a reader sees as a text of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    /// Held by one, by nobody, by the other, by nobody, …
    Domain,
    /// Not there, there, and gone for good.
    Slug,
    /// Renamed again and again.
    Tenant,
    /// None, then one after another.
    Certificate,
}

/// A record with one of everything, and what it takes to write its history.
struct History {
    record: Record,
    owners: [Tenant; 2],
    passing: Tenant,
    certificates: Vec<Certificate>,
    ca: LocalCa,
}

const DOMAIN: &str = "shop.example";

impl Subject {
    const ALL: [Self; 4] = [Self::Domain, Self::Slug, Self::Tenant, Self::Certificate];

    fn read(self) -> Read {
        match self {
            Self::Domain | Self::Slug => Read::Place,
            Self::Tenant => Read::Tenant,
            Self::Certificate => Read::Certificate,
        }
    }

    fn change(self, history: &History) -> Change {
        match self {
            Self::Domain => Change::Host(host(DOMAIN)),
            Self::Slug => Change::Slug(slug("passing")),
            Self::Tenant => Change::Tenant(history.owners[0].id),
            Self::Certificate => Change::Certificate(DOMAIN.into()),
        }
    }

    /// The transitions of its history.
    fn versions(self) -> usize {
        if self == Self::Slug { 2 } else { 4 }
    }
}

impl History {
    async fn new() -> Self {
        let record = Record::new().await;
        let (owners, passing) = ([tenant("one"), tenant("two")], tenant("passing"));
        insert(&record.store, &[&owners[0], &owners[1]]).await;
        let mut write = record.store.write().await.unwrap();
        write.insert_domain(&claim(DOMAIN, owners[0].id, DomainState::Verified)).await.unwrap();
        write.commit().await.unwrap();
        let ca = LocalCa::create(Clock::system()).unwrap();
        let certificates = (0..8).map(|_| ca.issue(&[DOMAIN.into()], 30).unwrap()).collect();
        Self { record, owners, passing, certificates, ca }
    }

    /// Writes the step to `version`.
    async fn write(&self, subject: Subject, version: usize) -> Write {
        let mut write = self.record.store.write().await.unwrap();
        let owner = |version: usize| &self.owners[version / 2 % 2];
        match subject {
            Subject::Domain if version % 2 == 1 => {
                write.delete_domain(&host(DOMAIN).into(), owner(version - 1).id).await.unwrap();
            }
            Subject::Domain => {
                write.insert_domain(&claim(DOMAIN, owner(version).id, DomainState::Verified)).await.unwrap();
            }
            Subject::Slug if version == 1 => write.insert_tenant(&self.passing).await.unwrap(),
            Subject::Slug => drop(write.delete_tenant(self.passing.id).await.unwrap()),
            Subject::Tenant => {
                let renamed = Tenant { name: format!("one-{version}"), ..self.owners[0].clone() };
                write.update_tenant(&renamed).await.unwrap();
            }
            Subject::Certificate => write.insert_certificate(&self.certificates[version]).await.unwrap(),
        }
        write
    }

    /// What a reader must see at `version`.
    fn expected(&self, subject: Subject, version: usize) -> String {
        match subject {
            Subject::Domain if version % 2 == 1 => "-".into(),
            Subject::Domain => self.owners[version / 2 % 2].slug.to_string(),
            Subject::Slug => if version == 1 { "passing" } else { "-" }.into(),
            Subject::Tenant if version == 0 => "one".into(),
            Subject::Tenant => format!("one-{version}"),
            Subject::Certificate if version == 0 => "-".into(),
            Subject::Certificate => hex::encode(der(&self.certificates[version])),
        }
    }

    async fn see(&self, node: &Node, subject: Subject) -> String {
        let slug_of = async |host| match node.resolve(&host).await.unwrap() {
            Resolution::Tenant(view, _) => view.tenant.slug.to_string(),
            Resolution::Unknown => "-".into(),
        };
        match subject {
            Subject::Domain => slug_of(host(DOMAIN)).await,
            Subject::Slug => slug_of(slug_host("passing")).await,
            Subject::Tenant => node.name_at(&slug_host("one")).await.unwrap(),
            Subject::Certificate => node.leaf(DOMAIN, &self.ca).await.map_or("-".into(), hex::encode),
        }
    }
}

/// What a node knew before the read that stalls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Nothing,
    /// The state that the stalled read reads too, touched since.
    Stale,
    /// Everything is stale.
    Reset,
}

/// How the change is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Published {
    Itself,
    /// With so many others that all of it became a reset.
    Reset,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_read_never_outlives_the_change_that_overtook_it() {
    for subject in Subject::ALL {
        for before in [Before::Nothing, Before::Stale, Before::Reset] {
            for published in [Published::Itself, Published::Reset] {
                let history = Arc::new(History::new().await);
                for version in 0..subject.versions() {
                    let case = format!("{subject:?} {before:?} {published:?} from version {version}");
                    overtake(&history, subject, before, published, version, &case).await;
                }
            }
        }
    }
}

/// One step from `version` to the next on a fresh node, in the middle of a read of `version`.
async fn overtake(
    history: &Arc<History>,
    subject: Subject,
    before: Before,
    published: Published,
    version: usize,
    case: &str,
) {
    let node = Arc::new(history.record.node().await);
    if before != Before::Nothing {
        assert_eq!(history.see(&node, subject).await, history.expected(subject, version), "{case}: at first");
        let change = if before == Before::Reset { Change::Reset } else { subject.change(history) };
        node.touch([change]).await;
    }
    let reader = || {
        let (history, node) = (Arc::clone(history), Arc::clone(&node));
        tokio::spawn(async move { history.see(&node, subject).await })
    };
    let stall = node.tap.stall(subject.read());
    let early = reader();
    let stalled = stall.reached().await;
    let mut write = history.write(subject, version + 1).await;
    if published == Published::Reset {
        (0..=MOST_NEWS).for_each(|number| write.change(Change::Challenge(format!("filler-{number}"))));
    }
    node.commit(write).await;
    // The write is answered. Whoever asks from here on must see it, although the old answer is still on its way.
    let late = reader();
    tokio::task::yield_now().await;
    stalled.release();
    let (was, is) = (history.expected(subject, version), history.expected(subject, version + 1));
    let early = early.await.unwrap();
    assert!(early == was || early == is, "{case}: the reader that came before saw {early}");
    assert_eq!(late.await.unwrap(), is, "{case}: the reader that came after");
    assert_eq!(history.see(&node, subject).await, is, "{case}: what stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_overtaken_twice_reads_a_third_time() {
    for subject in [Subject::Domain, Subject::Tenant, Subject::Certificate] {
        let history = Arc::new(History::new().await);
        let node = Arc::new(history.record.node().await);
        let stalls = [node.tap.stall(subject.read()), node.tap.stall(subject.read())];
        let reader = tokio::spawn({
            let (history, node) = (Arc::clone(&history), Arc::clone(&node));
            async move { history.see(&node, subject).await }
        });
        for (version, stall) in stalls.into_iter().enumerate() {
            let stalled = stall.reached().await;
            node.commit(history.write(subject, version + 1).await).await;
            stalled.release();
        }
        assert_eq!(reader.await.unwrap(), history.expected(subject, 2), "{subject:?}");
        assert_eq!(history.see(&node, subject).await, history.expected(subject, 2), "{subject:?}");
        assert_eq!(node.tap.reads(subject.read()), 3, "{subject:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_ask_at_once_are_one_read() {
    let history = Arc::new(History::new().await);
    for (subject, version) in Subject::ALL.into_iter().flat_map(|subject| [(subject, 0), (subject, 1)]) {
        if version > 0 {
            history.write(subject, version).await.commit().await.unwrap();
        }
        let node = Arc::new(history.record.node().await);
        let stall = node.tap.stall(subject.read());
        let readers: Vec<_> = (0..100)
            .map(|_| {
                let (history, node) = (Arc::clone(&history), Arc::clone(&node));
                tokio::spawn(async move { history.see(&node, subject).await })
            })
            .collect();
        let stalled = stall.reached().await;
        tokio::task::yield_now().await;
        stalled.release();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), history.expected(subject, version), "{subject:?} {version}");
        }
        assert_eq!(node.tap.reads(subject.read()), 1, "{subject:?} {version}: answers are remembered, noes too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_on_when_whoever_asked_goes_away() {
    let history = History::new().await;
    let node = Arc::new(history.record.node().await);
    let stall = node.tap.stall(Read::Place);
    let reader = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.name_at(&host(DOMAIN)).await }
    });
    let stalled = stall.reached().await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    stalled.release();
    assert_eq!(history.see(&node, Subject::Domain).await, "one");
    assert_eq!(node.tap.reads(Read::Place), 1);
}

fn der(certificate: &Certificate) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap().to_vec()
}
