//! Pages read off stretches of an index: where one ends and the next begins, and how what no index knows is looked at, in a
//! bounded number of rows. The texts are made of names from this house and numbers of parameters, and of nobody's input.

use sqlx::any::AnyRow;

use super::StoreError;
use super::connect::Lease;
use super::keyset::{Key, Order, Stretch, key_of, statement, to_cursor};

/// The most rows that are looked at for one page. A page may be short, or empty, and not be the last.
pub const MOST_EXAMINED: usize = 2_000;

/// A page of a list, and where the next one begins; `None`: there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    pub rows: Vec<T>,
    pub next: Option<String>,
}

/// What a row must be like: SQL with `{}` where each of the values stands.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    sql: String,
    values: Vec<Key>,
}

/// A list whose rows are in stretches of one index, one for each class of rows, and merged.
pub(super) struct List {
    pub table: &'static str,
    /// What is read of a row, the order's columns included, with commas between them.
    pub columns: &'static str,
    /// The column that names a row, for tables whose rows are wide: the keys of all classes are merged before any is read.
    pub id: Option<&'static str>,
    pub order: Order,
    /// A value of each kind that the order's columns have.
    pub kinds: Vec<Key>,
    /// What the index is entered with; at least one, and each row is in one at most.
    pub classes: Vec<Condition>,
    /// What else is asked for, in expressions that no index is entered with.
    pub rest: Vec<Condition>,
}

impl Condition {
    pub fn new(sql: impl Into<String>, values: impl IntoIterator<Item = Key>) -> Self {
        Self { sql: sql.into(), values: values.into_iter().collect() }
    }

    /// Every row.
    pub fn none() -> Self {
        Self::new("", [])
    }

    /// ` AND …` for each of them, with its values; the parameters begin with `$first`.
    pub fn all(conditions: &[Self], first: usize) -> (String, Vec<Key>) {
        let mut values = vec![Key::Int(0); first - 1];
        let sql: Vec<String> =
            conditions.iter().map(|condition| format!(" AND {}", condition.put(&mut values))).collect();
        (sql.concat(), values.split_off(first - 1))
    }

    /// The SQL with numbers for its values, which are added.
    fn put(&self, values: &mut Vec<Key>) -> String {
        let mut sql = self.sql.clone();
        for value in &self.values {
            values.push(value.clone());
            sql = sql.replacen("{}", &format!("${}", values.len()), 1);
        }
        sql
    }
}

impl List {
    /// The rows of one page, of at most `limit`, and the key that the next one begins behind.
    pub async fn page(
        &self,
        lease: &mut Lease,
        mut stretch: Stretch,
        limit: usize,
    ) -> Result<(Vec<AnyRow>, Option<String>), StoreError> {
        let mut goes_on = None;
        if !self.rest.is_empty() {
            // Of the stretch, only so much: up to a row that is told by the index alone.
            let (sql, values) = self.end(&stretch);
            if let Some(row) = lease.one(statement(sql, values)).await? {
                stretch.last = Some(self.keys_of(&row)?);
                goes_on = stretch.last.clone();
            }
        }
        // One more than wanted shows whether there is more.
        let (sql, values) = self.rows(&stretch, limit + 1);
        let mut rows = lease.all(statement(sql, values)).await?;
        if rows.len() > limit {
            rows.truncate(limit);
            goes_on = rows.last().map(|row| self.keys_of(row)).transpose()?;
        }
        Ok((rows, goes_on.as_deref().map(to_cursor)))
    }

    fn keys_of(&self, row: &AnyRow) -> Result<Vec<Key>, StoreError> {
        let columns = self.order.columns.iter().zip(&self.kinds);
        columns.map(|(column, kind)| key_of(row, self.table, column, kind)).collect()
    }

    /// The key of the last row that is looked at; none, where the stretches end before.
    fn end(&self, stretch: &Stretch) -> (String, Vec<Key>) {
        let (keys, by) = (self.order.columns.join(", "), self.order.by());
        let behind = MOST_EXAMINED as i64 - 1;
        if self.classes.len() == 1 {
            let mut values = vec![Key::Int(1)];
            let part = self.parts(stretch, &keys, &[], &mut values).concat();
            values.push(Key::Int(behind));
            return (format!("{part} OFFSET ${}", values.len()), values);
        }
        let mut values = vec![Key::Int(behind + 1)];
        let parts = self.parts(stretch, &keys, &[], &mut values);
        values.push(Key::Int(behind));
        let sql = format!("SELECT {keys} FROM {} ORDER BY {by} LIMIT 1 OFFSET ${}", all_of(&parts), values.len());
        (sql, values)
    }

    fn rows(&self, stretch: &Stretch, limit: usize) -> (String, Vec<Key>) {
        let (table, columns, by) = (self.table, self.columns, self.order.by());
        let mut values = vec![Key::Int(limit as i64)];
        let one = self.classes.len() == 1;
        let sql = match self.id.filter(|_| !one) {
            Some(id) => {
                let keys = format!("{}, {id} AS found", self.order.columns.join(", "));
                let parts = self.parts(stretch, &keys, &self.rest, &mut values);
                let columns: Vec<String> = columns.split(", ").map(|column| format!("t.{column}")).collect();
                format!(
                    "SELECT {} FROM (SELECT * FROM {} ORDER BY {by} LIMIT $1) AS c JOIN {table} AS t ON t.{id} = c.found \
                     ORDER BY c.{}",
                    columns.join(", "),
                    all_of(&parts),
                    by.replace(", ", ", c.")
                )
            }
            None => {
                let parts = self.parts(stretch, columns, &self.rest, &mut values);
                match parts.as_slice() {
                    [only] => only.clone(),
                    _ => format!("SELECT {columns} FROM {} ORDER BY {by} LIMIT $1", all_of(&parts)),
                }
            }
        };
        (sql, values)
    }

    /// A SELECT for each class; `$1` is the limit of each.
    fn parts(&self, stretch: &Stretch, select: &str, rest: &[Condition], values: &mut Vec<Key>) -> Vec<String> {
        let (clause, bounds) = self.order.clause(stretch, values.len() + 1);
        values.extend(bounds);
        let rest: Vec<String> = rest.iter().map(|condition| format!(" AND {}", condition.put(values))).collect();
        let rest = rest.concat();
        let (table, by) = (self.table, self.order.by());
        let part = |class: &Condition| {
            let class = match class.put(values) {
                class if class.is_empty() => class,
                class => format!("{class} AND "),
            };
            format!("SELECT {select} FROM {table} WHERE {class}{clause}{rest} ORDER BY {by} LIMIT $1")
        };
        self.classes.iter().map(part).collect()
    }
}

/// `(part UNION ALL part …) AS a`
fn all_of(parts: &[String]) -> String {
    let parts: Vec<String> =
        parts.iter().enumerate().map(|(n, part)| format!("SELECT * FROM ({part}) AS p{n}")).collect();
    format!("({}) AS a", parts.join(" UNION ALL "))
}
