//! `[log]`: what is written, how, and where to. What of a request's target may be written is decided by the rules here;
//! `edge` applies them.

use std::fmt;
use std::path::PathBuf;

use regex::Regex;

use super::beside;
use super::section::Section;

const FILTER: &str =
    "a level (off, error, warn, info, debug, trace), or targets with levels as in \"info,tenantry::edge=debug\"";
const OUTPUT: &str = "\"stderr\", \"stdout\", or the path of a file that begins with a slash";
const PREFIX: &str = "the beginning of a path, such as \"/healthz\"";
const PARAMETER: &str = "a part of a parameter's name: 1 to 64 lowercase letters, digits, dashes and underscores";
const PATTERN: &str = "a regular expression, such as \"^/invite/([^/]+)\"";

/// Parameters whose names hold one of these are secrets.
const REDACTED: [&str; 12] = [
    "token",
    "code",
    "secret",
    "password",
    "passwd",
    "key",
    "signature",
    "sig",
    "session",
    "auth",
    "jwt",
    "credential",
];

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter. Default `info`.
    pub filter: String,
    /// Default JSON.
    pub format: LogFormat,
    /// Default standard error.
    pub output: Output,
    /// One line for each request. Default true.
    pub access: bool,
    /// Where those go; `None` (the default): where all others go.
    pub access_output: Option<Output>,
    /// Requests of which not each has a line; the first rule that matches counts. Default none.
    pub sample: Vec<Sample>,
    /// Whether query strings are written. Default false.
    pub query: bool,
    /// The value of a query parameter whose name holds one of these is not. By default what usually holds secrets.
    pub redact: Vec<String>,
    /// What a path has of these is not written: their groups, or all of it where an expression has none. Default none.
    pub redact_paths: Vec<Pattern>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
    /// `key=value` pairs (<https://brandur.org/logfmt>).
    Logfmt,
}

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    Stderr,
    Stdout,
    /// Appended to, and opened again on SIGUSR1.
    File(PathBuf),
}

/// Of requests whose path begins so and that went well, one in so many has a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    pub path_prefix: String,
    /// 0: none of them.
    pub one_in: u32,
}

/// A regular expression that is compared by its text.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const FORMATS: [(&str, LogFormat); 3] =
            [("json", LogFormat::Json), ("logfmt", LogFormat::Logfmt), ("text", LogFormat::Text)];
        let redact = section.has("redact");
        let named = section.texts("redact", PARAMETER, parameter);
        Self {
            filter: section.text("filter", FILTER, filter).unwrap_or_else(|| "info".to_owned()),
            format: section.choice("format", &FORMATS, LogFormat::Json),
            output: place(section, "output").unwrap_or(Output::Stderr),
            access: section.flag("access", true),
            access_output: place(section, "access_output"),
            sample: section.sections("sample", Sample::read),
            query: section.flag("query", false),
            redact: if redact { named } else { REDACTED.map(str::to_owned).to_vec() },
            redact_paths: section.texts("redact_paths", PATTERN, pattern),
        }
    }
}

impl Sample {
    fn read(section: &mut Section<'_>) -> Self {
        let prefix =
            |text: &str| if text.starts_with('/') { Ok(text.to_owned()) } else { Err("it begins with a slash") };
        Self {
            path_prefix: section.required("path_prefix", PREFIX, prefix).unwrap_or_default(),
            one_in: section.number("one_in", 0..=1_000_000, 100),
        }
    }
}

/// An output that can be opened.
fn place(section: &mut Section<'_>, key: &'static str) -> Option<Output> {
    let output = section.text(key, OUTPUT, output);
    if let Some(Output::File(path)) = &output {
        beside::appendable(section, key, path);
    }
    output
}

fn output(text: &str) -> Result<Output, &'static str> {
    match text {
        "stderr" => Ok(Output::Stderr),
        "stdout" => Ok(Output::Stdout),
        path if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => Ok(Output::File(path.into())),
        _ => Err(""),
    }
}

fn parameter(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(good) { Ok(text.to_owned()) } else { Err("") }
}

fn pattern(text: &str) -> Result<Pattern, &'static str> {
    match Regex::new(text) {
        Ok(regex) if regex.is_match("") => Err("it matches the empty text"),
        Ok(regex) => Ok(Pattern(regex)),
        Err(regex::Error::CompiledTooBig(_)) => Err("it is too large"),
        Err(_) => Err("it cannot be read"),
    }
}

/// A filter that tracing understands as it was meant: it would take a misspelt level for the name of a target.
fn filter(text: &str) -> Result<String, &'static str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    if text.split(',').any(|part| !part.contains(['=', '[', ']', '{', '}']) && !LEVELS.contains(&part)) {
        return Err("a word alone must be a level");
    }
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| "tracing cannot read it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_targets() {
        for text in ["info", "off", "warn,tenantry::edge=debug", "info,tenantry[request{host=a}]=trace"] {
            assert!(filter(text).is_ok(), "{text}: {:?}", filter(text));
        }
        for text in ["", "debgu", "info,", "tenantry=loud", "INFO WARN"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn outputs_are_streams_and_files() {
        assert_eq!(output("stdout"), Ok(Output::Stdout));
        assert_eq!(output("/var/log/a.log"), Ok(Output::File("/var/log/a.log".into())));
        for text in ["", "file", "logs/a.log", "/var/log/"] {
            assert!(output(text).is_err(), "{text}");
        }
    }
}
