//! Takes orders in the order of their turns, as many at once as is configured, and sees each through from stage to stage.
//! Of any number of nodes exactly one works on an order: it has the lease, and whoever had it before can write no more.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{error, warn};

use super::Acme;
use super::authorities::Room;
use super::ca::CaOrder;
use super::order::{Event, Order, Stage};
use super::record::Recorded;
use crate::clock::Timestamp;
use crate::model::TenantId;
use crate::store::{OrderRow, StoreError, WAITING};

/// An order that this worker has the lease of.
pub(super) struct Held {
    pub row: OrderRow,
    pub order: Order,
    /// The authority's side of it, once it has been asked for.
    pub at_ca: Option<CaOrder>,
    /// The challenges whose answers are public because of it.
    pub answers: Vec<String>,
    /// The revision of the last write that edges have to follow.
    pub revision: i64,
}

/// What is under way here.
#[derive(Default)]
struct Running {
    tasks: JoinSet<String>,
    orders: HashMap<String, Option<TenantId>>,
}

/// How long a lease lasts that is not renewed: as long as the work of a killed process rests.
const LEASE: Duration = Duration::from_secs(15);
const RENEW_LEASE: Duration = Duration::from_secs(5);
/// How often it looks without being told; a clock may have been moved.
const LOOK: Duration = Duration::from_millis(500);
/// How many orders are read ahead for each that can be taken: those of tenants with enough under way are passed over.
const READ_AHEAD: u32 = 4;

impl Acme {
    /// Works until the task is dropped; what is under way then is taken up by whoever comes next.
    pub async fn run(self) {
        let mut running = Running::default();
        loop {
            if let Err(error) = self.fill(&mut running).await {
                warn!(%error, "acme.queue_not_read: trying again");
            }
            tokio::select! {
                Some(done) = running.tasks.join_next() => match done {
                    Ok(name) => drop(running.orders.remove(&name)),
                    // Which order it was is not known any more: what is left is learnt from the tasks that remain.
                    Err(panic) => {
                        error!(%panic, "acme.task_died: its lease will end");
                        running = Running::default();
                    }
                },
                () = self.0.nudge.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Takes as much as there is room for: first what somebody has left lying, then renewals that are due, then the queue.
    async fn fill(&self, running: &mut Running) -> Result<(), StoreError> {
        while let Some(done) = running.tasks.try_join_next() {
            if let Ok(name) = done {
                running.orders.remove(&name);
            }
        }
        let most = self.0.config.load().acme.concurrency;
        let room = most.saturating_sub(u32::try_from(running.orders.len()).unwrap_or(u32::MAX));
        if room == 0 || self.0.authorities.is_empty() {
            return Ok(());
        }
        let (store, now) = (&self.0.store, self.0.clock.now());
        let mut found = store.abandoned_orders(now, room).await?;
        found.extend(store.due_renewals(now, room).await?);
        if let Room::Open { orders } = self.0.authorities.room().await? {
            let due = store.due_orders(now, room.saturating_mul(READ_AHEAD)).await?;
            found.extend(within_budget(due, orders));
        }
        let chosen = choose(found, &running.orders, most as usize, room as usize);
        for row in self.take(chosen).await? {
            running.orders.insert(row.name.clone(), row.tenant);
            running.tasks.spawn(self.clone().work(row));
        }
        Ok(())
    }

    /// Takes the leases, all in one transaction; those that somebody else was quicker to take are left out.
    async fn take(&self, rows: Vec<OrderRow>) -> Result<Vec<OrderRow>, StoreError> {
        if rows.is_empty() {
            return Ok(rows);
        }
        let lease = self.0.clock.now() + LEASE;
        let mut aside = self.0.store.aside().await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(fence) = aside.take_order(&row.name, row.fence, &self.0.owner, lease).await? {
                taken.push(OrderRow { fence, lease, owner: Some(self.0.owner.clone()), ..row });
            }
        }
        aside.commit().await?;
        Ok(taken)
    }

    /// One order, until it rests, is somebody else's, or the store cannot be asked.
    async fn work(self, row: OrderRow) -> String {
        let name = row.name.clone();
        let fence = row.fence;
        let outcome = tokio::select! {
            outcome = self.advance(row) => outcome,
            () = self.keep_lease(&name, fence) => {
                warn!(order.name = name, "acme.lease_lost: another node has it");
                Ok(())
            }
        };
        if let Err(error) = outcome {
            warn!(%error, order.name = name, "acme.order_interrupted: it is taken up again when its lease has ended");
        }
        name
    }

    async fn advance(&self, row: OrderRow) -> Result<(), StoreError> {
        let mut order: Order = serde_json::from_str(&row.data)
            .map_err(|error| StoreError::Corrupt(format!("table orders, row {}, column data: {error}", row.name)))?;
        if row.stage == WAITING {
            // Whoever has put it back into the queue has said so in the column alone.
            order.stage = Stage::Waiting;
        }
        let mut held = Held { row, order, at_ca: None, answers: Vec::new(), revision: 0 };
        let (mut event, mut with) = (Event::Resumed, Default::default());
        if held.order.stage.rests() {
            (event, with) = self.act(&mut held).await?;
        }
        loop {
            match self.record(&mut held, event, with).await? {
                Recorded::GoOn => (event, with) = self.act(&mut held).await?,
                Recorded::Rests | Recorded::Lost => return Ok(()),
            }
        }
    }

    /// Returns when the lease is lost.
    async fn keep_lease(&self, name: &str, fence: i64) {
        loop {
            tokio::time::sleep(RENEW_LEASE).await;
            match self.extend(name, fence).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => warn!(%error, order.name = name, "acme.lease_not_renewed"),
            }
        }
    }

    async fn extend(&self, name: &str, fence: i64) -> Result<bool, StoreError> {
        let mut aside = self.0.store.aside().await?;
        let ours = aside.extend_order(name, fence, self.lease()).await?;
        aside.commit().await?;
        Ok(ours)
    }

    pub(super) fn lease(&self) -> Timestamp {
        self.0.clock.now() + LEASE
    }
}

/// Those that can be placed: as many new ones as the budget has, and the renewals among them, which may be exempt from it.
fn within_budget(due: Vec<OrderRow>, budget: u32) -> impl Iterator<Item = OrderRow> {
    let mut left = budget;
    due.into_iter().filter(move |row| {
        let renews = serde_json::from_str::<Order>(&row.data).is_ok_and(|order| order.certificate.is_some());
        let fits = renews || left > 0;
        left = left.saturating_sub(u32::from(!renews));
        fits
    })
}

/// The first `room` of them that are not under way already. No tenant takes more than three quarters of all places, so
/// that one whose orders all hang does not keep the others out.
fn choose(
    found: Vec<OrderRow>,
    running: &HashMap<String, Option<TenantId>>,
    most: usize,
    room: usize,
) -> Vec<OrderRow> {
    let share = (most * 3 / 4).max(1);
    let mut of_tenant: HashMap<TenantId, usize> = HashMap::new();
    for tenant in running.values().flatten() {
        *of_tenant.entry(*tenant).or_default() += 1;
    }
    let mut chosen: Vec<OrderRow> = Vec::with_capacity(room);
    for row in found {
        if chosen.len() == room {
            break;
        }
        if running.contains_key(&row.name) || chosen.iter().any(|other| other.name == row.name) {
            continue;
        }
        if let Some(tenant) = row.tenant {
            let taken = of_tenant.entry(tenant).or_default();
            if *taken >= share {
                continue;
            }
            *taken += 1;
        }
        chosen.push(row);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, tenant: Option<TenantId>) -> OrderRow {
        OrderRow {
            name: name.into(),
            names: vec![name.into()],
            tenant,
            stage: "waiting".into(),
            data: "{}".into(),
            turn: 1,
            not_before: Timestamp(0),
            failures: 0,
            owner: None,
            lease: Timestamp(0),
            fence: 0,
            created: Timestamp(0),
            updated: Timestamp(0),
        }
    }

    #[test]
    fn what_there_is_no_budget_for_is_left_alone() {
        let renewal =
            OrderRow { data: "{\"stage\":\"waiting\",\"certificate\":\"c1\"}".into(), ..row("renewal.example", None) };
        let fresh =
            |n: usize| OrderRow { data: "{\"stage\":\"waiting\"}".into(), ..row(&format!("{n}.example"), None) };
        let due = vec![fresh(1), fresh(2), renewal, fresh(3)];
        let names = |budget| within_budget(due.clone(), budget).map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(names(0), ["renewal.example"]);
        assert_eq!(names(1), ["1.example", "renewal.example"]);
        assert_eq!(names(9).len(), 4);
    }

    #[test]
    fn nobody_takes_every_place_and_nothing_is_taken_twice() {
        let (big, small) = (TenantId::new(), TenantId::new());
        let mut found: Vec<_> = (0..20).map(|n| row(&format!("{n}.big.example"), Some(big))).collect();
        found.push(row("small.example", Some(small)));
        found.push(row("own.example", None));
        let chosen = choose(found.clone(), &HashMap::new(), 8, 8);
        let of = |tenant| chosen.iter().filter(|row| row.tenant == tenant).count();
        assert_eq!((of(Some(big)), of(Some(small)), of(None)), (6, 1, 1));
        let running = chosen.iter().map(|row| (row.name.clone(), row.tenant)).collect();
        assert!(choose(found.clone(), &running, 8, 8).is_empty(), "its share is under way");
        found.push(found[20].clone());
        assert_eq!(choose(found, &HashMap::new(), 100, 100).len(), 22);
    }
}
