//! Search by prefix: over slugs, over names from each of their words on, and over the domains that tenants hold. Their
//! indexes are read side by side in the order of what is found; a tenant is listed once, where it is found first.

use sqlx::any::AnyRow;
use sqlx::query;

use super::keyset::{Key, LAST, Order, Stretch, key_of, of_cursor, statement, to_cursor};
use super::listing::TenantFilter;
use super::paged::{Condition, Found};
use super::row::{Row, storable};
use super::tenants::{COLUMNS, tenant_of};
use super::values::{batches, places, rows_at_once};
use super::{Page, Store, StoreError, Write};
use crate::model::{Slug, Tenant, TenantId, later_words, search_key};

/// Where texts to be searched are, each in an order of its own that an index has.
const SOURCES: [Source; 6] = [
    Source { order: &["slug", "slug"], held: "", from: "SELECT slug AS term, slug AS found FROM tenants" },
    Source { order: &["name_key", "slug"], held: "", from: "SELECT name_key AS term, slug AS found FROM tenants" },
    Source { order: &["word", "slug"], held: "", from: "SELECT word AS term, slug AS found FROM tenant_words" },
    // State by state, as the index of states has them. A name that is held is held once.
    Source { order: &["name"], held: "state = 'verified' AND ", from: HELD },
    Source { order: &["name"], held: "state = 'live' AND ", from: HELD },
    Source { order: &["name"], held: "state = 'moved' AND ", from: HELD },
];

const HELD: &str = "SELECT name AS term, (SELECT slug FROM tenants WHERE id = domains.tenant) AS found FROM domains";

struct Source {
    order: &'static [&'static str],
    held: &'static str,
    from: &'static str,
}

/// What is looked for, in the spelling of each source; `None`: it cannot be there.
struct Wanted {
    slug: Option<String>,
    name: String,
    domain: Option<String>,
    /// This tenant alone.
    only: Option<TenantId>,
    /// What else is asked for.
    rest: Vec<Condition>,
}

impl Store {
    /// Tenants whose slug, name, a later word of whose name, or a domain of which begins with `text`, in the order of what
    /// is found. `page.after` is [`Found::next`] of the page before.
    pub async fn search_tenants(
        &self,
        text: &str,
        filter: &TenantFilter,
        page: &Page,
    ) -> Result<Found<Tenant>, StoreError> {
        let wanted = Wanted { rest: filter.conditions(None), only: filter.only, ..Wanted::of(text) };
        let kinds = [Key::Text(String::new()), Key::Text(String::new())];
        let mut after = page.after.as_deref().map(|cursor| of_cursor(cursor, &kinds)).transpose()?;
        let keys_of = |row: &AnyRow| {
            let keys = ["term", "found"].iter().zip(&kinds);
            keys.map(|(column, kind)| key_of(row, "tenants", column, kind)).collect::<Result<Vec<_>, _>>()
        };
        let mut lease = self.reader().await?;
        // What is not known by the indexes is asked of so many alone.
        let mut last = None;
        if wanted.is_picky() {
            let (sql, values) = wanted.end(after.as_deref());
            last = lease.one(statement(sql, values)).await?.as_ref().map(keys_of).transpose()?;
        }
        let limit = page.limit() as usize;
        let (mut tenants, mut goes_on): (Vec<(Vec<Key>, Tenant)>, _) = (Vec::new(), true);
        while goes_on && tenants.len() <= limit {
            // What is found twice is not listed twice: not every row will do.
            let ask = 2 * limit + 2;
            let (sql, values) = wanted.rows(after.as_deref(), last.as_deref(), ask);
            let rows = lease.all(statement(sql, values)).await?;
            for row in &rows {
                let (keys, tenant) = (keys_of(row)?, tenant_of(row)?);
                let again = after.as_ref() == Some(&keys);
                after = Some(keys.clone());
                if !again && wanted.first(row, &tenant)?.is_some_and(|first| Key::Text(first) == keys[0]) {
                    tenants.push((keys, tenant));
                }
            }
            goes_on = rows.len() == ask;
        }
        let next = match tenants.len() > limit {
            true => tenants[..limit].last().map(|(keys, _)| to_cursor(keys)),
            false => last.as_deref().map(to_cursor),
        };
        Ok(Found { rows: tenants.into_iter().take(limit).map(|(_, tenant)| tenant).collect(), next })
    }
}

impl Wanted {
    fn of(text: &str) -> Self {
        let plain = text.trim().to_ascii_lowercase();
        let made_of = |more: &str| {
            let fits = !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
            fits.then(|| plain.clone())
        };
        let (slug, domain) = (made_of("-"), made_of("-.*_"));
        Self { slug, name: search_key(text), domain, only: None, rest: Vec::new() }
    }

    fn is_picky(&self) -> bool {
        self.only.is_some() || !self.rest.is_empty()
    }

    /// The key of the last row that is looked at; none, where what is found ends before.
    fn end(&self, after: Option<&[Key]>) -> (String, Vec<Key>) {
        let mut values = vec![Key::Int(MOST_FOUND as i64)];
        let parts = self.parts(after, None, &mut values);
        values.push(Key::Int(MOST_FOUND as i64 - 1));
        (
            format!("SELECT term, found FROM ({parts}) AS a ORDER BY term, found LIMIT 1 OFFSET ${}", values.len()),
            values,
        )
    }

    fn rows(&self, after: Option<&[Key]>, last: Option<&[Key]>, limit: usize) -> (String, Vec<Key>) {
        // Of those that are asked more, all up to the last one; of the others the first.
        let most = if self.is_picky() { MOST_FOUND } else { limit };
        let mut values = vec![Key::Int(most as i64)];
        let parts = self.parts(after, last, &mut values);
        let (mut rest, more) = Condition::all(&self.rest, values.len() + 1);
        values.extend(more);
        if let Some(only) = self.only {
            values.push(Key::Text(only.to_string()));
            rest.push_str(&format!(" AND t.id = ${}", values.len()));
        }
        let nothing = String::new();
        let domain = self.domain.as_ref().unwrap_or(&nothing);
        values.extend([Key::text(domain), Key::text(&format!("{domain}{LAST}")), Key::Int(limit as i64)]);
        // The state is no column there, but an expression: else all names that are held would be gone through, whosever.
        let (n, columns) = (values.len(), COLUMNS.split(", ").map(|column| format!("t.{column}")));
        let sql = format!(
            "SELECT {}, c.term, c.found, (SELECT MIN(name) FROM domains WHERE tenant = t.id AND name >= ${} \
             AND name < ${} AND state || '' IN ('verified', 'live', 'moved')) AS domain FROM (SELECT * FROM ({parts}) AS a \
             ORDER BY term, found LIMIT $1) AS c JOIN tenants AS t ON t.slug = c.found{rest} \
             ORDER BY c.term, c.found LIMIT ${n}",
            columns.collect::<Vec<_>>().join(", "),
            n - 2,
            n - 1
        );
        (sql, values)
    }

    /// A SELECT for each source, all in one; `$1` is the limit of each.
    fn parts(&self, after: Option<&[Key]>, last: Option<&[Key]>, values: &mut Vec<Key>) -> String {
        let domains = self.domain.as_ref();
        let texts = [self.slug.as_ref(), Some(&self.name), Some(&self.name), domains, domains, domains];
        let mut parts = Vec::new();
        for (source, text) in SOURCES.iter().zip(texts) {
            let Some(text) = text else { continue };
            let order = Order { columns: source.order, descending: false };
            let keys = |keys: Option<&[Key]>| keys.map(|keys| keys[..source.order.len()].to_vec());
            let (from, until) = (Key::text(text), Key::text(&format!("{text}{LAST}")));
            let (clause, more) =
                order.clause(&Stretch { from, until, after: keys(after), last: keys(last) }, values.len() + 1);
            values.extend(more);
            let (from, held, by, n) = (source.from, source.held, order.by(), parts.len());
            parts.push(format!("SELECT * FROM ({from} WHERE {held}{clause} ORDER BY {by} LIMIT $1) AS s{n}"));
        }
        parts.join(" UNION ALL ")
    }

    /// The first text of this tenant that is found.
    fn first(&self, row: &AnyRow, tenant: &Tenant) -> Result<Option<String>, StoreError> {
        let key = name_key(&tenant.name);
        let names = std::iter::once(key.as_str()).chain(later_words(&key));
        let names = names.filter(|word| word.starts_with(&self.name));
        let slug = self.slug.iter().map(|_| tenant.slug.as_str());
        let slug = slug.filter(|slug| self.slug.as_ref().is_some_and(|text| slug.starts_with(text.as_str())));
        let domain = Row::new(row, "domains", "domain").optional_text("domain")?;
        let domain = domain.filter(|_| self.domain.is_some());
        Ok(names.chain(slug).chain(domain).min().map(str::to_owned))
    }
}

/// What a name is listed and searched by.
pub(super) fn name_key(name: &str) -> String {
    storable(&search_key(name)).into_owned()
}

impl Write {
    /// Puts down where the later words of names begin, for tenants that have none down yet.
    pub(super) async fn insert_words(&mut self, names: &[(&str, &str)]) -> Result<(), StoreError> {
        let words: Vec<(&str, &str)> =
            names.iter().flat_map(|(slug, key)| later_words(key).map(move |word| (word, *slug))).collect();
        for some in batches(&words, WIDTH) {
            let places = places(some.len(), WIDTH);
            let sql = format!("INSERT INTO tenant_words (word, slug) VALUES {places} ON CONFLICT DO NOTHING");
            let values = some.iter().flat_map(|(word, slug)| [Key::text(word), Key::text(slug)]);
            self.execute(statement(sql, values).persistent(some.len() <= 4 || some.len() == rows_at_once(WIDTH)))
                .await?;
        }
        Ok(())
    }

    /// Puts down other words for a tenant.
    pub(super) async fn replace_words(&mut self, slug: &str, key: &str) -> Result<(), StoreError> {
        self.execute(query("DELETE FROM tenant_words WHERE slug = $1").bind(slug)).await?;
        self.insert_words(&[(slug, key)]).await
    }

    pub(super) async fn delete_words_of(&mut self, slug: &Slug) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM tenant_words WHERE slug = $1").bind(slug.as_str())).await
    }
}

/// A word and a slug.
const WIDTH: usize = 2;
/// The most that is found and looked at for one page: each is looked up by itself, which takes longer than reading on.
const MOST_FOUND: usize = 1_000;
