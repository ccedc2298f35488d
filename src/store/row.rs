//! Reads a row column by column. Whatever does not parse is [`StoreError::Corrupt`], naming table, row and column.

use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row as _, Type};

use super::StoreError;
use crate::clock::Timestamp;
use crate::model::{PersonId, SessionId, TenantId};

/// A row of `table`, known in errors by its column `key`.
pub(super) struct Row<'r> {
    row: &'r AnyRow,
    table: &'static str,
    key: &'static str,
}

impl<'r> Row<'r> {
    pub fn new(row: &'r AnyRow, table: &'static str, key: &'static str) -> Self {
        Self { row, table, key }
    }

    pub fn text(&self, column: &'static str) -> Result<&'r str, StoreError> {
        self.get(column)
    }

    pub fn optional_text(&self, column: &'static str) -> Result<Option<&'r str>, StoreError> {
        self.get(column)
    }

    pub fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub fn optional_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    pub fn bytes(&self, column: &'static str) -> Result<&'r [u8], StoreError> {
        self.get(column)
    }

    pub fn optional_bytes(&self, column: &'static str) -> Result<Option<&'r [u8]>, StoreError> {
        self.get(column)
    }

    pub fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp)
    }

    pub fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp))
    }

    pub fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.corrupt(column, format!("{other} is neither 0 nor 1"))),
        }
    }

    /// A text that `parse` must understand; `what` says what it should be.
    pub fn parsed<T>(
        &self,
        column: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(text).ok_or_else(|| self.corrupt(column, format!("{text:?} is no {what}")))
    }

    pub fn optional<T>(
        &self,
        column: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        match self.optional_text(column)? {
            None => Ok(None),
            Some(_) => self.parsed(column, what, parse).map(Some),
        }
    }

    pub fn tenant(&self, column: &'static str) -> Result<TenantId, StoreError> {
        self.parsed(column, "tenant id", TenantId::parse)
    }

    pub fn person(&self, column: &'static str) -> Result<PersonId, StoreError> {
        self.parsed(column, "person id", PersonId::parse)
    }

    pub fn session(&self, column: &'static str) -> Result<SessionId, StoreError> {
        self.parsed(column, "session id", SessionId::parse)
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(column)?).map_err(|error| self.corrupt(column, error.to_string()))
    }

    pub fn optional_json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        match self.optional_text(column)? {
            None => Ok(None),
            Some(_) => self.json(column).map(Some),
        }
    }

    pub fn corrupt(&self, column: &str, why: String) -> StoreError {
        // The key may be what does not parse: any type will do for a message.
        let key = self
            .row
            .try_get::<String, _>(self.key)
            .or_else(|_| self.row.try_get::<i64, _>(self.key).map(|number| number.to_string()))
            .unwrap_or_else(|_| "?".into());
        StoreError::Corrupt(format!("table {}, row {} = {key}, column {column}: {why}", self.table, self.key))
    }

    fn get<T: Decode<'r, Any> + Type<Any>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|error| self.corrupt(column, error.to_string()))
    }
}

/// A value as JSON text. Only maps with keys that are no strings can fail, and there are none.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(format!("a value has no JSON form: {error}")))
}

/// Free text as both engines take it: PostgreSQL has no NUL in its texts.
pub(super) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}
