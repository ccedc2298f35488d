//! A tenant's life by a clock that the test moves: what time brings, plans, descent and what is inherited by it, settings, the
//! archive of all there is, and the end. Each on SQLite and on PostgreSQL.

mod back;
mod descent;
mod end;
mod erased;
mod export;
mod plans;
mod preview;
mod settings;
mod time;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tenantry::clock::Clock;
use tenantry::config::Config;
use tenantry::model::{Status, Tenant};
use tenantry::store::{Page, Store};
use tenantry::tenancy::{Actor, Expect, Fault, NewDomain, NewTenant, Tenancy, TenancyError};

use crate::store::{Ground, contract};

const DAY: Duration = Duration::from_secs(86_400);

/// The rules over a store. Nothing works by itself.
struct House {
    tenancy: Tenancy,
    store: Store,
    clock: Clock,
    config: Arc<ArcSwap<Config>>,
    ground: Ground,
}

impl House {
    async fn on(ground: Ground) -> Self {
        Self::with(ground, "").await
    }

    /// `lines`: of `[tenancy]`.
    async fn with(ground: Ground, lines: &str) -> Self {
        let text = format!(
            "[brand]\nbase = \"connect.example\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n\
             [store]\nurl = \"sqlite:x\"\nkey = \"env:X\"\n[tenancy]\n{lines}"
        );
        let config = Arc::new(ArcSwap::from_pointee(crate::admin::world::config(&text)));
        let (store, clock) = (ground.open().await, ground.clock.clone());
        let tenancy = Tenancy::new(store.clone(), Arc::clone(&config), clock.clone(), Arc::new(()));
        Self { tenancy, store, clock, config, ground }
    }

    async fn create(&self, slug: &str, status: Status, parent: Option<&str>) -> Tenant {
        let new = NewTenant {
            slug: slug.into(),
            name: slug.into(),
            plan: parent.is_none().then(|| "growth".into()),
            parent: parent.map(str::to_owned),
            status: Some(status),
            ..NewTenant::default()
        };
        self.tenancy.create(&actor(), &new).await.unwrap().value.tenant
    }

    async fn holds(&self, slug: &str, domain: &str) {
        let new = NewDomain { domain: domain.into(), verified: true };
        self.tenancy.add_domain(&actor(), slug, &new).await.unwrap();
    }

    async fn show(&self, slug: &str) -> Tenant {
        self.tenancy.show(slug).await.unwrap().tenant
    }

    /// Moves the clock by so many days, and does what is due then; how many tenants were seen to.
    async fn after(&self, days: u32) -> usize {
        self.clock.advance(days * DAY);
        let mut sum = 0;
        while let seen @ 1.. = self.tenancy.pass_time("node").await.unwrap() {
            sum += seen;
        }
        sum
    }

    /// The kinds of the events about a tenant, in order.
    async fn told(&self, slug: &str) -> Vec<String> {
        let rows = self
            .store
            .events(
                &tenantry::store::EventFilter { subject: Some(slug), ..Default::default() },
                &Page { limit: 1000, after: None },
            )
            .await
            .unwrap();
        rows.into_iter().map(|row| row.event.kind).collect()
    }

    /// Who did what, in order: `system tenant.archive`.
    async fn ledger(&self, tenant: &Tenant) -> Vec<String> {
        let rows = self.store.audit(Some(tenant.id), &Page { limit: 1000, after: None }).await.unwrap();
        rows.into_iter().rev().map(|(_, _, entry)| format!("{} {}", entry.actor, entry.action)).collect()
    }
}

fn actor() -> Actor {
    Actor::new("test")
}

fn any() -> Expect {
    Expect::Anything
}

/// The code of a refusal.
#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, TenancyError>) -> &'static str {
    match result.unwrap_err() {
        TenancyError::Invalid(faults) => faults[0].code,
        TenancyError::Conflict(Fault { code, .. }) => code,
        TenancyError::NotFound(..) => "not-found",
        TenancyError::Transition(_) => "transition",
        TenancyError::Stale { .. } => "stale",
        other => panic!("{other}"),
    }
}
