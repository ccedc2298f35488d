//! A table of a file, read key by key. Whatever is wrong becomes a fault and reading goes on; a key that nobody asked
//! for is a fault too, so nothing that is configured is ignored. What a key *means* is not known here.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::Fault;
use super::secrets::{self, SecretError};
use super::shapes::{Recorder, Shape};
use super::source::Document;
use super::variables::{Lookup, expand};

/// What the reading of all files shares.
pub(super) struct Check<'c> {
    pub lookup: &'c Lookup<'c>,
    pub faults: RefCell<Vec<Fault>>,
    /// Notes every key that is asked for: the documents are empty then, and every key is visited, those too that are
    /// otherwise read only beside others.
    pub recorder: Option<Recorder>,
}

/// A table under its key path; a section that is absent reads as an empty one. Made by [`Section::root`], a section
/// or array of sections, which report unknown keys when the reader is through.
pub(super) struct Section<'c> {
    check: &'c Check<'c>,
    document: &'c Document<'c>,
    path: String,
    /// Where a missing key would belong; `None` when the section is not in the file.
    span: Option<Range<usize>>,
    table: Option<&'c DeTable<'c>>,
    known: Vec<&'static str>,
    /// What stands in its place is no table, and faulted as such: nothing is missing from it.
    faulty: bool,
    /// Read to be recorded, although what it depends on does not hold: nothing is required of it.
    conditional: bool,
    forgiving: bool,
}

/// A place to point at later, for checks across keys.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    path: String,
    span: Option<Range<usize>>,
}

impl<'c> Section<'c> {
    /// Reads a whole file. `None` when there is no table to read.
    pub fn root<T>(check: &'c Check<'c>, document: &'c Document<'c>, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let table = document.table.as_ref()?.get_ref();
        let mut root = Self {
            check,
            document,
            path: String::new(),
            span: None,
            table: Some(table),
            known: Vec::new(),
            faulty: false,
            conditional: false,
            forgiving: false,
        };
        let value = read(&mut root);
        root.refuse_unknown();
        Some(value)
    }

    /// Reads the table `key`.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let path = self.path_of(key);
        self.declare(key, || Shape::Section);
        let Some(value) = self.value(key) else { return self.child(path, None, None, read) };
        match value.get_ref() {
            DeValue::Table(table) => self.child(path, Some(value.span()), Some(table), read),
            other => {
                self.fault(key, format!("found {}, expected a section: write [{path}]", describe(other)));
                read(&mut Self { faulty: true, ..self.empty(path) })
            }
        }
    }

    /// Reads the table `key` if it is there.
    pub fn optional_section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.declare(key, || Shape::OptionalSection);
        if self.has(key) || self.recorder().is_some() {
            return Some(self.section(key, read));
        }
        self.known.push(key);
        None
    }

    /// Reads keys that have a meaning only beside others, when that `holds`. Otherwise they stay unknown.
    pub fn when<T>(&mut self, holds: bool, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if holds {
            return Some(read(self));
        }
        if self.recorder().is_some() {
            let before = std::mem::replace(&mut self.conditional, true);
            read(self);
            self.conditional = before;
        }
        None
    }

    /// Reads the array of tables `key`; absent, it is empty.
    pub fn sections<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        self.declare(key, || Shape::Sections);
        if self.recorder().is_some() {
            let path = format!("{}[]", self.path_of(key));
            self.child(path, None, None, read);
            return Vec::new();
        }
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.fault(key, format!("found {}, expected sections: write [[{key}]]", describe(value.get_ref())));
            return Vec::new();
        };
        let mut all = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            match item.get_ref() {
                DeValue::Table(table) => all.push(self.child(path, Some(item.span()), Some(table), &mut read)),
                other => {
                    let message = format!("found {}, expected a section: write [[{key}]]", describe(other));
                    self.fault_at(&Spot { path, span: Some(item.span()) }, message);
                }
            }
        }
        all
    }

    /// Reads the table `key`, whose keys are names that the file chooses.
    pub fn names<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&Self, &str, &Spot, &DeValue<'_>) -> T,
    ) -> Vec<T> {
        self.declare(key, || Shape::Names);
        self.section(key, |section| {
            let entries = section.table.into_iter().flatten();
            let all = entries.map(|(name, value)| {
                let spot = Spot { path: section.path_of(name.get_ref()), span: Some(name.span()) };
                read(section, name.get_ref(), &spot, value.get_ref())
            });
            let all = all.collect();
            section.table = None;
            all
        })
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The value of a key, without asking for it.
    pub fn peek(&self, key: &str) -> Option<&'c DeValue<'c>> {
        self.table?.get(key).map(Spanned::get_ref)
    }

    /// Whether the key is there and holds a list of nothing.
    pub fn is_empty_list(&self, key: &str) -> bool {
        self.peek(key).and_then(DeValue::as_array).is_some_and(|list| list.is_empty())
    }

    /// Says what the value of a key can be, to whoever records. The first word of several holds.
    pub fn declare(&self, key: &'static str, shape: impl FnOnce() -> Shape) {
        if let Some(recorder) = self.recorder() {
            recorder.note(&self.path, key, shape());
        }
    }

    fn recorder(&self) -> Option<&'c Recorder> {
        self.check.recorder.as_ref()
    }

    /// The value of a key, which is known from now on.
    pub fn value(&mut self, key: &'static str) -> Option<&'c Spanned<DeValue<'c>>> {
        self.declare(key, || Shape::Any);
        self.known.push(key);
        self.table?.get(key)
    }

    /// A text with its variables put in.
    pub fn expanded(&self, key: &str, text: &str) -> Option<String> {
        self.expanded_at(&self.spot(key), text)
    }

    /// The same, of an element of a list.
    pub fn expanded_at(&self, spot: &Spot, text: &str) -> Option<String> {
        expand(text, self.check.lookup).map_err(|error| self.fault_at(spot, error.to_string())).ok()
    }

    /// From now on no key is unknown: what the others mean depends on one that is wrong.
    pub fn forgive_unknown(&mut self) {
        self.forgiving = true;
    }

    /// The secret that a text is or points at.
    pub fn resolved(&self, text: &str) -> Result<Zeroizing<String>, SecretError> {
        secrets::resolve(text, self.check.lookup)
    }

    /// A fault at the value of `key`, or at the section when the key is absent.
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        self.fault_at(&self.spot(key), message);
    }

    pub fn fault_at(&self, spot: &Spot, message: impl Into<String>) {
        let fault = self.document.fault(spot.span.clone(), spot.path.clone(), message.into());
        self.check.faults.borrow_mut().push(fault);
    }

    pub fn spot(&self, key: &str) -> Spot {
        let value = self.table.and_then(|table| table.get(key));
        Spot { path: self.path_of(key), span: value.map(Spanned::span).or_else(|| self.span.clone()) }
    }

    /// The place of an element of the array `key`.
    pub fn spot_of_element(&self, key: &str, index: usize, element: &Spanned<DeValue<'_>>) -> Spot {
        Spot { path: format!("{}[{index}]", self.path_of(key)), span: Some(element.span()) }
    }

    /// Faults a key that must be there and is not. `expected` says what belongs there.
    pub fn require(&self, key: &str, expected: &str) {
        if let Some(recorder) = self.recorder().filter(|_| !self.conditional) {
            recorder.require(&self.path, key);
        }
        if !self.faulty && !self.has(key) {
            self.fault(key, format!("missing, expected {expected}"));
        }
    }

    /// Of these keys one must be there, and only one; answers whether that is so. The fault of their absence is at the
    /// first.
    pub fn require_one_of(&self, keys: &[&'static str], expected: &str, one_only: &str) -> bool {
        if let Some(recorder) = self.recorder() {
            recorder.alternatives(&self.path, keys);
            return false;
        }
        let there: Vec<_> = keys.iter().filter(|key| self.has(key)).collect();
        match (there.as_slice(), keys) {
            ([_], _) => return true,
            ([_, second, ..], _) => self.fault(second, one_only),
            ([], [first, ..]) => self.require(first, expected),
            ([], []) => {}
        }
        false
    }

    /// Faults an array of sections that is absent or empty.
    pub fn require_some(&self, key: &str) {
        let expected = format!("at least one section [[{key}]]");
        self.require(key, &expected);
        if self.is_empty_list(key) {
            self.fault(key, format!("found none, expected {expected}"));
        }
    }

    fn path_of(&self, key: &str) -> String {
        // A key may hold anything, in quotes; a fault is one line.
        let key = key.escape_debug();
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    fn child<T>(
        &self,
        path: String,
        span: Option<Range<usize>>,
        table: Option<&'c DeTable<'c>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut child = Self { span, table, ..self.empty(path) };
        let value = read(&mut child);
        child.refuse_unknown();
        value
    }

    fn empty(&self, path: String) -> Self {
        let (check, document) = (self.check, self.document);
        Self {
            check,
            document,
            path,
            span: None,
            table: None,
            known: Vec::new(),
            faulty: false,
            conditional: self.conditional,
            forgiving: false,
        }
    }

    fn refuse_unknown(&self) {
        for (key, _) in self.table.filter(|_| !self.forgiving).into_iter().flatten() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let nearest = self.known.iter().map(|known| (distance(name, known), known)).min();
            let hint = match nearest {
                Some((steps, known)) if steps <= 1 + name.len() / 4 => format!("did you mean `{known}`?"),
                _ => format!("known keys are {}", self.known.join(", ")),
            };
            let spot = Spot { path: self.path_of(name), span: Some(key.span()) };
            self.fault_at(&spot, format!("unknown key `{}`; {hint}", name.escape_debug()));
        }
    }
}

/// What was found, short enough for one line.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => shown(text),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A text in quotes, cut when long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Levenshtein's distance: how many letters to change, add or remove.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        row[0] = left;
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            left = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            diagonal = above;
            row[j + 1] = left;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, steps) in [("", "", 0), ("adress", "address", 1), ("name", "nmae", 2), ("abc", "", 3), ("ü", "u", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(shown(&"ü".repeat(61)).chars().count(), 63);
    }
}
