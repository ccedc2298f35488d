//! Lists of certificates: filtered, ordered, a page at a time, each read off an index, or off the few certificates that a
//! name or a tenant has. Nothing here writes, and no key is read.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::certificates::{columns, row_of};
use super::connect::Lease;
use super::keyset::{Key, LAST, Order, Stretch, key_of, of_cursor, statement, to_cursor};
use super::paged::{Condition, Found, List};
use super::row::Row;
use super::values::numbered;
use super::{CertificateRow, Page, Span, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{CertificateSource, TenantId};

/// Which certificates are listed. What is `None` is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CertificateFilter {
    /// Those for a name that this tenant holds.
    pub tenant: Option<TenantId>,
    /// Those for exactly this name.
    pub name: Option<String>,
    /// Those for a name that begins like this, in the order of the first such name of each, whatever order is asked for.
    /// Not together with `tenant` or `name`.
    pub prefix: Option<String>,
    pub source: Option<CertificateSource>,
    /// When they end.
    pub ends: Span,
}

/// What a list of certificates is ordered by. Equal ones are in the order of their ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CertificateSort {
    /// The oldest first: ids are made in the order of time.
    #[default]
    Id,
    Ends,
}

const COLUMNS: &str = columns!();

impl Store {
    /// A page of certificates, ended and revoked ones included. `page.after` is [`Found::next`] of the page before, of the
    /// same order.
    pub async fn list_certificates(
        &self,
        filter: &CertificateFilter,
        sort: CertificateSort,
        descending: bool,
        page: &Page,
    ) -> Result<Found<CertificateRow>, StoreError> {
        let (sort, prefixed) = (Sort(sort), filter.prefix.is_some());
        let kinds = if prefixed { vec![Key::Text(String::new()); 2] } else { sort.kinds() };
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &kinds)).transpose()?;
        let limit = page.limit() as usize;
        let mut lease = self.reader().await?;
        if filter.tenant.is_none() && filter.name.is_none() && !prefixed {
            let list = List {
                table: "certificates",
                columns: COLUMNS,
                id: None,
                order: Order { columns: sort.columns(), descending },
                kinds,
                classes: vec![filter.class()],
                rest: if sort.0 == CertificateSort::Ends { Vec::new() } else { filter.span() },
            };
            let stretch = Stretch { after, ..filter.stretch(sort) };
            let (rows, next) = list.page(&mut lease, stretch, limit).await?;
            return Ok(Found { rows: rows.iter().map(row_of).collect::<Result<_, _>>()?, next });
        }
        if prefixed {
            return filter.by_name(&mut lease, after, limit).await;
        }
        let (sql, values) = filter.of_few(sort, descending, after, limit + 1);
        let rows = lease.all(statement(sql, values)).await?;
        found(&rows, limit, "certificates", sort.columns(), &kinds, None)
    }

    /// The ids of the certificates that these names are served with, as [`Store::certificate_in_use`] has them.
    pub async fn certificates_in_use(&self, names: &[&str]) -> Result<HashMap<String, String>, StoreError> {
        let mut best: HashMap<String, ((bool, i64), String)> = HashMap::new();
        for some in names.chunks(AT_ONCE) {
            let sql = format!(
                "SELECT n.name, c.id, c.source, c.revision FROM certificate_names n \
                 JOIN certificates c ON c.id = n.certificate \
                 WHERE n.name IN ({}) AND c.not_after > $1 AND c.revoked IS NULL",
                numbered(2, some.len())
            );
            let now = Key::Int(self.0.clock.now().millis());
            let values = std::iter::once(now).chain(some.iter().map(|name| Key::text(name)));
            for row in &self.all(statement(sql, values).persistent(false)).await? {
                let row = Row::new(row, "certificates", "id");
                let rank = (row.text("source")? == CertificateSource::Uploaded.as_str(), row.int("revision")?);
                let (name, found) = (row.text("name")?.to_owned(), (rank, row.text("id")?.to_owned()));
                let known = best.entry(name).or_insert_with(|| found.clone());
                if found > *known {
                    *known = found;
                }
            }
        }
        Ok(best.into_iter().map(|(name, (_, id))| (name, id)).collect())
    }
}

/// Names of one statement.
const AT_ONCE: usize = 500;
/// Names that are looked at for one page, each with its certificate, which is fetched from elsewhere: dearer than a row of a
/// list's own table.
const MOST_NAMES: usize = 500;

/// A page of these rows, of which there may be one more than wanted; `last`: the key of the last row that was looked at.
fn found(
    rows: &[AnyRow],
    limit: usize,
    table: &'static str,
    columns: &[&'static str],
    kinds: &[Key],
    last: Option<Vec<Key>>,
) -> Result<Found<CertificateRow>, StoreError> {
    let next = match rows.get(limit.saturating_sub(1)).filter(|_| rows.len() > limit) {
        Some(row) => Some(keys_of(row, table, columns, kinds)?),
        None => last,
    };
    let rows = rows.iter().take(limit).map(row_of).collect::<Result<_, _>>()?;
    Ok(Found { rows, next: next.as_deref().map(to_cursor) })
}

fn keys_of(row: &AnyRow, table: &'static str, columns: &[&'static str], kinds: &[Key]) -> Result<Vec<Key>, StoreError> {
    columns.iter().zip(kinds).map(|(column, kind)| key_of(row, table, column, kind)).collect()
}

impl CertificateFilter {
    fn class(&self) -> Condition {
        match self.source {
            Some(source) => Condition::new("source = {}", [Key::text(source.as_str())]),
            None => Condition::none(),
        }
    }

    fn stretch(&self, sort: Sort) -> Stretch {
        let end = |at: Option<Timestamp>, else_: i64| Key::Int(at.map_or(else_, Timestamp::millis));
        let (from, until) = match sort.0 {
            CertificateSort::Id => (Key::text(""), Key::text(LAST)),
            CertificateSort::Ends => (end(self.ends.from, i64::MIN), end(self.ends.until, i64::MAX)),
        };
        Stretch { from, until, after: None, last: None }
    }

    fn span(&self) -> Vec<Condition> {
        let bounds = [(">=", self.ends.from), ("<", self.ends.until)];
        let bounds = bounds.into_iter().filter_map(|(compared, at)| Some((compared, at?)));
        bounds.map(|(by, at)| Condition::new(format!("not_after + 0 {by} {{}}"), [Key::Int(at.millis())])).collect()
    }

    /// What is asked for beyond names and tenants.
    fn rest(&self) -> Vec<Condition> {
        let source = self.source.map(|source| Condition::new("source || '' = {}", [Key::text(source.as_str())]));
        self.span().into_iter().chain(source).collect()
    }

    /// Of a name, or a tenant: all of them are found first, by the name.
    fn of_few(&self, sort: Sort, descending: bool, after: Option<Vec<Key>>, limit: usize) -> (String, Vec<Key>) {
        let order = Order { columns: sort.columns(), descending };
        let stretch = Stretch { after, ..self.stretch(sort) };
        let mut values = vec![Key::Int(limit as i64)];
        let mut place = |text: &str| {
            values.push(Key::text(text));
            values.len()
        };
        let name = self.name.as_deref().map(|name| format!(" AND n.name = ${}", place(name))).unwrap_or_default();
        let (from, held) = match self.tenant {
            Some(tenant) => {
                let held =
                    format!("d.tenant = ${} AND d.state IN ('verified', 'live', 'moved')", place(&tenant.to_string()));
                ("domains AS d JOIN certificate_names AS n ON n.name = d.name", held)
            }
            None => ("certificate_names AS n", "1 = 1".to_owned()),
        };
        let (clause, more) = order.clause(&stretch, values.len() + 1);
        values.extend(more);
        let (rest, more) = Condition::all(&self.rest(), values.len() + 1);
        values.extend(more);
        // The order of the tables is told, and kept by SQLite: the few are there before any certificate is read, and the
        // chains are those of the page alone.
        let by = order.by();
        let sql = format!(
            "SELECT {COLUMNS} FROM (SELECT id AS chosen FROM \
             (SELECT DISTINCT n.certificate AS found FROM {from} WHERE {held}{name}) AS f \
             CROSS JOIN certificates WHERE id = f.found AND {clause}{rest} ORDER BY {by} LIMIT $1) AS c \
             CROSS JOIN certificates WHERE id = c.chosen ORDER BY {by}"
        );
        (sql, values)
    }

    async fn by_name(
        &self,
        lease: &mut Lease,
        after: Option<Vec<Key>>,
        limit: usize,
    ) -> Result<Found<CertificateRow>, StoreError> {
        const KEYS: &[&str] = &["name", "certificate"];
        let kinds = [Key::Text(String::new()), Key::Text(String::new())];
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let (order, from) = (Order { columns: KEYS, descending: false }, Key::text(prefix));
        let until = Key::text(&format!("{prefix}{LAST}"));
        let mut stretch = Stretch { from: from.clone(), until, after, last: None };
        let (rest, by) = (self.rest(), order.by());
        if !rest.is_empty() {
            // Of the stretch, only so much.
            let (clause, values) = order.clause(&stretch, 1);
            let sql = format!(
                "SELECT name, certificate FROM certificate_names WHERE {clause} ORDER BY {by} LIMIT 1 OFFSET {}",
                MOST_NAMES - 1
            );
            let end = lease.one(statement(sql, values)).await?;
            stretch.last = end.map(|row| keys_of(&row, "certificate_names", KEYS, &kinds)).transpose()?;
        }
        let (clause, more) = order.clause(&stretch, 3);
        let mut values = vec![Key::Int(limit as i64 + 1), from];
        values.extend(more);
        let (rest, more) = Condition::all(&rest, values.len() + 1);
        values.extend(more);
        // A certificate is listed with the first of its names that are found.
        let sql = format!(
            "SELECT {COLUMNS}, name, certificate FROM certificate_names AS n CROSS JOIN certificates \
             WHERE {clause} AND id = certificate AND NOT EXISTS (SELECT 1 FROM certificate_names AS m \
             WHERE m.certificate = n.certificate AND m.name >= $2 AND m.name < n.name){rest} \
             ORDER BY {by} LIMIT $1"
        );
        let rows = lease.all(statement(sql, values)).await?;
        found(&rows, limit, "certificate_names", KEYS, &kinds, stretch.last)
    }
}

#[derive(Clone, Copy)]
struct Sort(CertificateSort);

impl Sort {
    fn columns(self) -> &'static [&'static str] {
        match self.0 {
            CertificateSort::Id => &["id"],
            CertificateSort::Ends => &["not_after", "id"],
        }
    }

    fn kinds(self) -> Vec<Key> {
        match self.0 {
            CertificateSort::Id => vec![Key::Text(String::new())],
            CertificateSort::Ends => vec![Key::Int(0), Key::Text(String::new())],
        }
    }
}
