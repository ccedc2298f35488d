//! How many tenants and domains there are, as triggers keep it (migration 9), and imports at their end: nothing is counted
//! when it is asked for.

use std::collections::BTreeMap;

use sqlx::query;

use super::connect::{Lease, Statement};
use super::row::Row;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{DomainState, PlanName, Status, Tenant};

const HOUR: i64 = 3_600_000;

/// How many tenants there are, for a dashboard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantCounts {
    /// In the order of [`Status::ALL`]; a status that nobody has counts 0.
    pub by_status: Vec<(Status, u64)>,
    /// By the tenants' own plans, those without one first; only plans that somebody has.
    pub by_plan: Vec<(Option<PlanName>, u64)>,
    pub total: u64,
    /// Trials that end before `expiring_before`, or have ended.
    pub expiring: u64,
    /// The full hour that was asked for, or the next one: trials are counted by the hour.
    pub expiring_before: Timestamp,
}

/// How many tenants have this status, and this plan of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ClassCount {
    pub status: Status,
    pub plan: Option<PlanName>,
    pub number: u64,
}

impl Store {
    /// Counts of tenants; `expiring` are the trials that end before the full hour at or after `before`.
    pub async fn tenant_counts(&self, before: Timestamp) -> Result<TenantCounts, StoreError> {
        let hour = before.millis().div_euclid(HOUR) + i64::from(before.millis().rem_euclid(HOUR) > 0);
        let mut lease = self.reader().await?;
        let mut counts = TenantCounts {
            by_status: Status::ALL.map(|status| (status, 0)).into(),
            expiring_before: Timestamp(hour * HOUR),
            ..TenantCounts::default()
        };
        for class in by_class(&mut lease).await? {
            counts.total += class.number;
            for (_, number) in counts.by_status.iter_mut().filter(|(status, _)| *status == class.status) {
                *number += class.number;
            }
            match counts.by_plan.iter_mut().find(|(plan, _)| *plan == class.plan) {
                Some((_, number)) => *number += class.number,
                None => counts.by_plan.push((class.plan, class.number)),
            }
        }
        counts.by_plan.sort();
        // SUM of BIGINT is NUMERIC on PostgreSQL; here it fits.
        let sql = "SELECT CAST(COALESCE(SUM(number), 0) AS BIGINT) AS number FROM trial_counts WHERE hour < $1";
        if let Some(row) = lease.one(query(sql).bind(hour)).await? {
            counts.expiring = number(&Row::new(&row, "trial_counts", "number"))?;
        }
        Ok(counts)
    }

    /// Claims by state, in the order of [`DomainState::ALL`]; a state that none is in counts 0.
    pub async fn domain_counts(&self) -> Result<Vec<(DomainState, u64)>, StoreError> {
        let mut counts: Vec<_> = DomainState::ALL.map(|state| (state, 0)).into();
        for row in &self.all(query("SELECT state, number FROM domain_counts WHERE number <> 0")).await? {
            let row = Row::new(row, "domain_counts", "state");
            let state = row.parsed("state", "state of a domain", DomainState::parse)?;
            for (_, count) in counts.iter_mut().filter(|(known, _)| *known == state) {
                *count = number(&row)?;
            }
        }
        Ok(counts)
    }
}

/// What has come in a transaction that counts at its end.
#[derive(Default)]
pub(super) struct Counted {
    /// By status and plan; '' is none.
    tenants: BTreeMap<(&'static str, String), i64>,
    /// By the hour in which they end.
    trials: BTreeMap<i64, i64>,
    domains: BTreeMap<&'static str, i64>,
}

impl Counted {
    pub fn tenant(&mut self, tenant: &Tenant) {
        let plan = tenant.plan.as_ref().map(PlanName::to_string).unwrap_or_default();
        *self.tenants.entry((tenant.status.as_str(), plan)).or_default() += 1;
        if let Some(ends) = tenant.trial_ends.filter(|_| tenant.status == Status::Trial) {
            *self.trials.entry(ends.millis() / HOUR).or_default() += 1;
        }
    }

    pub fn domain(&mut self, state: DomainState) {
        *self.domains.entry(state.as_str()).or_default() += 1;
    }

    /// What the triggers would have done, in the order of the keys: nobody waits for another in a circle.
    pub fn statements(self) -> impl Iterator<Item = Statement<'static>> {
        let tenants = self.tenants.into_iter().map(|((status, plan), number)| {
            let sql = "INSERT INTO tenant_counts (status, plan, number) VALUES ($1, $2, $3) ON CONFLICT (status, plan) \
                       DO UPDATE SET number = tenant_counts.number + excluded.number";
            query(sql).bind(status).bind(plan).bind(number)
        });
        let trials = self.trials.into_iter().map(|(hour, number)| {
            let sql = "INSERT INTO trial_counts (hour, number) VALUES ($1, $2) ON CONFLICT (hour) \
                       DO UPDATE SET number = trial_counts.number + excluded.number";
            query(sql).bind(hour).bind(number)
        });
        let domains = self.domains.into_iter().map(|(state, number)| {
            let sql = "INSERT INTO domain_counts (state, number) VALUES ($1, $2) ON CONFLICT (state) \
                       DO UPDATE SET number = domain_counts.number + excluded.number";
            query(sql).bind(state).bind(number)
        });
        tenants.chain(trials).chain(domains)
    }
}

/// Every status and plan that somebody has.
pub(super) async fn by_class(lease: &mut Lease) -> Result<Vec<ClassCount>, StoreError> {
    let rows = lease
        .all(query("SELECT status, plan, number FROM tenant_counts WHERE number <> 0 ORDER BY status, plan"))
        .await?;
    let class = |row| {
        let row = Row::new(row, "tenant_counts", "status");
        let status = row.parsed("status", "status", Status::parse)?;
        let plan = match row.text("plan")? {
            "" => None,
            _ => Some(row.parsed("plan", "name of a plan", |text| PlanName::parse(text).ok())?),
        };
        Ok(ClassCount { status, plan, number: number(&row)? })
    };
    rows.iter().map(class).collect()
}

fn number(row: &Row<'_>) -> Result<u64, StoreError> {
    let number = row.int("number")?;
    u64::try_from(number).map_err(|_| row.corrupt("number", format!("{number} is less than nothing")))
}
