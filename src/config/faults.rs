//! What is wrong with a configuration: every fault at once, each with its place. A fault never shows the value of a
//! key that holds a secret.

use std::fmt;

/// One thing that is wrong, and what would be right.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fault {
    /// The file, as it was named to the loader.
    pub file: String,
    /// From 1; 0 when the fault is about the file as a whole, or about something that is not in it.
    pub line: usize,
    /// In characters, from 1; 0 together with the line.
    pub column: usize,
    /// The path of the key, such as `limits.head_timeout` or `listener[0].address`; empty for the file as a whole.
    pub key: String,
    pub message: String,
}

/// Every fault of a configuration, by file and line; never empty. Displayed one a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Fault {
    /// `tenantry.toml:12:9: limits.head_timeout: found "10 parsecs", expected a duration such as "10s"`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}
