//! Lists of tenants: filtered, ordered, searched, a page at a time. Each page is read off an index, from where the page
//! before ended: by the order alone, by status and plan, or by parent. What else is asked for is looked at row by row, and
//! a page ends early when that takes too many of them, so that no list ever takes longer than it should. Nothing here
//! writes.

use sqlx::any::AnyRow;

use super::connect::Lease;
use super::keyset::{Key, LAST, Order, Stretch, key_of, of_cursor, statement, to_cursor};
use super::tenants::{COLUMNS, tenant_of};
use super::{Page, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{PlanName, Status, Tenant, TenantId};

/// The most rows that are looked at for one page. A page may be short, or empty, and not be the last.
pub const MOST_EXAMINED: usize = 2_000;
/// Rows looked at in one go where not every one will do.
const CHUNK: usize = 250;

/// Which tenants are listed. What is `None` is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantFilter {
    /// This one alone, if the rest fits too: for whoever may see no other.
    pub only: Option<TenantId>,
    pub status: Option<Status>,
    /// The tenant's own plan.
    pub plan: Option<PlanName>,
    pub parent: Option<TenantId>,
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

/// A page of a list, and where the next one begins; `None`: there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    pub rows: Vec<T>,
    pub next: Option<String>,
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
        if let Some(id) = filter.only {
            let rows = self.tenant(id).await?.into_iter().filter(|tenant| filter.admits(tenant));
            return Ok(Found { rows: rows.collect(), next: None });
        }
        let order = Order { columns: sort.columns(), descending };
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &sort.kinds())).transpose()?;
        let mut lease = self.reader().await?;
        let classes = filter.classes(&mut lease, sort).await?;
        let exact = filter.is_covered(sort);
        let mut paging = Paging::new(page.limit() as usize, exact);
        let mut stretch = Stretch { after, ..filter.stretch(sort) };
        while let Some(ask) = paging.ask() {
            let (sql, values) = sql(order, &stretch, &classes, ask);
            let rows = lease.all(statement(sql, values)).await?;
            for row in &rows {
                let keys = keys_of(row, &sort)?;
                stretch.after = Some(keys.clone());
                let tenant = tenant_of(row)?;
                paging.take(keys, filter.admits(&tenant).then_some(tenant));
            }
            paging.came(rows.len(), ask);
        }
        Ok(paging.found())
    }
}

/// A page being gathered.
pub(super) struct Paging<T> {
    limit: usize,
    /// Every row will do.
    exact: bool,
    rows: Vec<(Vec<Key>, T)>,
    examined: usize,
    last: Option<Vec<Key>>,
    ended: bool,
}

impl<T> Paging<T> {
    pub fn new(limit: usize, exact: bool) -> Self {
        Self { limit, exact, rows: Vec::new(), examined: 0, last: None, ended: false }
    }

    /// How many rows to read next; `None`: enough.
    pub fn ask(&self) -> Option<usize> {
        if self.ended || self.rows.len() > self.limit || self.examined >= MOST_EXAMINED {
            return None;
        }
        // One more than wanted shows whether there is more.
        Some(match (self.exact, self.examined) {
            (true, _) => self.limit + 1,
            // Most of what a search finds is to be listed.
            (false, 0) => CHUNK.min(2 * self.limit + 2),
            (false, _) => CHUNK,
        })
    }

    /// Notes a row that was looked at, and keeps it if it is to be listed.
    pub fn take(&mut self, keys: Vec<Key>, row: Option<T>) {
        self.examined += 1;
        if let Some(row) = row {
            self.rows.push((keys.clone(), row));
        }
        self.last = Some(keys);
    }

    pub fn came(&mut self, rows: usize, asked: usize) {
        self.ended = rows < asked;
    }

    pub fn found(mut self) -> Found<T> {
        let next = if self.rows.len() > self.limit {
            self.rows.truncate(self.limit);
            self.rows.last().map(|(keys, _)| keys)
        } else {
            self.last.as_ref().filter(|_| !self.ended)
        };
        let next = next.map(|keys| to_cursor(keys));
        Found { next, rows: self.rows.into_iter().map(|(_, row)| row).collect() }
    }
}

/// Rows that have the same values in the columns before the order's: each is a stretch of one index.
struct Class {
    condition: String,
    /// Bound where the condition says `{}`.
    value: Option<String>,
}

/// The rows of all classes, merged.
fn sql(order: Order, stretch: &Stretch, classes: &[Class], limit: usize) -> (String, Vec<Key>) {
    let (clause, mut values) = order.clause(stretch, 2);
    values.insert(0, Key::Int(limit as i64));
    let mut conditions = Vec::with_capacity(classes.len());
    for class in classes {
        if let Some(value) = &class.value {
            values.push(Key::text(value));
        }
        conditions.push(format!("{}{clause}", class.condition.replace("{}", &format!("${}", values.len()))));
    }
    let (columns, by) = (order.columns.join(", "), order.by());
    let sql = match conditions.as_slice() {
        [condition] => format!("SELECT {COLUMNS} FROM tenants WHERE {condition} ORDER BY {by} LIMIT $1"),
        _ => {
            let part = |(n, condition): (usize, &String)| {
                format!(
                    "SELECT * FROM (SELECT {columns}, id AS found FROM tenants WHERE {condition} ORDER BY {by} LIMIT $1) AS c{n}"
                )
            };
            let parts: Vec<String> = conditions.iter().enumerate().map(part).collect();
            let by = format!("c.{}", by.replace(", ", ", c."));
            // Their keys are merged first: whole rows are read of those alone that are listed.
            format!(
                "SELECT {} FROM (SELECT * FROM ({}) AS a ORDER BY {} LIMIT $1) AS c JOIN tenants AS t ON t.id = c.found \
                 ORDER BY {by}",
                COLUMNS.split(", ").map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", "),
                parts.join(" UNION ALL "),
                order.by()
            )
        }
    };
    (sql, values)
}

impl TenantFilter {
    /// Whether a row is to be listed.
    pub fn admits(&self, tenant: &Tenant) -> bool {
        let trial = self.trial_ends == Span::default()
            || tenant.status == Status::Trial && tenant.trial_ends.is_some_and(|at| self.trial_ends.has(at));
        trial
            && self.only.is_none_or(|id| tenant.id == id)
            && self.status.is_none_or(|status| tenant.status == status)
            && self.plan.as_ref().is_none_or(|plan| tenant.plan.as_ref() == Some(plan))
            && self.parent.is_none_or(|parent| tenant.parent == Some(parent))
            && self.prefix.as_ref().is_none_or(|prefix| tenant.slug.as_str().starts_with(prefix.as_str()))
            && self.created.has(tenant.created)
            && self.updated.has(tenant.updated)
    }

    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the stretches that are read hold nothing that is not to be listed.
    fn is_covered(&self, sort: TenantSort) -> bool {
        let mut rest = self.clone();
        match sort {
            TenantSort::Slug => rest.prefix = None,
            TenantSort::Name => {}
            TenantSort::Created => rest.created = Span::default(),
            TenantSort::Updated => rest.updated = Span::default(),
            TenantSort::TrialEnds => rest.trial_ends = Span::default(),
        }
        match (sort, rest.parent.take()) {
            (TenantSort::TrialEnds, None) if rest.status.is_none_or(|status| status == Status::Trial) => {
                rest.status = None
            }
            (TenantSort::TrialEnds, _) => return false,
            (_, Some(_)) => {}
            (_, None) => (rest.status, rest.plan) = (None, None),
        }
        rest.is_everything()
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
        Stretch { from, until, after: None }
    }

    /// The stretches of an index that hold what is asked for, and as little else as there is an index for.
    async fn classes(&self, lease: &mut Lease, sort: TenantSort) -> Result<Vec<Class>, StoreError> {
        let class = |condition: &str, value: Option<String>| Class { condition: condition.to_owned(), value };
        if sort == TenantSort::TrialEnds {
            return Ok(vec![class("status = 'trial' AND ", None)]);
        }
        if let Some(parent) = self.parent {
            return Ok(vec![class("parent = {} AND ", Some(parent.to_string()))]);
        }
        if self.status.is_none() && self.plan.is_none() {
            return Ok(vec![class("", None)]);
        }
        // One for each status and plan that there is, by the counts: a handful of each.
        let mut classes = Vec::new();
        for count in super::counts::by_class(lease).await? {
            let plan = self.plan.as_ref().is_none_or(|plan| count.plan.as_ref() == Some(plan));
            if !plan || self.status.is_some_and(|status| status != count.status) {
                continue;
            }
            classes.push(match count.plan {
                Some(plan) => {
                    class(&format!("status = '{}' AND plan = {{}} AND ", count.status), Some(plan.to_string()))
                }
                None => class(&format!("status = '{}' AND plan IS NULL AND ", count.status), None),
            });
        }
        if classes.is_empty() {
            // Nobody is of it, and the index knows.
            classes.push(class("status = {} AND plan = '' AND ", Some(String::new())));
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

fn keys_of(row: &AnyRow, sort: &TenantSort) -> Result<Vec<Key>, StoreError> {
    let kinds = sort.kinds();
    sort.columns().iter().zip(&kinds).map(|(column, kind)| key_of(row, "tenants", column, kind)).collect()
}
