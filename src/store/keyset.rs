//! Pages by key: the SQL of a stretch of an index, forwards or backwards, that begins behind where the page before ended.
//! The texts are made of names from this house and numbers of parameters, and of nobody's input.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::StoreError;
use super::connect::Statement;
use super::row::{Row, storable};
use super::values::numbered;

/// Sorts behind every text that a key can begin with.
pub(super) const LAST: &str = "\u{10ffff}";

/// A value of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    Int(i64),
    Text(String),
}

impl Key {
    pub fn text(text: &str) -> Self {
        Self::Text(storable(text).into_owned())
    }
}

/// What a list is ordered by: columns of one index, behind those that are the same for all its rows. Together they name
/// one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub columns: &'static [&'static str],
    pub descending: bool,
}

/// A stretch of that order: from `from` on (`until` and beyond are left out), behind `after`.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub from: Key,
    pub until: Key,
    /// A value for each column of the order.
    pub after: Option<Vec<Key>>,
    /// The same: what comes behind it is left out.
    pub last: Option<Vec<Key>>,
}

impl Order {
    /// `(a, b) > ($1, $2) AND a < $3` with its values; the parameters begin with `$first`. The first page of a stretch has
    /// no key to begin behind: `a >= $1 AND a < $2`.
    pub fn clause(&self, stretch: &Stretch, first: usize) -> (String, Vec<Key>) {
        let column = self.columns[0];
        let ahead = |after: &&Vec<Key>| match self.descending {
            false => after.first() >= Some(&stretch.from),
            true => after.first() < Some(&stretch.until),
        };
        let (mut sql, mut values) = match stretch.after.as_ref().filter(ahead) {
            Some(after) => {
                let places = numbered(first, after.len());
                let beyond = if self.descending { "<" } else { ">" };
                (format!("({}) {beyond} ({places})", self.columns.join(", ")), after.clone())
            }
            None if self.descending => (format!("{column} < ${first}"), vec![stretch.until.clone()]),
            None => (format!("{column} >= ${first}"), vec![stretch.from.clone()]),
        };
        if let Some(last) = &stretch.last {
            let begin = first + values.len();
            let places = numbered(begin, last.len());
            let within = if self.descending { ">=" } else { "<=" };
            sql.push_str(&format!(" AND ({}) {within} ({places})", self.columns.join(", ")));
            values.extend(last.clone());
            return (sql, values);
        }
        let (within, end) = if self.descending { (">=", &stretch.from) } else { ("<", &stretch.until) };
        sql.push_str(&format!(" AND {column} {within} ${}", first + values.len()));
        values.push(end.clone());
        (sql, values)
    }

    pub fn by(&self) -> String {
        let word = if self.descending { " DESC" } else { "" };
        self.columns.iter().map(|column| format!("{column}{word}")).collect::<Vec<_>>().join(", ")
    }
}

/// A statement of a text made here. It is planned each time, for the values that it has: a plan for any values would read a
/// rare source of certificates off the index of all of them, and sort ten thousand children rather than go by their index.
pub(super) fn statement(sql: String, values: impl IntoIterator<Item = Key>) -> Statement<'static> {
    let mut statement = query(AssertSqlSafe(sql)).persistent(false);
    for value in values {
        statement = match value {
            Key::Int(number) => statement.bind(number),
            Key::Text(text) => statement.bind(text),
        };
    }
    statement
}

/// Where a page ended, as text: the values of its last row's key, with a line break between them (no key has one).
pub(super) fn to_cursor(keys: &[Key]) -> String {
    let text = |key: &Key| match key {
        Key::Int(number) => number.to_string(),
        Key::Text(text) => text.clone(),
    };
    keys.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// The other way around, for keys of these kinds.
pub(super) fn of_cursor(text: &str, kinds: &[Key]) -> Result<Vec<Key>, StoreError> {
    let mut parts = text.split('\n');
    let mut keys = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let key = parts.next().and_then(|part| match kind {
            Key::Int(_) => part.parse().ok().map(Key::Int),
            Key::Text(_) => Some(Key::text(part)),
        });
        keys.push(key.ok_or(StoreError::Cursor)?);
    }
    if parts.next().is_some() { Err(StoreError::Cursor) } else { Ok(keys) }
}

/// A column of a row as a key of this kind.
pub(super) fn key_of(row: &AnyRow, table: &'static str, column: &'static str, kind: &Key) -> Result<Key, StoreError> {
    let row = Row::new(row, table, column);
    match kind {
        Key::Int(_) => row.int(column).map(Key::Int),
        Key::Text(_) => row.text(column).map(|text| Key::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_stretch_or_the_cursor_says() {
        let text = |text: &str| Key::Text(text.into());
        let order = Order { columns: &["name_key", "slug"], descending: false };
        let mut stretch = Stretch { from: text("ab"), until: text("ac"), after: None, last: None };
        let first = ("name_key >= $3 AND name_key < $4".to_owned(), vec![text("ab"), text("ac")]);
        assert_eq!(order.clause(&stretch, 3), first);
        // A cursor from elsewhere leads nowhere else than into the stretch.
        stretch.after = Some(vec![text("aa"), text("x")]);
        assert_eq!(order.clause(&stretch, 3), first);
        stretch.after = Some(vec![text("abc"), text("x")]);
        let (sql, values) = order.clause(&stretch, 1);
        assert_eq!(sql, "(name_key, slug) > ($1, $2) AND name_key < $3");
        assert_eq!(values, [text("abc"), text("x"), text("ac")]);
        let order = Order { descending: true, ..order };
        assert_eq!(order.clause(&stretch, 1).0, "(name_key, slug) < ($1, $2) AND name_key >= $3");
        assert_eq!(order.by(), "name_key DESC, slug DESC");
        stretch.after = None;
        assert_eq!(order.clause(&stretch, 1).0, "name_key < $1 AND name_key >= $2");
        stretch.last = Some(vec![text("abb"), text("y")]);
        let (sql, values) = order.clause(&stretch, 1);
        assert_eq!(sql, "name_key < $1 AND (name_key, slug) >= ($2, $3)");
        assert_eq!(values, [text("ac"), text("abb"), text("y")]);
    }

    #[test]
    fn cursors_are_read_back_or_refused() {
        let kinds = [Key::Int(0), Key::Text(String::new())];
        let keys = vec![Key::Int(-5), Key::Text("acme".into())];
        assert_eq!(of_cursor(&to_cursor(&keys), &kinds).unwrap(), keys);
        for bad in ["", "x\nacme", "5", "5\na\nb"] {
            assert!(matches!(of_cursor(bad, &kinds), Err(StoreError::Cursor)), "{bad:?}");
        }
    }
}
