//! The queue of orders as operators see it, and "now" for one of them. What an order goes through is the `acme` room's
//! affair; it leaves what went wrong last in the order's data, under `failure` and `failed_at`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Certificates;
use crate::clock::Timestamp;
use crate::model::{DomainName, HostClass, Rights};
use crate::store::{ISSUED, OrderRow, Page, WAITING, Write};
use crate::tenancy::{Actor, Done, Kind, TenancyError};

/// An order, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueuedOrder {
    pub row: OrderRow,
    /// What went wrong last, and when; `None` once it has gone right since.
    pub failure: Option<String>,
    pub failed_at: Option<Timestamp>,
    /// Its place among those that wait and whose time has come, from 1; `None` when it does not wait for its turn.
    pub position: Option<u64>,
}

impl Certificates {
    /// Orders by name as far as `rights` reach. `page.after` is a name.
    pub async fn queue(&self, rights: &Rights, page: &Page) -> Result<Vec<QueuedOrder>, TenancyError> {
        let rows = match rights.only() {
            None => self.store().orders(page).await?,
            Some(tenant) => self.store().orders_of(tenant, page).await?,
        };
        self.placed(rows).await
    }

    /// The order whose first name this is. To whom it does not belong there is none.
    pub async fn order(&self, rights: &Rights, name: &str) -> Result<QueuedOrder, TenancyError> {
        let row = self.store().order(&parse(name)?.to_string()).await?;
        let row = row.filter(|row| rights.only().is_none_or(|own| row.tenant == Some(own)));
        self.place(row.ok_or_else(|| no_order(name))?).await
    }

    /// The order for a domain, if a certificate is wanted for it.
    pub async fn optional_order(&self, name: &DomainName) -> Result<Option<QueuedOrder>, TenancyError> {
        match self.store().order(&name.to_string()).await? {
            Some(row) => Ok(Some(self.place(row).await?)),
            None => Ok(None),
        }
    }

    /// Has a certificate for a held domain ordered as soon as its turn comes, whatever it was waiting for: failures in
    /// a row are forgotten. The authorities' limits are kept all the same.
    pub async fn issue(&self, actor: &Actor, name: &str) -> Result<Done<QueuedOrder>, TenancyError> {
        let name = self.own_name(actor, name).await?;
        let mut write = self.store().write().await?;
        match write.order(&name.to_string()).await? {
            Some(order) if order.stage == ISSUED => {
                let detail = format!("{name} has its certificate; to have a new one before its time, renew it");
                return Err(TenancyError::conflict("", "already-issued", detail));
            }
            Some(order) => at_rest(&order)?,
            None => self.want(&mut write, &name).await?,
        }
        self.now_for(write, actor, &name, "certificate.issue").await
    }

    /// Has a certificate renewed as soon as its turn comes, long before its end as that may be.
    pub async fn renew(&self, actor: &Actor, name: &str) -> Result<Done<QueuedOrder>, TenancyError> {
        let name = self.own_name(actor, name).await?;
        let mut write = self.store().write().await?;
        let order = write.order(&name.to_string()).await?.ok_or_else(|| no_order(&name.to_string()))?;
        if order.stage == WAITING {
            let detail = format!("{name} has no certificate from an authority yet; have it issued instead");
            return Err(TenancyError::conflict("", "not-issued", detail));
        }
        at_rest(&order)?;
        self.now_for(write, actor, &name, "certificate.renew").await
    }

    /// A name whose certificate is the actor's to ask for.
    async fn own_name(&self, actor: &Actor, text: &str) -> Result<DomainName, TenancyError> {
        let name = parse(text)?;
        match self.reach(&actor.rights, &[name.to_string()]).await? {
            true => Ok(name),
            false => Err(no_order(text)),
        }
    }

    async fn now_for(
        &self,
        mut write: Write,
        actor: &Actor,
        name: &DomainName,
        action: &str,
    ) -> Result<Done<QueuedOrder>, TenancyError> {
        let (now, key) = (write.now(), name.to_string());
        let before = write.order(&key).await?.map(|row| shown(&row));
        write.requeue_order(&key, now).await?;
        let row = write.order(&key).await?.ok_or_else(|| no_order(&key))?;
        let entry = actor.entry(action, row.tenant, name, json!({}));
        let entry = entry.changed(before.unwrap_or_default(), shown(&row));
        let done = self.tenancy.finish(write, entry, ()).await?;
        let value = self.place(row).await?;
        Ok(Done { value, revision: done.revision, applied: done.applied })
    }

    /// An order that is missing, though the name is held.
    async fn want(&self, write: &mut Write, name: &DomainName) -> Result<(), TenancyError> {
        let own = self.tenancy.config().brand.classify(name.host()) != HostClass::Custom;
        let holder = write.claims(name).await?.into_iter().find(|claim| claim.state.is_held());
        let tenant = match (own, holder) {
            // What the operator's own hosts need is known from the configuration.
            (true, _) => return Err(no_order(&name.to_string())),
            (false, Some(domain)) => domain.tenant,
            (false, None) => {
                let detail =
                    format!("{name} is nobody's verified domain; a certificate is ordered once it is verified");
                return Err(TenancyError::conflict("", "not-held", detail));
            }
        };
        let now = write.now();
        write.want_order(&[name.to_string()], Some(tenant), now).await?;
        Ok(())
    }

    async fn place(&self, row: OrderRow) -> Result<QueuedOrder, TenancyError> {
        let name = row.name.clone();
        self.placed(vec![row]).await?.pop().ok_or_else(|| no_order(&name))
    }

    /// Each with its place: the queue is looked at once for all of them.
    async fn placed(&self, rows: Vec<OrderRow>) -> Result<Vec<QueuedOrder>, TenancyError> {
        let now = self.now();
        let waits = |row: &OrderRow| row.stage == WAITING && row.not_before <= now;
        let turns: BTreeSet<i64> = rows.iter().filter(|row| waits(row)).map(|row| row.turn).collect();
        let before = self.store().orders_before(&turns, now).await?;
        let queued = |row: OrderRow| {
            let position = before.get(&row.turn).filter(|_| waits(&row)).map(|before| before + 1);
            let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
            let failure = data["failure"].as_str().map(str::to_owned);
            let failed_at = data["failed_at"].as_str().and_then(Timestamp::parse);
            let failed_at = failed_at.or_else(|| data["failed_at"].as_i64().map(Timestamp));
            QueuedOrder { row, failure, failed_at, position }
        };
        Ok(rows.into_iter().map(queued).collect())
    }
}

/// What somebody decides about of an order, for the ledger.
fn shown(order: &OrderRow) -> serde_json::Value {
    json!({ "stage": order.stage, "not_before": order.not_before, "failures": order.failures })
}

fn at_rest(order: &OrderRow) -> Result<(), TenancyError> {
    if [WAITING, ISSUED].contains(&order.stage.as_str()) {
        return Ok(());
    }
    let detail = format!("the order for {} is under way already: {}", order.name, order.stage);
    Err(TenancyError::conflict("", "order-under-way", detail))
}

fn parse(name: &str) -> Result<DomainName, TenancyError> {
    DomainName::parse(name).map_err(|_| no_order(name))
}

fn no_order(name: &str) -> TenancyError {
    TenancyError::NotFound(Kind::Order, name.to_owned())
}
