//! Imports: tables of tenants and of domains, as RFC 4180 has them (comma, quotes, a heading first), in UTF-8. A table is
//! looked at to its end before anything is written, and then written in one transaction, or not at all: one change for
//! the lot, one line in the installation's ledger, which has the digest of the whole table: whoever holds it against the
//! file knows each row. A line for each in the chain of its tenant would cost more than all else. Nobody is told of each
//! row either: no mail, no event.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::error::{Fault, TenancyError};

/// The most faults that are told one by one.
pub const FAULTS_TOLD: usize = 100;
/// Rows that are looked at, and written, together.
pub(super) const CHUNK: usize = 500;

/// What came of an import, or would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// Rows of the table, without its heading.
    pub rows: u64,
    /// SHA-256 of the table, in hexadecimal: the ledger has the same.
    pub sha256: String,
}

/// A column that a table may have.
pub(super) struct Column {
    pub name: &'static str,
    pub required: bool,
}

/// A table that is being read, with every fault that has been found in it.
pub(super) struct Table<'t> {
    reader: csv::Reader<&'t [u8]>,
    /// Where each of the known columns is.
    places: Vec<Option<usize>>,
    columns: &'static [Column],
    record: StringRecord,
    lines: Lines<'t>,
    pub rows: u64,
    pub faults: LineFaults,
}

/// A row, its cells in the order of the columns that are known. Blank ones are `None`.
pub(super) struct Line {
    pub number: u64,
    pub cells: Vec<Option<String>>,
}

/// Faults by line: the first of them told, all counted.
#[derive(Default)]
pub(super) struct LineFaults {
    told: Vec<Fault>,
    number: usize,
}

impl LineFaults {
    /// `line` is counted from 1, the heading's; the pointer is `/<line>/<column>`.
    pub fn add(&mut self, line: u64, mut fault: Fault) {
        self.number += 1;
        if self.told.len() < FAULTS_TOLD {
            fault.pointer = format!("/{line}{}", fault.pointer);
            fault.detail = format!("line {line}: {}", fault.detail);
            self.told.push(fault);
        }
    }

    pub fn add_all(&mut self, line: u64, error: TenancyError) -> Result<(), TenancyError> {
        match error {
            TenancyError::Invalid(faults) => faults.into_iter().for_each(|fault| self.add(line, fault)),
            TenancyError::Conflict(fault) => self.add(line, fault),
            other => return Err(other),
        }
        Ok(())
    }

    /// An error when there are any.
    pub fn check(mut self) -> Result<(), TenancyError> {
        if self.number == 0 {
            return Ok(());
        }
        if self.number > self.told.len() {
            let more = format!("and {} more", self.number - self.told.len());
            self.told.push(Fault::new("", "more-faults", more));
        }
        Err(TenancyError::Invalid(self.told))
    }
}

/// Where lines begin. The reader's own count is that of the end of the row before: blank lines, and the second half of a
/// CRLF, come after it.
struct Lines<'t> {
    text: &'t [u8],
    seen: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of a row that begins there, or behind the line ends there. Rows come in their order.
    fn at(&mut self, position: Option<&csv::Position>) -> u64 {
        let byte = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.seen);
        let mut start = byte.clamp(self.seen, self.text.len());
        while matches!(self.text.get(start), Some(b'\r' | b'\n')) {
            start += 1;
        }
        self.line += self.text[self.seen..start].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.seen = start;
        self.line
    }
}

impl Line {
    /// What the first column says.
    pub fn first(&self) -> &str {
        self.cells.first().and_then(Option::as_deref).unwrap_or_default()
    }
}

impl<'t> Table<'t> {
    /// Reads the heading. A table whose heading is wrong is not read on.
    pub fn open(text: &'t [u8], columns: &'static [Column]) -> Result<Self, TenancyError> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text);
        let mut faults = LineFaults::default();
        let mut places = vec![None; columns.len()];
        let known = || columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        match reader.headers() {
            Ok(heading) => {
                for (at, name) in heading.iter().enumerate() {
                    match columns.iter().position(|column| column.name == name) {
                        Some(column) if places[column].is_some() => {
                            let detail = format!("the column {name} is there twice");
                            faults.add(1, Fault::new("", "duplicate-column", detail));
                        }
                        Some(column) => places[column] = Some(at),
                        None => {
                            let detail = format!("{name:?} is no column of this table; there are {}", known());
                            faults.add(1, Fault::new("", "unknown-column", detail));
                        }
                    }
                }
            }
            Err(error) => faults.add(1, unreadable(&error)),
        }
        for (column, _) in columns.iter().zip(&places).filter(|(column, place)| column.required && place.is_none()) {
            let detail = format!("the heading has no column {}; a table has {}", column.name, known());
            faults.add(1, Fault::new("", "missing-column", detail));
        }
        faults.check()?;
        let (record, lines) = (StringRecord::new(), Lines { text, seen: 0, line: 1 });
        Ok(Self { reader, places, columns, record, lines, rows: 0, faults: LineFaults::default() })
    }

    /// The next rows, at most [`CHUNK`]; none at the end. Rows that cannot be read are faults.
    pub fn chunk(&mut self) -> Vec<Line> {
        let mut lines = Vec::with_capacity(CHUNK);
        while lines.len() < CHUNK {
            match self.reader.read_record(&mut self.record) {
                Ok(false) => break,
                Ok(true) => {
                    self.rows += 1;
                    let number = self.lines.at(self.record.position());
                    let cell = |place: &Option<usize>| {
                        let text = place.and_then(|at| self.record.get(at)).filter(|text| !text.is_empty());
                        text.map(str::to_owned)
                    };
                    let line = Line { number, cells: self.places.iter().map(cell).collect() };
                    let missing = |(column, cell): &(&Column, &Option<String>)| column.required && cell.is_none();
                    let gap = self.columns.iter().zip(&line.cells).find(missing);
                    match gap {
                        Some((column, _)) => {
                            let detail = format!("{} is empty", column.name);
                            self.faults.add(number, Fault::new(format!("/{}", column.name), "required", detail));
                        }
                        None => lines.push(line),
                    }
                }
                Err(error) => {
                    self.rows += 1;
                    let line = self.lines.at(error.position());
                    self.faults.add(line, unreadable(&error));
                    if !matches!(error.kind(), ErrorKind::UnequalLengths { .. } | ErrorKind::Utf8 { .. }) {
                        break;
                    }
                }
            }
        }
        lines
    }
}

/// Rows in the order in which they are written, a part at a time. Most indexes end with the name of a row, and all else in
/// them is the same for many rows of a table: in the order of the names, each index grows in a few places. As the rows come,
/// it grows here and there, and with more tenants than memory every place has to be fetched first.
pub(super) struct Sorted(std::vec::IntoIter<Line>);

impl Sorted {
    pub fn by<K: Ord>(mut table: Table<'_>, key: impl Fn(&Line) -> K) -> Self {
        let mut lines = Vec::new();
        loop {
            let some = table.chunk();
            if some.is_empty() {
                break;
            }
            lines.extend(some);
        }
        lines.sort_by_cached_key(key);
        Self(lines.into_iter())
    }

    /// The next rows, at most [`CHUNK`]; none at the end.
    pub fn chunk(&mut self) -> Vec<Line> {
        self.0.by_ref().take(CHUNK).collect()
    }
}

/// The names that a table has had so far, and in which line.
#[derive(Default)]
pub(super) struct Seen(HashMap<Box<str>, u64>);

impl Seen {
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A fault when the name was there before.
    pub fn note(&mut self, pointer: &str, name: &str, line: u64) -> Result<(), Fault> {
        match self.0.insert(name.into(), line) {
            None => Ok(()),
            Some(before) => Err(Fault::new(pointer, "duplicate", format!("{name} is in line {before} already"))),
        }
    }
}

pub(super) fn sha256(text: &[u8]) -> String {
    hex::encode(digest(&SHA256, text))
}

fn unreadable(error: &csv::Error) -> Fault {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Fault::new("", "wrong-width", format!("it has {len} cells, the heading {expected_len}"))
        }
        ErrorKind::Utf8 { .. } => Fault::new("", "not-utf-8", "it is not UTF-8; save the table as UTF-8"),
        _ => Fault::new("", "unreadable", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column { name: "slug", required: true }, Column { name: "plan", required: false }];

    fn faults(error: TenancyError) -> Vec<(String, &'static str)> {
        let TenancyError::Invalid(faults) = error else { panic!("{error}") };
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    }

    #[test]
    fn tables_come_as_spreadsheets_write_them() {
        let text = "\u{feff}plan,slug\r\n\"gr\"\"ow\",acme\r\n\r\n , b \r\n\"a\nb\",c\r\n";
        let mut table = Table::open(text.as_bytes(), COLUMNS).unwrap();
        let lines = table.chunk();
        let cells: Vec<_> = lines.iter().map(|line| line.cells.clone()).collect();
        let cell = |text: &str| Some(text.to_owned());
        assert_eq!(cells, [[cell("acme"), cell("gr\"ow")], [cell("b"), None], [cell("c"), cell("a\nb")]]);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 4, 5]);
        assert!(table.chunk().is_empty());
        table.faults.check().unwrap();
    }

    #[test]
    fn every_fault_has_its_line_and_only_the_first_are_told() {
        let faulty = Table::open(b"slug,colour,slug\n", COLUMNS).map(drop).unwrap_err();
        assert_eq!(faults(faulty), [("/1".to_owned(), "unknown-column"), ("/1".to_owned(), "duplicate-column")]);
        let empty = Table::open(b"", COLUMNS).map(drop).unwrap_err();
        assert_eq!(faults(empty), [("/1".to_owned(), "missing-column")]);
        let mut text = b"slug,plan\na\n\xff,x\n,growth\n".to_vec();
        text.extend_from_slice("a,b,c\n".repeat(200).as_bytes());
        let mut table = Table::open(&text, COLUMNS).unwrap();
        while !table.chunk().is_empty() {}
        assert_eq!(table.rows, 203);
        let told = faults(table.faults.check().unwrap_err());
        assert_eq!(told.len(), FAULTS_TOLD + 1);
        assert_eq!(told[0], ("/2".to_owned(), "wrong-width"));
        assert_eq!(told[1], ("/3".to_owned(), "not-utf-8"));
        assert_eq!(told[2], ("/4/slug".to_owned(), "required"));
        assert_eq!(told[FAULTS_TOLD], (String::new(), "more-faults"));
    }
}
