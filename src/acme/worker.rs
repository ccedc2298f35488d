//! Takes orders in the order of their turns, as many at once as is configured, and sees each through from stage to stage.
//! Of any number of nodes exactly one works on an order: it has the lease, and whoever had it before can write no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{error, warn};

use super::Acme;
use super::ca::CaOrder;
use super::order::{Event, Order, Stage};
use super::record::Recorded;
use crate::clock::Timestamp;
use crate::model::TenantId;
use crate::store::{BEFORE_ALL, OrderRow, StoreError, WAITING};

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
    /// Taken up where somebody else, or this process before, has left it.
    pub resumed: bool,
    /// Held until it has taken its budget: it counts against those that may come from the queue.
    pub in_line: Option<Arc<()>>,
}

/// What is under way here.
#[derive(Default)]
struct Running {
    tasks: JoinSet<String>,
    orders: HashMap<String, Option<TenantId>>,
    /// Shared by each that has come from the queue and has not taken its budget yet.
    line: Arc<()>,
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
        let mut queue = store.due_orders(now, room.saturating_mul(READ_AHEAD)).await?;
        if queue.iter().any(is_in_line) {
            let in_line = Arc::strong_count(&running.line) - 1;
            let mut budget = (self.0.authorities.room().await? as usize).saturating_sub(in_line);
            queue.retain(|row| !running.orders.contains_key(&row.name) && (!is_in_line(row) || take_one(&mut budget)));
        }
        found.extend(queue);
        let chosen = choose(found, &running.orders, most as usize, room as usize);
        for row in self.take(chosen).await? {
            running.orders.insert(row.name.clone(), row.tenant);
            let in_line = is_in_line(&row).then(|| Arc::clone(&running.line));
            running.tasks.spawn(self.clone().work(row, in_line));
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
    async fn work(self, row: OrderRow, in_line: Option<Arc<()>>) -> String {
        let name = row.name.clone();
        let fence = row.fence;
        let outcome = tokio::select! {
            outcome = self.advance(row, in_line) => outcome,
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

    async fn advance(&self, row: OrderRow, in_line: Option<Arc<()>>) -> Result<(), StoreError> {
        let mut order: Order = serde_json::from_str(&row.data)
            .map_err(|error| StoreError::Corrupt(format!("table orders, row {}, column data: {error}", row.name)))?;
        if row.stage == WAITING {
            // Whoever has put it back into the queue has said so in the column alone.
            order.stage = Stage::Waiting;
        }
        let resumed = !order.stage.rests();
        let mut held = Held { row, order, resumed, at_ca: None, answers: Vec::new(), revision: 0, in_line };
        let (mut event, mut with) = (Event::Resumed, Default::default());
        if !resumed {
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

/// Whether it waits for its turn at the budget. No more of those are taken than there is budget for, because whoever is
/// taken has the same chance at it, whatever its turn; and nobody's DNS is asked for an order that cannot be placed.
/// Renewals wait for nobody: most cost nothing, and each has to come back later than others when it is held.
fn is_in_line(row: &OrderRow) -> bool {
    row.stage == WAITING && row.turn > BEFORE_ALL
}

fn take_one(budget: &mut usize) -> bool {
    let left = budget.checked_sub(1);
    *budget = left.unwrap_or(0);
    left.is_some()
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
