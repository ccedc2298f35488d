//! Certificate orders: one row for each certificate that is wanted, with its place in the queue, its stage, and the lease
//! of whoever works on it. What a stage means is the `acme` room's affair.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::AnyRow;
use sqlx::query;
use zeroize::Zeroizing;

use super::connect::Statement;
use super::keyset::{Key, statement};
use super::row::{Row, storable, to_json};
use super::{Aside, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Hostname, TenantId};

/// The stage of an order that waits for its turn.
pub const WAITING: &str = "waiting";
/// The stage of an order whose certificate is there; `not_before` says when it is to be renewed.
pub const ISSUED: &str = "issued";

/// The turn of a renewal: what is served already must not end because others are waiting.
pub const BEFORE_ALL: i64 = 0;

/// Turns that one statement asks for.
const AT_ONCE: usize = 100;

/// A certificate that is wanted, and how far it has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRow {
    /// The first of `names`, and the row's key.
    pub name: String,
    pub names: Vec<String>,
    /// Whose turn it takes; `None`: the installation's own.
    pub tenant: Option<TenantId>,
    /// [`WAITING`], [`ISSUED`], or a word for what is under way.
    pub stage: String,
    /// The stage in full: JSON that the `acme` room owns.
    pub data: String,
    pub turn: i64,
    pub not_before: Timestamp,
    /// In a row.
    pub failures: i64,
    /// Who works on it, for as long as `lease` lasts.
    pub owner: Option<String>,
    pub lease: Timestamp,
    /// Grows each time that somebody takes it: whoever has an older number can write no more.
    pub fence: i64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// How many orders are in each stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageCount {
    pub stage: String,
    pub count: i64,
}

macro_rules! select {
    ($($rest:expr),+) => {
        concat!(
            "SELECT name, names, tenant, stage, data, turn, not_before, failures, owner, lease, fence, created, updated \
             FROM orders ",
            $($rest),+
        )
    };
}

impl Store {
    pub async fn order(&self, name: &str) -> Result<Option<OrderRow>, StoreError> {
        let statement = query(select!("WHERE name = $1")).bind(storable(name).into_owned());
        self.one(statement).await?.as_ref().map(order_of).transpose()
    }

    /// Orders by name. `page.after` is a name.
    pub async fn orders(&self, page: &Page) -> Result<Vec<OrderRow>, StoreError> {
        let after = page.after.as_deref().map(storable).unwrap_or_default().into_owned();
        let statement = query(select!("WHERE name > $1 ORDER BY name LIMIT $2"));
        self.all(statement.bind(after).bind(page.limit())).await?.iter().map(order_of).collect()
    }

    /// A tenant's orders by name. `page.after` is a name.
    pub async fn orders_of(&self, tenant: TenantId, page: &Page) -> Result<Vec<OrderRow>, StoreError> {
        let after = page.after.as_deref().map(storable).unwrap_or_default().into_owned();
        let statement = query(select!("WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3"));
        let statement = statement.bind(tenant.to_string()).bind(after).bind(page.limit());
        self.all(statement).await?.iter().map(order_of).collect()
    }

    /// Waiting orders whose time has come and that nobody works on, in the order of their turns.
    pub async fn due_orders(&self, now: Timestamp, limit: u32) -> Result<Vec<OrderRow>, StoreError> {
        let statement =
            query(select!("WHERE stage = 'waiting' AND not_before <= $1 AND lease <= $1 ORDER BY turn, name LIMIT $2"));
        self.all(statement.bind(now.millis()).bind(i64::from(limit))).await?.iter().map(order_of).collect()
    }

    /// Orders under way whose worker has let its lease end: it was killed, or cannot reach the store.
    pub async fn abandoned_orders(&self, now: Timestamp, limit: u32) -> Result<Vec<OrderRow>, StoreError> {
        let statement = query(select!(
            "WHERE stage NOT IN ('waiting', 'issued') AND lease <= $1 AND not_before <= $1 ORDER BY turn, name LIMIT $2"
        ));
        self.all(statement.bind(now.millis()).bind(i64::from(limit))).await?.iter().map(order_of).collect()
    }

    /// Issued orders whose renewal is due, the longest due first.
    pub async fn due_renewals(&self, now: Timestamp, limit: u32) -> Result<Vec<OrderRow>, StoreError> {
        let statement = query(select!("WHERE stage = 'issued' AND not_before <= $1 ORDER BY not_before LIMIT $2"));
        self.all(statement.bind(now.millis()).bind(i64::from(limit))).await?.iter().map(order_of).collect()
    }

    /// How many waiting orders whose time has come go before each of these turns. Their index is gone through once, up to
    /// the last of the turns, however many they are; at most [`Page::MOST`].
    pub async fn orders_before(&self, turns: &BTreeSet<i64>, now: Timestamp) -> Result<BTreeMap<i64, u64>, StoreError> {
        let turns: Vec<i64> = turns.iter().copied().take(Page::MOST as usize).collect();
        let mut before = BTreeMap::new();
        let (mut from, mut sum) = (i64::MIN, 0);
        for some in turns.chunks(AT_ONCE) {
            let mut values = vec![Key::Int(now.millis()), Key::Int(from)];
            let part = |turn: &i64| {
                values.push(Key::Int(*turn));
                let n = values.len();
                format!(
                    "SELECT {n} AS place, COUNT(*) AS number FROM orders \
                     WHERE stage = 'waiting' AND not_before <= $1 AND turn >= ${} AND turn < ${n}",
                    n - 1
                )
            };
            let parts: Vec<String> = some.iter().map(part).collect();
            let sql = format!("{} ORDER BY place", parts.join(" UNION ALL "));
            for (turn, row) in some.iter().zip(&self.all(statement(sql, values).persistent(some.len() == 1)).await?) {
                sum += Row::new(row, "orders", "place").int("number")?.unsigned_abs();
                before.insert(*turn, sum);
            }
            from = some.last().copied().unwrap_or(from);
        }
        Ok(before)
    }

    /// Whether a certificate for this host, or for the wildcard above it, can be expected any moment: its order is under way,
    /// or has never failed and is due.
    pub async fn issuing(&self, host: &Hostname) -> Result<bool, StoreError> {
        let wildcard = host.as_str().split_once('.').map(|(_, above)| format!("*.{above}")).unwrap_or_default();
        let sql = "SELECT name FROM orders WHERE name IN ($1, $2) AND (stage NOT IN ('waiting', 'issued') AND not_before <= $3 \
                   OR (stage = 'waiting' AND failures = 0 AND not_before <= $3)) LIMIT 1";
        let statement = query(sql).bind(host.as_str()).bind(wildcard).bind(self.0.clock.now().millis());
        Ok(self.one(statement).await?.is_some())
    }

    pub async fn order_counts(&self) -> Result<Vec<StageCount>, StoreError> {
        let sql = "SELECT stage, COUNT(*) AS count FROM orders GROUP BY stage ORDER BY stage";
        let rows = self.all(query(sql)).await?;
        let count = |row: &AnyRow| {
            let row = Row::new(row, "orders", "stage");
            Ok(StageCount { stage: row.text("stage")?.to_owned(), count: row.int("count")? })
        };
        rows.iter().map(count).collect()
    }

    /// The private key of an order that has asked for its certificate.
    pub async fn order_key(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sql = "SELECT name, sealed_key FROM orders WHERE name = $1 AND sealed_key IS NOT NULL";
        let Some(row) = self.one(query(sql).bind(storable(name).into_owned())).await? else { return Ok(None) };
        let sealed = Row::new(&row, "orders", "name").bytes("sealed_key")?.to_vec();
        Ok(Some(self.0.sealer.open(&purpose(name), &sealed)?))
    }
}

impl Aside {
    /// Wants a certificate for these names from now on: a new row, waiting, at the end of its tenant's turns. Changes
    /// nothing when there is one for the first of them already; says whether there was none.
    pub async fn want_order(
        &mut self,
        names: &[String],
        tenant: Option<TenantId>,
        not_before: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(name) = names.first() else { return Ok(false) };
        let now = self.now().millis();
        let sql = "INSERT INTO orders \
             (name, names, tenant, stage, data, turn, not_before, failures, lease, fence, created, updated) \
             VALUES ($1, $2, $3, 'waiting', '{\"stage\":\"waiting\"}', 0, $4, 0, 0, 0, $5, $5) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(name.as_str())
            .bind(to_json(&names)?)
            .bind(tenant.map(|tenant| tenant.to_string()))
            .bind(not_before.millis())
            .bind(now);
        if self.execute(statement).await? == 0 {
            return Ok(false);
        }
        let turn = self.next_turn(tenant).await?;
        self.execute(query("UPDATE orders SET turn = $2 WHERE name = $1").bind(name.as_str()).bind(turn)).await?;
        Ok(true)
    }

    /// Wants it no more: the row goes, with whatever is under way. False when there was none.
    pub async fn drop_order(&mut self, name: &str) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM orders WHERE name = $1").bind(storable(name).into_owned());
        Ok(self.execute(statement).await? > 0)
    }

    /// The turn of a tenant's next order: start-time fair queueing (Goyal, Vin & Cheng, SIGCOMM 1996) with each order
    /// of the same weight. It comes right behind the tenant's own last one, and never before the one that is first
    /// in the queue now; so a tenant's first order waits for one of each other tenant's, however many they have.
    pub async fn next_turn(&mut self, tenant: Option<TenantId>) -> Result<i64, StoreError> {
        let sql = "SELECT \
             (SELECT MIN(turn) FROM orders WHERE stage = 'waiting' AND not_before <= $1 AND turn > 0) AS front, \
             (SELECT MAX(turn) FROM orders WHERE stage = 'waiting' AND tenant = $2) AS own";
        let owner = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
        let row = self.one(query(sql).bind(self.now().millis()).bind(owner)).await?;
        let Some(row) = row else { return Ok(1) };
        let row = Row::new(&row, "orders", "front");
        let front = row.optional_int("front")?.unwrap_or(0);
        let own = row.optional_int("own")?.unwrap_or(0);
        Ok(front.max(own) + 1)
    }

    /// Takes an order for oneself until `lease`: the new fence, or `None` when somebody else has it, or it has changed
    /// hands since `fence` was read.
    pub async fn take_order(
        &mut self,
        name: &str,
        fence: i64,
        owner: &str,
        lease: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "UPDATE orders SET owner = $3, lease = $4, fence = fence + 1 \
                   WHERE name = $1 AND fence = $2 AND lease <= $5 RETURNING name, fence";
        let statement = query(sql)
            .bind(storable(name).into_owned())
            .bind(fence)
            .bind(owner)
            .bind(lease.millis())
            .bind(self.now().millis());
        let row = self.one(statement).await?;
        row.map(|row| Row::new(&row, "orders", "name").int("fence")).transpose()
    }

    /// Puts down how far it has come (stage, data, turn, not_before, failures, owner, lease), if `row.fence` is still the
    /// newest: false says that somebody else has taken it, or that it is wanted no more, and nothing was written.
    pub async fn save_order(&mut self, row: &OrderRow) -> Result<bool, StoreError> {
        let sql = "UPDATE orders SET stage = $3, data = $4, turn = $5, not_before = $6, failures = $7, owner = $8, \
                   lease = $9, updated = $10 WHERE name = $1 AND fence = $2";
        let statement = query(sql)
            .bind(storable(&row.name).into_owned())
            .bind(row.fence)
            .bind(row.stage.as_str())
            .bind(storable(&row.data).into_owned())
            .bind(row.turn)
            .bind(row.not_before.millis())
            .bind(row.failures)
            .bind(row.owner.as_deref())
            .bind(row.lease.millis())
            .bind(self.now().millis());
        Ok(self.execute(statement).await? > 0)
    }

    /// Keeps an order for longer. False: it is somebody else's now.
    pub async fn extend_order(&mut self, name: &str, fence: i64, lease: Timestamp) -> Result<bool, StoreError> {
        let statement = query("UPDATE orders SET lease = $3 WHERE name = $1 AND fence = $2");
        let statement = statement.bind(storable(name).into_owned()).bind(fence).bind(lease.millis());
        Ok(self.execute(statement).await? > 0)
    }

    /// Gives up every order that `owner` has: it works on them no more.
    pub async fn release_orders(&mut self, owner: &str) -> Result<u64, StoreError> {
        self.execute(query("UPDATE orders SET lease = 0, owner = NULL WHERE owner = $1").bind(owner)).await
    }

    /// Nothing is done on this order before `not_before`, unless it is under way: for an operator's "now", and for a
    /// certificate that somebody has brought. False when there is no such order at rest.
    pub async fn reschedule_order(&mut self, name: &str, not_before: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE orders SET not_before = $2, failures = 0, updated = $3 \
                   WHERE name = $1 AND stage IN ('waiting', 'issued')";
        let statement = query(sql).bind(storable(name).into_owned()).bind(not_before.millis());
        Ok(self.execute(statement.bind(self.now().millis())).await? > 0)
    }

    /// Puts an order at rest, issued or not, at the end of its tenant's turns, to be worked on at `not_before`: whatever its
    /// data say, it waits from now on. False when there is no such order at rest.
    ///
    /// Whoever has the order at rest in hand at that moment, to ask when it is to be renewed, say, has it no more: what they
    /// would put down would undo this.
    pub async fn requeue_order(&mut self, name: &str, not_before: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE orders SET stage = 'waiting', not_before = $2, failures = 0, updated = $3, \
                   fence = fence + 1, lease = 0, owner = NULL WHERE name = $1 AND stage IN ('waiting', 'issued')";
        let statement = query(sql).bind(storable(name).into_owned()).bind(not_before.millis());
        if self.execute(statement.bind(self.now().millis())).await? == 0 {
            return Ok(false);
        }
        let tenant = self.order(name).await?.and_then(|order| order.tenant);
        let turn = self.next_turn(tenant).await?;
        let statement = query("UPDATE orders SET turn = $2 WHERE name = $1");
        self.execute(statement.bind(storable(name).into_owned()).bind(turn)).await.map(|_| true)
    }

    /// Keeps (or, with `None`, forgets) the private key of an order under way, sealed; under the same fence as
    /// [`Aside::save_order`].
    pub async fn set_order_key(&mut self, name: &str, fence: i64, key: Option<&[u8]>) -> Result<bool, StoreError> {
        let sealed = key.map(|key| self.store().0.sealer.seal(&purpose(name), key)).transpose()?;
        let statement = query("UPDATE orders SET sealed_key = $3 WHERE name = $1 AND fence = $2");
        Ok(self.execute(statement.bind(storable(name).into_owned()).bind(fence).bind(sealed)).await? > 0)
    }

    /// The row as it is inside this transaction.
    pub async fn order(&mut self, name: &str) -> Result<Option<OrderRow>, StoreError> {
        let statement: Statement<'_> = query(select!("WHERE name = $1")).bind(storable(name).into_owned());
        self.one(statement).await?.as_ref().map(order_of).transpose()
    }
}

impl Write {
    /// Wants nothing more for a tenant's names.
    pub(super) async fn delete_orders_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM orders WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

fn order_of(row: &AnyRow) -> Result<OrderRow, StoreError> {
    let row = Row::new(row, "orders", "name");
    Ok(OrderRow {
        name: row.text("name")?.to_owned(),
        names: row.json("names")?,
        tenant: row.optional("tenant", "tenant id", TenantId::parse)?,
        stage: row.text("stage")?.to_owned(),
        data: row.text("data")?.to_owned(),
        turn: row.int("turn")?,
        not_before: row.time("not_before")?,
        failures: row.int("failures")?,
        owner: row.optional_text("owner")?.map(str::to_owned),
        lease: row.time("lease")?,
        fence: row.int("fence")?,
        created: row.time("created")?,
        updated: row.time("updated")?,
    })
}

fn purpose(name: &str) -> String {
    format!("orders/{name}")
}
