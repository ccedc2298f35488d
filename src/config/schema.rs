//! A JSON Schema (draft 2020-12) of each file, for editors. It is made of what the readers ask for, so it cannot differ
//! from them; it tells no more than a schema can: what keys must be to each other, only they know.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::file;
use super::shapes::{Key, Recorded, Shape};
use super::{READ_AT_START, Sources};

/// One of the files of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum File {
    Tenantry,
    Routing,
    Plans,
}

impl File {
    pub const ALL: [Self; 3] = [Self::Tenantry, Self::Routing, Self::Plans];

    /// Its name without the `.toml`.
    pub fn stem(self) -> &'static str {
        match self {
            Self::Tenantry => "tenantry",
            Self::Routing => "routing",
            Self::Plans => "plans",
        }
    }

    /// The paths of all keys that it can have, such as `limits.head_timeout` or `listener[].address`, in the order in
    /// which they are read.
    pub fn keys(self) -> Vec<String> {
        self.recorded().paths().collect()
    }

    /// Its JSON Schema.
    pub fn schema(self) -> Value {
        let recorded = self.recorded();
        let mut schema = section(&recorded, "");
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = format!("{}.toml of Tenantry", self.stem()).into();
        schema
    }

    fn recorded(self) -> Recorded {
        file::record(&Sources::new("", "", ""), self)
    }
}

/// The table at `path`, with everything below it.
fn section(recorded: &Recorded, path: &str) -> Value {
    let keys = || recorded.keys.iter().filter(|key| key.section == path);
    let properties: Map<_, _> = keys().map(|key| (key.name.to_owned(), property(recorded, key))).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    // An absent section reads as an empty one: it must be there when something in it must.
    let needed = keys()
        .filter(|key| matches!(key.shape, Shape::Section) && schema["properties"][key.name]["required"].is_array());
    let named = recorded.required.iter().filter(|(section, _)| section == path).map(|(_, name)| name.as_str());
    let required: BTreeSet<&str> = named.chain(needed.map(|key| key.name)).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some((_, keys)) = recorded.alternatives.iter().find(|(section, _)| section == path) {
        schema["oneOf"] = keys.iter().map(|key| json!({ "required": [key] })).collect();
    }
    schema
}

fn property(recorded: &Recorded, key: &Key) -> Value {
    let path = match key.section.as_str() {
        "" => key.name.to_owned(),
        section => format!("{section}.{}", key.name),
    };
    let mut schema = match &key.shape {
        Shape::Section | Shape::OptionalSection => section(recorded, &path),
        Shape::Sections => {
            let needed = recorded.required.iter().any(|(section, name)| *section == key.section && name == key.name);
            let items = section(recorded, &format!("{path}[]"));
            json!({ "type": "array", "items": items, "minItems": u8::from(needed) })
        }
        shape => value(shape),
    };
    if READ_AT_START.contains(&path.as_str()) {
        let said = schema["description"].as_str().map(|said| format!("{said}. ")).unwrap_or_default();
        schema["description"] = format!("{said}Needs a restart.").into();
    }
    schema
}

fn value(shape: &Shape) -> Value {
    match shape {
        Shape::Text { expected } => json!({ "type": "string", "description": sentence(expected) }),
        Shape::Secret { expected } => secret(expected),
        Shape::Texts { expected } => {
            let description = format!("A list, each {expected}");
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true, "description": description })
        }
        Shape::Secrets { expected } => json!({ "type": "array", "items": secret(expected) }),
        Shape::Flag { default } => json!({ "type": "boolean", "default": default }),
        Shape::Number { low, high, default } => {
            with_default(json!({ "type": "integer", "minimum": low, "maximum": high }), default.map(Value::from))
        }
        Shape::NumberOr { word, low, high, default } => {
            // The word is no variable's value: what is read as a number or a word is not expanded.
            let number = json!({ "type": "integer", "minimum": low, "maximum": high });
            with_default(json!({ "anyOf": [number, { "const": word }] }), default.map(Value::from))
        }
        Shape::Numbers { low, high } => {
            let item = json!({ "type": "integer", "minimum": low, "maximum": high });
            json!({ "type": "array", "items": item, "minItems": 1 })
        }
        Shape::ListOr { word, expected } => {
            let list = json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true });
            let description = format!("A list, each {expected}, or \"{word}\"");
            json!({ "anyOf": [list, word_or_variable(&[word])], "description": description })
        }
        Shape::Duration { expected, off, default } => measure("ms|s|m|h|d", expected, *off, default.as_deref()),
        Shape::Size { expected, off, default } => {
            measure("B|kB|KB|MB|GB|KiB|MiB|GiB", expected, *off, default.as_deref())
        }
        Shape::Choice { words, default } => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            with_default(word_or_variable(&words), default.clone().map(Value::from))
        }
        Shape::Names => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        // Those that have keys of their own are made by `property`.
        Shape::Any | Shape::Section | Shape::OptionalSection | Shape::Sections => json!({}),
    }
}

fn secret(expected: &str) -> Value {
    let description = format!("{}. It may be secret: no fault shows it", sentence(expected));
    json!({ "type": "string", "description": description })
}

/// A number with a unit. A text with a variable in it cannot be judged before the variable is known.
fn measure(units: &str, expected: &str, off: bool, default: Option<&str>) -> Value {
    let off = if off { "|^off$" } else { "" };
    let pattern = format!("^[0-9]+({units})$|{VARIABLE}{off}");
    let schema = json!({ "type": "string", "pattern": pattern, "description": sentence(expected) });
    with_default(schema, default.map(Value::from))
}

/// One of some words; every text may have variables.
fn word_or_variable(words: &[&str]) -> Value {
    json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] })
}

fn with_default(mut schema: Value, default: Option<Value>) -> Value {
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

/// With a capital letter, when it starts with a small one.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Where a variable begins.
const VARIABLE: &str = r"\$\{";
