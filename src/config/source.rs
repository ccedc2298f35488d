//! The three files as text, and as tables whose every key knows its line. Nothing here knows what a key means.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::Fault;

/// Of one file, in bytes. Ten thousand routes take one or two million.
const LONGEST: usize = 8 << 20;

/// The texts of a configuration: `tenantry.toml`, `routing.toml` and `plans.toml`.
#[derive(Clone, Debug)]
pub struct Sources {
    pub(super) tenantry: Source,
    pub(super) routing: Source,
    pub(super) plans: Source,
}

/// One file, or why it could not be read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub name: String,
    pub text: Result<String, String>,
}

/// A parsed file. `table` is `None` when it could not be read or is not TOML; the faults say why.
pub(super) struct Document<'s> {
    pub name: &'s str,
    text: &'s str,
    pub table: Option<Spanned<DeTable<'s>>>,
}

impl Sources {
    /// Texts that are at hand already, under the names that the files would have.
    pub fn new(tenantry: impl Into<String>, routing: impl Into<String>, plans: impl Into<String>) -> Self {
        let source = |name: &str, text: String| Source { name: name.to_owned(), text: Ok(text) };
        Self {
            tenantry: source("tenantry.toml", tenantry.into()),
            routing: source("routing.toml", routing.into()),
            plans: source("plans.toml", plans.into()),
        }
    }

    /// The texts, for whoever keeps a configuration that was right: `None` when one could not be read.
    pub fn texts(&self) -> Option<[&str; 3]> {
        Some([self.tenantry.text()?, self.routing.text()?, self.plans.text()?])
    }

    /// Reads the three files of a directory. One that cannot be read becomes a fault when the sources are checked.
    pub fn read(dir: &Path) -> Self {
        let source = |name: &str| {
            let path = dir.join(name);
            let text = read(&path);
            Source { name: path.display().to_string(), text }
        };
        Self { tenantry: source("tenantry.toml"), routing: source("routing.toml"), plans: source("plans.toml") }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file; a configuration is a directory with tenantry.toml, routing.toml and plans.toml"
                .to_owned()
        }
        io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    // Before it is opened: to open a pipe can take for ever.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err("this is no regular file".to_owned());
    }
    if metadata.len() > LONGEST as u64 {
        return Err(too_long());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LONGEST as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn too_long() -> String {
    format!("the file is longer than {} MiB, the most that is read", LONGEST >> 20)
}

impl Source {
    fn text(&self) -> Option<&str> {
        self.text.as_deref().ok()
    }

    /// Parses the file; every syntax error becomes a fault.
    pub fn parse(&self, faults: &mut Vec<Fault>) -> Document<'_> {
        let mut document = Document { name: &self.name, text: "", table: None };
        match &self.text {
            Err(reason) => faults.push(document.fault(None, String::new(), reason.clone())),
            Ok(text) if text.len() > LONGEST => {
                faults.push(document.fault(None, String::new(), too_long()));
            }
            Ok(text) => {
                document.text = text;
                let (table, errors) = DeTable::parse_recoverable(text);
                if errors.is_empty() {
                    document.table = Some(table);
                }
                for error in errors {
                    let message = format!("this is not TOML: {}", error.message());
                    faults.push(document.fault(error.span(), String::new(), message));
                }
            }
        }
        document
    }
}

impl Document<'_> {
    /// A fault at the start of `span`, or about the whole file.
    pub fn fault(&self, span: Option<Range<usize>>, key: String, message: String) -> Fault {
        let (line, column) = span.map_or((0, 0), |span| position(self.text, span.start));
        Fault { file: self.name.to_owned(), line, column, key, message }
    }
}

/// Line and column of a byte, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    // Continuation bytes of UTF-8 do not start a character.
    let column = before[line_start..].iter().filter(|b| **b & 0xC0 != 0x80).count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a = 1\nbü = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 6), (2, 1));
        assert_eq!(position(text, text.find('=').unwrap_or(0)), (1, 3));
        assert_eq!(position(text, text.rfind('=').unwrap_or(0)), (2, 4));
        assert_eq!(position(text, 999), (3, 1));
    }

    #[test]
    fn every_syntax_error_is_a_fault_and_shows_no_value() {
        let mut faults = Vec::new();
        let sources = Sources::new("[store]\nurl = hunter2\n[\n", "", "");
        assert!(sources.tenantry.parse(&mut faults).table.is_none());
        assert!(faults.iter().any(|fault| fault.line == 2), "{faults:?}");
        assert!(faults.len() > 1, "{faults:?}");
        assert!(faults.iter().all(|fault| !fault.message.contains("hunter2")), "{faults:?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let mut faults = Vec::new();
        assert!(Sources::read(Path::new("/nowhere")).routing.parse(&mut faults).table.is_none());
        assert!(faults[0].to_string().starts_with("/nowhere/routing.toml: there is no such file"), "{faults:?}");
    }
}
