//! Events become lines: JSON, logfmt or text, one line each whatever they say. Nothing is left out here; what must not
//! be written must not be said.

use std::fmt::{self, Write};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::Shape;
use crate::clock::{Clock, Timestamp};
use crate::config::LogFormat;

/// The layer that writes.
pub(super) struct Lines {
    shape: Arc<ArcSwap<Shape>>,
    clock: Clock,
}

impl Lines {
    pub fn new(shape: Arc<ArcSwap<Shape>>, clock: Clock) -> Self {
        Self { shape, clock }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        // Bridged from the `log` crate, an event says itself whence it comes.
        let target = fields.bridged.take();
        let target = target.as_deref().unwrap_or_else(|| metadata.target());
        let line = Line { at: self.clock.now(), level: metadata.level().as_str(), target, fields };
        let shape = self.shape.load();
        shape.outlet_for(line.target).write(line.shown(shape.format).into_bytes());
    }
}

struct Line<'l> {
    at: Timestamp,
    level: &'l str,
    target: &'l str,
    fields: Fields,
}

/// What an event says, in its order.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    bridged: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Line<'_> {
    fn shown(self, format: LogFormat) -> String {
        let mut line = match format {
            LogFormat::Json => self.json(),
            LogFormat::Logfmt => self.logfmt(),
            LogFormat::Text => self.text(),
        };
        line.push('\n');
        line
    }

    fn json(self) -> String {
        let mut map = Map::new();
        map.insert("timestamp".into(), self.at.to_string().into());
        map.insert("level".into(), self.level.into());
        if let Some(message) = self.fields.message {
            map.insert("message".into(), message.into());
        }
        for (name, value) in self.fields.others {
            map.insert(name.into(), value);
        }
        map.insert("target".into(), self.target.into());
        Value::Object(map).to_string()
    }

    fn logfmt(self) -> String {
        let mut line = format!("time={} level={} target={}", self.at, self.level.to_ascii_lowercase(), self.target);
        let message = self.fields.message.map(|text| ("msg", Value::String(text)));
        for (name, value) in message.into_iter().chain(self.fields.others) {
            let _ = write!(line, " {name}=");
            push_value(&mut line, &value);
        }
        line
    }

    fn text(self) -> String {
        let mut line = format!("{} {:>5} {}:", self.at, self.level, self.target);
        if let Some(message) = self.fields.message {
            line.push(' ');
            message.chars().for_each(|c| push_plain(&mut line, c));
        }
        for (name, value) in self.fields.others {
            let _ = write!(line, " {name}=");
            push_value(&mut line, &value);
        }
        line
    }
}

/// A value as logfmt has it: bare when nothing in it could be misread, else in quotes with Go's escapes.
fn push_value(line: &mut String, value: &Value) {
    let Value::String(text) = value else {
        let _ = write!(line, "{value}");
        return;
    };
    let bare = |c: char| c > ' ' && c != '"' && c != '=' && c != '\\' && !is_unprintable(c);
    if !text.is_empty() && text.chars().all(bare) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        push_plain(line, c);
    }
    line.push('"');
}

/// No character ends a line, moves a cursor or hides in one.
fn push_plain(line: &mut String, c: char) {
    match c {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        c if is_unprintable(c) => {
            let _ = write!(line, "\\u{:04x}", c as u32);
        }
        c => line.push(c),
    }
}

/// Control characters, and those that turn the direction of writing or end lines in Unicode.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl Fields {
    fn push(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() != "log.line" {
            self.push(field, value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = Some(value.to_owned()),
            "log.target" => self.bridged = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            _ => self.push(field, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = Some(text),
            _ => self.push(field, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(message: Option<&str>, others: Vec<(&'static str, Value)>, format: LogFormat) -> String {
        let fields = Fields { message: message.map(str::to_owned), bridged: None, others };
        Line { at: Timestamp(0), level: "INFO", target: "access", fields }.shown(format)
    }

    #[test]
    fn logfmt_quotes_what_could_be_misread() {
        for (text, expected) in [
            ("plain", "k=plain\n"),
            ("", "k=\"\"\n"),
            ("two words", "k=\"two words\"\n"),
            ("a=b", "k=\"a=b\"\n"),
            ("say \"hi\"", "k=\"say \\\"hi\\\"\"\n"),
            ("back\\slash", "k=\"back\\\\slash\"\n"),
            ("new\nline", "k=\"new\\nline\"\n"),
            ("\u{1b}[31m", "k=\"\\u001b[31m\"\n"),
            ("\u{202e}txt", "k=\"\\u202etxt\"\n"),
            ("größe", "k=größe\n"),
        ] {
            let line = line(None, vec![("k", text.into())], LogFormat::Logfmt);
            assert!(line.ends_with(expected), "{text:?}: {line}");
        }
        let numbers = line(Some("it was"), vec![("n", 1.into()), ("b", true.into())], LogFormat::Logfmt);
        assert_eq!(numbers, "time=1970-01-01T00:00:00Z level=info target=access msg=\"it was\" n=1 b=true\n");
    }

    proptest! {
        #[test]
        fn an_event_is_one_line_in_every_format(text in any::<String>()) {
            for format in [LogFormat::Json, LogFormat::Logfmt, LogFormat::Text] {
                let line = line(Some(&text), vec![("k", text.clone().into())], format);
                prop_assert_eq!(line.matches(['\n', '\r']).count(), 1, "{:?}", line);
            }
        }

        #[test]
        fn json_says_what_was_said(text in any::<String>()) {
            let line = line(Some(&text), vec![("k", text.clone().into())], LogFormat::Json);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["k"], &Value::String(text.clone()));
            prop_assert_eq!(&read["message"], &Value::String(text));
        }
    }
}
