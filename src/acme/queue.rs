//! The queue as people see it: where each order stands, and when it can be expected to be done.

use std::time::Duration;

use super::order::Order;
use crate::clock::Timestamp;
use crate::config::{Config, Rate};
use crate::store::{OrderRow, Store, StoreError};

/// An order as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub row: OrderRow,
    /// `None`: the row cannot be read (a newer program wrote it).
    pub order: Option<Order>,
    /// How many waiting orders go before it; `None` unless it waits and could be taken now.
    pub ahead: Option<i64>,
    /// When something will be done for it, as far as that can be told: its own back-off, the orders before it, and the rate
    /// at which the first authority takes orders.
    pub expected: Timestamp,
}

/// Finds an order's place.
pub async fn place(store: &Store, config: &Config, row: OrderRow, now: Timestamp) -> Result<Place, StoreError> {
    let order: Option<Order> = serde_json::from_str(&row.data).ok();
    let waits = row.stage == crate::store::WAITING && row.not_before <= now;
    let ahead = match waits {
        true => Some(store.orders_before(row.turn, now).await?),
        false => None,
    };
    let wait = match (ahead, config.acme.authorities.first()) {
        (Some(ahead), Some(authority)) => {
            let id = super::limiter::bucket_ids(&authority.name, &row.names).account;
            let bucket = store.bucket(&id).await?;
            let level = super::limiter::level(&bucket, authority.limits.orders, now);
            time_for(ahead + 1, level, authority.limits.orders)
        }
        _ => Duration::ZERO,
    };
    let expected = row.not_before.max(now) + wait;
    Ok(Place { row, order, ahead, expected })
}

/// How long the limits make `orders` of them take, when `level` may be placed at once.
fn time_for(orders: i64, level: u32, rate: Rate) -> Duration {
    let beyond = u32::try_from(orders.saturating_sub(i64::from(level)).max(0)).unwrap_or(u32::MAX);
    (rate.per / rate.number.max(1)).saturating_mul(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_budget_covers_takes_no_time() {
        let rate = Rate { number: 300, per: Duration::from_secs(3 * 3600) };
        assert_eq!(time_for(1, 300, rate), Duration::ZERO);
        assert_eq!(time_for(300, 300, rate), Duration::ZERO);
        assert_eq!(time_for(301, 300, rate), Duration::from_secs(36));
        assert_eq!(time_for(100, 0, rate), Duration::from_secs(3600));
    }
}
