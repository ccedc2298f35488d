//! JSON Schema in words: what a value is, and what its fields are. Knows the part of JSON Schema that utoipa writes; of
//! anything else it says nothing rather than something wrong.

use serde_json::{Map, Value};

use super::prose::{Paragraph, prose};

/// A piece of what is said about a type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    Text(String),
    /// As it is written in JSON.
    Literal(String),
    /// A schema that is described elsewhere on the page.
    Schema(String),
}

/// A field of an object, or a parameter.
pub struct Field {
    /// With dots and `[]` before it where it lies deeper.
    pub name: String,
    /// For parameters: `path`, `query` or `header`.
    pub place: Option<String>,
    pub required: bool,
    pub kind: Vec<Word>,
    /// Bounds, default and the like.
    pub notes: Vec<String>,
    pub about: Vec<Paragraph>,
}

/// Fields that come together: those of an object, of one of its parts, or of one of its alternatives.
pub struct Group {
    /// What there is to say of them alone.
    pub about: Vec<Paragraph>,
    /// All fields of this schema are among them.
    pub all_of: Option<String>,
    pub fields: Vec<Field>,
}

/// What a value is.
pub fn kind(schema: &Value) -> Vec<Word> {
    if let Some(name) = reference(schema) {
        return vec![Word::Schema(name.to_owned())];
    }
    if let Some(parts) = list(schema, "oneOf") {
        return alternatives(parts);
    }
    if let Some(parts) = list(schema, "allOf") {
        return joined(parts, " with ");
    }
    if let Some(words) = list(schema, "enum") {
        let words = words.iter().map(|word| vec![Word::Literal(word.to_string())]).collect();
        return interleaved(words, " or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(only) => vec![only],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return vec![text("anything")],
    };
    interleaved(types.into_iter().map(|name| plain(name, schema)).collect(), " or ")
}

/// What bounds a value, and what it is when it is left out.
pub fn notes(schema: &Value) -> Vec<String> {
    let bounds = [
        ("minimum", "at least {}"),
        ("maximum", "at most {}"),
        ("minLength", "{} characters or more"),
        ("maxLength", "{} characters at most"),
        ("minItems", "{} or more"),
        ("maxItems", "{} at most"),
        ("pattern", "matches {}"),
        ("default", "default {}"),
        ("example", "such as {}"),
    ];
    let told = |value: &Value| !matches!(value, Value::Null);
    let bounds = bounds.iter().filter_map(|(key, words)| {
        let value = schema.get(key).filter(|value| told(value))?;
        Some(words.replace("{}", &value.to_string()))
    });
    let flags = [("readOnly", "never taken, only shown"), ("writeOnly", "never shown"), ("deprecated", "deprecated")];
    bounds.chain(flags.iter().filter(|(key, _)| schema[*key] == true).map(|(_, words)| (*words).to_owned())).collect()
}

/// The fields of an object, part by part; nothing for what has none.
pub fn groups(schema: &Value) -> Vec<Group> {
    let parts = ["allOf", "oneOf"].into_iter().find_map(|key| list(schema, key));
    let parts = parts.map_or_else(|| vec![schema], |parts| parts.iter().collect());
    let alone = parts.len() == 1;
    let group = |part: &Value| {
        let mut fields = Vec::new();
        collect(part, "", &mut fields);
        // Of a schema that has only this part, it is said elsewhere.
        let about = if alone { Vec::new() } else { prose(part["description"].as_str().unwrap_or_default()) };
        Group { about, all_of: reference(part).map(str::to_owned), fields }
    };
    let groups = parts.into_iter().map(group);
    groups.filter(|group| !group.fields.is_empty() || group.all_of.is_some()).collect()
}

/// What is said of a value: at the value itself, or at the only thing that it can be beside `null`.
pub fn about(schema: &Value) -> Vec<Paragraph> {
    let inner = || list(schema, "oneOf").into_iter().flatten().find_map(|part| part["description"].as_str());
    prose(schema["description"].as_str().or_else(inner).unwrap_or_default())
}

/// The name of the schema that is referred to.
pub fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

fn collect(schema: &Value, prefix: &str, fields: &mut Vec<Field>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = |name: &str| list(schema, "required").is_some_and(|names| names.iter().any(|n| n == name));
    for needed in [true, false] {
        for (name, property) in properties.iter().filter(|(name, _)| required(name) == needed) {
            let name = format!("{prefix}{name}");
            fields.push(Field {
                place: None,
                required: needed,
                kind: kind(property),
                notes: notes(property),
                about: about(property),
                name: name.clone(),
            });
            collect(property, &format!("{name}."), fields);
            collect(&property["items"], &format!("{name}[]."), fields);
        }
    }
}

fn plain(name: &str, schema: &Value) -> Vec<Word> {
    match (name, schema["format"].as_str()) {
        ("array", _) => [vec![text("list of ")], kind(&schema["items"])].concat(),
        ("object", _) if schema["additionalProperties"].is_object() => {
            [vec![text("object, by name: ")], kind(&schema["additionalProperties"])].concat()
        }
        ("string", Some("binary")) => vec![text("bytes")],
        // How many bits a number has says nothing to whom writes JSON.
        ("string", Some(format)) => vec![text(&format!("string ({format})"))],
        _ => vec![text(name)],
    }
}

fn alternatives(parts: &[Value]) -> Vec<Word> {
    // Alternatives that are objects themselves are told field by field.
    if parts.iter().all(|part| part["properties"].is_object()) {
        return vec![text("object, one of several")];
    }
    joined(parts, " or ")
}

fn joined(parts: &[Value], between: &str) -> Vec<Word> {
    interleaved(parts.iter().map(kind).collect(), between)
}

fn interleaved(parts: Vec<Vec<Word>>, between: &str) -> Vec<Word> {
    let between = [text(between)];
    parts.join(&between[..])
}

fn text(words: &str) -> Word {
    Word::Text(words.to_owned())
}

fn list<'a>(schema: &'a Value, key: &str) -> Option<&'a Vec<Value>> {
    schema.as_object().and_then(|object: &Map<_, _>| object.get(key)).and_then(Value::as_array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(schema: &Value) -> String {
        let word = |word: Word| match word {
            Word::Text(text) => text,
            Word::Literal(text) => format!("`{text}`"),
            Word::Schema(name) => format!("<{name}>"),
        };
        kind(schema).into_iter().map(word).collect()
    }

    #[test]
    fn types_are_told_in_words() {
        let status = json!({"$ref": "#/components/schemas/Status"});
        for (schema, words) in [
            (json!({"type": "string"}), "string"),
            (json!({"type": ["string", "null"], "format": "date-time"}), "string (date-time) or null"),
            (json!({"type": "integer", "format": "int32"}), "integer"),
            (json!({"type": "string", "format": "binary"}), "bytes"),
            (json!({"type": ["array", "null"], "items": status}), "list of <Status> or null"),
            (json!({"oneOf": [status, {"type": "null"}]}), "<Status> or null"),
            (json!({"enum": ["a", "b"], "type": "string"}), "`\"a\"` or `\"b\"`"),
            (json!({"type": "object", "additionalProperties": {"type": "integer"}}), "object, by name: integer"),
            (json!({"allOf": [status, {"type": "object"}]}), "<Status> with object"),
            (json!({"oneOf": [{"type": "object", "properties": {}}]}), "object, one of several"),
            (json!({}), "anything"),
        ] {
            assert_eq!(said(&schema), words, "{schema}");
        }
    }

    #[test]
    fn bounds_are_told_and_no_default_is_none() {
        let schema = json!({"minimum": 1, "maximum": 200, "default": 50, "readOnly": true});
        assert_eq!(notes(&schema), ["at least 1", "at most 200", "default 50", "never taken, only shown"]);
        assert!(notes(&json!({"default": null, "type": "string"})).is_empty());
    }

    #[test]
    fn required_fields_come_first_and_deeper_ones_say_where_they_are() {
        let inner = json!({"type": "object", "properties": {"deep": {"type": "string"}}});
        let schema = json!({"type": "object", "required": ["z"], "properties": {
            "a": {"type": "string"}, "list": {"type": "array", "items": inner}, "z": inner}});
        let groups = groups(&schema);
        let names: Vec<_> = groups[0].fields.iter().map(|field| (field.name.as_str(), field.required)).collect();
        assert_eq!(names, [("z", true), ("z.deep", false), ("a", false), ("list", false), ("list[].deep", false)]);
    }
}
