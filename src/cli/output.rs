//! How answers look in a terminal: aligned, short, and never a control character that someone put into a name.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;

/// Writes to stdout. A reader that has gone away (`| head`) is no error.
pub fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to stderr.
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// JSON for programs.
pub fn json(value: &Value) {
    answer(&format!("{value:#}\n"));
}

/// Rows under headings, each column as wide as it must be.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `label   value` lines; those without a value are left out.
pub fn lines(pairs: &[(&str, String)]) -> String {
    let shown = || pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(label, _)| label.len()).max().unwrap_or(0);
    shown().fold(String::new(), |mut text, (label, value)| {
        let _ = writeln!(text, "{label:<width$}  {value}");
        text
    })
}

/// A member of an answer as text: nothing for `null` and what is not there, lists with commas.
pub fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Array(list)) => list.iter().map(|item| cell(item, "")).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

/// The text with its control characters shown instead of obeyed.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `1 pool`, `2 pools`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_control_characters_do_not_act() {
        let rows = vec![vec!["acme".to_owned(), "Äcme".to_owned()], vec!["b".to_owned(), String::new()]];
        assert_eq!(table(&["SLUG", "N"], &rows), "SLUG  N\nacme  Äcme\nb\n");
        assert_eq!(cell(&json!({"a": {"b": "x\u{1b}[2Jy"}}), "/a/b"), "x\u{fffd}[2Jy");
        assert_eq!(lines(&[("id", "1".into()), ("plan", String::new())]), "id  1\n");
    }
}
