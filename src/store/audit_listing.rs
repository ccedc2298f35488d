//! Lists of lines of the audit ledger: filtered, in the order of time, a page at a time, each read off an index. Nothing here
//! writes.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::audit::{AuditLine, columns, line_of, linked_of};
use super::keyset::{Key, LAST, Order, Stretch, of_cursor, statement};
use super::paged::{Condition, Found, List};
use super::row::{Row, storable};
use super::{Page, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// Which lines to list. What is `None` is not asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AuditFilter {
    pub tenant: Option<TenantId>,
    pub actor: Option<String>,
    /// The action, or the first part of it: `tenant.`
    pub action: Option<String>,
    pub subject: Option<String>,
    /// Times are those of the lines: `from` included, `until` not.
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// In which order lines are listed. Those of the same time are in the order in which they were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AuditOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

impl Store {
    /// A page of lines that the filter lets through. `page.after` is [`Found::next`] of the page before.
    pub async fn audit_lines(
        &self,
        filter: &AuditFilter,
        order: AuditOrder,
        page: &Page,
    ) -> Result<Found<AuditLine>, StoreError> {
        let kinds = vec![Key::Int(0), Key::Int(0)];
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &kinds)).transpose()?;
        let classes = self.classes(filter).await?;
        if classes.is_empty() {
            return Ok(Found { rows: Vec::new(), next: None });
        }
        let list = List {
            table: "audit",
            columns: columns!(),
            id: Some("id"),
            order: Order { columns: &["at", "id"], descending: order == AuditOrder::NewestFirst },
            kinds,
            classes,
            rest: filter.rest(),
        };
        let end = |at: Option<Timestamp>, else_: i64| Key::Int(at.map_or(else_, Timestamp::millis));
        let (from, until) = (end(filter.from, i64::MIN), end(filter.until, i64::MAX));
        let stretch = Stretch { from, until, after, last: None };
        let (rows, next) = list.page(&mut self.reader().await?, stretch, page.limit() as usize).await?;
        Ok(Found { rows: self.lines_of(&rows).await?, next })
    }

    /// A page of a tenant's lines in which something stands under that key, a person's id or e-mail address; the oldest first.
    pub async fn audit_lines_naming(
        &self,
        tenant: TenantId,
        key: &str,
        page: &Page,
    ) -> Result<Found<AuditLine>, StoreError> {
        let after = page.after.as_deref().map(|cursor| of_cursor(cursor, &[Key::Int(0)])).transpose()?;
        let after = after.and_then(|mut keys| keys.pop()).unwrap_or(Key::Int(i64::MIN));
        let columns: Vec<_> = columns!().split(", ").map(|column| format!("l.{column}")).collect();
        let sql = format!(
            "SELECT {} FROM (SELECT DISTINCT line AS found FROM audit_personal WHERE person = $1 AND chain = $2 \
             AND line > $3 ORDER BY line LIMIT $4) AS p JOIN audit AS l ON l.id = p.found ORDER BY p.found",
            columns.join(", ")
        );
        let limit = page.limit();
        let values = [Key::text(key), Key::text(&tenant.to_string()), after, Key::Int(limit)];
        let rows = self.all(statement(sql, values)).await?;
        let lines = self.lines_of(&rows).await?;
        let next = lines.last().filter(|_| lines.len() as i64 == limit).map(|last| last.id.to_string());
        Ok(Found { rows: lines, next })
    }

    async fn lines_of(&self, rows: &[AnyRow]) -> Result<Vec<AuditLine>, StoreError> {
        let mut records = rows.iter().map(linked_of).collect::<Result<Vec<_>, _>>()?;
        self.put_personal(&mut records).await?;
        records.into_iter().map(line_of).collect()
    }

    /// What an index is entered with: the tenant, and the one thing beyond that an index knows it by. A class for each
    /// action; none, where there is no such action.
    async fn classes(&self, filter: &AuditFilter) -> Result<Vec<Condition>, StoreError> {
        let class = |column: Option<&str>, text: &str| {
            let tenant = filter.tenant.map(|tenant| ("tenant", tenant.to_string()));
            let parts = tenant.into_iter().chain(column.map(|column| (column, text.to_owned())));
            let (names, values): (Vec<_>, Vec<_>) = parts.unzip();
            let sql: Vec<_> = names.iter().map(|name| format!("{name} = {{}}")).collect();
            Condition::new(sql.join(" AND "), values.iter().map(|value| Key::text(value)))
        };
        Ok(match filter.entered() {
            Some(("action", prefix)) => {
                let actions = self.actions(filter.tenant, prefix).await?;
                actions.iter().map(|action| class(Some("action"), action)).collect()
            }
            Some((column, text)) => vec![class(Some(column), text)],
            None => vec![class(None, "")],
        })
    }

    /// The actions of that beginning that there are lines of, by seeking from each to the next.
    async fn actions(&self, tenant: Option<TenantId>, prefix: &str) -> Result<Vec<String>, StoreError> {
        let prefix = storable(prefix);
        let whose = if tenant.is_some() { "tenant = $2 AND " } else { "" };
        let mut actions: Vec<String> = Vec::new();
        while actions.len() < MOST_ACTIONS {
            let (beyond, begin) = actions.last().map_or((">=", prefix.as_ref()), |last| (">", last));
            let sql = format!("SELECT MIN(action) AS action FROM audit WHERE {whose}action {beyond} $1");
            let statement = query(AssertSqlSafe(sql)).bind(begin.to_owned());
            let statement = tenant.into_iter().fold(statement, |statement, tenant| statement.bind(tenant.to_string()));
            let row = self.one(statement).await?;
            let next = row.as_ref().map(|row| Row::new(row, "audit", "action").optional_text("action")).transpose()?;
            match next.flatten().filter(|next| next.starts_with(prefix.as_ref())) {
                Some(next) => actions.push(next.to_owned()),
                None => break,
            }
        }
        Ok(actions)
    }
}

impl AuditFilter {
    /// What is asked for beyond the tenant, what there are fewest of first.
    fn asked(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("subject", &self.subject), ("action", &self.action), ("actor", &self.actor)];
        // Every action begins with nothing.
        all.into_iter()
            .filter_map(|(column, text)| Some((column, text.as_deref()?)))
            .filter(|asked| *asked != ("action", ""))
    }

    fn entered(&self) -> Option<(&'static str, &str)> {
        self.asked().next()
    }

    /// What else is asked for.
    fn rest(&self) -> Vec<Condition> {
        let condition = |(column, text): (&str, &str)| match column {
            "action" => {
                let until = Key::text(&format!("{text}{LAST}"));
                Condition::new("action || '' >= {} AND action || '' < {}", [Key::text(text), until])
            }
            _ => Condition::new(format!("{column} || '' = {{}}"), [Key::text(text)]),
        };
        self.asked().skip(1).map(condition).collect()
    }
}

/// More kinds of actions than there are, and fewer than the parts that a statement of SQLite may have.
const MOST_ACTIONS: usize = 400;
