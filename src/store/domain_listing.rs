//! Lists of domains: filtered, ordered, a page at a time, each read off an index as those of tenants are. Nothing here
//! writes.

use sqlx::any::AnyRow;

use super::domains::{COLUMNS, domain_of};
use super::keyset::{Key, LAST, Order, Stretch, key_of, of_cursor, statement};
use super::listing::{Found, Paging};
use super::{Page, Store, StoreError};
use crate::model::{Domain, DomainName, DomainState, Hostname, TenantId, reversed_labels};

/// Which claims are listed. What is `None` is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DomainFilter {
    pub tenant: Option<TenantId>,
    pub state: Option<DomainState>,
    /// Names that begin like this.
    pub prefix: Option<String>,
    /// Names beneath this one, at any depth, wildcards included. Lists them in the order of their labels from the last to
    /// the first, whatever order is asked for.
    pub beneath: Option<Hostname>,
}

/// What a list of claims is ordered by. Equal ones are in the order of their names, then of their tenants' ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DomainSort {
    #[default]
    Name,
    Created,
}

impl Store {
    /// A page of claims. `page.after` is [`Found::next`] of the page before, of the same order.
    pub async fn list_domains(
        &self,
        filter: &DomainFilter,
        sort: DomainSort,
        descending: bool,
        page: &Page,
    ) -> Result<Found<Domain>, StoreError> {
        let way = Way::of(filter, sort);
        let order = Order { columns: way.columns(), descending };
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &way.kinds())).transpose()?;
        let mut stretch = Stretch { after, ..filter.stretch(way) };
        let (classes, exact) = filter.classes(way);
        let mut paging = Paging::new(page.limit() as usize, exact);
        let mut lease = self.reader().await?;
        while let Some(ask) = paging.ask() {
            let (sql, values) = sql(order, &stretch, &classes, ask);
            let rows = lease.all(statement(sql, values)).await?;
            for row in &rows {
                let keys = way.keys_of(row)?;
                stretch.after = Some(keys.clone());
                let domain = domain_of(row)?;
                paging.take(keys, filter.admits(&domain).then_some(domain));
            }
            paging.came(rows.len(), ask);
        }
        Ok(paging.found())
    }
}

/// The index that a list is read off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Name,
    Reversed,
    Created,
}

/// `state = $n`, `tenant = $n`, or nothing.
type Class = Option<(&'static str, String)>;

fn sql(order: Order, stretch: &Stretch, classes: &[Class], limit: usize) -> (String, Vec<Key>) {
    let (clause, mut values) = order.clause(stretch, 2);
    values.insert(0, Key::Int(limit as i64));
    let by = order.by();
    let mut parts = Vec::with_capacity(classes.len());
    for class in classes {
        let condition = match class {
            Some((column, value)) => {
                values.push(Key::text(value));
                format!("{column} = ${} AND ", values.len())
            }
            None => String::new(),
        };
        parts.push(format!("SELECT {COLUMNS}, reversed FROM domains WHERE {condition}{clause} ORDER BY {by} LIMIT $1"));
    }
    let sql = match parts.as_slice() {
        [only] => only.clone(),
        _ => {
            let parts: Vec<String> =
                parts.iter().enumerate().map(|(n, part)| format!("SELECT * FROM ({part}) AS c{n}")).collect();
            format!("SELECT * FROM ({}) AS c ORDER BY {by} LIMIT $1", parts.join(" UNION ALL "))
        }
    };
    (sql, values)
}

impl DomainFilter {
    fn admits(&self, domain: &Domain) -> bool {
        let name = domain.name.to_string();
        self.tenant.is_none_or(|tenant| domain.tenant == tenant)
            && self.state.is_none_or(|state| domain.state == state)
            && self.prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && self
                .beneath
                .as_ref()
                .is_none_or(|host| name.strip_suffix(host.as_str()).is_some_and(|rest| rest.ends_with('.')))
    }

    fn stretch(&self, way: Way) -> Stretch {
        let begins = |text: String| (Key::text(&text), Key::text(&format!("{text}{LAST}")));
        let (from, until) = match (way, &self.beneath) {
            (Way::Reversed, Some(host)) => begins(format!("{}.", reversed_labels(&DomainName::from(host.clone())))),
            (Way::Created, _) => (Key::Int(i64::MIN), Key::Int(i64::MAX)),
            _ => begins(self.prefix.clone().unwrap_or_default()),
        };
        Stretch { from, until, after: None }
    }

    /// What the index is entered with, and whether all rows that follow are to be listed.
    fn classes(&self, way: Way) -> (Vec<Class>, bool) {
        let prefixed = self.prefix.is_some();
        let tenant = self.tenant.map(|tenant| ("tenant", tenant.to_string()));
        let state = self.state.map(|state| ("state", state.to_string()));
        match way {
            Way::Reversed => (vec![None], tenant.is_none() && state.is_none() && !prefixed),
            Way::Name => {
                let exact = tenant.is_none() || state.is_none();
                (vec![tenant.or(state)], exact)
            }
            Way::Created if tenant.is_some() => (vec![tenant], state.is_none() && !prefixed),
            Way::Created if state.is_some() => (vec![state], !prefixed),
            // Of each state in turn: there is no index that knows no state.
            Way::Created => {
                (DomainState::ALL.iter().map(|state| Some(("state", state.to_string()))).collect(), !prefixed)
            }
        }
    }
}

impl Way {
    fn of(filter: &DomainFilter, sort: DomainSort) -> Self {
        match (&filter.beneath, sort) {
            (Some(_), _) => Self::Reversed,
            (None, DomainSort::Name) => Self::Name,
            (None, DomainSort::Created) => Self::Created,
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Name => &["name", "tenant"],
            Self::Reversed => &["reversed", "tenant"],
            Self::Created => &["created", "name", "tenant"],
        }
    }

    fn kinds(self) -> Vec<Key> {
        let text = || Key::Text(String::new());
        match self {
            Self::Name | Self::Reversed => vec![text(), text()],
            Self::Created => vec![Key::Int(0), text(), text()],
        }
    }

    fn keys_of(self, row: &AnyRow) -> Result<Vec<Key>, StoreError> {
        self.columns().iter().zip(&self.kinds()).map(|(column, kind)| key_of(row, "domains", column, kind)).collect()
    }
}
