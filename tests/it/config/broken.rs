//! Ways to break the shipped configuration, one a line: what is replaced by what, and the fault that must come of it.

mod files;
mod plans;
mod routing;
mod tenantry;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub use files::Content;

/// Marks where a fault is expected to point at.
const HERE: &str = "«";
/// In a text: the directory that the files are written to.
const DIR: &str = "{dir}";

/// A file of the shipped example with `from` replaced by `to`, the key of the fault, and part of its message. [`HERE`]
/// marks the place; without it the fault may be anywhere in the file.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// One file that is wrong, the other two being right.
pub struct Broken {
    /// `tenantry`, `routing` or `plans`.
    pub file: &'static str,
    /// What is wrong with it, for people.
    pub what: String,
    pub content: Content,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
    pub key: &'static str,
    pub fragment: &'static str,
}

/// Every broken file that there is.
pub fn table() -> Vec<Broken> {
    let shipped = [
        ("tenantry", super::TENANTRY, tenantry::TENANTRY),
        ("tenantry", super::TENANTRY, files::SECRETS),
        ("routing", super::ROUTING, routing::ROUTING),
        ("plans", super::PLANS, plans::PLANS),
    ];
    let patched =
        shipped.into_iter().flat_map(|(file, text, cases)| cases.iter().map(move |case| patch(file, text, case)));
    patched.chain(files::whole()).collect()
}

fn patch(file: &'static str, original: &str, (from, to, key, fragment): &Case) -> Broken {
    assert!(original.contains(from), "{from:?} is not in {file}.toml");
    let text = original.replacen(from, to, 1);
    let place = text.find(HERE).map(|at| {
        let column = text[..at].rsplit('\n').next().map_or(0, |before| before.chars().count()) + 1;
        (text[..at].matches('\n').count() + 1, column)
    });
    let content = Content::Bytes(text.replace(HERE, "").into_bytes());
    Broken { file, what: format!("{from:?} became {to:?}"), content, place, key, fragment }
}

impl Broken {
    /// Puts it into a directory with a configuration, in the place of the file that is right, and what it names beside it.
    pub fn write(&self, dir: &Path) {
        let path = dir.join(format!("{}.toml", self.file));
        self.remove(dir);
        for (name, bytes, mode) in files::BESIDE {
            let path = dir.join(name);
            if !path.exists() {
                fs::write(&path, bytes).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
            }
        }
        match &self.content {
            Content::Missing => {}
            Content::Directory => fs::create_dir(path).unwrap(),
            Content::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.contains(DIR) => {
                    fs::write(path, text.replace(DIR, &dir.display().to_string())).unwrap()
                }
                _ => fs::write(path, bytes).unwrap(),
            },
        }
    }

    /// Takes it away, whatever it is.
    pub fn remove(&self, dir: &Path) {
        let path = dir.join(format!("{}.toml", self.file));
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        } else if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}
