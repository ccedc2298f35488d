//! The sessions that were ended before their time: a bounded list, read when a process starts and kept current by the
//! change feed. A signed cookie is good unless its session is here.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::follower::Subscriber;
use super::source::Source;
use crate::clock::{Clock, Timestamp};
use crate::model::{Change, SessionId};
use crate::store::StoreError;

/// Sessions at the edge that are over.
pub struct EndedSessions {
    list: RwLock<List>,
    most: usize,
    clock: Clock,
}

#[derive(Default)]
struct List {
    /// With the time at which a cookie of that session ends by itself, or later.
    until: HashMap<SessionId, Timestamp>,
    /// What had to be left out: sessions that end up to then may be over, and so count as over.
    floor: Timestamp,
}

impl EndedSessions {
    /// The most that are remembered, about 40 bytes each.
    pub const MOST: usize = 250_000;
    /// No session lasts longer than this: `admin.session_absolute` allows no more.
    pub const LONGEST: Duration = Duration::from_secs(7 * 86_400);

    pub fn new(most: usize, clock: Clock) -> Self {
        Self { list: RwLock::default(), most, clock }
    }

    /// Whether a session whose cookie expires at `expires` was ended. In doubt it was: its owner picks their tenant again.
    pub fn contains(&self, session: SessionId, expires: Timestamp) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.until.contains_key(&session) || expires <= list.floor
    }

    /// Whether what ends at `expires` has ended by itself.
    pub fn expired(&self, expires: Timestamp) -> bool {
        expires <= self.clock.now()
    }

    /// Reads the list from the store. What was heard of meanwhile stays.
    pub async fn load(&self, source: &dyn Source) -> Result<(), StoreError> {
        let now = self.clock.now();
        let ended = source.ended_sessions(now, self.most + 1).await?;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.until.retain(|_, until| *until > now);
        list.until.extend(ended);
        list.floor = Timestamp::default();
        self.bound(&mut list);
        Ok(())
    }

    fn add(&self, session: SessionId) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let until = self.clock.now() + Self::LONGEST;
        list.until.entry(session).or_insert(until);
        self.bound(&mut list);
    }

    /// Leaves out those that end soonest, a tenth at a time, and remembers how long the last of them lasts.
    fn bound(&self, list: &mut List) {
        if list.until.len() <= self.most {
            return;
        }
        let now = self.clock.now();
        list.until.retain(|_, until| *until > now);
        let Some(excess) = list.until.len().checked_sub(self.most).filter(|excess| *excess > 0) else { return };
        let mut ends: Vec<Timestamp> = list.until.values().copied().collect();
        let last = (excess + self.most / 10).min(ends.len()) - 1;
        let (_, floor, _) = ends.select_nth_unstable(last);
        list.floor = list.floor.max(*floor);
        list.until.retain(|_, until| *until > list.floor);
        tracing::warn!(kept = list.until.len(), "sessions.too_many_ended: older ones count as ended");
    }
}

impl Subscriber for EndedSessions {
    fn apply(&self, change: &Change) {
        if let Change::Session(session) = change {
            self.add(*session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_counts_as_ended() {
        let clock = Clock::manual(Timestamp(1_000));
        let ended = EndedSessions::new(10, clock.clone());
        let hour = Duration::from_secs(3600);
        let (now, other) = (clock.now(), SessionId::new());
        let ids: Vec<SessionId> = (0..10).map(|_| SessionId::new()).collect();
        for id in &ids {
            ended.apply(&Change::Session(*id));
            clock.advance(Duration::from_secs(1));
        }
        assert!(ids.iter().all(|id| ended.contains(*id, now + hour)) && !ended.contains(other, now + hour));
        ended.apply(&Change::Session(SessionId::new()));
        assert!(ids.iter().all(|id| ended.contains(*id, now + hour)), "nobody comes back to life");
        assert!(ended.contains(other, now + hour), "in doubt");
        assert!(!ended.contains(other, now + EndedSessions::LONGEST + hour));
    }

    #[test]
    fn what_has_expired_by_itself_makes_room() {
        let clock = Clock::manual(Timestamp(1_000));
        let ended = EndedSessions::new(2, clock.clone());
        for _ in 0..20 {
            ended.apply(&Change::Session(SessionId::new()));
            clock.advance(EndedSessions::LONGEST);
        }
        assert!(!ended.contains(SessionId::new(), clock.now() + Duration::from_secs(1)));
    }
}
