//! Events become lines: JSON, logfmt or text, one line each whatever they say. Nothing is left out here; what must not
//! be written must not be said.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use arc_swap::ArcSwap;
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
        let metadata = event.metadata();
        // Bridged from the `log` crate, an event says itself whence it comes.
        let mut bridged = Bridged::default();
        if metadata.target() == "log" {
            event.record(&mut bridged);
        }
        let target = bridged.target.as_deref().unwrap_or_else(|| metadata.target());
        let shape = self.shape.load();
        let mut line = Line::begin(shape.format, self.clock.now(), metadata.level().as_str(), target);
        event.record(&mut line);
        shape.outlet_for(target).write(line.end(target));
    }
}

/// A line as it is written, piece by piece, in the order in which an event says them.
struct Line {
    format: LogFormat,
    text: Vec<u8>,
}

/// The target that an event of the `log` crate had.
#[derive(Default)]
struct Bridged {
    target: Option<String>,
}

impl Line {
    fn begin(format: LogFormat, at: Timestamp, level: &str, target: &str) -> Self {
        // Access lines have some 600 bytes.
        let mut text = Vec::with_capacity(1024);
        let mut plain = Plain(&mut text);
        let _ = match format {
            LogFormat::Json => write!(plain, "{{\"timestamp\":\"{at}\",\"level\":\"{level}\""),
            LogFormat::Logfmt => write!(plain, "time={at} level={} target={target}", level.to_ascii_lowercase()),
            LogFormat::Text => write!(plain, "{at} {level:>5} {target}:"),
        };
        Self { format, text }
    }

    fn end(mut self, target: &str) -> Vec<u8> {
        if self.format == LogFormat::Json {
            self.push_text("target", target);
            self.text.push(b'}');
        }
        self.text.push(b'\n');
        self.text
    }

    fn name(&mut self, name: &str) {
        let (before, behind): (&[u8], &[u8]) = match self.format {
            LogFormat::Json => (b",\"", b"\":"),
            LogFormat::Logfmt | LogFormat::Text => (b" ", b"="),
        };
        for piece in [before, name.as_bytes(), behind] {
            self.text.extend_from_slice(piece);
        }
    }

    fn push_text(&mut self, name: &str, value: &str) {
        match (name, self.format) {
            // Details of the `log` bridge; the target is told as every line's is.
            (name, _) if name.starts_with("log.") => {}
            (name, LogFormat::Json) => {
                self.name(name);
                self.push_json(value);
            }
            ("message", LogFormat::Text) => {
                self.text.push(b' ');
                value.chars().for_each(|c| push_plain(&mut self.text, c));
            }
            (name, _) => {
                self.name(if name == "message" { "msg" } else { name });
                push_value(&mut self.text, value);
            }
        }
    }

    /// A text whose characters mean nothing in any format.
    fn push_bare(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.extend_from_slice(value.as_bytes());
    }

    /// A number, in the digits that all formats have.
    fn push_number(&mut self, name: &str, number: impl itoa::Integer) {
        self.name(name);
        self.text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// What shows itself in characters of any kind, as JSON: mostly they stand for themselves.
    fn push_shown(&mut self, value: &dyn fmt::Debug) {
        self.text.push(b'"');
        let from = self.text.len();
        let _ = write!(Plain(&mut self.text), "{value:?}");
        if means_itself(&self.text[from..]) {
            return self.text.push(b'"');
        }
        let said = String::from_utf8_lossy(&self.text.split_off(from)).into_owned();
        self.text.pop();
        self.push_json(&said);
    }

    fn push_json(&mut self, value: &str) {
        if means_itself(value.as_bytes()) {
            self.text.push(b'"');
            self.text.extend_from_slice(value.as_bytes());
            return self.text.push(b'"');
        }
        // Into memory, and of text: nothing can fail.
        let _ = serde_json::to_writer(&mut self.text, value);
    }
}

/// Whether these are the same between the quotes of JSON (RFC 8259 §7). Looks at all of them, for that can be done to many at
/// once.
fn means_itself(text: &[u8]) -> bool {
    !text.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\'))
}

/// Text on its way to where it stays, without the errors that a file could have.
struct Plain<'a>(&'a mut Vec<u8>);

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A value as logfmt has it: bare when nothing in it could be misread, else in quotes with Go's escapes.
fn push_value(line: &mut Vec<u8>, text: &str) {
    let bare = |c: char| c > ' ' && c != '"' && c != '=' && c != '\\' && !is_unprintable(c);
    if !text.is_empty() && text.chars().all(bare) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            line.push(b'\\');
        }
        push_plain(line, c);
    }
    line.push(b'"');
}

/// No character ends a line, moves a cursor or hides in one.
fn push_plain(line: &mut Vec<u8>, c: char) {
    let mut line = Plain(line);
    let _ = match c {
        '\n' => line.write_str("\\n"),
        '\r' => line.write_str("\\r"),
        '\t' => line.write_str("\\t"),
        c if is_unprintable(c) => write!(line, "\\u{:04x}", c as u32),
        c => line.write_char(c),
    };
}

/// Control characters, and those that turn the direction of writing or end lines in Unicode.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() || self.format != LogFormat::Json {
            true => self.push_bare(field.name(), &value.to_string()),
            false => self.push_bare(field.name(), "null"),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() != "log.line" {
            self.push_number(field.name(), value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_bare(field.name(), if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        match self.format {
            LogFormat::Json if !name.starts_with("log.") => {
                self.name(name);
                self.push_shown(value);
            }
            _ => self.push_text(name, &format!("{value:?}")),
        }
    }
}

impl Visit for Bridged {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(format: LogFormat, say: impl FnOnce(&mut Line)) -> String {
        let mut line = Line::begin(format, Timestamp(0), "INFO", "access");
        say(&mut line);
        String::from_utf8(line.end("access")).unwrap()
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
            let line = line(LogFormat::Logfmt, |line| line.push_text("k", text));
            assert!(line.ends_with(expected), "{text:?}: {line}");
        }
        let numbers = line(LogFormat::Logfmt, |line| {
            line.push_text("message", "it was");
            line.push_bare("n", "1");
            line.push_bare("b", "true");
        });
        assert_eq!(numbers, "time=1970-01-01T00:00:00Z level=info target=access msg=\"it was\" n=1 b=true\n");
    }

    proptest! {
        #[test]
        fn an_event_is_one_line_in_every_format(text in any::<String>()) {
            for format in [LogFormat::Json, LogFormat::Logfmt, LogFormat::Text] {
                let line = line(format, |line| {
                    line.push_text("message", &text);
                    line.push_text("k", &text);
                    if format == LogFormat::Json {
                        line.name("shown");
                        line.push_shown(&format_args!("{text}"));
                    }
                });
                prop_assert_eq!(line.matches(['\n', '\r']).count(), 1, "{:?}", line);
            }
        }

        #[test]
        fn json_says_what_was_said(text in any::<String>()) {
            let line = line(LogFormat::Json, |line| {
                line.push_text("message", &text);
                line.push_text("k", &text);
                line.name("shown");
                line.push_shown(&format_args!("{text}"));
                line.push_bare("n", "1.5");
                line.push_number("i", i64::MIN);
            });
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!((&read["k"], &read["shown"]), (&text.as_str().into(), &text.as_str().into()));
            prop_assert_eq!(&read["i"], i64::MIN);
            prop_assert_eq!(&read["message"], &text);
            prop_assert_eq!((&read["n"], &read["target"]), (&1.5.into(), &"access".into()));
        }
    }
}
