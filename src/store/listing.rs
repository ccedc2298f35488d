//! Lists of tenants: filtered, ordered, a page at a time. Each page is read off an index, from where the page before
//! ended: by the order alone, by status and plan, by parent, or of those that are listed. What else is asked for is looked
//! at row by row, and a page ends early when that takes too many of them, so that no list ever takes longer than it should.
//! Nothing here writes.

use super::connect::Lease;
use super::keyset::{Key, LAST, Order, Stretch, of_cursor, statement};
use super::paged::{Condition, Found, List};
use super::tenants::{COLUMNS, tenant_of};
use super::{Page, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{PlanName, Status, Tenant, TenantId};

/// Which tenants are listed. What is `None` is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantFilter {
    /// This one alone, if the rest fits too: for whoever may see no other.
    pub only: Option<TenantId>,
    pub status: Option<Status>,
    /// The tenant's own plan.
    pub plan: Option<PlanName>,
    pub parent: Option<TenantId>,
    /// Whether they are listed publicly.
    pub listed: Option<bool>,
    /// Slugs that begin like this.
    pub prefix: Option<String>,
    pub created: Span,
    pub updated: Span,
    /// When the trial ends. Asked for, only trials are listed.
    pub trial_ends: Span,
}

/// From a time on, until before another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// What a list of tenants is ordered by. Equal ones are in the order of their slugs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TenantSort {
    #[default]
    Slug,
    /// By [`crate::model::search_key`].
    Name,
    Created,
    Updated,
    /// Lists trials only.
    TrialEnds,
}

impl Store {
    /// A page of tenants. `page.after` is [`Found::next`] of the page before, of the same order.
    pub async fn list_tenants(
        &self,
        filter: &TenantFilter,
        sort: TenantSort,
        descending: bool,
        page: &Page,
    ) -> Result<Found<Tenant>, StoreError> {
        let mut lease = self.reader().await?;
        if let Some(id) = filter.only {
            let (condition, values) = Condition::all(&filter.conditions(None), 2);
            let sql = format!("SELECT {COLUMNS} FROM tenants WHERE id = $1{condition}");
            let values = std::iter::once(Key::Text(id.to_string())).chain(values);
            let row = lease.one(statement(sql, values)).await?;
            return Ok(Found { rows: row.iter().map(tenant_of).collect::<Result<_, _>>()?, next: None });
        }
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &sort.kinds())).transpose()?;
        let list = List {
            table: "tenants",
            columns: COLUMNS,
            id: Some("id"),
            order: Order { columns: sort.columns(), descending },
            kinds: sort.kinds(),
            classes: filter.classes(&mut lease, sort).await?,
            rest: filter.conditions(Some(sort)),
        };
        let stretch = Stretch { after, ..filter.stretch(sort) };
        let (rows, next) = list.page(&mut lease, stretch, page.limit() as usize).await?;
        Ok(Found { rows: rows.iter().map(tenant_of).collect::<Result<_, _>>()?, next })
    }
}

impl TenantFilter {
    /// What is asked for beyond what the stretches of this order hold; `None`: everything, of whatever row. No index is
    /// entered by these expressions: that they are the few that are left is what keeps a page short.
    pub(super) fn conditions(&self, sort: Option<TenantSort>) -> Vec<Condition> {
        let by = |wanted: TenantSort| sort == Some(wanted);
        // As in `classes`: what is there comes first.
        let trials = by(TenantSort::TrialEnds);
        let parent = sort.is_some() && !trials && self.parent.is_some();
        let listed = sort.is_some() && !trials && !parent && self.listed == Some(true);
        let classes = sort.is_some() && !trials && !parent && !listed;
        let mut conditions = Vec::new();
        let mut text = |covered: bool, column: &str, value: Option<String>| {
            if let Some(value) = value.filter(|_| !covered) {
                conditions.push(Condition::new(format!("{column} || '' = {{}}"), [Key::Text(value)]));
            }
        };
        let status = trials && self.status == Some(Status::Trial);
        text(classes || status, "status", self.status.map(|status| status.to_string()));
        text(classes, "plan", self.plan.as_ref().map(PlanName::to_string));
        text(parent, "parent", self.parent.map(|parent| parent.to_string()));
        if let Some(wanted) = self.listed.filter(|_| !listed) {
            conditions.push(Condition::new("listed + 0 = {}", [Key::Int(i64::from(wanted))]));
        }
        if let Some(prefix) = self.prefix.as_ref().filter(|_| !by(TenantSort::Slug)) {
            let stretch = [Key::text(prefix), Key::text(&format!("{prefix}{LAST}"))];
            conditions.push(Condition::new("slug || '' >= {} AND slug || '' < {}", stretch));
        }
        let mut span = |covered: bool, column: &str, span: Span| {
            for (compared, at) in [(">=", span.from), ("<", span.until)] {
                if let Some(at) = at.filter(|_| !covered) {
                    conditions.push(Condition::new(format!("{column} + 0 {compared} {{}}"), [Key::Int(at.millis())]));
                }
            }
        };
        span(by(TenantSort::Created), "created", self.created);
        span(by(TenantSort::Updated), "updated", self.updated);
        span(trials, "trial_ends", self.trial_ends);
        if !trials && self.trial_ends != Span::default() {
            conditions.push(Condition::new("status || '' = 'trial'", []));
        }
        conditions
    }

    fn stretch(&self, sort: TenantSort) -> Stretch {
        let span = |span: &Span| {
            let end = |at: Option<Timestamp>, else_: i64| Key::Int(at.map_or(else_, Timestamp::millis));
            (end(span.from, i64::MIN), end(span.until, i64::MAX))
        };
        let (from, until) = match sort {
            TenantSort::Slug => {
                let prefix = self.prefix.clone().unwrap_or_default();
                (Key::text(&prefix), Key::text(&format!("{prefix}{LAST}")))
            }
            TenantSort::Name => (Key::text(""), Key::text(LAST)),
            TenantSort::Created => span(&self.created),
            TenantSort::Updated => span(&self.updated),
            TenantSort::TrialEnds => span(&self.trial_ends),
        };
        Stretch { from, until, after: None, last: None }
    }

    /// The stretches of an index that hold what is asked for, and as little else as there is an index for.
    async fn classes(&self, lease: &mut Lease, sort: TenantSort) -> Result<Vec<Condition>, StoreError> {
        if sort == TenantSort::TrialEnds {
            return Ok(vec![Condition::new("status = 'trial'", [])]);
        }
        if let Some(parent) = self.parent {
            return Ok(vec![Condition::new("parent = {}", [Key::Text(parent.to_string())])]);
        }
        if self.listed == Some(true) {
            // As the indexes say it, word by word.
            return Ok(vec![Condition::new("listed = 1", [])]);
        }
        if self.status.is_none() && self.plan.is_none() {
            return Ok(vec![Condition::none()]);
        }
        // One for each status and plan that there is, by the counts: a handful of each.
        let mut classes = Vec::new();
        for count in super::counts::by_class(lease).await? {
            let plan = self.plan.as_ref().is_none_or(|plan| count.plan.as_ref() == Some(plan));
            if !plan || self.status.is_some_and(|status| status != count.status) {
                continue;
            }
            classes.push(match count.plan {
                Some(plan) => Condition::new(
                    format!("status = '{}' AND plan = {{}}", count.status),
                    [Key::Text(plan.to_string())],
                ),
                None => Condition::new(format!("status = '{}' AND plan IS NULL", count.status), []),
            });
        }
        if classes.is_empty() {
            // Nobody is of it, and the index knows.
            classes.push(Condition::new("status = '' AND plan = ''", []));
        }
        Ok(classes)
    }
}

impl Span {
    pub fn has(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }
}

impl TenantSort {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Slug => &["slug"],
            Self::Name => &["name_key", "slug"],
            Self::Created => &["created", "slug"],
            Self::Updated => &["updated", "slug"],
            Self::TrialEnds => &["trial_ends", "slug"],
        }
    }

    fn kinds(self) -> Vec<Key> {
        let text = || Key::Text(String::new());
        match self {
            Self::Slug => vec![text()],
            Self::Name => vec![text(), text()],
            Self::Created | Self::Updated | Self::TrialEnds => vec![Key::Int(0), text()],
        }
    }
}
