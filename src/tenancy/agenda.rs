//! What time does to a tenant, as data: when which occasion comes. Pure; who carries it out is elsewhere.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config;
use crate::model::{Status, Tenant};

/// Something that time brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// The trial ends soon.
    TrialEnding,
    /// The trial is over. The tenant stays as it is unless the configuration suspends it.
    TrialEnded,
    /// It has been cancelled long enough.
    Archive,
    /// It is purged soon.
    PurgeNear,
    /// It has been archived long enough.
    Purge,
    /// Its domains redirect to its slug host soon, because its plan does not cover them.
    DomainsEnding,
    /// They do so from now on.
    DomainsEnded,
    /// A change of plan that has waited is to be made. Unlike a notice, it is due until it is made.
    PlanChange,
}

impl Occasion {
    /// The event that tells of it.
    pub fn event(self) -> &'static str {
        match self {
            Self::TrialEnding => "tenant.trial-ending",
            Self::TrialEnded => "tenant.trial-ended",
            Self::Archive => "tenant.archived",
            Self::PurgeNear => "tenant.purge-near",
            Self::Purge => "tenant.deleted",
            Self::DomainsEnding => "tenant.domains-ending",
            Self::DomainsEnded => "tenant.domains-ended",
            Self::PlanChange => "tenant.plan-changed",
        }
    }

    /// Whether it is there for as long as nobody has done it. The others come once.
    fn stays(self) -> bool {
        self == Self::PlanChange
    }
}

const DAY: Duration = Duration::from_secs(86_400);
/// A change of plan that could not be made is tried again after so long.
pub(super) const REPLAN: Duration = Duration::from_secs(3600);
/// How long before it is purged the last warning comes.
pub(super) const PURGE_NOTICE: Duration = Duration::from_secs(7 * 86_400);
/// How long before its domains redirect a tenant is reminded.
const REMINDERS: [Duration; 2] = [Duration::from_secs(7 * 86_400), DAY];

/// Every occasion that is set for a tenant, past and to come, in order.
pub fn agenda(tenant: &Tenant, config: &config::Tenancy) -> Vec<(Timestamp, Occasion)> {
    let mut all = Vec::new();
    let life = &tenant.life;
    match (tenant.status, tenant.trial_ends, life.phase_ends) {
        (Status::Trial, Some(end), _) => {
            all.push((end - config.trial_notice, Occasion::TrialEnding));
            all.push((end, Occasion::TrialEnded));
        }
        (Status::Cancelled, _, Some(end)) => all.push((end, Occasion::Archive)),
        (Status::Archived, _, Some(end)) => {
            all.push((end - PURGE_NOTICE, Occasion::PurgeNear));
            all.push((end, Occasion::Purge));
        }
        _ => {}
    }
    let gone = matches!(tenant.status, Status::Cancelled | Status::Archived);
    if let Some(end) = life.domains_until.filter(|_| !gone) {
        all.extend(REMINDERS.map(|before| (end - before, Occasion::DomainsEnding)));
        all.push((end, Occasion::DomainsEnded));
    }
    if let Some(next) = tenant.subscription.next.as_ref().filter(|_| !gone) {
        all.push((next.at, Occasion::PlanChange));
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// What is to be done at `now`: every occasion since the tenant was due, and whatever is not done yet.
pub fn at_hand(tenant: &Tenant, config: &config::Tenancy, now: Timestamp) -> Vec<Occasion> {
    let Some(due) = tenant.life.due.filter(|due| *due <= now) else { return Vec::new() };
    let within = |(at, what): &(Timestamp, Occasion)| (*at >= due || what.stays()) && *at <= now;
    agenda(tenant, config).into_iter().filter(within).map(|(_, occasion)| occasion).collect()
}

/// When a tenant that was changed at `now` is due: at its next occasion, or at one that has come and nobody has seen to. What
/// was tried in vain is tried again when it would have been, whatever else changes.
pub fn due(tenant: &Tenant, config: &config::Tenancy, now: Timestamp) -> Option<Timestamp> {
    let missed = tenant.life.due.filter(|due| *due <= now);
    let again = tenant.life.due.filter(|due| (now..=now + REPLAN).contains(due));
    let to_do = |(at, what): &(Timestamp, Occasion)| what.stays() || missed.map_or(*at > now, |missed| *at >= missed);
    let when = |(at, what): (Timestamp, Occasion)| again.filter(|_| what.stays() && at <= now).unwrap_or(at);
    agenda(tenant, config).into_iter().filter(to_do).map(when).min()
}

/// When a tenant whose occasions up to `now` have been seen to is due.
pub fn next_due(tenant: &Tenant, config: &config::Tenancy, now: Timestamp) -> Option<Timestamp> {
    agenda(tenant, config).into_iter().map(|(at, _)| at).find(|at| *at > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Life, PlanChange, Slug};

    fn days(days: u64) -> Timestamp {
        Timestamp(0) + Duration::from_secs(days * 86_400)
    }

    fn config() -> config::Tenancy {
        config::Tenancy {
            operator: None,
            trial_days: 14,
            trial_notice: 3 * DAY,
            cancelled_for: 90 * DAY,
            archived_for: 90 * DAY,
            feature_grace: 30 * DAY,
            suspend_expired_trials: false,
            session_cookie: None,
            hsts: None,
        }
    }

    fn tenant(status: Status, trial_ends: Option<u64>, life: Life) -> Tenant {
        Tenant {
            status,
            trial_ends: trial_ends.map(days),
            life,
            ..Tenant::new(Slug::parse("acme").unwrap(), Timestamp(0))
        }
    }

    #[test]
    fn every_status_has_its_occasions() {
        use Occasion::{Archive, DomainsEnded, DomainsEnding, Purge, PurgeNear, TrialEnded, TrialEnding};
        let ends = |day| Life { phase_ends: Some(days(day)), ..Life::default() };
        let domains = |day| Life { domains_until: Some(days(day)), ..Life::default() };
        for (status, trial, life, expected) in [
            (Status::Pending, None, Life::default(), vec![]),
            (Status::Active, Some(14), Life::default(), vec![]),
            (Status::Trial, Some(14), Life::default(), vec![(11, TrialEnding), (14, TrialEnded)]),
            (Status::Suspended, Some(14), Life::default(), vec![]),
            (Status::Cancelled, Some(14), ends(90), vec![(90, Archive)]),
            (Status::Archived, None, ends(180), vec![(173, PurgeNear), (180, Purge)]),
            (Status::Active, None, domains(30), vec![(23, DomainsEnding), (29, DomainsEnding), (30, DomainsEnded)]),
            (Status::Cancelled, None, Life { domains_until: Some(days(9)), ..ends(90) }, vec![(90, Archive)]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(day, occasion)| (days(day), occasion)).collect();
            assert_eq!(agenda(&tenant(status, trial, life), &config()), expected, "{status}");
        }
    }

    #[test]
    fn nothing_that_has_come_is_lost_when_a_tenant_changes_before_anybody_saw_to_it() {
        let mut tenant = tenant(Status::Trial, Some(14), Life::default());
        tenant.life.due = due(&tenant, &config(), days(0));
        assert_eq!(tenant.life.due, Some(days(11)));
        // The worker rests for a while; somebody renames the tenant.
        tenant.life.due = due(&tenant, &config(), days(12));
        assert_eq!(tenant.life.due, Some(days(11)));
        assert_eq!(at_hand(&tenant, &config(), days(12)), [Occasion::TrialEnding]);
        assert_eq!(at_hand(&tenant, &config(), days(15)), [Occasion::TrialEnding, Occasion::TrialEnded]);
        tenant.life.due = next_due(&tenant, &config(), days(12));
        assert_eq!((tenant.life.due, at_hand(&tenant, &config(), days(12)).len()), (Some(days(14)), 0));
        // Extended: what is past is past.
        tenant.trial_ends = Some(days(30));
        tenant.life.due = due(&tenant, &config(), days(15));
        assert_eq!(tenant.life.due, Some(days(27)));
        assert_eq!(next_due(&tenant, &config(), days(30)), None);
    }

    #[test]
    fn a_change_of_plan_is_due_until_it_is_made_and_rests_while_its_tenant_is_gone() {
        let mut tenant = tenant(Status::Trial, Some(14), Life::default());
        tenant.subscription.next = Some(PlanChange { plan: None, at: days(12) });
        tenant.life.due = due(&tenant, &config(), days(0));
        assert_eq!(tenant.life.due, Some(days(11)));
        assert_eq!(at_hand(&tenant, &config(), days(12)), [Occasion::TrialEnding, Occasion::PlanChange]);
        // It could not be made, and is tried again: the notice does not come twice.
        tenant.life.due = Some(days(13));
        assert_eq!(at_hand(&tenant, &config(), days(12)), []);
        assert_eq!(at_hand(&tenant, &config(), days(13)), [Occasion::PlanChange]);
        // Somebody renames the tenant meanwhile.
        let soon = days(12) + REPLAN;
        tenant.life.due = Some(soon);
        assert_eq!(due(&tenant, &config(), days(12)), Some(soon));
        assert_eq!(due(&tenant, &config(), soon + DAY), Some(days(12)), "nobody has tried it again");
        tenant.status = Status::Cancelled;
        tenant.life = Life { phase_ends: Some(days(102)), ..Life::default() };
        tenant.life.due = due(&tenant, &config(), days(12));
        assert_eq!((tenant.life.due, at_hand(&tenant, &config(), days(101)).len()), (Some(days(102)), 0));
        // Back again, long after its time.
        tenant.status = Status::Active;
        tenant.life.phase_ends = None;
        tenant.life.due = due(&tenant, &config(), days(50));
        assert_eq!(tenant.life.due, Some(days(12)));
        assert_eq!(at_hand(&tenant, &config(), days(50)), [Occasion::PlanChange]);
    }
}
