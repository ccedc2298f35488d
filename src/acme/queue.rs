//! When an order can be expected to be worked on, as far as that can be told.

use std::time::Duration;

use super::authorities::Choice;
use super::{Acme, limiter};
use crate::clock::Timestamp;
use crate::config::Rate;
use crate::store::{OrderRow, StoreError};

/// What the authorities have room for now.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    now: Timestamp,
    /// Until when all of them are to be left alone.
    asked: Timestamp,
    /// Orders that the first of them takes at once, and the rate at which it takes more.
    first: Option<(u32, Rate)>,
}

impl Acme {
    pub async fn outlook(&self) -> Result<Outlook, StoreError> {
        let now = self.0.clock.now();
        let config = self.0.config.load_full();
        let first = match config.acme.authorities.first() {
            Some(authority) => {
                let id = limiter::bucket_ids(&authority.name, &[]).account;
                let rate = authority.limits.orders;
                Some((limiter::level(&self.0.store.bucket(&id).await?, rate, now), rate))
            }
            None => None,
        };
        let asked = match self.0.authorities.choose().await? {
            Choice::Wait { until, .. } => until,
            Choice::Use(_) => now,
        };
        Ok(Outlook { now, asked, first })
    }
}

impl Outlook {
    /// When something will be done for this order: its own back-off, the orders before it (`position`, from 1, when it waits
    /// for its turn), the rate at which the first authority takes orders, and how long all of them are to be left alone.
    pub fn expected(&self, row: &OrderRow, position: Option<u64>) -> Timestamp {
        let earliest = row.not_before.max(self.now);
        let Some(position) = position else { return earliest };
        let wait = self.first.map_or(Duration::ZERO, |(level, rate)| time_for(position, level, rate));
        earliest.max(self.asked) + wait
    }
}

/// How long the limits make `orders` of them take, when `level` may be placed at once.
fn time_for(orders: u64, level: u32, rate: Rate) -> Duration {
    let beyond = u32::try_from(orders.saturating_sub(u64::from(level))).unwrap_or(u32::MAX);
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
