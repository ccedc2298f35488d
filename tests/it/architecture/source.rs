//! Rust source read roughly: enough to tell code from comments and texts, product from tests, and which paths it names.
//! It does not understand macros or nested inline modules, and need not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One source file.
pub struct SourceFile {
    /// From the crate's root: `src/config/limits.rs`.
    pub path: PathBuf,
    pub raw: String,
    /// The raw text with comments and the insides of texts blanked; lines stay where they are.
    pub code: String,
    /// `code` without what is compiled for tests only.
    pub product: String,
}

impl SourceFile {
    /// Every `.rs` file under a directory of the crate, by path.
    pub fn all_under(dir: &str) -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        collect(&root.join(dir), &mut paths);
        paths.sort();
        let mut files: Vec<Self> = paths.iter().map(|path| Self::read(root, path)).collect();
        let tests: BTreeSet<PathBuf> = files.iter().flat_map(Self::test_modules).collect();
        for file in &mut files {
            if file.path.ancestors().any(|path| tests.contains(&path.with_extension(""))) {
                file.product = String::new();
            }
        }
        files
    }

    fn read(root: &Path, path: &Path) -> Self {
        let raw = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let code = blank(&raw);
        let product = without_tests(&code);
        Self { path: path.strip_prefix(root).unwrap().to_owned(), raw, code, product }
    }

    /// The room that the file belongs to: the first name below `src`.
    pub fn room(&self) -> String {
        let first = self.path.components().nth(1).unwrap().as_os_str();
        Path::new(first).with_extension("").display().to_string()
    }

    /// How many `super` lead from here to the crate's root.
    fn depth(&self) -> usize {
        let below_src = self.path.components().count() - 1;
        match self.path.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs") => below_src - 1,
            Some("lib.rs" | "main.rs") if below_src == 1 => 0,
            _ => below_src,
        }
    }

    /// The first names of all paths that start at the crate's root: `crate::x`, `super::…::x` from far enough below,
    /// and `tenantry::x` in the program.
    pub fn rooms_named(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        for start in ["crate::", "tenantry::"] {
            for at in path_starts(&self.product, start) {
                rooms.extend(first_names(&self.product[at + start.len()..]));
            }
        }
        for at in path_starts(&self.product, "super::") {
            let rest = &self.product[at..];
            let steps = rest.split("super::").take_while(|between| between.trim().is_empty()).count();
            if steps >= self.depth() {
                rooms.extend(first_names(&rest[steps * "super::".len()..]));
            }
        }
        rooms
    }

    /// Whether the file names a path of this crate (or of one that starts so, when `prefix` ends with `_`).
    pub fn uses_crate(&self, prefix: &str) -> bool {
        self.product.match_indices(prefix).any(|(at, _)| {
            let name = &self.product[at..];
            let end = name.find(|c: char| !is_word(c)).unwrap_or(name.len());
            let whole = prefix.ends_with('_') || end == prefix.len();
            let path = name[end..].starts_with("::") || self.product[..at].trim_end().ends_with("use");
            whole && path && starts_path(&self.product, at)
        })
    }

    /// Modules declared `#[cfg(test)] mod name;`, as paths without extension. A `#[path]` may stand in between.
    fn test_modules(&self) -> Vec<PathBuf> {
        let parent = self.path.parent().unwrap();
        let dir = match self.path.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs" | "lib.rs" | "main.rs") => parent.to_owned(),
            _ => self.path.with_extension(""),
        };
        // Lines of the raw text, since the path is a text; only those that are code.
        let lines = || self.raw.lines().zip(self.code.lines());
        let marks = lines().enumerate().filter(|(_, (_, code))| code.trim() == "#[cfg(test)]");
        let declared = marks.filter_map(|(at, _)| {
            let mut path = None;
            for (raw, code) in lines().skip(at + 1) {
                let (raw, code) = (raw.trim(), code.trim());
                if let Some(given) = raw.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                    path = Some(parent.join(given).with_extension(""));
                } else if !code.starts_with("#[") {
                    let name = code.trim_start_matches("pub").trim_start_matches("(crate)").trim_start();
                    let name = name.strip_prefix("mod ")?.strip_suffix(';')?;
                    return Some(path.unwrap_or_else(|| dir.join(name)));
                }
            }
            None
        });
        declared.collect()
    }
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Places where `start` begins a path.
fn path_starts<'t>(text: &'t str, start: &'t str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(start).map(|(at, _)| at).filter(|at| starts_path(text, *at))
}

fn starts_path(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| is_word(c) || c == ':')
}

/// The name that follows, or each of the names in the group that follows.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return Some(name(rest)).filter(|name| !name.is_empty()).into_iter().collect();
    };
    let (mut depth, mut names, mut begin) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[begin..at]));
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty() && name != "self");
    names
}

/// Blanks comments and the insides of texts and characters, so that what is left is code.
pub fn blank(raw: &str) -> String {
    let chars: Vec<char> = raw.chars().collect();
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped_until(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, text or character that begins here; `at` itself when none does.
fn skipped_until(chars: &[char], at: usize) -> usize {
    let starts = |text: &str, from: usize| text.chars().enumerate().all(|(i, c)| chars.get(from + i) == Some(&c));
    let after =
        |from: usize, found: &dyn Fn(usize) -> bool| (from..chars.len()).find(|i| found(*i)).unwrap_or(chars.len());
    if starts("//", at) {
        return after(at, &|i| chars[i] == '\n');
    }
    if starts("/*", at) {
        let (mut depth, mut i) = (0, at);
        while i < chars.len() {
            match (starts("/*", i), starts("*/", i)) {
                (true, _) => depth += 1,
                (_, true) => depth -= 1,
                _ => {
                    i += 1;
                    continue;
                }
            }
            i += 2;
            if depth == 0 {
                break;
            }
        }
        return i.min(chars.len());
    }
    let in_word = at > 0 && is_word(chars[at - 1]);
    let raw_prefix = ["r", "br", "cr"].iter().find(|prefix| !in_word && starts(prefix, at));
    if let Some(prefix) = raw_prefix {
        let quote = after(at + prefix.len(), &|i| chars[i] != '#');
        if chars.get(quote) == Some(&'"') {
            let end = format!("\"{}", "#".repeat(quote - at - prefix.len()));
            return (after(quote + 1, &|i| starts(&end, i)) + end.len()).min(chars.len());
        }
    }
    match chars[at] {
        '"' => quoted(chars, at, '"'),
        // A character, or else a lifetime.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => quoted(chars, at, '\''),
        _ => at,
    }
}

fn quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// Blanks every item behind `#[cfg(test)]`, up to its closing brace or semicolon.
pub fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let mut depth = 0;
        let end = after.char_indices().find_map(|(at, c)| {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth -= 1,
                _ => {}
            }
            (depth <= 0 && matches!(c, '}' | ';')).then_some(at + 1)
        });
        let (item, behind) = after.split_at(end.unwrap_or(after.len()));
        out.extend(item.chars().filter(|c| *c == '\n'));
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[test]
fn code_is_told_from_comments_and_texts() {
    let source = "use a; // crate::b\n/* crate::c /* nested */ crate::d */ let s = \"crate::e \\\" x\"; r#\"crate::f \" \"#;\n'\"' 'a x::y";
    let code = blank(source);
    for (text, stays) in [("use a;", true), ("crate::", false), ("x::y", true), ("'a x", true), ("let s =", true)] {
        assert_eq!(code.contains(text), stays, "{text}: {code}");
    }
    assert_eq!(code.lines().count(), source.lines().count());
}

#[test]
fn tests_are_told_from_the_product() {
    let code =
        "fn a() {}\n#[cfg(test)]\nmod tests { const B: [u8; 2] = b(); }\nfn d() {}\n#[cfg(test)]\nmod e;\nfn f() {}";
    let product = without_tests(code);
    assert!(["a()", "d()", "f()"].iter().all(|name| product.contains(name)), "{product}");
    assert!(!["b()", "mod e"].iter().any(|name| product.contains(name)), "{product}");
    assert_eq!(product.lines().count(), code.lines().count());
}

#[test]
fn files_of_tests_are_known_by_their_declaration() {
    let raw =
        "#[cfg(test)]\nmod a;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\nmod c;\n#[cfg(test)]\nmod d {\n}";
    let (raw, code, product) = (raw.to_owned(), blank(raw), String::new());
    let file = SourceFile { path: "src/edge/b.rs".into(), raw, code, product };
    assert_eq!(file.test_modules(), [Path::new("src/edge/b/a"), Path::new("src/edge/b_tests")]);
}

#[test]
fn paths_from_the_root_are_found() {
    let file = |path: &str, code: &str| SourceFile {
        path: path.into(),
        raw: String::new(),
        code: code.into(),
        product: code.into(),
    };
    let named = |path: &str, code: &str| file(path, code).rooms_named().into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(named("src/edge/mod.rs", "use crate::model::A; crate::tls::b()"), "model tls");
    assert_eq!(named("src/edge/x.rs", "use crate::{model::{A, B}, clock::C};"), "clock model");
    assert_eq!(named("src/edge/mod.rs", "use super::store; use super::{tls::A, edge}"), "edge store tls");
    assert_eq!(named("src/edge/x.rs", "use super::store; use super::super::tls::A;"), "tls");
    assert_eq!(named("src/clock.rs", "mycrate::a, my::crate::b, super::model::C"), "model");
    assert_eq!(named("src/main.rs", "tenantry::cli::run()"), "cli");
    let uses = |code: &str, name: &str| file("src/a.rs", code).uses_crate(name);
    assert!(uses("use rustls::A;", "rustls") && uses("use rustls;", "rustls") && uses("pingora_core::X", "pingora_"));
    assert!(!uses("tokio_rustls::A", "rustls") && !uses("a::rustls::B", "rustls") && !uses("rustls_pki::A", "rustls"));
}
