//! What can be written in the files, noted by the readers themselves while they read an empty one: the one list of all
//! keys. Nothing here says what a key means, and nothing here checks anything.

use std::cell::RefCell;

/// One key that a reader asks for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The path of the section that it stands in; empty for the file. An array of sections is `listener[]`.
    pub section: String,
    pub name: &'static str,
    pub shape: Shape,
}

/// The kinds of value, with their bounds and defaults as far as those are fixed.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Text {
        expected: String,
    },
    Secret {
        expected: String,
    },
    Texts {
        expected: String,
    },
    Secrets {
        expected: String,
    },
    Flag {
        default: bool,
    },
    Number {
        low: i64,
        high: i64,
        default: Option<i64>,
    },
    NumberOr {
        word: &'static str,
        low: i64,
        high: i64,
        default: Option<i64>,
    },
    ListOr {
        word: &'static str,
        expected: &'static str,
    },
    /// A list of at least one.
    Numbers {
        low: i64,
        high: i64,
    },
    Duration {
        expected: String,
        off: bool,
        default: Option<String>,
    },
    Size {
        expected: String,
        off: bool,
        default: Option<String>,
    },
    Choice {
        words: Vec<String>,
        default: Option<String>,
    },
    Section,
    /// One that may be left out, whatever it requires when it is there.
    OptionalSection,
    Sections,
    /// A table whose keys the file chooses and whose values are texts.
    Names,
    /// Whatever its reader takes.
    Any,
}

/// What was asked for, in the order of asking.
#[derive(Default)]
pub(super) struct Recorder(RefCell<Recorded>);

#[derive(Default)]
pub(super) struct Recorded {
    pub keys: Vec<Key>,
    /// Section and key: the section is wrong without it, whatever else stands there.
    pub required: Vec<(String, String)>,
    /// Section and keys, exactly one of which must be there.
    pub alternatives: Vec<(String, Vec<&'static str>)>,
}

impl Recorder {
    /// Notes a key. What was said of it first holds: a reader that is made of another one speaks before it.
    pub fn note(&self, section: &str, name: &'static str, shape: Shape) {
        let keys = &mut self.0.borrow_mut().keys;
        if !keys.iter().any(|key| key.name == name && key.section == section) {
            keys.push(Key { section: section.to_owned(), name, shape });
        }
    }

    pub fn require(&self, section: &str, name: &str) {
        self.0.borrow_mut().required.push((section.to_owned(), name.to_owned()));
    }

    pub fn alternatives(&self, section: &str, keys: &[&'static str]) {
        self.0.borrow_mut().alternatives.push((section.to_owned(), keys.to_vec()));
    }

    pub fn into_recorded(self) -> Recorded {
        self.0.into_inner()
    }
}

impl Recorded {
    /// The paths of all keys, such as `limits.head_timeout` or `listener[].address`.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|Key { section, name, .. }| match section.as_str() {
            "" => (*name).to_owned(),
            section => format!("{section}.{name}"),
        })
    }
}
