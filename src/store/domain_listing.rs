//! Lists of domains: filtered, ordered, a page at a time, each read off an index as those of tenants are. Nothing here
//! writes.

use super::domains::domain_of;
use super::keyset::{Key, LAST, Order, Stretch, of_cursor};
use super::paged::{Condition, Found, List};
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
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &way.kinds())).transpose()?;
        let (classes, rest) = filter.classes(way);
        let list = List {
            table: "domains",
            columns: COLUMNS,
            id: None,
            order: Order { columns: way.columns(), descending },
            kinds: way.kinds(),
            classes,
            rest,
        };
        let mut lease = self.reader().await?;
        let stretch = Stretch { after, ..filter.stretch(way) };
        let (rows, next) = list.page(&mut lease, stretch, page.limit() as usize).await?;
        Ok(Found { rows: rows.iter().map(domain_of).collect::<Result<_, _>>()?, next })
    }
}

/// What [`domain_of`] reads, and what the lists are ordered by.
const COLUMNS: &str = "name, tenant, state, token, created, updated, revision, reversed";

/// The index that a list is read off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Name,
    Reversed,
    Created,
}

impl DomainFilter {
    fn stretch(&self, way: Way) -> Stretch {
        let begins = |text: String| (Key::text(&text), Key::text(&format!("{text}{LAST}")));
        let (from, until) = match (way, &self.beneath) {
            (Way::Reversed, Some(host)) => begins(format!("{}.", reversed_labels(&DomainName::from(host.clone())))),
            (Way::Created, _) => (Key::Int(i64::MIN), Key::Int(i64::MAX)),
            _ => begins(self.prefix.clone().unwrap_or_default()),
        };
        Stretch { from, until, after: None, last: None }
    }

    /// What the index is entered with, and what else is asked for of its rows.
    fn classes(&self, way: Way) -> (Vec<Condition>, Vec<Condition>) {
        let tenant = self.tenant.map(|tenant| ("tenant", tenant.to_string()));
        let state = self.state.map(|state| ("state", state.to_string()));
        let is = |(column, value): (&str, String)| Condition::new(format!("{column} = {{}}"), [Key::Text(value)]);
        let mut rest = Vec::new();
        let mut also = |(column, value): (&str, String)| {
            rest.push(Condition::new(format!("{column} || '' = {{}}"), [Key::Text(value)]));
        };
        let classes = match (way, tenant, state) {
            (Way::Reversed, tenant, state) => {
                tenant.into_iter().chain(state).for_each(&mut also);
                vec![Condition::none()]
            }
            (_, Some(tenant), state) => {
                state.into_iter().for_each(&mut also);
                vec![is(tenant)]
            }
            (_, None, Some(state)) => vec![is(state)],
            (Way::Name, None, None) => vec![Condition::none()],
            // Of each state in turn: there is no index that knows no state.
            (Way::Created, None, None) => DomainState::ALL.map(|state| is(("state", state.to_string()))).into(),
        };
        if let Some(prefix) = self.prefix.as_ref().filter(|_| way != Way::Name) {
            let stretch = [Key::text(prefix), Key::text(&format!("{prefix}{LAST}"))];
            rest.push(Condition::new("name || '' >= {} AND name || '' < {}", stretch));
        }
        (classes, rest)
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
}
